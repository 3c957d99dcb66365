"""One line a request, its id on all it did, and no secret in any of them."""

import io
import json
import logging
import logging.config
import time
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client, RequestFactory
from rest_framework.test import APIClient

from apps.core import logs, middleware
from apps.core.models import Epreuve
from tests.factories import PASSWORD, EpreuveFactory, with_file

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiMSJ9.c2lnbmF0dXJl"
FORMATS = {
    "json": logs.Json,
    "ligne": lambda: logs.Line("{asctime} {levelname} {name} [{request_id}] {message}", style="{"),
}


def handler_of(kind: str, stream: io.StringIO) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(FORMATS[kind]())
    for wanted in (logs.RequestId(), logs.OnlyTraces()):
        handler.addFilter(wanted)
    return handler


@pytest.fixture
def written() -> Iterator[dict[str, io.StringIO]]:
    """All that is logged meanwhile, in both forms, as the console would have it."""
    streams = {kind: io.StringIO() for kind in FORMATS}
    handlers = [handler_of(kind, stream) for kind, stream in streams.items()]
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    for handler in handlers:
        root.addHandler(handler)
    yield streams
    for handler in handlers:
        root.removeHandler(handler)
    root.setLevel(before)


@pytest.fixture
def lines(written: dict[str, io.StringIO]) -> Callable[[], list[dict[str, object]]]:
    return lambda: [json.loads(line) for line in written["json"].getvalue().splitlines()]


@pytest.fixture
def access(lines) -> Callable[[], list[dict[str, object]]]:
    return lambda: [line for line in lines() if line["journal"] == "acces"]


def test_each_answer_is_one_line_with_its_facts(access, awa, api):
    EpreuveFactory()
    answer = api(awa).get("/api/epreuves/?search=nul+ne+le+saura")
    [line] = access()
    assert line["request_id"] == answer["X-Request-ID"]
    assert (line["methode"], line["chemin"]) == ("GET", "/api/epreuves/")
    assert (line["statut"], line["utilisateur"], line["niveau"]) == (200, awa.empreinte, "INFO")
    assert 0 < line["duree_ms"] < 60_000
    assert "saura" not in json.dumps(line)
    assert "awa" not in json.dumps(line)


@pytest.mark.django_db
def test_the_console_is_configured_twice_and_logs_the_same(capsys):
    for _ in range(2):
        logging.config.dictConfig(settings.LOGGING)
    try:
        raise OperationalError("connection refused")
    except OperationalError as error:
        failure = {"exc_info": error, "extra": {"status_code": 503}}
        logging.getLogger("django.request").error("503", **failure)
    logging.getLogger("django.request").warning("Not Found: /x")
    refusal = {"exc_info": PermissionError("non"), "extra": {"status_code": 403}}
    logging.getLogger("django.request").warning("Forbidden: /admin/", **refusal)
    logging.getLogger("django.server").info("GET / 200")
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("django.request [-] Service indisponible : connection refused")


def test_a_refusal_is_said_once_and_a_failure_with_its_trace(lines, monkeypatch):
    client = APIClient(raise_request_exception=False)
    client.get("/api/nulle-part/")
    client.get("/nulle-part/")
    client.get("/api/moi/")
    client.get("/api/moi/", HTTP_HOST="evil.example")
    said = [(line["journal"], line["statut"]) for line in lines()]
    assert said == [("acces", 404), ("acces", 404), ("acces", 401), ("acces", 400)]

    def broken(*args, **kwargs):
        raise ZeroDivisionError("une faute à nous")

    monkeypatch.setattr(Epreuve.objects, "visible_to", broken)
    client.get("/api/epreuves/")
    trace, line = lines()[4:]
    assert (trace["journal"], trace["niveau"]) == ("django.request", "ERROR")
    assert "ZeroDivisionError: une faute à nous" in trace["trace"]
    assert (line["journal"], line["niveau"], line["statut"]) == ("acces", "ERROR", 500)
    assert trace["request_id"] == line["request_id"]


@pytest.mark.django_db
def test_a_database_that_is_away_is_a_reason_without_a_trace(lines, monkeypatch):
    def away(*args, **kwargs):
        raise OperationalError("connection refused")

    monkeypatch.setattr(Epreuve.objects, "visible_to", away)
    APIClient(raise_request_exception=False).get("/api/epreuves/")
    reason, line = lines()
    assert (reason["message"], "trace" in reason) == (
        "Service indisponible : connection refused",
        False,
    )
    assert (line["journal"], line["statut"], line["niveau"]) == ("acces", 503, "ERROR")


def test_too_many_requests_stand_out(access):
    request = RequestFactory().get("/")
    levels = []
    for status in (200, 302, 404, 429, 500, 503):
        middleware.log_access(request, middleware.HttpResponse(status=status), 0)
        levels.append(access()[-1]["niveau"])
    assert levels == ["INFO", "INFO", "INFO", "WARNING", "ERROR", "ERROR"]


def test_reading_the_user_for_the_log_asks_the_database_nothing(
    access, rachidi, django_assert_num_queries
):
    client = Client()
    client.force_login(rachidi)
    with django_assert_num_queries(0):
        client.get("/favicon.ico")
    client.get("/admin/")
    assert [line["utilisateur"] for line in access()] == [None, rachidi.empreinte]


def test_a_path_forges_no_line(written, access):
    Client().get("/x%0A2026-11-23 INFO acces [-] forged")
    assert [line["statut"] for line in access()] == [404]
    assert len(written["ligne"].getvalue().splitlines()) == 1


def test_what_is_logged_outside_of_a_request_says_so(lines):
    logging.getLogger("x").info("bonjour")
    with logs.about("abcd-1234"):
        logging.getLogger("x").info("bonjour")
    logging.getLogger("x").info("bonjour")
    assert [line["request_id"] for line in lines()] == ["-", "abcd-1234", "-"]


def test_no_secret_of_a_whole_session_is_written(written, awa, rachidi, anyone, monkeypatch):
    epreuve = with_file(EpreuveFactory())
    wrong = "le-mot-de-passe-d-ailleurs"
    tokens = anyone.post("/api/token/", {"username": "awa", "password": PASSWORD}).json()
    anyone.post("/api/token/", {"username": "awa@imsp.test", "password": wrong})
    anyone.post("/api/token/", {"username": wrong, "password": wrong})
    for _ in range(6):
        anyone.post("/api/token/", {"username": "koffi@imsp.test", "password": wrong})
    Client().post("/admin/login/", {"username": "rachidi@imsp.test", "password": wrong})
    anyone.get("/api/moi/", HTTP_AUTHORIZATION=f"Bearer {tokens['access']}x")
    fresh = anyone.post("/api/token/refresh/", {"refresh": tokens["refresh"]}).json()
    anyone.credentials(HTTP_AUTHORIZATION=f"Bearer {fresh['access']}")
    url = anyone.post(f"/api/epreuves/{epreuve.pk}/download/").json()["url"]
    assert anyone.get(url).getvalue()
    anyone.get(f"{url}/../x?jeton={tokens['access']}")

    def broken(request, *args, **kwargs):
        raise ValueError(f"{request.method} {request.headers} {request.body!r} {url}")

    monkeypatch.setattr("apps.comptes.views.VerifyView.post", broken)
    failing = APIClient(raise_request_exception=False)
    failing.credentials(HTTP_AUTHORIZATION=f"Bearer {fresh['access']}")
    body = {"token": fresh["refresh"], "password": PASSWORD, "email": "awa@imsp.test"}
    assert failing.post("/api/token/verify/", body).status_code == 500
    failing.post("/api/token/blacklist/", {"refresh": fresh["refresh"]})

    secrets = [*tokens.values(), *fresh.values(), PASSWORD, wrong, url.split("/")[-2], "@imsp"]
    for kind, stream in written.items():
        text = stream.getvalue()
        assert "ValueError" in text
        assert "/api/fichiers/***" in text
        for secret in secrets:
            assert secret not in text, (kind, secret)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"jeton {JWT} reçu", JWT),
        ("Authorization: Bearer abc.def", "abc"),
        ("{'HTTP_AUTHORIZATION': 'Basic YTpi'}", "YTpi"),
        ("{'Cookie': 'sessionid=abc; csrftoken=def'}", "abc"),
        ('{"password": "un deux", "x": 1}', "deux"),
        ("{'new_password1': 'un \"deux\"'}", "deux"),
        ('b\'{"mot_de_passe":"trois"}\'', "trois"),
        (r'"{\"password\": \"quatre\"}"', "quatre"),
        ("password=cinq&username=awa", "cinq"),
        ("Key (email)=(awa@imsp.test) already exists.", "awa@"),
        ("/api/fichiers/MTox:1vK:sIg-n_/ 200", "sIg"),
        ("/mot-de-passe/MQ/cs7x1p-0123456789abcdef0123456789abcdef/", "0123"),
        ("/mot-de-passe/MQ/set-password/ 200", "MQ"),
        ("GET /admin/core/user/8675309/change/ 200", "8675309"),
        ("redis://:hunter2@127.0.0.1:6379/0", "hunter2"),
        ("postgres://banque:hunter2@db/x", "hunter2"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text, secret):
    assert secret in text
    assert secret not in logs.masked(text)
    assert logs.HIDDEN in logs.masked(text)


HOSTILE = ["token", "eyJ-", "a", "a.", "password=", "token: '", "://", "a@", "bearer ", "0a1b-"]


@pytest.mark.parametrize("part", HOSTILE)
def test_a_long_hostile_line_is_masked_in_no_time(part):
    start = time.perf_counter()
    logs.masked("/" + part * (100_000 // len(part)) + "@")
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    "text",
    [
        "POST /api/mot-de-passe/oubli/ 202 3 ms, utilisateur None",
        "GET /api/token/refresh/ 200 12.5 ms, utilisateur 3",
        "GET /api/epreuves/12/ 404 0.5 ms, utilisateur None",
        "Modèle 20261123-neumf-a1b2c3 inutilisable : manifest.json manque",
        "Error 111 connecting to 127.0.0.1:6379. Connection refused.",
        'File "/srv/banque/apps/comptes/tokens.py", line 12, in check',
    ],
)
def test_a_plain_line_stays_as_it_is(text):
    assert logs.masked(text) == text


def test_what_is_logged_beside_the_message_is_hidden_too(lines):
    facts = {"corps": {"password": "hunter2"}, "qui": "awa@imsp.test", "jeton": "x2", "nombre": 3}
    logging.getLogger("x").info("bonjour", extra=facts)
    [line] = lines()
    assert (line["nombre"], line["qui"], line["jeton"]) == (3, logs.HIDDEN, logs.HIDDEN)
    assert "hunter2" not in json.dumps(line)
