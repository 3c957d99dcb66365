import numpy as np
import pytest

from apps.recommender.ml import baselines
from apps.recommender.ml.baselines import BASELINES, Ease, Popularity, Random
from apps.recommender.ml.data_loader import Dataset
from apps.recommender.ml.evaluation import evaluate

EVERYONE = np.arange(30)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_scores_every_item_whatever_the_batch(name: str, board: Dataset) -> None:
    scores = BASELINES[name](board, seed=5)
    at_once = scores(EVERYONE)
    assert at_once.shape == (30, 30)
    one_by_one = np.concatenate([scores(EVERYONE[idx : idx + 1]) for idx in range(30)])
    np.testing.assert_allclose(one_by_one, at_once, rtol=1e-5)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_learns_from_the_training_part_alone(name: str, board: Dataset) -> None:
    swapped = Dataset(board.user_ids, board.item_ids, board.train, board.validation, board.train)
    first, other = BASELINES[name](board, seed=5), BASELINES[name](swapped, seed=5)
    assert np.array_equal(first(EVERYONE), other(EVERYONE))


def test_popularity_counts_the_users_of_the_training_part(board: Dataset) -> None:
    counts = board.matrix(board.train).toarray().sum(axis=0)
    assert np.array_equal(Popularity(board)(EVERYONE), np.tile(counts, (30, 1)))


def test_random_differs_with_user_and_seed(board: Dataset) -> None:
    first, other = Random(board, seed=1)(EVERYONE), Random(board, seed=2)(EVERYONE)
    assert not np.array_equal(first, other)
    assert len(np.unique(first)) == first.size


def test_ease_is_for_each_item_the_ridge_regression_on_the_others(board: Dataset) -> None:
    penalty = 3.0
    history = board.matrix(board.train).toarray().astype(np.float64)
    expected = np.zeros_like(history)
    for item in range(board.n_items):
        others = np.delete(history, item, axis=1)
        gram = others.T @ others + penalty * np.eye(board.n_items - 1)
        expected[:, item] = others @ np.linalg.solve(gram, others.T @ history[:, item])
    np.testing.assert_allclose(Ease(board, penalty=penalty)(EVERYONE), expected, atol=1e-5)


def test_ease_takes_the_penalty_that_validation_prefers(board: Dataset) -> None:
    def ndcg(scores: Ease) -> float:
        return evaluate(scores, board, part="validation").metrics["ndcg_at_10"]

    assert ndcg(Ease(board)) == max(ndcg(Ease(board, penalty=one)) for one in Ease.GRID)


def test_ease_learns_the_checkerboard(board: Dataset) -> None:
    ease, popular = (
        evaluate(scores, board).metrics["ndcg_at_10"] for scores in (Ease(board), Popularity(board))
    )
    assert ease > 1.5 * popular


def test_ease_keeps_to_the_most_popular_of_a_huge_catalogue(
    board: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines.Ease, "MAX_ITEMS", 8)
    counts = np.bincount(board.train.item_idx, minlength=board.n_items)
    scored = np.flatnonzero(Ease(board)(EVERYONE).any(axis=0))
    assert len(scored) == 8
    assert counts[scored].min() >= np.delete(counts, scored).max()
