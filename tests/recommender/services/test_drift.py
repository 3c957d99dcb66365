import datetime as dt
import math

import pytest
from django.utils import timezone

from apps.recommender.services.coverage import Coverage, known_coverage, measure_coverage
from apps.recommender.services.drift import ENOUGH, WEEKS, drift, stability_index
from tests.factories import EpreuveFactory, FiliereFactory, InteractionFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_the_index_is_that_of_a_worked_example():
    # Shares 0.5, 0.5 that become 0.6, 0.4.
    expected = 0.1 * math.log(0.6 / 0.5) + -0.1 * math.log(0.4 / 0.5)
    assert stability_index({"a": 50, "b": 50}, {"a": 6, "b": 4}) == pytest.approx(expected)
    assert stability_index({"a": 6, "b": 4}, {"a": 50, "b": 50}) == pytest.approx(expected)


def test_the_same_mix_has_not_moved_and_a_new_value_moves_it_finitely():
    assert stability_index({"a": 30, "b": 10}, {"a": 3, "b": 1}) == 0
    assert 0.25 < stability_index({"a": 100}, {"a": 50, "b": 50}) < 10


def last_week() -> dt.datetime:
    monday = timezone.localtime() - dt.timedelta(days=timezone.localdate().weekday() + 7)
    return monday.replace(hour=0, minute=0, second=0, microsecond=0)


def gestures(n: int, student, start: dt.datetime, **fields) -> None:
    """Half an hour apart, each counts."""
    epreuve = EpreuveFactory()
    for place in range(n):
        date = start + dt.timedelta(minutes=30 * place)
        InteractionFactory(user=student, epreuve=epreuve, date=date, **fields)


def part(name: str):
    return next(one for one in drift().parts if one.name == name)


def test_a_week_unlike_what_was_learnt_has_drifted(awa):
    gestures(ENOUGH, awa, last_week() - dt.timedelta(days=70), contexte="direct")
    gestures(ENOUGH, awa, last_week(), contexte="recherche")
    week = last_week().date()
    assert part("contexte").by_week[week] == {"Recherche": ENOUGH}
    assert part("contexte").last > 0.25
    assert part("type").last == 0


def test_too_few_gestures_say_nothing(awa):
    gestures(ENOUGH, awa, last_week() - dt.timedelta(days=70))
    gestures(ENOUGH - 1, awa, last_week())
    assert part("type").last is None


def test_a_week_begins_on_monday_here(awa):
    for minutes in (-1, 1):
        InteractionFactory(user=awa, date=last_week() + dt.timedelta(minutes=minutes))
    counts = [mix.total() for mix in part("type").by_week.values()]
    assert counts[-4:] == [0, 1, 1, 0]
    assert len(counts) == WEEKS


def test_only_what_a_model_may_learn_from_is_looked_at(mme_dossou):
    for who in (mme_dossou, UserFactory(personnalisation=False), UserFactory(is_active=False)):
        InteractionFactory(user=who, date=last_week())
    assert part("type").learnt == {}


def test_who_came_and_what_was_published_is_counted_by_week(db):
    UserFactory(date_joined=last_week())
    UserFactory(date_joined=last_week() - dt.timedelta(weeks=20))
    EpreuveFactory(date_publication=last_week())
    now = drift()
    assert now.new_students[last_week().date()] == 1
    assert sum(now.new_students.values()) == 1
    assert now.new_epreuves[last_week().date()] == 1


def test_the_page_costs_few_queries(awa, django_assert_max_num_queries):
    for code in "ABCDE":
        InteractionFactory(user=UserFactory(filiere=FiliereFactory(code=code)))
    with django_assert_max_num_queries(6):
        drift()


def of(*shown: int) -> Coverage:
    return Coverage("v1", 10, list(shown), {})


def test_an_even_bank_has_no_gini_and_a_bank_of_one_has_all_of_it():
    assert of(5, 5, 5, 5).gini == pytest.approx(0)
    assert of(20, 0, 0, 0).gini == pytest.approx(3 / 4)
    assert of(3, 1).gini == pytest.approx(1 / 4)
    assert of(20, 0, 0, 0).share == 1 / 4
    assert of(8, *[1] * 9).tenth == 8 / 17


def test_coverage_is_measured_when_asked_and_kept_until_the_bank_changes(trained, bank):
    assert known_coverage() is None
    measured = measure_coverage()
    assert measured.n_students == 16
    # Each student has seen 7 of the 20: 10 of the 13 others are in their list.
    assert sum(measured.shown) == 160
    assert len(measured.shown) == 20
    assert set(measured.by_filiere) == {"MATH", "PHYS"}
    assert known_coverage() == measured


def test_without_a_model_there_is_nothing_to_measure(db):
    assert measure_coverage() is None
