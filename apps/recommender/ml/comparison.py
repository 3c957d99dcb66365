"""Which of two models would have served better: what students took next, as both rank it.

Both are asked as production asks: a `Predictor` each, the same pasts, the same candidates.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from apps.recommender.ml.config import SEED
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray
from apps.recommender.ml.errors import TooFewInteractions
from apps.recommender.ml.evaluation import Evaluation, Scores, evaluate, paired_bootstrap
from apps.recommender.ml.metrics import Values
from apps.recommender.ml.predictor import Past, Predictor

# Students beyond which more would only make a narrow interval narrower.
MAX_STUDENTS = 2000


@dataclass(frozen=True)
class Difference:
    """NDCG@10 of `a` minus that of `b`: mean over students, and its 95 % interval."""

    mean: float
    low: float
    high: float
    n_students: int
    n_interactions: int

    @classmethod
    def between(cls, a: Values, b: Values, n_interactions: int, *, seed: int = SEED) -> Self:
        """Of the NDCG@10 of the same students, in the same order."""
        low, high = paired_bootstrap(a, b, seed=seed)
        return cls(float((a - b).mean()), low, high, len(a), n_interactions)

    def is_worse_by(self, margin: float) -> bool:
        """`a` is worse than `b` by more than chance and the margin allow; ADR 115 has the figures.

        Nothing less than the whole interval counts: on a few hundred interactions, two equals
        often differ by more than any margin worth having.
        """
        return self.high < -margin


@dataclass(frozen=True)
class Measured:
    """ndcg: NDCG@10 of students of the test, in the order of their rows, without their names.

    The same data always give the same students, in the same order: two fits on them can be paired.
    """

    ndcg: Values
    n_interactions: int


def measured(tested: Evaluation, *, seed: int = SEED, most: int = MAX_STUDENTS) -> Measured:
    """What is worth keeping of a measure; `most` students, drawn by `seed`."""
    rows = np.sort(np.random.default_rng(seed).permutation(tested.n_users)[:most])
    ndcg = tested.ndcg_by_user[rows].round(5)
    return Measured(ndcg, int(tested.outcome.n_relevant[rows].sum()))


def newer_than(data: Dataset, moment: int) -> Dataset:
    """The same log with what came after `moment` (seconds) as test, all the rest as the past."""
    pairs = data.train + data.validation + data.test
    if pairs.timestamps is None:
        raise ValueError("Un journal sans dates n'a ni passé ni suite.")
    newer = pairs.timestamps > moment
    return replace(
        data,
        train=pairs.take(~newer),
        validation=pairs.take(np.empty(0, np.int64)),
        test=pairs.take(newer),
    )


def compare(
    a: Predictor, b: Predictor, trial: Dataset, *, seed: int = SEED, most: int = MAX_STUDENTS
) -> Difference:
    """Over the students of the test part who have a past, `most` of them drawn by `seed`.

    `trial` has dates, worths and, for épreuves that a model never met, texts and traits; neither
    model may have learnt from its test part (`newer_than`). A student whom a model cannot score is
    given the most popular, as production does. Raises TooFewInteractions where nobody is left.
    """
    trial = _sampled(trial, most, seed)
    n_interactions = len(trial.part("test"))
    if n_interactions == 0:
        raise TooFewInteractions(
            "Aucune interaction plus récente que les données des deux modèles : attendez-en."
        )
    ours, theirs = (
        evaluate(predictor_scores(one, trial), trial, seed=seed).ndcg_by_user for one in (a, b)
    )
    return Difference.between(ours, theirs, n_interactions, seed=seed)


def predictor_scores(predictor: Predictor, trial: Dataset) -> Scores:
    """`predictor` as `evaluate` wants it; NaN for what it neither knows nor can place."""
    texts = trial.item_texts or ("",) * trial.n_items
    traits = trial.item_traits or ({},) * trial.n_items
    newcomers = predictor.newcomers(trial.item_ids.tolist(), list(texts), list(traits))
    popular = np.bincount(trial.train.item_idx, minlength=trial.n_items).astype(np.float32)
    past_of = _pasts(trial)

    def of_student(user_idx: int) -> FloatArray:
        user_id, past = int(trial.user_ids[user_idx]), past_of(user_idx)
        if not predictor.can_score(user_id, past):
            return popular
        return _aligned(trial.item_ids, *predictor.user_scores(user_id, past, newcomers))

    return lambda user_idx: np.stack([of_student(user) for user in user_idx.tolist()])


def _pasts(trial: Dataset) -> Callable[[int], Past]:
    """Who a student is and what they did, by their row."""
    pairs = trial.train.take(np.argsort(trial.train.user_idx, kind="stable"))
    weights, timestamps = pairs.weights, pairs.timestamps
    if weights is None or timestamps is None:
        raise ValueError("Un passé sans dates ni valeurs ne se note pas.")

    def past_of(user_idx: int) -> Past:
        own = slice(*np.searchsorted(pairs.user_idx, [user_idx, user_idx + 1]))
        items = trial.item_ids[pairs.item_idx[own]]
        return Past(items, weights[own], timestamps[own], trial.traits(user_idx))

    return past_of


def _aligned(item_ids: IntArray, scored: IntArray, scores: FloatArray) -> FloatArray:
    """Scores in the order of the sorted `item_ids`."""
    places = np.searchsorted(item_ids, scored).clip(max=len(item_ids) - 1)
    there = item_ids[places] == scored
    aligned = np.full(len(item_ids), np.nan, np.float32)
    aligned[places[there]] = scores[there]
    return aligned


def _sampled(trial: Dataset, most: int, seed: int) -> Dataset:
    students = np.unique(trial.part("test").user_idx)
    if len(students) > most:
        drawn = np.random.default_rng(seed).permutation(students)[:most]
        return replace(trial, test=trial.test.of_users(drawn))
    return trial
