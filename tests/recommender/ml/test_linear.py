import numpy as np
import pytest
from scipy.sparse import csr_matrix

from apps.recommender.ml import linear
from apps.recommender.ml.data_loader import FloatArray

PENALTY = 0.4


@pytest.fixture(scope="module")
def log() -> csr_matrix:
    """25 rows by 12 items, of unequal confidences; the last row took nothing."""
    rng = np.random.default_rng(8)
    taken = rng.random((25, 12)) < 0.4
    taken[-1] = False
    return csr_matrix((taken * rng.uniform(0.3, 2, taken.shape)).astype(np.float32))


@pytest.fixture(scope="module")
def factors(log: csr_matrix) -> FloatArray:
    return linear.alternate(log, 5, PENALTY, np.random.default_rng(1))


def test_ease_is_the_formula_and_nobody_votes_for_itself(log: csr_matrix) -> None:
    dense = log.toarray().astype(np.float64)
    inverse = np.linalg.inv(dense.T @ dense + 3.0 * np.eye(12))
    expected = np.eye(12) - inverse / np.diag(inverse)
    weights, diagonal = linear.ease(log, 3.0)
    assert weights.dtype == np.float32
    assert not np.diag(weights).any()
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    np.testing.assert_allclose(diagonal, np.diag(inverse), atol=1e-6)


def test_ease_scores_a_row_as_if_it_had_not_been_learnt_from(log: csr_matrix) -> None:
    weights, diagonal = linear.ease(log, 3.0)
    for row in range(log.shape[0]):
        values = log[row].toarray()[0]
        own = np.flatnonzero(values)
        scores = values @ weights
        found = linear.ease_without_row(values[own], scores[own], diagonal[own])
        others, _ = linear.ease(log[np.arange(log.shape[0]) != row], 3.0)
        np.testing.assert_allclose(found, (values @ others)[own], atol=1e-4)


def test_a_row_folded_in_is_the_weighted_ridge_regression(
    log: csr_matrix, factors: FloatArray
) -> None:
    items = factors.astype(np.float64)
    folded = linear.fold_in(log, factors, factors.T @ factors, PENALTY)
    for row, weights in enumerate(log.toarray().astype(np.float64)):
        size = (weights > 0).sum() + linear.UNOBSERVED * 12
        system = linear.UNOBSERVED * items.T @ items + (items.T * weights) @ items
        system += PENALTY * size**linear.FREQUENCY * np.eye(5)
        np.testing.assert_allclose(folded[row], np.linalg.solve(system, weights @ items), atol=1e-5)
    assert not folded[-1].any()


def test_without_each_is_the_row_folded_in_again_without_that_item(
    log: csr_matrix, factors: FloatArray
) -> None:
    """The penalty of the row stays that of all its items."""
    gram = factors.T @ factors
    for row in range(24):
        items, weights = log[row].indices, log[row].data
        found = linear.without_each(items, weights, factors, gram, PENALTY)
        size = len(items) + linear.UNOBSERVED * 12
        same = PENALTY * (size / (size - 1)) ** linear.FREQUENCY
        for place, item in enumerate(items):
            kept = items != item
            rest = csr_matrix((weights[kept], items[kept], [0, kept.sum()]), shape=(1, 12))
            expected = linear.fold_in(rest, factors, gram, same)[0]
            np.testing.assert_allclose(found[place], expected, atol=1e-4)


def test_without_each_of_nothing_is_nothing(factors: FloatArray) -> None:
    nothing = np.empty(0, np.int64), np.empty(0, np.float32)
    assert linear.without_each(*nothing, factors, factors.T @ factors, 1).shape == (0, 5)


def test_one_generator_gives_one_set_of_factors(log: csr_matrix, factors: FloatArray) -> None:
    first, other = (linear.alternate(log, 5, PENALTY, np.random.default_rng(s)) for s in (1, 2))
    assert np.array_equal(first, factors)
    assert not np.array_equal(other, factors)
    assert factors.dtype == np.float32


def test_learning_leaves_the_log_as_it_was(log: csr_matrix) -> None:
    before = log.toarray()
    linear.ease(log, 3.0)
    linear.alternate(log, 5, PENALTY, np.random.default_rng(1))
    assert np.array_equal(log.toarray(), before)
