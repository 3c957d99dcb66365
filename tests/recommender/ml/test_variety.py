"""Variety: who may pass whom, and what that costs."""

import numpy as np
import pytest

from apps.recommender.ml.variety import varied

# Two that are one, then one of its own.
SCORES = np.array([3.0, 2.9, 1.0], np.float32)
PROFILES = np.array([[1, 0], [1, 0], [0, 1]], np.float32)


def test_without_variety_the_best_are_taken():
    assert varied(SCORES, PROFILES, 0.0, 2).tolist() == [0, 1]


def test_a_different_one_takes_the_place_of_a_twin():
    # The twin: .4·.95 + .6·0; the other: .4·0 + .6·1.
    assert varied(SCORES, PROFILES, 0.6, 2).tolist() == [0, 2]


def test_a_little_variety_keeps_a_much_better_twin():
    # .7·.95 + .3·0 against .7·0 + .3·1.
    assert varied(SCORES, PROFILES, 0.3, 2).tolist() == [0, 1]


@pytest.mark.parametrize("variety", [0, 0.1, 0.5, 0.9, 1])
def test_as_many_as_asked_for_each_once_the_best_among_them(variety):
    rng = np.random.default_rng(7)
    profiles = rng.normal(size=(60, 4)).astype(np.float32)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    scores = np.sort(rng.normal(size=60).astype(np.float32))[::-1]
    places = varied(scores, profiles, variety, 10).tolist()
    assert len(places) == 10
    assert places == sorted(set(places))
    assert places[0] == 0


@pytest.mark.parametrize("scores", [[0.5], [0.5, 0.5, 0.5]])
def test_one_item_and_equal_scores_are_no_trouble(scores):
    items = np.array(scores, np.float32)
    assert len(varied(items, PROFILES[: len(scores)], 0.5, 10)) == len(scores)
