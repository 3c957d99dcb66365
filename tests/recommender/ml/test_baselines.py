import numpy as np
import pytest

from apps.recommender.ml import linear
from apps.recommender.ml.baselines import BASELINES, Ease, Ials, ItemKnn, Popularity, Random, Tuned
from apps.recommender.ml.data_loader import Dataset, FloatArray
from apps.recommender.ml.evaluation import evaluate_model, student_scores
from apps.recommender.ml.model import NO_ITEMS, NO_WEIGHTS, Model

EVERYONE = np.arange(30)
TUNED = [model for model in BASELINES.values() if issubclass(model, Tuned)]


def fitted(model: Model, board: Dataset, seed: int = 5) -> Model:
    model.fit(board, np.random.default_rng(seed))
    return model


def table(model: Model, board: Dataset) -> FloatArray:
    return student_scores(fitted(model, board), board)(EVERYONE)


def dense(board: Dataset) -> np.ndarray:
    return board.train_matrix.toarray().astype(np.float64)


def test_popularity_counts_the_users_of_the_training_part(board: Dataset) -> None:
    counts = dense(board).sum(axis=0)
    assert np.array_equal(table(Popularity(), board), np.tile(counts, (30, 1)))


def test_random_differs_with_the_student(board: Dataset) -> None:
    scores = table(Random(), board)
    assert len(np.unique(scores)) == scores.size


@pytest.mark.parametrize("block", [7, 512])
def test_item_knn_sums_the_cosines_of_the_nearest_items(
    block: int, board: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ItemKnn, "BLOCK", block)
    history = dense(board)
    norms = np.sqrt((history**2).sum(axis=0))
    cosines = history.T @ history / (np.outer(norms, norms) + ItemKnn.SHRINK)
    np.fill_diagonal(cosines, 0)
    for item in range(30):
        cosines[item, np.argsort(-cosines[item], kind="stable")[4:]] = 0
    np.testing.assert_allclose(table(ItemKnn(4), board), history @ cosines.T, rtol=1e-5)


def test_ease_is_for_each_item_the_ridge_regression_on_the_others(board: Dataset) -> None:
    penalty = 3.0
    history = dense(board)
    expected = np.zeros_like(history)
    for item in range(board.n_items):
        others = np.delete(history, item, axis=1)
        gram = others.T @ others + penalty * np.eye(board.n_items - 1)
        expected[:, item] = others @ np.linalg.solve(gram, others.T @ history[:, item])
    np.testing.assert_allclose(table(Ease(penalty), board), expected, atol=1e-5)


def test_ials_ends_where_no_factor_can_lower_its_loss(
    board: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss, written out pair by pair, has no slope left, on either side."""
    monkeypatch.setattr(linear, "ITERATIONS", 300)
    model = Ials(0.4)
    fitted(model, board)
    history, items = dense(board), model._items.astype(np.float64)
    users = linear.fold_in(board.train_matrix, model._items, model._gram, 0.4).astype(np.float64)
    predicted = users @ items.T
    slope = 2 * history * (predicted - 1) + 2 * linear.UNOBSERVED * predicted
    for rows, others, down, counts in (
        (users, items, slope, history.sum(axis=1)),
        (items, users, slope.T, history.sum(axis=0)),
    ):
        penalties = 0.4 * (counts + linear.UNOBSERVED * 30) ** linear.FREQUENCY
        gradient = down @ others + 2 * penalties[:, None] * rows
        assert np.abs(gradient).max() < 1e-2 * np.abs(penalties[:, None] * rows).max()


def test_ials_folds_a_weight_in_as_its_confidence(board: Dataset) -> None:
    model = Ials(0.4)
    fitted(model, board)
    chosen, weights = np.array([4, 9, 10]), np.array([1, 3, 0.5], np.float32)
    items = model._items.astype(np.float64)
    taken = items[chosen]
    penalty = 0.4 * (3 + linear.UNOBSERVED * 30) ** linear.FREQUENCY
    system = linear.UNOBSERVED * items.T @ items + penalty * np.eye(Ials.DIM)
    system += taken.T @ np.diag(weights) @ taken
    expected = items @ np.linalg.solve(system, taken.T @ weights)
    np.testing.assert_allclose(model.scores(chosen, weights, None), expected, atol=1e-4)


@pytest.mark.parametrize("model", [ItemKnn, Ease, Ials])
def test_who_did_nothing_gets_the_same_score_for_all(model: type[Model], board: Dataset) -> None:
    assert not fitted(model(), board).scores(NO_ITEMS, NO_WEIGHTS, None).any()


@pytest.mark.parametrize("model", TUNED)
def test_the_setting_is_the_one_that_validation_prefers(model: type[Tuned], board: Dataset) -> None:
    def ndcg(one: Model) -> float:
        return evaluate_model(fitted(one, board), board, part="validation").metrics["ndcg_at_10"]

    chosen = model()
    # The generator goes on from trial to trial: the weights of iALS differ a little.
    assert ndcg(chosen) == pytest.approx(max(ndcg(model(one)) for one in model.GRID), abs=0.02)
    assert chosen.setting in model.GRID


def test_ease_keeps_to_the_most_popular_of_a_huge_catalogue(
    board: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ease, "MAX_ITEMS", 8)
    counts = np.bincount(board.train.item_idx, minlength=board.n_items)
    scored = np.flatnonzero(table(Ease(), board).any(axis=0))
    assert len(scored) == 8
    assert counts[scored].min() >= np.delete(counts, scored).max()
