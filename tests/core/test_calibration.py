from statistics import mean

import pytest

from apps.core.calibration import Rating, difficulties
from benchmarks.calibration import CASES, compare, planted


def notes(*rows):
    return [Rating(*row) for row in rows]


def test_without_ratings_nothing_has_a_difficulty():
    assert difficulties([]) == {}


def test_a_single_note_says_little_by_itself():
    everyone = notes(*((rater, 1, 3) for rater in range(20)), (99, 2, 5))
    found = difficulties(everyone)
    assert 3 < found[2] < 4
    assert found[1] == pytest.approx(3, abs=0.2)


def test_alone_in_the_bank_a_note_is_the_mean():
    assert difficulties(notes((1, 7, 4))) == {7: 4}


def test_two_sides_solved_by_hand():
    # The mean is 3 and the rater, as far above it as below, is not severe: d = ±1 / (1 + 2).
    found = difficulties(notes((1, 1, 4), (1, 2, 2)))
    assert found == pytest.approx({1: 3 + 1 / 3, 2: 3 - 1 / 3}, abs=1e-3)


def test_the_severe_do_not_make_hard_what_they_happen_to_rate():
    """Two épreuves as hard, one rated by the severe only; the others tell who is severe."""
    severe, mild = range(10), range(10, 20)
    common = [(rater, e, 4) for e in range(8) for rater in severe]
    common += [(rater, e, 2) for e in range(8) for rater in mild]
    apart = [(rater, 100, 4) for rater in severe] + [(rater, 200, 2) for rater in mild]
    found = difficulties(notes(*common, *apart))
    assert found[100] - found[200] < 0.5


def test_where_raters_agree_the_order_is_that_of_the_means():
    found = difficulties(
        notes(*((rater, e, 1 + e) for e in range(5) for rater in range(12) if rater != e))
    )
    assert sorted(found, key=found.__getitem__) == [0, 1, 2, 3, 4]


def test_it_stays_within_one_and_five_and_repeats_itself():
    bank = planted(CASES["biaise"], 3).ratings
    found = difficulties(bank)
    assert found.keys() == {one.epreuve for one in bank}
    assert all(1 <= value <= 5 for value in found.values())
    assert difficulties(bank) == found


@pytest.mark.parametrize("seed", range(5))
def test_on_sparse_biased_ratings_it_is_nearer_the_truth_than_the_mean_by_a_twentieth(seed):
    found = compare(planted(CASES["biaise"], seed))
    assert found.calibrated - found.mean >= 0.05


@pytest.mark.parametrize("case", ["rare", "hasard"])
def test_with_fewer_notes_or_without_bias_it_gains_on_average(case):
    found = [compare(planted(CASES[case], seed)) for seed in range(5)]
    assert mean(one.calibrated - one.mean for one in found) >= 0.03


@pytest.mark.parametrize("case", ["accord", "bruit"])
def test_where_there_is_no_severity_to_see_it_costs_nothing_to_speak_of(case):
    found = [compare(planted(CASES[case], seed)) for seed in range(5)]
    assert mean(one.calibrated - one.mean for one in found) >= -0.01
