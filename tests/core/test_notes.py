"""The means that a list shows and sorts by: few notes leave them near the mean of the bank."""

import pytest

from apps.core.models import Epreuve
from apps.core.services.evaluations import rate_epreuve, withdraw_evaluation
from tests.factories import EpreuveFactory, UserFactory

pytestmark = pytest.mark.django_db


def rated(*notes, **fields):
    """An épreuve with these notes, as difficulty and turned round as pertinence."""
    epreuve = EpreuveFactory(**fields)
    for note in notes:
        rate_epreuve(
            user=UserFactory(),
            epreuve=epreuve,
            note_difficulte=note,
            note_pertinence=6 - note,
        )
    return epreuve


def cards(client, path="", **params):
    return client.get(f"/api/epreuves/{path}", params).json()["results"]


def order(client, **params):
    return [card["id"] for card in cards(client, **params)]


def test_a_mean_is_drawn_to_the_bank_s_as_by_five_notes_of_it(anyone):
    one, many = rated(5), rated(*[1] * 10, 4)
    # By hand: the bank has 12 notes, 19 in all; (5 + 5 x 19/12) / 6 and (14 + 5 x 19/12) / 16.
    found = {card["id"]: card["note_difficulte"] for card in cards(anyone)}
    assert found == {one.pk: 2.15, many.pk: 1.37}
    shown = anyone.get(f"/api/epreuves/{one.pk}/").json()
    # And 6 x 12 - 19 = 53 the other way: (1 + 5 x 53/12) / 6.
    names = ("note_difficulte", "note_pertinence", "note_difficulte_moyenne", "nb_evaluations")
    assert [shown[name] for name in names] == [2.15, 3.85, 5.0, 1]


@pytest.mark.parametrize("bank", [(), (4, 5)])
def test_without_notes_there_is_no_mean(anyone, bank):
    epreuve = EpreuveFactory()
    rated(*bank)
    shown = anyone.get(f"/api/epreuves/{epreuve.pk}/").json()
    assert shown["nb_evaluations"] == 0
    for name in ("note_difficulte", "note_pertinence"):
        assert (shown[name], shown[f"{name}_moyenne"]) == (None, None)


@pytest.mark.parametrize("path", ["", "populaires/", "recentes/"])
def test_every_list_shows_them(anyone, path):
    rated(2, 4)
    (card,) = cards(anyone, path)
    assert (card["note_difficulte"], card["note_pertinence"]) == (3, 3)
    (card,) = cards(anyone, path, champs="nb_evaluations")
    assert card == {"nb_evaluations": 2}


def test_replacing_and_withdrawing_show_in_the_very_next_answer(api, anyone, awa):
    epreuve = rated(3)
    notes = {"epreuve": epreuve.pk, "note_difficulte": 3, "note_pertinence": 1}
    mine = api(awa).post("/api/evaluations/", notes).json()["id"]

    def shown():
        (card,) = cards(anyone, champs="nb_evaluations,note_difficulte,note_pertinence")
        return card["nb_evaluations"], card["note_difficulte"], card["note_pertinence"]

    assert shown() == (2, 3, 2)
    api(awa).post("/api/evaluations/", notes | {"note_difficulte": 5, "note_pertinence": 5})
    assert shown() == (2, 4, 4)
    api(awa).delete(f"/api/evaluations/{mine}/")
    assert shown() == (1, 3, 3)
    withdraw_evaluation(epreuve.evaluations.get())
    assert shown() == (0, None, None)


def test_a_single_five_does_not_go_before_twenty_fours_and_fives(anyone):
    single, many, poor = rated(1), rated(*[1] * 15, *[2] * 5), rated(*[4] * 9)
    none = EpreuveFactory()
    best_first = order(anyone, ordering="-note_pertinence")
    assert best_first == [many.pk, single.pk, poor.pk, none.pk]
    assert order(anyone, ordering="note_pertinence") == [poor.pk, single.pk, many.pk, none.pk]
    assert order(anyone, ordering="-note_difficulte")[0] == poor.pk


def test_ties_are_by_id_and_pages_do_not_overlap(anyone):
    alike = [rated(4).pk for _ in range(5)] + [EpreuveFactory().pk for _ in range(2)]
    first, second, third = (
        order(anyone, ordering="note_difficulte", page_size=3, page=n) for n in (1, 2, 3)
    )
    assert [*first, *second, *third] == alike


def test_they_change_nothing_of_what_is_saved(anyone):
    epreuve = Epreuve.objects.with_names().get(pk=rated(5).pk)
    epreuve.save()
    assert Epreuve.objects.filter(pk=epreuve.pk, somme_difficulte=5).exists()
