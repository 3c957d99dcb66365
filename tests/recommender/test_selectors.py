import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.models import Statut, TypeInteraction
from apps.core.services.favoris import add_favori, remove_favori
from apps.recommender.selectors import (
    catalogue_texts,
    past_of,
    strongest_gestures,
    training_pairs,
)
from tests.factories import EpreuveFactory, EvaluationFactory, InteractionFactory, seen

pytestmark = pytest.mark.django_db


def weights():
    return {(user, item): weight for user, item, weight, _ in training_pairs()}


def test_a_pair_is_worth_its_strongest_interaction(awa):
    epreuve = EpreuveFactory()
    seen(awa, epreuve)
    seen(awa, epreuve, type_interaction=TypeInteraction.TELECHARGEMENT)
    assert weights() == {(awa.pk, epreuve.pk): 3}


def test_a_pair_is_dated_by_its_first_interaction(awa):
    epreuve = EpreuveFactory()
    first = timezone.now().replace(microsecond=0) - dt.timedelta(days=3)
    InteractionFactory(user=awa, epreuve=epreuve)
    InteractionFactory(user=awa, epreuve=epreuve, date=first)
    ((*_, dated),) = training_pairs()
    assert dated == int(first.timestamp())


@pytest.mark.parametrize(("note", "weight"), [(5, 3), (4, 3), (3, 1)])
def test_a_rating_is_worth_what_its_pertinence_says(awa, note, weight):
    epreuve = EpreuveFactory()
    seen(awa, epreuve, type_interaction=TypeInteraction.EVALUATION)
    EvaluationFactory(user=awa, epreuve=epreuve, note_pertinence=note)
    assert weights() == {(awa.pk, epreuve.pk): weight}


@pytest.mark.parametrize("note", [1, 2])
def test_a_disliked_pair_is_no_positive_whatever_else_was_done(awa, note):
    epreuve = EpreuveFactory()
    seen(awa, epreuve, type_interaction=TypeInteraction.TELECHARGEMENT)
    EvaluationFactory(user=awa, epreuve=epreuve, note_pertinence=note)
    assert weights() == {}


def test_a_view_that_we_caused_is_learnt_from_once_something_more_was_done(awa, koffi):
    shown, found = EpreuveFactory.create_batch(2)
    for student in (awa, koffi):
        seen(student, shown, contexte="personnalisee")
        seen(student, found, contexte="recherche")
    seen(koffi, shown, contexte="personnalisee", type_interaction=TypeInteraction.TELECHARGEMENT)
    assert weights() == {
        (awa.pk, found.pk): 1,
        (koffi.pk, found.pk): 1,
        (koffi.pk, shown.pk): 3,
    }
    assert past_of(awa).item_ids.tolist() == [found.pk]


def test_what_is_hidden_or_declined_is_not_learnt(awa, koffi):
    seen(awa, EpreuveFactory(statut=Statut.ARCHIVEE))
    koffi.personnalisation = False
    koffi.save()
    seen(koffi, EpreuveFactory())
    assert weights() == {}


def test_a_favourite_taken_back_is_no_positive_and_no_reason(awa):
    taken_back, kept = EpreuveFactory.create_batch(2)
    for epreuve in (taken_back, kept):
        seen(awa, epreuve)
        add_favori(user=awa, epreuve=epreuve)
    remove_favori(user=awa, epreuve=taken_back)
    assert weights() == {(awa.pk, taken_back.pk): 1, (awa.pk, kept.pk): 4}
    gestures = strongest_gestures(awa, {taken_back.pk, kept.pk})
    assert gestures == {taken_back.pk: "vue", kept.pk: "favori"}


def test_pairs_come_in_one_query_of_their_own_transaction(awa):
    seen(awa, *EpreuveFactory.create_batch(5))
    with CaptureQueriesContext(connection) as queries:
        assert len(list(training_pairs())) == 5
    asked = [one["sql"] for one in queries if "SAVEPOINT" not in one["sql"]]
    assert len(asked) == 1
    assert len(queries) == (3 if connection.vendor == "postgresql" else 1)


def test_the_texts_of_the_catalogue_are_normalised(db):
    epreuve = EpreuveFactory(titre="Équations différentielles")
    ids, texts, categories = catalogue_texts()
    assert ids == [epreuve.pk]
    assert "equations differentielles" in texts[0]
    assert "niveau=L2" in categories[0]
