"""The public protocols: what may be learnt of a log, and how what was learnt is measured."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from apps.recommender.ml.data_loader import BoolArray, Dataset, IntArray, Pairs
from apps.recommender.ml.evaluation import evaluate_model
from apps.recommender.ml.metrics import (
    Outcome,
    Values,
    average_precision,
    hit_rate,
    ndcg,
    precision,
    recall,
)
from apps.recommender.ml.model import Model
from benchmarks.public_data import NOTHING, read_log, read_negatives, read_ratings

K = 10
TEST, VALIDATION = 0.25, 0.1
SHOWN = ("ndcg", "precision", "recall", "map", "hr")


@dataclass(frozen=True)
class Quality:
    """metrics: `ndcg@10`… -> mean over users. ndcg: float64[U], of the users measured."""

    metrics: dict[str, float]
    ndcg: Values


# What a protocol measures, by name: one table each. Histories are those of the second argument,
# which is what the model learnt from.
Measures = dict[str, Callable[[Model, Dataset], Quality]]


@dataclass(frozen=True)
class Task:
    """A log of which `train` may be learnt, and how what was learnt is measured."""

    train: Dataset
    measures: Measures
    test: Pairs = NOTHING

    def with_validation(self, rng: np.random.Generator) -> Dataset:
        """The same with a tenth of the training pairs, drawn at random, for validation."""
        return with_validation(self.train, rng)


def with_validation(data: Dataset, rng: np.random.Generator) -> Dataset:
    """A tenth of the training pairs, drawn at random, validates."""
    drawn = rng.random(len(data.train)) < VALIDATION
    return replace(data, train=data.train.take(~drawn), validation=data.train.take(drawn))


def holdout(
    file: Path,
    rng: np.random.Generator,
    *,
    items: Path | None = None,
    users: Path | None = None,
    ids_only: bool = False,
) -> Task:
    """RecBole's `.inter`, and `.item` and `.user` for what is known beside."""
    log = read_log(file, items=items, users=users, ids_only=ids_only)
    tested = _share_of_each_user(log.train.user_idx, TEST, rng)
    test = log.train.take(tested)

    def measured(model: Model, fitted: Dataset) -> Quality:
        found = evaluate_model(model, replace(fitted, test=test))
        names = {f"{name}@{K}": found.metrics[f"{name}_at_{K}"] for name in SHOWN}
        return Quality(names, found.ndcg_by_user)

    return Task(replace(log, train=log.train.take(~tested)), {"": measured}, test)


def leave_one_out(folder: Path, name: str) -> Task:
    """`NAME.train.rating`, `.test.rating` and `.test.negative` of the NCF paper."""
    train, test = (read_ratings(folder / f"{name}.{part}.rating") for part in ("train", "test"))
    negatives = list(read_negatives(folder / f"{name}.test.negative"))
    n_users = max(train.user_idx.max(), test.user_idx.max()) + 1
    n_items = max(train.item_idx.max(), test.item_idx.max(), *(max(row) for row in negatives)) + 1
    dataset = Dataset(np.arange(n_users), np.arange(n_items), train, NOTHING, NOTHING)
    seen = dataset.train_matrix.toarray() > 0

    def measured(model: Model, fitted: Dataset, *, masked: bool) -> Quality:
        ranks = _ranks(model, fitted, test, negatives, seen if masked else np.zeros_like(seen))
        return _quality_of_ranks(ranks, int(n_items))

    return Task(
        dataset,
        {
            "raw": lambda model, fitted: measured(model, fitted, masked=False),
            "seen-masked": lambda model, fitted: measured(model, fitted, masked=True),
        },
        test,
    )


def _ranks(
    model: Model, data: Dataset, test: Pairs, negatives: list[list[int]], hidden: BoolArray
) -> IntArray:
    """How many of the negatives stand before each positive: all that do not score lower."""
    ranks = []
    for user, item, given in zip(
        test.user_idx.tolist(), test.item_idx.tolist(), negatives, strict=True
    ):
        others = np.setdiff1d(given, [item])
        others = others[~hidden[user, others]]
        scores = model.scores(*data.history(user), user, data.traits(user))
        ranks.append(np.sum(~(scores[others] < scores[item])))
    return np.array(ranks, dtype=np.int64)


def _quality_of_ranks(ranks: IntArray, n_items: int) -> Quality:
    hits = ranks[:, None] == np.arange(K)
    outcome = Outcome(np.full(hits.shape, -1), hits, np.ones(len(ranks), np.int64), n_items)
    formulas = (ndcg, precision, recall, average_precision, hit_rate)
    means = [float(formula(outcome).mean()) for formula in formulas]
    names = (f"{name}@{K}" for name in SHOWN)
    return Quality(dict(zip(names, means, strict=True)), ndcg(outcome))


def _share_of_each_user(users: IntArray, share: float, rng: np.random.Generator) -> BoolArray:
    """bool[n]: `share` of each user's rows, to the nearest, at random."""
    shuffled = rng.permutation(len(users))
    by_user = shuffled[np.argsort(users[shuffled], kind="stable")]
    n = np.bincount(users)
    position = np.arange(len(users)) - np.repeat(np.cumsum(n) - n, n)
    drawn = np.empty(len(users), dtype=np.bool_)
    drawn[by_user] = position < np.floor(n * share + 0.5)[users[by_user]]
    return drawn
