from types import SimpleNamespace

import pytest

from apps.core import cache as module
from apps.core.cache import kept_at_its_price
from apps.core.selectors import current_popularity
from tests.factories import EpreuveFactory, seen


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now, time=lambda: clock.now)
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def slow(clock):
    """Takes three seconds, and says which time it is."""
    made = []

    def make():
        clock.now += 3
        made.append(1)
        return len(made)

    return make


def test_what_is_fast_is_made_each_time(clock):
    made = iter(range(3))
    assert [kept_at_its_price("rapide", lambda: next(made)) for _ in range(3)] == [0, 1, 2]


def test_what_took_three_seconds_is_kept_for_a_minute(clock, slow):
    assert [kept_at_its_price("lent", slow) for _ in range(3)] == [1, 1, 1]
    clock.now += 59
    assert kept_at_its_price("lent", slow) == 1
    clock.now += 2
    assert kept_at_its_price("lent", slow) == 2


def test_while_one_makes_it_anew_the_others_show_the_last(clock, slow):
    kept_at_its_price("lent", slow)
    clock.now += 61
    shown = []

    def watched():
        shown.append(kept_at_its_price("lent", slow))
        return slow()

    assert kept_at_its_price("lent", watched) == 2
    assert shown == [1]


@pytest.mark.django_db
def test_in_a_bank_of_usual_size_a_view_counts_at_once(awa):
    first, second = EpreuveFactory.create_batch(2)
    seen(awa, first)
    assert set(current_popularity()) == {first.pk}
    seen(awa, second)
    assert set(current_popularity()) == {first.pk, second.pk}
