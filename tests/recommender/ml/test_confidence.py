import numpy as np
import pytest

from apps.recommender.ml.confidence import FLOOR, SLOPE, Confidence, FloatArray

YEAR = 365 * 24 * 3600
DATES = np.array([0, YEAR, 2 * YEAR])


def fitted(
    weights: list[float] | None, dates: np.ndarray | None, half_life: float | None = None
) -> tuple[Confidence, FloatArray]:
    worth = None if weights is None else np.array(weights, np.float32)
    confidence = Confidence.fitted(worth, dates, half_life)
    n = len(weights or []) if dates is None else len(dates)
    return confidence, confidence.of(worth, dates, n)


def test_what_is_a_half_life_older_counts_half() -> None:
    _, known = fitted(None, DATES, YEAR)
    assert known.dtype == np.float32
    np.testing.assert_allclose(known / known[-1], [0.25, 0.5, 1], rtol=1e-6)


def test_what_is_a_deviation_above_the_mean_counts_a_slope_more() -> None:
    _, known = fitted([1, 3], None)  # a deviation below, a deviation above
    np.testing.assert_allclose(known, [1 - SLOPE, 1 + SLOPE], rtol=1e-6)


def test_worth_and_age_multiply() -> None:
    _, known = fitted([1, 3], np.array([YEAR, 0]), YEAR)
    assert known[0] / known[1] == pytest.approx((1 - SLOPE) / ((1 + SLOPE) / 2))


def test_nothing_counts_less_than_the_floor() -> None:
    _, known = fitted([0] + [10] * 99, None)
    assert known[0] / known[1] == pytest.approx(FLOOR / (1 + SLOPE / 99**0.5), rel=1e-5)
    assert known.min() > 0


@pytest.mark.parametrize("weights", [None, [1, 2, 9]])
@pytest.mark.parametrize("dates", [None, DATES])
@pytest.mark.parametrize("half_life", [None, YEAR / 3])
def test_the_mean_over_the_training_part_is_one(
    weights: list[float] | None, dates: np.ndarray | None, half_life: float | None
) -> None:
    if weights is not None or dates is not None:
        assert fitted(weights, dates, half_life)[1].mean() == pytest.approx(1)


def test_the_scale_of_the_worth_does_not_matter() -> None:
    np.testing.assert_allclose(fitted([1, 2, 9], None)[1], fitted([10, 20, 90], None)[1], rtol=1e-6)


@pytest.mark.parametrize("weights", [None, [7, 7, 7]])
def test_what_is_worth_the_same_counts_the_same(weights: list[float] | None) -> None:
    confidence, known = fitted(weights, DATES)
    assert known.tolist() == [1, 1, 1]
    assert confidence.of(None, None, 2).tolist() == [1, 1]


def test_what_came_after_training_is_as_fresh_as_its_last_day() -> None:
    confidence, known = fitted(None, DATES, YEAR)
    later = confidence.of(None, np.array([2 * YEAR, 5 * YEAR]), 2)
    assert later.tolist() == [known[-1], known[-1]]


def test_without_dates_nothing_ages() -> None:
    confidence, known = fitted([1, 3], None, YEAR)
    assert confidence.half_life is None
    assert known.tolist() == fitted([1, 3], None)[1].tolist()


def test_of_nothing_nothing_is_learnt() -> None:
    assert fitted([], np.empty(0, np.int64), YEAR)[0].of(None, None, 2).tolist() == [1, 1]
    assert Confidence.fitted(None, None, None) == Confidence()


def test_it_is_plain_values_that_json_takes() -> None:
    confidence, known = fitted([1, 2, 9], DATES, YEAR)
    assert {type(value) for value in vars(confidence).values()} == {float, int}
    again = Confidence(**vars(confidence))
    assert np.array_equal(again.of(np.array([1, 2, 9], np.float32), DATES, 3), known)
