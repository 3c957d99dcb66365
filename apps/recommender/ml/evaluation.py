"""Ranks the whole catalogue for each held-out user and measures the lists."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from apps.recommender.ml import pulse
from apps.recommender.ml.config import SEED
from apps.recommender.ml.data_loader import (
    BoolArray,
    Dataset,
    FloatArray,
    IntArray,
    NegativeSampler,
    Pairs,
)
from apps.recommender.ml.metrics import METRICS, Outcome, Values, ndcg
from apps.recommender.ml.model import Model, Scorer

# user_idx [B] -> scores [B, n_items], the higher the better
Scores = Callable[[IntArray], FloatArray]

_CELLS_AT_ONCE = 2**21


@dataclass(frozen=True)
class Evaluation:
    """metrics: name -> mean. ndcg_by_user: float64[n_users], in the order of `users`.

    users: int64[n_users], the sorted rows of who was measured; outcome: what they were shown.
    """

    metrics: dict[str, float]
    ndcg_by_user: Values
    users: IntArray
    outcome: Outcome

    @property
    def n_users(self) -> int:
        return len(self.users)


def evaluate(
    scores: Scores,
    dataset: Dataset,
    *,
    part: Literal["validation", "test"] = "test",
    k: int = 10,
    seed: int = SEED,
    logits: bool = False,
) -> Evaluation:
    """Measure `scores` on one held-out part.

    Candidates are the whole catalogue minus the user's *training* positives; when testing, the
    validation positives stay candidates (and count as wrong), for the model never saw them. Among
    equal scores a relevant item comes last; a NaN score is never shown. RMSE needs `logits=True`
    (their sigmoid is a probability); its negatives are drawn from `seed` among the items that are
    no positive of the user in any part.
    """
    relevant = dataset.part(part)
    labelled = _with_negatives(relevant, dataset, seed) if logits else None
    users = np.unique(relevant.user_idx)
    batches = [
        _rank(scores(batch), batch, dataset, relevant, k, labelled)
        for batch in _batches(users, dataset.n_items)
    ]
    outcome = Outcome(
        top_items=np.concatenate([batch.top_items for batch in batches]),
        hits=np.concatenate([batch.hits for batch in batches]),
        n_relevant=np.concatenate([batch.n_relevant for batch in batches]),
        n_items=dataset.n_items,
        errors=np.concatenate([b.errors for b in batches if b.errors is not None])
        if logits
        else None,
    )
    return Evaluation(_means(outcome, k), ndcg(outcome), users, outcome)


def student_scores(scorer: Scorer, dataset: Dataset) -> Scores:
    """`scorer` as `evaluate` wants it: each student is their row and their training positives."""

    def scores(user_idx: IntArray) -> FloatArray:
        users = user_idx.tolist()
        return np.stack(
            [scorer.scores(*dataset.history(user), user, dataset.traits(user)) for user in users]
        )

    return scores


def evaluate_model(
    model: Model,
    dataset: Dataset,
    *,
    part: Literal["validation", "test"] = "test",
    seed: int = SEED,
) -> Evaluation:
    """`evaluate` on what a fitted model says; with an RMSE where it gives logits."""
    scores = student_scores(model, dataset)
    return evaluate(scores, dataset, part=part, seed=seed, logits=model.logits)


def paired_bootstrap(
    a: Values, b: Values, *, seed: int = SEED, n: int = 2000
) -> tuple[float, float]:
    """95 % interval of mean(a - b) over users: percentiles of `n` resamplings of the pairs."""
    return bootstrap(a - b, seed=seed, n=n)


def bootstrap(values: Values, *, seed: int = SEED, n: int = 2000) -> tuple[float, float]:
    """95 % interval of the mean of values [U]: percentiles of `n` resamplings."""
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // len(values))
    means = []
    for start in range(0, n, at_once):
        pulse.beat()
        size = min(at_once, n - start), len(values)
        means.append(values[rng.integers(0, len(values), size)].mean(axis=1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def _batches(users: IntArray, n_items: int) -> Iterator[IntArray]:
    size = max(1, _CELLS_AT_ONCE // n_items)
    for start in range(0, len(users), size):
        pulse.beat()
        yield users[start : start + size]


def _rank(
    scores: FloatArray,
    users: IntArray,
    dataset: Dataset,
    relevant: Pairs,
    k: int,
    labelled: tuple[Pairs, Values] | None,
) -> Outcome:
    wanted = dataset.matrix(relevant)[users].toarray() > 0
    errors = None if labelled is None else _errors(scores, users, *labelled)
    candidates = np.where(dataset.train_matrix[users].toarray() > 0, np.nan, scores)
    top_items = _best(candidates, wanted, k)
    hits = np.take_along_axis(wanted, top_items, axis=1) & (top_items >= 0)
    return Outcome(top_items, hits, wanted.sum(axis=1), dataset.n_items, errors)


def _best(candidates: FloatArray, wanted: BoolArray, k: int) -> IntArray:
    """Columns of the `k` best of each row, [B, k]; -1 for NaN and past the end."""
    order = np.lexsort((wanted, -candidates))[:, :k]  # NaN sorts last
    dead = np.isnan(np.take_along_axis(candidates, order, axis=1))
    best = np.full((len(candidates), k), -1)
    best[:, : order.shape[1]] = np.where(dead, -1, order)
    return best


def _with_negatives(relevant: Pairs, dataset: Dataset, seed: int) -> tuple[Pairs, Values]:
    """Each held-out positive and one negative beside it, with their labels."""
    positives = dataset.train + dataset.validation + dataset.test
    sampler = NegativeSampler(positives, dataset.n_users, dataset.n_items)
    negatives = sampler.sample(relevant.user_idx, 1, np.random.default_rng(seed))
    labels = np.repeat([1.0, 0.0], [len(relevant), len(negatives)])
    return relevant + negatives, labels


def _errors(scores: FloatArray, users: IntArray, pairs: Pairs, labels: Values) -> Values:
    here = np.isin(pairs.user_idx, users)
    rows = np.searchsorted(users, pairs.user_idx[here])
    logits = scores[rows, pairs.item_idx[here]].astype(np.float64)
    probabilities: Values = 0.5 * (1 + np.tanh(logits / 2))  # the sigmoid, without overflow
    return probabilities - labels[here]


def _means(outcome: Outcome, k: int) -> dict[str, float]:
    values = {name.format(k=k): metric(outcome) for name, metric in METRICS.items()}
    return {name: float(value.mean()) for name, value in values.items() if value is not None}
