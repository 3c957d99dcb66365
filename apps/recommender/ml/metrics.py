"""The metrics. U users are measured, each with a list of their K best candidates.

A user's relevant items are their held-out positives. `hit(u, i)` is 1 when the item at rank i
(from 1) is relevant, R(u) is the number of relevant items. Means are over users.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apps.recommender.ml.data_loader import BoolArray, IntArray

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What a ranking gave.

    top_items: int64[U, K], -1 where the candidates ran out. hits: bool[U, K]. n_relevant: int64[U].
    n_items: size of the catalogue. errors: float64[S], probability minus label (0 or 1) of each
    held-out positive and of as many sampled negatives; None for scores that are no probabilities.
    """

    top_items: IntArray
    hits: BoolArray
    n_relevant: IntArray
    n_items: int
    errors: Values | None = None

    @property
    def k(self) -> int:
        width: int = self.top_items.shape[1]
        return width

    @property
    def n_hits(self) -> Values:
        """Σ_{i≤K} hit(u, i), per user [U]."""
        total: Values = self.hits.sum(axis=1, dtype=np.float64)
        return total


def precision(outcome: Outcome) -> Values:
    """Σ_{i≤K} hit(u, i) / K, per user [U]."""
    return outcome.n_hits / outcome.k


def recall(outcome: Outcome) -> Values:
    """Σ_{i≤K} hit(u, i) / R(u), per user [U]."""
    return outcome.n_hits / outcome.n_relevant


def hit_rate(outcome: Outcome) -> Values:
    """1 when any of the K is relevant, else 0, per user [U]."""
    return (outcome.n_hits > 0).astype(np.float64)


def ndcg(outcome: Outcome) -> Values:
    """Σ_{i≤K} hit(u, i) / log2(i + 1), over its best value Σ_{i≤min(R(u), K)}, per user [U]."""
    discounts = 1 / np.log2(np.arange(2, outcome.k + 2))
    ideal: Values = np.cumsum(discounts)[np.minimum(outcome.n_relevant, outcome.k) - 1]
    gained: Values = outcome.hits @ discounts
    return gained / ideal


def average_precision(outcome: Outcome) -> Values:
    """Σ_{i≤K} hit(u, i) · (hits up to i) / i, over R(u), per user [U].

    The denominator is R(u), not min(R(u), K): the first definition of microsoft/recommenders.
    """
    precision_at = np.cumsum(outcome.hits, axis=1) / np.arange(1, outcome.k + 1)
    total: Values = (outcome.hits * precision_at).sum(axis=1)
    return total / outcome.n_relevant


def coverage(outcome: Outcome) -> Values:
    """Share of the catalogue that stands in at least one list, [1]."""
    shown = np.unique(outcome.top_items[outcome.top_items >= 0])
    return np.array([len(shown) / outcome.n_items])


def rmse(outcome: Outcome) -> Values | None:
    """√(Σ_s (probability - label)² / S), [1]; None for scores that are no probabilities."""
    if outcome.errors is None:
        return None
    return np.array([np.sqrt(np.mean(outcome.errors**2))])


METRICS: dict[str, Callable[[Outcome], Values | None]] = {
    "rmse": rmse,
    "precision_at_{k}": precision,
    "recall_at_{k}": recall,
    "hr_at_{k}": hit_rate,
    "ndcg_at_{k}": ndcg,
    "map_at_{k}": average_precision,
    "couverture": coverage,
}
