import re

import pytest
from django.core.cache import cache
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from rest_framework.test import APIClient

from apps.core import metrics, monitoring
from tests.factories import EpreuveFactory

LIVE, READY = "/api/sante/live/", "/api/sante/ready/"
KEY = "une-clef-pour-prometheus"


@pytest.fixture(autouse=True)
def _new_process():
    monitoring._require_migrated.cache_clear()
    yield
    monitoring._require_migrated.cache_clear()


def test_a_process_that_answers_is_alive_whatever_else_is_not(anyone, monkeypatch):
    # Without the django_db mark, a query fails.
    monkeypatch.setattr(cache, "get", None)
    monkeypatch.setattr(cache, "set", None)
    answer = anyone.get(LIVE, HTTP_AUTHORIZATION="Bearer x")
    assert (answer.status_code, answer.data) == (200, {"statut": "vivant"})


@pytest.mark.django_db
def test_ready_is_200(anyone):
    answer = anyone.get(READY)
    assert (answer.status_code, answer.data) == (200, {"statut": "pret", "cache": "ok"})


@pytest.mark.django_db
def test_migrations_are_read_once_then_one_query_is_asked(anyone, django_assert_num_queries):
    anyone.get(READY)
    with django_assert_num_queries(1):
        assert anyone.get(READY).status_code == 200


def refusal(answer):
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    return answer.json()["errors"][0]["code"]


@pytest.mark.django_db
def test_before_its_migrations_nothing_is_ready():
    anyone = APIClient(raise_request_exception=False)
    MigrationRecorder(connection).migration_qs.filter(app="recommender").delete()
    assert refusal(anyone.get(READY)) == "migrations_en_attente"


@pytest.mark.django_db
def test_it_becomes_ready_once_they_ran():
    anyone = APIClient(raise_request_exception=False)
    rows = MigrationRecorder(connection).migration_qs.filter(app="recommender")
    kept = list(rows)
    rows.delete()
    assert anyone.get(READY).status_code == 503
    rows.model.objects.bulk_create(kept)
    assert anyone.get(READY).status_code == 200


def test_without_a_database_nothing_is_ready(monkeypatch):
    def away():
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "cursor", away)
    anyone = APIClient(raise_request_exception=False)
    assert refusal(anyone.get(READY)) == "base_indisponible"


@pytest.mark.django_db
def test_without_its_cache_the_bank_is_ready_and_says_so(anyone, monkeypatch):
    monkeypatch.setattr(cache, "get", lambda key: None)
    answer = anyone.get(READY)
    assert (answer.status_code, answer.data["cache"]) == (200, "degrade")


def counted(view: str, method: str, status: int) -> float:
    labels = f'methode="{method}",statut="{status}",vue="{view}"'
    line = rf"banque_requetes_secondes_count\{{{labels}\}} (.+)"
    found = re.search(line, metrics.exposition().decode())
    return float(found[1]) if found else 0


@pytest.mark.django_db
def test_each_answer_is_counted_by_view_method_and_status(anyone):
    names = ("epreuve-list", "GET", 200), ("epreuve-list", "POST", 401), ("aucune", "GET", 404)
    EpreuveFactory()
    before = [counted(*name) for name in names]
    anyone.get("/api/epreuves/")
    anyone.get("/api/epreuves/?page_size=1")
    anyone.post("/api/epreuves/")
    anyone.get("/nulle-part/")
    after = [counted(*name) for name in names]
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1, 1]


@pytest.mark.django_db
def test_methods_that_a_client_invents_are_one_series(anyone):
    before = counted("epreuve-list", "autre", 405)
    for method in ("FOO", "BAR"):
        anyone.generic(method, "/api/epreuves/")
    assert "FOO" not in metrics.exposition().decode()
    assert sum(counted("epreuve-list", "autre", status) for status in (401, 403, 405)) >= before + 2


@pytest.mark.parametrize("header", [{}, {"HTTP_AUTHORIZATION": f"Bearer {KEY}"}])
def test_without_a_key_in_the_settings_there_are_no_metrics(header):
    assert Client().get("/metrics", **header).status_code == 404


def test_metrics_are_for_who_knows_the_key(settings):
    settings.METRIQUES_JETON = KEY
    for wrong in ("", "Bearer", f"Bearer {KEY}x", KEY, "Bearer é"):
        refused = Client().get("/metrics", HTTP_AUTHORIZATION=wrong)
        assert (refused.status_code, refused.content) == (401, b"")
    answer = Client().get("/metrics", HTTP_AUTHORIZATION=f"Bearer {KEY}")
    assert answer.status_code == 200
    assert b"banque_requetes_secondes_bucket" in answer.content
    assert answer["Content-Type"].startswith("text/plain")
    assert Client().post("/metrics", HTTP_AUTHORIZATION=f"Bearer {KEY}").status_code == 405
