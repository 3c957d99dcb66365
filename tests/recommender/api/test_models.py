import datetime as dt

import pytest
from django.utils import timezone

from apps.recommender.models import ActivationModele, ModelMetadata

pytestmark = pytest.mark.django_db

URL = "/api/recommendations/modeles/"
JOURNAL = "/api/recommendations/activations/"


@pytest.fixture
def office(api, rachidi):
    return api(rachidi)


def active():
    return ModelMetadata.objects.get(est_actif=True).version


def refuse(version):
    ModelMetadata.objects.filter(version=version).update(
        eligible=False, motif_refus="NDCG trop bas."
    )


def test_the_list_is_short_and_needs_no_query_per_row(twins, office, django_assert_max_num_queries):
    with django_assert_max_num_queries(4):
        body = office.get(URL).json()
    assert [row["version"] for row in body["results"]] == ["v2", "v1"]
    assert [row["est_actif"] for row in body["results"]] == [True, False]
    assert "fiche" not in body["results"][0]


def test_a_model_tells_its_fiche(twins, office):
    body = office.get(f"{URL}v1/").json()
    assert body["version"] == "v1"
    assert body["fiche"] == ModelMetadata.objects.get(version="v1").fiche
    assert {"donnees", "protocole", "metriques", "tranches", "limites"} <= body["fiche"].keys()
    assert office.get(f"{URL}v9/").status_code == 404


def test_a_model_serves_again_and_the_journal_says_who_and_why(twins, office, rachidi):
    answer = office.post(f"{URL}v1/activer/", {"motif": "v2 se répète", "actif": "v2"})
    assert (answer.status_code, answer.json()["est_actif"], active()) == (200, True, "v1")
    row = ActivationModele.objects.first()
    assert (row.active_par, row.motif, row.declencheur) == (rachidi, "v2 se répète", "api")
    assert office.post(f"{URL}v1/activer/").status_code == 200
    assert ActivationModele.objects.count() == 3
    assert office.post(f"{URL}v9/activer/").status_code == 404


def test_a_refused_model_serves_only_by_override_and_for_a_reason(twins, office):
    refuse("v1")
    answer = office.post(f"{URL}v1/activer/")
    assert answer.status_code == 409
    assert "NDCG trop bas" in answer.json()["errors"][0]["detail"]
    answer = office.post(f"{URL}v1/activer/", {"deroger": True, "motif": "parce que"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == "motif"
    assert active() == "v2"
    answer = office.post(f"{URL}v1/activer/", {"deroger": True, "motif": ". . ."})
    assert answer.status_code == 400
    asked = {"deroger": True, "motif": "v2 oublie les L1"}
    answer = office.post(f"{URL}v1/activer/", asked)
    assert (answer.status_code, answer.json()["derogation"]) == (200, "v2 oublie les L1")
    assert active() == "v1"
    assert ActivationModele.objects.first().derogation


@pytest.mark.parametrize("version", ["%00", "..", "a%20b", "é"])
def test_a_name_that_no_model_can_have_is_a_404(twins, office, version):
    assert office.get(f"/api/recommendations/modeles/{version}/").status_code == 404


def test_the_way_back_is_one_step(twins, office):
    answer = office.post(f"{URL}revenir/", {"actif": "v2"})
    assert (answer.status_code, answer.json()["version"], active()) == (200, "v1", "v1")


def test_what_somebody_else_changed_meanwhile_is_a_conflict(twins, office):
    office.post(f"{URL}revenir/", {"actif": "v2"})
    for path in ("revenir/", "v2/activer/"):
        answer = office.post(URL + path, {"actif": "v2"})
        assert answer.status_code == 409, path
        assert "v1 sert, et non plus v2" in answer.json()["errors"][0]["detail"]
    assert active() == "v1"


def test_a_way_back_that_leads_nowhere_is_a_conflict(trained, office):
    assert office.post(f"{URL}revenir/").status_code == 409


def test_broken_files_are_a_conflict(twins, office, settings):
    (settings.ML_MODELS_DIR / "v1" / "weights.safetensors").write_bytes(b"")
    assert office.post(f"{URL}v1/activer/").status_code == 409
    assert active() == "v2"


def test_a_misspelt_field_is_refused(twins, office):
    refuse("v1")
    answer = office.post(f"{URL}v1/activer/", {"derroger": True, "motif": "v2 oublie les L1"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == "derroger"


@pytest.fixture
def history(twins):
    """v1 from day 30 on, v2 from day 20 on, v1 again from day 10 on."""
    now = timezone.now()
    rows = list(ActivationModele.objects.order_by("pk"))
    v1, v2 = (row.modele for row in rows)
    rows.append(ActivationModele.objects.create(modele=v1, precedente=v2, declencheur="admin"))
    for row, days in zip(rows, (30, 20, 10), strict=True):
        row.active_le = now - dt.timedelta(days=days)
        row.save()
    return now


def told(office, **asked):
    return [row["version"] for row in office.get(JOURNAL, asked).json()["results"]]


def ago(now, days):
    return (now - dt.timedelta(days=days)).isoformat()


def test_the_journal_says_what_served_and_until_when(
    history, office, django_assert_max_num_queries
):
    with django_assert_max_num_queries(4):
        rows = office.get(JOURNAL).json()["results"]
    assert [row["version"] for row in rows] == ["v1", "v2", "v1"]
    assert rows[0]["jusqu_a"] is None
    assert rows[1]["jusqu_a"] == rows[0]["active_le"]
    assert rows[1]["precedente"] == "v1"
    assert rows[2]["precedente"] is None


def test_the_journal_says_what_served_at_a_moment(history, office):
    assert told(office, le=ago(history, 25)) == ["v1"]
    assert told(office, le=ago(history, 15)) == ["v2"]
    assert told(office, le=ago(history, 1)) == ["v1"]
    assert told(office, le=ago(history, 31)) == []
    row = office.get(JOURNAL, {"le": ago(history, 15)}).json()["results"][0]
    assert row["jusqu_a"] is not None


def test_the_journal_says_what_served_in_a_period(history, office):
    assert told(office, depuis=ago(history, 19), jusqu_a=ago(history, 11)) == ["v2"]
    assert told(office, depuis=ago(history, 25)) == ["v1", "v2", "v1"]
    assert told(office, jusqu_a=ago(history, 15)) == ["v2", "v1"]


@pytest.mark.parametrize(
    "asked",
    [
        {"le": "hier"},
        {"le": "2026-01-01T00:00Z", "depuis": "2026-01-01T00:00Z"},
        {"depuis": "2026-02-01T00:00Z", "jusqu_a": "2026-01-01T00:00Z"},
        {"quand": "2026-01-01T00:00Z"},
    ],
)
def test_a_moment_that_is_none_is_refused(office, asked):
    assert office.get(JOURNAL, asked).status_code == 400
