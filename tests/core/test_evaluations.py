import pytest
from django.db import connection
from django.http import Http404
from django.test.utils import CaptureQueriesContext

from apps.core.models import Epreuve, Evaluation, Interaction, Statut
from apps.core.services.evaluations import change_notes, rate_epreuve, withdraw_evaluation
from tests.factories import EpreuveFactory, EvaluationFactory

pytestmark = pytest.mark.django_db
URL = "/api/evaluations/"


def rate(client, epreuve, difficulte=4, pertinence=5, **more):
    notes = {"note_difficulte": difficulte, "note_pertinence": pertinence}
    return client.post(URL, {"epreuve": epreuve.pk} | notes | more)


def counters(epreuve):
    epreuve.refresh_from_db()
    return epreuve.nb_evaluations, epreuve.somme_difficulte, epreuve.somme_pertinence


def test_the_first_evaluation_is_201_and_the_next_replaces_it_with_200(api, awa):
    epreuve = EpreuveFactory()
    first, second = rate(api(awa), epreuve, 4, 5), rate(api(awa), epreuve, 2, 1)
    assert (first.status_code, second.status_code) == (201, 200)
    assert set(first.json()) == {
        "id",
        "epreuve",
        "note_difficulte",
        "note_pertinence",
        "date_creation",
        "date_modification",
    }
    assert second.json()["id"] == first.json()["id"]
    mine = Evaluation.objects.get()
    assert (mine.user, mine.note_difficulte, mine.note_pertinence) == (awa, 2, 1)
    assert counters(epreuve) == (1, 2, 1)


def test_an_evaluation_is_an_interaction_once_a_half_hour(api, awa):
    epreuve = EpreuveFactory()
    rate(api(awa), epreuve)
    rate(api(awa), epreuve)
    interaction = Interaction.objects.get()
    assert (interaction.type_interaction, interaction.user) == ("evaluation", awa)


def test_counters_follow_create_replace_change_and_withdrawal(api, awa, koffi):
    epreuve = EpreuveFactory()
    mine = rate(api(awa), epreuve, 4, 5).json()["id"]
    rate(api(koffi), epreuve, 1, 2)
    assert counters(epreuve) == (2, 5, 7)
    rate(api(awa), epreuve, 3, 3)
    assert counters(epreuve) == (2, 4, 5)
    changed = api(awa).patch(f"{URL}{mine}/", {"note_difficulte": 5})
    assert (changed.status_code, changed.json()["note_pertinence"]) == (200, 3)
    assert counters(epreuve) == (2, 6, 5)
    assert api(awa).delete(f"{URL}{mine}/").status_code == 204
    assert counters(epreuve) == (1, 1, 2)
    assert api(awa).delete(f"{URL}{mine}/").status_code == 404


def test_two_changes_at_once_keep_the_note_of_each(awa):
    epreuve = EpreuveFactory()
    rate_epreuve(user=awa, epreuve=epreuve, note_difficulte=1, note_pertinence=1)
    one, other = (Evaluation.objects.get() for _ in range(2))
    change_notes(one, note_difficulte=5)
    both = change_notes(other, note_pertinence=4)
    assert (both.note_difficulte, both.note_pertinence) == (5, 4)
    assert counters(epreuve) == (1, 5, 4)


def test_what_is_withdrawn_meanwhile_is_not_changed(awa):
    notes = {"note_difficulte": 1, "note_pertinence": 1}
    mine, _ = rate_epreuve(user=awa, epreuve=EpreuveFactory(), **notes)
    withdraw_evaluation(Evaluation.objects.get())
    with pytest.raises(Http404):
        change_notes(mine, note_difficulte=5)
    assert not Evaluation.objects.exists()


def test_what_is_archived_since_is_withdrawn_but_not_changed(api, awa):
    epreuve = EpreuveFactory()
    mine = rate(api(awa), epreuve).json()["id"]
    Epreuve.objects.update(statut=Statut.ARCHIVEE)
    refused = api(awa).patch(f"{URL}{mine}/", {"note_difficulte": 1})
    assert refused.status_code == 404
    assert "publiée" in refused.json()["errors"][0]["detail"]
    assert counters(epreuve) == (1, 4, 5)
    assert api(awa).delete(f"{URL}{mine}/").status_code == 204


def test_only_mine_are_listed_newest_first(api, awa, koffi):
    EvaluationFactory(user=koffi)
    mine = [rate(api(awa), epreuve).json()["id"] for epreuve in EpreuveFactory.create_batch(3)]
    body = api(awa).get(URL).json()
    assert body["count"] == 3
    assert [row["id"] for row in body["results"]] == mine[::-1]


def test_the_list_takes_as_many_queries_for_ten_as_for_two(api, awa, django_assert_num_queries):
    EvaluationFactory.create_batch(2, user=awa)
    with CaptureQueriesContext(connection) as few:
        api(awa).get(URL)
    EvaluationFactory.create_batch(8, user=awa)
    with django_assert_num_queries(len(few)):
        assert api(awa).get(URL).json()["count"] == 10


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
@pytest.mark.parametrize("who", ["koffi", "rachidi"])
def test_another_s_evaluation_does_not_exist(api, awa, request, method, who):
    other = EvaluationFactory(user=awa)
    client = api(request.getfixturevalue(who))
    assert getattr(client, method)(f"{URL}{other.pk}/").status_code == 404
    assert Evaluation.objects.filter(pk=other.pk, note_pertinence=other.note_pertinence).exists()


def test_neither_user_nor_epreuve_can_be_assigned(api, awa, koffi):
    epreuve, other = EpreuveFactory.create_batch(2)
    mine = rate(api(awa), epreuve, user=koffi.pk, id=999).json()
    api(awa).patch(f"{URL}{mine['id']}/", {"epreuve": other.pk, "user": koffi.pk})
    row = Evaluation.objects.get()
    assert (row.pk, row.user, row.epreuve) == (mine["id"], awa, epreuve)


@pytest.mark.parametrize("statut", set(Statut) - {Statut.PUBLIEE})
def test_what_is_not_published_is_not_rated(api, rachidi, statut):
    assert rate(api(rachidi), EpreuveFactory(statut=statut)).status_code == 404
    assert not Interaction.objects.exists()


def test_an_unknown_epreuve_is_404(api, awa):
    assert rate(api(awa), Epreuve(pk=987654)).status_code == 404


@pytest.mark.parametrize("note", [0, 6, -1, 3.5, "x", None, [], {}, 2**31, "1e400", 10**400])
@pytest.mark.parametrize("field", ["note_difficulte", "note_pertinence"])
def test_a_note_out_of_one_to_five_is_refused(api, awa, field, note):
    answer = rate(api(awa), EpreuveFactory(), **{field: note})
    assert answer.status_code == 400
    assert [error["attr"] for error in answer.json()["errors"]] == [field]
    assert not Evaluation.objects.exists()


@pytest.mark.parametrize(
    "epreuve", [None, "x", -1, 1.5, True, [], {}, "", "9" * 5000, 10**30, "1\0"]
)
def test_a_garbled_epreuve_is_refused(api, awa, epreuve):
    body = {"epreuve": epreuve, "note_difficulte": 3, "note_pertinence": 3}
    answer = api(awa).post(URL, body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == "epreuve"
