"""For whom a model is good: the same measure over groups of students, and over rare items.

No group of fewer than SMALLEST students is ever shown, nor can it be worked out from the others.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apps.recommender.ml.config import SEED
from apps.recommender.ml.data_loader import BoolArray, Dataset, IntArray
from apps.recommender.ml.evaluation import Evaluation, bootstrap, paired_bootstrap
from apps.recommender.ml.metrics import METRICS, Values

SMALLEST = 10
NEW_MOST = 5  # épreuves that the model learnt of a new student
RARE_MOST = 5  # students whom the model learnt of a rare item
OTHERS = "autres"

Interval = tuple[float, float]


@dataclass(frozen=True)
class Slice:
    """Of `n` students: a mean for the model, one for popularity, and the gain's 95 % interval."""

    name: str
    n: int
    value: float
    popularity: float
    gain: Interval


def by_seniority(tested: Evaluation, popular: Evaluation, data: Dataset) -> list[Slice]:
    """NDCG@10 of who had taken at most NEW_MOST items in training, and of the others."""
    taken = np.bincount(data.train.user_idx, minlength=data.n_users)[tested.users]
    names = ["nouveaux" if n <= NEW_MOST else "anciens" for n in taken.tolist()]
    return by_name(tested, popular, names)


def by_trait(tested: Evaluation, popular: Evaluation, data: Dataset, trait: str) -> list[Slice]:
    """NDCG@10 by the first value of a trait, such as `filiere`; who has none is of the others."""
    values = [data.traits(user).get(trait, ()) for user in tested.users.tolist()]
    return by_name(tested, popular, [value[0] if value else OTHERS for value in values])


def by_name(tested: Evaluation, popular: Evaluation, names: Sequence[str]) -> list[Slice]:
    """NDCG@10 by the name of each student's group, small groups together."""
    groups = np.array(_folded(names))
    ours, theirs = tested.ndcg_by_user, popular.ndcg_by_user
    found = sorted(set(groups.tolist()) - {OTHERS}) + [OTHERS] * (OTHERS in groups)
    return [_slice(name, ours[groups == name], theirs[groups == name]) for name in found]


def on_rare_items(tested: Evaluation, popular: Evaluation, data: Dataset) -> Slice | None:
    """Recall@10 of the held-out items that at most RARE_MOST took in training; None for few."""
    counts = np.bincount(data.train.item_idx, minlength=data.n_items)
    held_out = data.part("test")
    rare = held_out.take(counts[held_out.item_idx] <= RARE_MOST)
    rows = np.searchsorted(tested.users, rare.user_idx)
    ours, theirs = (_recall(one, rows, rare.item_idx) for one in (tested, popular))
    return _slice("rares", ours, theirs) if len(ours) >= SMALLEST else None


def intervals(tested: Evaluation, *, k: int = 10, seed: int = SEED) -> dict[str, Interval]:
    """Of each metric that is a mean over students."""
    values = {name.format(k=k): metric(tested.outcome) for name, metric in METRICS.items()}
    return {
        name: bootstrap(value, seed=seed)
        for name, value in values.items()
        if value is not None and len(value) == tested.n_users > 1
    }


def _folded(names: Sequence[str]) -> list[str]:
    """Small groups become OTHERS, and then the next smallest until OTHERS is not small."""
    counts = Counter(names)
    others = counts.pop(OTHERS, 0)
    kept = set()
    for name, n in sorted(counts.items(), key=lambda one: (one[1], one[0])):
        if n < SMALLEST or 0 < others < SMALLEST:
            others += n
        else:
            kept.add(name)
    return [name if name in kept else OTHERS for name in names]


def _slice(name: str, ours: Values, theirs: Values) -> Slice:
    means = float(ours.mean()), float(theirs.mean())
    return Slice(name, len(ours), *means, paired_bootstrap(ours, theirs))


def _recall(evaluation: Evaluation, rows: IntArray, items: IntArray) -> Values:
    """Of each student with such a pair, the share of these that they were shown."""
    shown: BoolArray = (evaluation.outcome.top_items[rows] == items[:, None]).any(axis=1)
    totals = np.bincount(rows, minlength=evaluation.n_users)
    found = np.bincount(rows, shown, minlength=evaluation.n_users)
    return found[totals > 0] / totals[totals > 0]
