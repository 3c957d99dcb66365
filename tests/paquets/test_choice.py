import itertools
import math
import random

from apps.paquets.choice import best_under


def worth(places):
    return sum(1 / math.log2(place + 2) for place in places)


def optimum(sizes, room):
    subsets = (
        subset
        for n in range(len(sizes) + 1)
        for subset in itertools.combinations(range(len(sizes)), n)
        if sum(sizes[place] for place in subset) <= room
    )
    return max(map(worth, subsets))


def test_where_all_fits_all_is_taken_in_its_order():
    assert best_under([5, 1, 3], 9) == [0, 1, 2]


def test_of_equal_sizes_the_most_wanted_are_taken():
    assert best_under([2] * 6, 7) == [0, 1, 2]


def test_two_small_ones_are_worth_more_than_a_large_one_before_them():
    assert best_under([10, 5, 5], 10) == [1, 2]


def test_a_tiny_one_at_the_end_does_not_keep_the_best_one_out():
    assert best_under([100, *[1_000] * 40, 1], 100) == [0]


def test_nothing_fits_or_there_is_nothing():
    assert best_under([10, 20], 9) == []
    assert best_under([], 100) == []
    assert best_under([1], -5) == []


def test_it_never_exceeds_the_room_and_is_near_the_best_that_could_be():
    drawn = random.Random(3)
    shares = []
    for _ in range(150):
        sizes = [drawn.randint(1, 100) for _ in range(drawn.randint(1, 9))]
        room = drawn.randint(min(sizes), 200)
        places = best_under(sizes, room)
        assert sum(sizes[place] for place in places) <= room
        shares.append(worth(places) / optimum(sizes, room))
    assert min(shares) >= 0.5
    assert sum(shares) / len(shares) >= 0.98
