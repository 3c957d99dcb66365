import numpy as np
import pytest

from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray, Pairs
from apps.recommender.ml.evaluation import Scores, evaluate, paired_bootstrap


def pairs(*rows: tuple[int, int]) -> Pairs:
    users, items = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return Pairs(users, items)


@pytest.fixture
def small() -> Dataset:
    """Users 0 and 1 are known; user 2 comes after the cut. Six items."""
    return Dataset(
        np.arange(3) + 10,
        np.arange(6) + 70,
        train=pairs((0, 0), (0, 1), (1, 5)),
        validation=pairs((0, 2), (2, 1)),
        test=pairs((0, 3), (1, 0), (1, 1), (2, 4)),
    )


def fixed(*rows: list[float]) -> Scores:
    table = np.array(rows, dtype=np.float32)

    def scores(user_idx: IntArray) -> FloatArray:
        return table[user_idx]

    return scores


NOTHING = [0.0] * 6


def test_training_positives_are_no_candidates(small: Dataset) -> None:
    # User 0 scores what they already have highest; the held-out item is the best of the rest.
    scores = fixed([9, 8, 1, 7, 2, 3], [0, 1, 2, 3, 4, 9], NOTHING)
    found = evaluate(scores, small, k=1).metrics
    assert found["precision_at_1"] == 0.5
    assert found["couverture"] == 2 / 6


def test_validation_positives_stay_candidates_of_the_test(small: Dataset) -> None:
    scores = fixed([0, 0, 9, 7, 2, 3], NOTHING, NOTHING)
    assert evaluate(scores, small, k=1).ndcg_by_user[0] == 0
    assert evaluate(scores, small, k=1, part="validation").ndcg_by_user[0] == 1


def test_users_unknown_to_training_are_not_measured(small: Dataset) -> None:
    found = evaluate(fixed(NOTHING, NOTHING, NOTHING), small)
    assert found.n_users == len(found.ndcg_by_user) == 2
    assert evaluate(fixed(NOTHING, NOTHING, NOTHING), small, part="validation").n_users == 1


def test_equal_scores_never_favour_the_positive(small: Dataset) -> None:
    found = evaluate(fixed(NOTHING, NOTHING, NOTHING), small, k=3).metrics
    assert found["hr_at_3"] == 0


def test_an_undefined_score_is_never_shown(small: Dataset) -> None:
    nan = float("nan")
    scores = fixed([nan, nan, 0, nan, 0, nan], [nan] * 6, NOTHING)
    found = evaluate(scores, small, k=6)
    assert found.metrics["hr_at_6"] == 0
    assert found.metrics["couverture"] == 2 / 6


def test_a_list_longer_than_the_catalogue_is_no_fault(small: Dataset) -> None:
    found = evaluate(fixed(NOTHING, NOTHING, NOTHING), small, k=10).metrics
    assert found["recall_at_10"] == 1
    assert found["precision_at_10"] == pytest.approx((1 / 10 + 2 / 10) / 2)
    assert found["couverture"] == 1


def test_the_rmse_of_perfect_logits_is_nearly_zero_and_of_none_a_half(small: Dataset) -> None:
    sure = np.full((3, 6), -30.0)
    sure[small.test.user_idx, small.test.item_idx] = 30.0
    right = evaluate(fixed(*sure.tolist()), small, logits=True).metrics["rmse"]
    wrong = evaluate(fixed(*(-sure).tolist()), small, logits=True).metrics["rmse"]
    unsure = evaluate(fixed(NOTHING, NOTHING, NOTHING), small, logits=True).metrics["rmse"]
    assert (right, unsure, wrong) == pytest.approx((0, 0.5, 1), abs=1e-6)


def test_no_negative_of_the_rmse_is_a_positive_of_another_part(small: Dataset) -> None:
    # Right on every true label; for the validation positive (0, 2) it says "liked", rightly.
    sure = np.full((3, 6), -30.0)
    for part in (small.train, small.validation, small.test):
        sure[part.user_idx, part.item_idx] = 30.0
    for seed in range(20):
        found = evaluate(fixed(*sure.tolist()), small, logits=True, seed=seed)
        assert found.metrics["rmse"] == pytest.approx(0, abs=1e-6)


def test_scores_that_are_no_logits_have_no_rmse(small: Dataset) -> None:
    assert "rmse" not in evaluate(fixed(NOTHING, NOTHING, NOTHING), small).metrics


def test_the_seed_of_the_negatives_decides_the_rmse(board: Dataset) -> None:
    table = np.random.default_rng(0).normal(size=(board.n_users, board.n_items))
    scores = fixed(*table.tolist())
    first, same, other = (
        evaluate(scores, board, logits=True, seed=seed).metrics["rmse"] for seed in (1, 1, 2)
    )
    assert first == same != other


def test_the_size_of_the_batches_changes_nothing(
    board: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = np.random.default_rng(0).normal(size=(board.n_users, board.n_items))
    at_once = evaluate(fixed(*table.tolist()), board, logits=True)
    monkeypatch.setattr("apps.recommender.ml.evaluation._CELLS_AT_ONCE", 1)
    one_by_one = evaluate(fixed(*table.tolist()), board, logits=True)
    assert np.array_equal(one_by_one.ndcg_by_user, at_once.ndcg_by_user)
    assert one_by_one.metrics == pytest.approx(at_once.metrics)


def test_the_mean_of_the_users_is_the_metric(board: Dataset) -> None:
    table = np.random.default_rng(0).normal(size=(board.n_users, board.n_items))
    found = evaluate(fixed(*table.tolist()), board)
    assert found.ndcg_by_user.mean() == found.metrics["ndcg_at_10"]


def test_the_bootstrap_interval_holds_the_mean_difference() -> None:
    rng = np.random.default_rng(0)
    b = rng.random(400)
    a = b + 0.1 + rng.normal(0, 0.2, 400)
    low, high = paired_bootstrap(a, b, seed=1)
    # ± 1.96 · 0.2 / √400
    assert (low, high) == pytest.approx(
        ((a - b).mean() - 0.0196, (a - b).mean() + 0.0196), abs=3e-3
    )
    assert (low, high) == paired_bootstrap(a, b, seed=1)


def test_the_bootstrap_of_equals_is_zero() -> None:
    a = np.random.default_rng(0).random(50)
    assert paired_bootstrap(a, a) == (0, 0)
