"""One hand-worked case, K = 4. User 0: hits at ranks 1 and 3, of 3 relevant items. User 1: a hit at
rank 2, of 1. User 2: none, of 6."""

from dataclasses import replace
from math import log2

import numpy as np
import pytest

from apps.recommender.ml import metrics
from apps.recommender.ml.metrics import METRICS, Outcome

OUTCOME = Outcome(
    top_items=np.array([[4, 1, 0, 2], [4, 3, 1, 0], [1, 4, -1, -1]]),
    hits=np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=bool),
    n_relevant=np.array([3, 1, 6]),
    n_items=8,
    errors=np.array([0.5, -0.1, 0.3, -0.5]),
)


def test_precision_divides_by_k() -> None:
    assert metrics.precision(OUTCOME).tolist() == [2 / 4, 1 / 4, 0]


def test_recall_divides_by_the_relevant() -> None:
    assert metrics.recall(OUTCOME).tolist() == [2 / 3, 1, 0]


def test_hit_rate_asks_for_one() -> None:
    assert metrics.hit_rate(OUTCOME).tolist() == [1, 1, 0]


def test_ndcg_discounts_by_the_logarithm_of_the_rank() -> None:
    ideal = 1 + 1 / log2(3) + 1 / log2(4)
    assert metrics.ndcg(OUTCOME).tolist() == pytest.approx(
        [(1 + 1 / log2(4)) / ideal, 1 / log2(3), 0]
    )


def test_ndcg_is_one_when_all_k_hit_however_many_more_are_relevant() -> None:
    full = replace(OUTCOME, hits=np.ones((3, 4), dtype=bool), n_relevant=np.array([4, 5, 90]))
    assert metrics.ndcg(full).tolist() == pytest.approx([1, 1, 1])


def test_average_precision_divides_by_all_relevant() -> None:
    assert metrics.average_precision(OUTCOME).tolist() == pytest.approx(
        [(1 / 1 + 2 / 3) / 3, 1 / 2, 0]
    )


def test_coverage_counts_each_item_shown_once() -> None:
    assert metrics.coverage(OUTCOME).tolist() == [5 / 8]


def test_rmse_is_the_root_of_the_mean_square() -> None:
    assert metrics.rmse(OUTCOME) == pytest.approx([((0.25 + 0.01 + 0.09 + 0.25) / 4) ** 0.5])


def test_there_is_no_rmse_without_probabilities() -> None:
    assert metrics.rmse(replace(OUTCOME, errors=None)) is None


def test_the_registry_names_the_seven_of_the_api() -> None:
    assert [name.format(k=10) for name in METRICS] == [
        "rmse",
        "precision_at_10",
        "recall_at_10",
        "hr_at_10",
        "ndcg_at_10",
        "map_at_10",
        "couverture",
    ]
