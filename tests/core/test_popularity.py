import datetime as dt

import pytest
from django.utils import timezone

from apps.core.models import TypeInteraction
from apps.core.selectors import popularity
from tests.factories import EpreuveFactory, EvaluationFactory, InteractionFactory, seen

pytestmark = pytest.mark.django_db


def test_each_pair_weighs_its_strongest_interaction_once(awa, koffi):
    analyse = EpreuveFactory()
    seen(awa, analyse)
    seen(awa, analyse, days_ago=1)
    seen(awa, analyse, type_interaction=TypeInteraction.TELECHARGEMENT)
    seen(koffi, analyse, type_interaction=TypeInteraction.COMMENTAIRE)
    assert popularity() == {analyse.pk: 3 + 2}


@pytest.mark.parametrize(("note", "weight"), [(5, 3), (4, 3), (3, 1)])
def test_an_evaluation_weighs_what_its_pertinence_says(awa, note, weight):
    analyse = EpreuveFactory()
    EvaluationFactory(user=awa, epreuve=analyse, note_pertinence=note)
    seen(awa, analyse, type_interaction=TypeInteraction.EVALUATION)
    assert popularity() == {analyse.pk: weight}


@pytest.mark.parametrize("note", [1, 2])
def test_a_pair_rated_low_counts_nothing_whatever_else_was_done(awa, koffi, note):
    analyse = EpreuveFactory()
    seen(awa, analyse, type_interaction=TypeInteraction.TELECHARGEMENT)
    seen(koffi, analyse)
    EvaluationFactory(user=awa, epreuve=analyse, note_pertinence=note)
    assert popularity() == {analyse.pk: 1}


def test_a_withdrawn_evaluation_leaves_no_weight(awa):
    analyse = EpreuveFactory()
    seen(awa, analyse, type_interaction=TypeInteraction.EVALUATION)
    assert popularity() == {}


def test_ninety_days_end_with_the_latest_interaction_of_the_bank(awa):
    old, recent = EpreuveFactory(), EpreuveFactory()
    seen(awa, old, days_ago=1000 + 91)
    seen(awa, recent, days_ago=1000 + 89)
    seen(awa, recent, days_ago=1000)
    assert popularity() == {recent.pk: 1}


def test_given_a_date_ninety_days_end_there(awa):
    before, within, after = EpreuveFactory.create_batch(3)
    now = timezone.now() - dt.timedelta(days=200)
    for epreuve, days in ((before, 91), (within, 89), (after, -1)):
        date = now - dt.timedelta(days=days)
        InteractionFactory(user=awa, epreuve=epreuve, date=date)
    assert popularity(now=now) == {within.pk: 1}


def test_popularity_is_one_query(awa, django_assert_num_queries):
    seen(awa, *EpreuveFactory.create_batch(3))
    with django_assert_num_queries(1):
        assert len(popularity()) == 3


def test_an_empty_bank_has_no_popularity():
    assert popularity() == {}
