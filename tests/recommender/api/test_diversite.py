"""`diversite`: how different from each other the recommendations are."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.models import Statut
from apps.core.review import Action
from apps.recommender import model_store
from tests.factories import EpreuveFactory, moved, seen

pytestmark = pytest.mark.django_db

URL = "/api/recommendations/personalized/"


def answered(client, **query):
    response = client.get(URL, query)
    assert response.status_code == 200, response.content
    return response.data["recommendations"]


def ids(items) -> list[int]:
    return [item["epreuve"]["id"] for item in items]


def scores_of(items) -> dict[int, float]:
    return {item["epreuve"]["id"]: item["score"] for item in items}


def filieres(items) -> list[str]:
    return [item["epreuve"]["filiere"] for item in items]


def test_without_it_and_with_0_the_answer_is_the_same(trained, bank, api):
    client = api(bank.students["MATH"][0])
    assert answered(client) == answered(client, diversite=0)


def test_what_differs_takes_the_place_of_what_is_alike(trained, bank, api):
    client = api(bank.students["MATH"][0])
    alike, varied = answered(client, top_k=3), answered(client, top_k=3, diversite=0.9)
    assert filieres(alike) == ["MATH"] * 3
    assert ids(varied)[0] == ids(alike)[0]
    assert "PHYS" in filieres(varied)
    everything = answered(client, top_k=13)
    assert sorted(ids(everything)) == sorted(ids(answered(client, top_k=13, diversite=0.9)))
    # What is chosen keeps the score that the model gives.
    assert varied[-1]["score"] == scores_of(everything)[varied[-1]["epreuve"]["id"]]


def test_scores_lie_between_0_and_1_and_only_go_down(trained, bank, api):
    client = api(bank.students["PHYS"][0])
    for diversite in (0.2, 0.7, 1):
        scores = [one["score"] for one in answered(client, top_k=20, diversite=diversite)]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)


def test_a_seen_epreuve_stays_out_and_a_new_one_takes_part(trained, bank, api):
    student = bank.students["MATH"][0]
    alike = bank.epreuves["PHYS"][0]
    new = EpreuveFactory(statut=Statut.SOUMISE, filiere=alike.filiere, matiere=alike.matiere)
    moved(new, Action.PUBLIER)
    shown = ids(answered(api(student), top_k=100, diversite=0.5))
    assert new.pk in shown
    assert not {epreuve.pk for epreuve in bank.epreuves["MATH"][:7]} & set(shown)


def test_the_rank_without_a_reason_is_that_of_the_same_variety(trained, bank, api):
    student = bank.students["MATH"][0]
    query = {"top_k": 4, "diversite": 0.7}
    items = answered(api(student), expliquer="true", **query)
    item, reason = next(
        (item, reason)
        for item in items
        for reason in item["raisons"]
        if (reason["rang_sans"] or 99) <= 4
    )
    student.interactions.filter(epreuve=reason["epreuve"]).delete()
    without = {one["epreuve"]["id"]: one for one in answered(api(student), **query)}
    there = without.get(item["epreuve"]["id"])
    assert (there["rang"] if there else None) == reason["rang_sans"]
    if there:
        lost = item["score"] - there["score"]
        assert lost == pytest.approx(reason["contribution"], abs=2e-6)


def test_it_asks_the_database_for_newcomers_and_nothing_else(trained, bank, api):
    client = api(bank.students["MATH"][0])
    client.get(URL)  # the candidates are in the cache from here on
    with CaptureQueriesContext(connection) as plain:
        client.get(URL, {"top_k": 9})
    with CaptureQueriesContext(connection) as varied:
        client.get(URL, {"top_k": 9, "diversite": 0.5})
    assert len(varied) == len(plain) + 1, [query["sql"] for query in varied]


def test_a_student_without_a_past_gets_the_fallbacks_as_ever(trained, bank, api, awa):
    assert answered(api(awa), diversite=0.8) == answered(api(awa))


@pytest.mark.parametrize("value", ["-0.1", "1.1", "nan", "inf", "peu", ""])
def test_anything_but_a_share_is_refused(trained, api, awa, value):
    response = api(awa).get(URL, {"diversite": value})
    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"] == "diversite"


def test_without_a_model_it_changes_nothing(bank, api):
    model_store.reset()
    student = bank.students["MATH"][0]
    seen(student, bank.epreuves["MATH"][9])
    assert ids(answered(api(student), diversite=0.8)) == ids(answered(api(student)))
