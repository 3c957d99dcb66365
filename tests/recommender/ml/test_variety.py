"""Variety: who may pass whom, and what that costs."""

import numpy as np
import pytest

from apps.recommender.ml.variety import varied

# Two that are one, then one of its own.
SCORES = np.array([3.0, 2.9, 1.0], np.float32)
PROFILES = np.array([[1, 0], [1, 0], [0, 1]], np.float32)


def test_without_variety_the_order_is_that_of_the_scores():
    order, values = varied(SCORES, PROFILES, 0.0)
    assert order.tolist() == [0, 1, 2]
    assert values.tolist() == pytest.approx([1, 0.95, 0])


def test_a_twin_lets_a_different_one_pass():
    order, values = varied(SCORES, PROFILES, 0.6)
    assert order.tolist() == [0, 2, 1]
    # .4·1 + .6·1, then .4·0 + .6·1, then .4·.95 + .6·0: by hand.
    assert values.tolist() == pytest.approx([1, 0.6, 0.38])


def test_a_little_variety_keeps_a_much_better_twin_before():
    order, _ = varied(SCORES, PROFILES, 0.3)
    assert order.tolist() == [0, 1, 2]


@pytest.mark.parametrize("variety", [0, 0.1, 0.5, 0.9, 1])
def test_every_item_comes_once_and_values_only_go_down_between_0_and_1(variety):
    rng = np.random.default_rng(7)
    profiles = rng.normal(size=(60, 4)).astype(np.float32)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    scores = np.sort(rng.normal(size=60).astype(np.float32))[::-1]
    order, values = varied(scores, profiles, variety)
    assert sorted(order.tolist()) == list(range(60))
    assert (np.diff(values) <= 1e-6).all()
    assert values.min() >= 0
    assert values.max() <= 1 + 1e-6


def test_the_best_item_always_comes_first():
    for variety in (0, 0.5, 1):
        assert varied(SCORES, PROFILES, variety)[0][0] == 0


@pytest.mark.parametrize("scores", [[0.5], [0.5, 0.5, 0.5]])
def test_one_item_and_equal_scores_are_no_trouble(scores):
    order, values = varied(np.array(scores, np.float32), PROFILES[: len(scores)], 0.5)
    assert len(order) == len(scores)
    assert np.isfinite(values).all()
