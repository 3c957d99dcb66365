import datetime as dt

import pytest
from django.utils import timezone

from apps.core.models import TypeInteraction
from apps.core.selectors import Popularity, most_popular, popularity
from tests.factories import EpreuveFactory, EvaluationFactory, InteractionFactory, seen

pytestmark = pytest.mark.django_db


def test_each_pair_weighs_its_strongest_interaction_once(awa, koffi):
    analyse = EpreuveFactory()
    seen(awa, analyse)
    seen(awa, analyse, days_ago=1)
    seen(awa, analyse, type_interaction=TypeInteraction.TELECHARGEMENT)
    seen(koffi, analyse, type_interaction=TypeInteraction.COMMENTAIRE)
    assert popularity() == {analyse.pk: Popularity(recent=3 + 2, total=3 + 2)}


@pytest.mark.parametrize(("note", "weight"), [(5, 3), (4, 3), (3, 1)])
def test_an_evaluation_weighs_what_its_pertinence_says(awa, note, weight):
    analyse = EpreuveFactory()
    EvaluationFactory(user=awa, epreuve=analyse, note_pertinence=note)
    seen(awa, analyse, type_interaction=TypeInteraction.EVALUATION)
    assert popularity() == {analyse.pk: Popularity(weight, weight)}


@pytest.mark.parametrize("note", [1, 2])
def test_a_pair_rated_low_counts_nothing_whatever_else_was_done(awa, koffi, note):
    analyse = EpreuveFactory()
    seen(awa, analyse, type_interaction=TypeInteraction.TELECHARGEMENT)
    seen(koffi, analyse)
    EvaluationFactory(user=awa, epreuve=analyse, note_pertinence=note)
    assert popularity() == {analyse.pk: Popularity(1, 1)}


def test_a_withdrawn_evaluation_leaves_no_weight(awa):
    analyse = EpreuveFactory()
    seen(awa, analyse, type_interaction=TypeInteraction.EVALUATION)
    assert popularity() == {}


def test_ninety_days_count_before_all_that_went_before(awa, koffi):
    classic, recent, forgotten = EpreuveFactory.create_batch(3)
    seen(awa, classic, forgotten, days_ago=91)
    seen(koffi, classic, days_ago=400)
    seen(awa, recent, days_ago=89)
    popular = popularity()
    assert popular[recent.pk] == Popularity(recent=1, total=1)
    assert popular[classic.pk] == Popularity(recent=0, total=2)
    assert most_popular(popular) == [recent.pk, classic.pk, forgotten.pk]


def test_a_pair_weighs_now_what_was_done_of_late(awa):
    analyse = EpreuveFactory()
    seen(awa, analyse, days_ago=100, type_interaction=TypeInteraction.TELECHARGEMENT)
    seen(awa, analyse)
    assert popularity() == {analyse.pk: Popularity(recent=1, total=3)}


def test_given_a_date_what_came_after_it_does_not_count(awa):
    before, within, after = EpreuveFactory.create_batch(3)
    now = timezone.now() - dt.timedelta(days=200)
    for epreuve, days in ((before, 91), (within, 89), (after, -1)):
        date = now - dt.timedelta(days=days)
        InteractionFactory(user=awa, epreuve=epreuve, date=date)
    assert popularity(now=now) == {before.pk: Popularity(0, 1), within.pk: Popularity(1, 1)}


def test_popularity_is_one_query(awa, django_assert_num_queries):
    seen(awa, *EpreuveFactory.create_batch(3))
    with django_assert_num_queries(1):
        assert len(popularity()) == 3


@pytest.mark.parametrize("contexte", ["personnalisee", "similaire"])
def test_a_view_of_what_was_recommended_does_not_make_it_popular(awa, koffi, contexte):
    analyse = EpreuveFactory()
    seen(awa, analyse, contexte=contexte)
    assert popularity() == {}
    seen(awa, analyse, contexte=contexte, type_interaction=TypeInteraction.TELECHARGEMENT)
    seen(koffi, analyse, contexte="recherche")
    assert popularity() == {analyse.pk: Popularity(3 + 1, 3 + 1)}


def test_an_empty_bank_has_no_popularity():
    assert popularity() == {}
