"""Every failure has the one form. That no input gives a 5xx is for tests/security."""

import json

import pytest
from django.db import InterfaceError, OperationalError
from django.test import RequestFactory
from rest_framework.exceptions import ErrorDetail, Throttled
from rest_framework.test import APIClient
from rest_framework.throttling import SimpleRateThrottle

from apps.core import errors
from apps.core.models import Epreuve
from config.wsgi import application
from tests.factories import PASSWORD, EpreuveFactory, MatiereFactory

pytestmark = pytest.mark.django_db
WRITES = [
    "/api/token/",
    "/api/token/refresh/",
    "/api/token/verify/",
    "/api/token/blacklist/",
    "/api/epreuves/",
    "/api/epreuves/1/view/",
    "/api/epreuves/1/download/",
    "/api/evaluations/",
    "/api/commentaires/",
]
DEEP = b'{"contenu":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
SHALLOW = b'{"contexte":' + b"[" * 900 + b"]" * 900 + b"}"


def in_the_one_form(answer):
    body = json.loads(answer.content)
    assert set(body) == {"type", "errors", "request_id"}
    assert body["request_id"] == answer["X-Request-ID"]
    assert body["errors"]
    for error in body["errors"]:
        assert set(error) == {"code", "detail", "attr"}
    return body


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=é",
        "x",
        "",
    ],
)
@pytest.mark.parametrize("path", WRITES)
def test_another_content_type_is_a_4xx(api, rachidi, path, content_type):
    EpreuveFactory(pk=1)
    answer = api(rachidi).generic("POST", path, b"a=1", content_type=content_type)
    assert answer.status_code in {400, 415}
    in_the_one_form(answer)


@pytest.mark.parametrize("charset", ["zlib", "hex", "rot13", "utf-16", "idna", "n'importe"])
def test_texts_are_utf8_whatever_charset_is_named(charset):
    EpreuveFactory(titre="Été")
    environ = RequestFactory()._base_environ(
        PATH_INFO="/api/epreuves/",
        QUERY_STRING="search=%C3%A9t%C3%A9",
        CONTENT_TYPE=f"application/json; charset={charset}",
    )
    answer = application.get_response(application.request_class(environ))
    assert answer.status_code == 200
    assert json.loads(answer.content)["count"] == 1


@pytest.mark.parametrize("charset", ["zlib", "hex", "utf-16", "n'importe"])
def test_a_body_is_utf8_whatever_charset_is_named(anyone, awa, charset):
    body = f'{{"username": "awa", "password": "{PASSWORD}"}}'.encode()
    content_type = f"application/json; charset={charset}"
    assert anyone.generic("POST", "/api/token/", body, content_type).status_code == 200


def test_too_deep_says_so(api, awa):
    for body in (DEEP, SHALLOW):
        answer = api(awa).generic("POST", "/api/commentaires/", body, "application/json")
        assert "imbriqué" in in_the_one_form(answer)["errors"][0]["detail"]


def test_too_large_is_413(api, awa, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    answer = api(awa).post("/api/commentaires/", {"contenu": "x" * 101})
    assert answer.status_code == 413
    in_the_one_form(answer)


def test_too_many_or_too_large_form_fields_are_refused(api, mme_dossou, settings):
    many = {f"champ{n}": "x" for n in range(2000)}
    answer = api(mme_dossou).post("/api/epreuves/", many, format="multipart")
    assert answer.status_code == 400
    in_the_one_form(answer)
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    large = api(mme_dossou).post("/api/epreuves/", {"titre": "x" * 200}, format="multipart")
    assert large.status_code == 413
    in_the_one_form(large)


def test_a_multipart_text_with_nul_is_refused(api, mme_dossou):
    MatiereFactory()
    data = {"titre": "a\0b", "matiere": "ANA\0LYSE", "niveau": "\0"}
    answer = api(mme_dossou).post("/api/epreuves/", data, format="multipart")
    assert answer.status_code == 400
    assert {"titre", "matiere", "niveau"} <= {e["attr"] for e in answer.json()["errors"]}


@pytest.mark.parametrize("pk", ["9" * 19, "9" * 30, "9" * 5000, "٣", "-1", "1.0", "x", "%00", "0"])
@pytest.mark.parametrize("path", ["epreuves/{}/", "epreuves/{}/view/", "evaluations/{}/"])
def test_an_id_that_cannot_be_is_404(api, rachidi, path, pk):
    url = "/api/" + path.format(pk)
    answer = api(rachidi).post(url) if path.endswith("view/") else api(rachidi).get(url)
    assert answer.status_code == 404
    in_the_one_form(answer)


@pytest.mark.parametrize(
    "path", ["/api/", "/api/nope/", "/api/nope", "/api/epreuves", "/api/é/%00/", "/api//epreuves/"]
)
@pytest.mark.parametrize("method", ["get", "post", "delete"])
@pytest.mark.parametrize("debug", [False, True])
def test_an_unknown_path_is_404_in_the_one_form(anyone, settings, path, method, debug):
    settings.DEBUG = debug
    answer = getattr(anyone, method)(path)
    assert answer.status_code == 404
    assert in_the_one_form(answer)["errors"][0]["code"] == "not_found"


def test_a_post_to_an_unknown_path_is_404_not_a_missing_csrf_token():
    answer = APIClient(enforce_csrf_checks=True).post("/api/epreuves", {})
    assert answer.status_code == 404


def test_outside_of_the_api_a_404_is_a_page(anyone):
    answer = anyone.get("/nulle-part/")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_a_wrong_method_is_405_and_names_the_right_ones(api, rachidi):
    answer = api(rachidi).put("/api/epreuves/")
    assert answer.status_code == 405
    assert {"GET", "POST"} <= set(answer["Allow"].split(", "))
    in_the_one_form(answer)


def test_a_refused_host_is_400_in_the_one_form(anyone):
    answer = anyone.get("/api/epreuves/", HTTP_HOST="evil.example")
    assert answer.status_code == 400
    # The middleware refuses before an id is given: the answer carries none.
    assert json.loads(answer.content)["errors"][0]["code"] == "parse_error"


def test_no_token_is_401_with_its_scheme(anyone):
    answer = anyone.get("/api/moi/")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    in_the_one_form(answer)


def test_too_many_requests_of_one_account_are_429_with_a_delay(api, awa, koffi, monkeypatch):
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "user", "2/min")
    answers = [api(awa).get("/api/moi/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2]["Retry-After"]) <= 60
    in_the_one_form(answers[2])
    assert api(koffi).get("/api/moi/").status_code == 200


@pytest.mark.parametrize("failure", [OperationalError, InterfaceError])
@pytest.mark.parametrize("debug", [False, True])
def test_a_database_that_is_away_is_503_with_a_delay(monkeypatch, settings, failure, debug):
    client = APIClient(raise_request_exception=False)
    settings.DEBUG = debug

    def away(*args, **kwargs):
        raise failure("connection refused")

    monkeypatch.setattr(Epreuve.objects, "visible_to", away)
    answer = client.get("/api/epreuves/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    body = in_the_one_form(answer)
    assert (body["type"], body["errors"][0]["code"]) == ("server_error", "base_indisponible")
    assert "refused" not in answer.content.decode()


def test_a_database_that_is_away_before_the_view_is_503_too(monkeypatch, rachidi):
    client = APIClient(raise_request_exception=False)
    client.force_login(rachidi)

    def away(*args, **kwargs):
        raise OperationalError("connection refused")

    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", away)
    answer = client.get("/admin/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


def test_a_missing_table_is_no_database_that_is_away(monkeypatch):
    client = APIClient(raise_request_exception=False)

    def unmigrated(*args, **kwargs):
        raise OperationalError("no such table: core_epreuve")

    monkeypatch.setattr(Epreuve.objects, "visible_to", unmigrated)
    assert client.get("/api/epreuves/").status_code == 500


def test_a_bug_is_500_in_the_one_form_and_tells_nothing(monkeypatch):
    client = APIClient(raise_request_exception=False)

    def broken(*args, **kwargs):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(Epreuve.objects, "visible_to", broken)
    answer = client.get("/api/epreuves/")
    assert answer.status_code == 500
    assert in_the_one_form(answer)["type"] == "server_error"
    assert "secret" not in answer.content.decode()


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        (lambda request: errors.bad_request(request, ValueError()), 400),
        (lambda request: errors.permission_denied(request, ValueError()), 403),
        (lambda request: errors.csrf_failure(request, "x"), 403),
        (lambda request: errors.page_not_found(request, ValueError()), 404),
        (errors.server_error, 500),
    ],
)
def test_django_s_own_failures_are_json_under_api_and_pages_elsewhere(handler, status):
    for path, kind in (("/api/x/", "application/json"), ("/x/", "text/html")):
        answer = handler(RequestFactory().get(path))
        assert answer.status_code == status
        assert answer["Content-Type"].startswith(kind)


def test_a_lone_surrogate_in_a_message_is_answered(api, rachidi):
    answer = errors.ExceptionFormatter(
        errors.ParseError(ErrorDetail("\ud800", "x")), {"request": None}, None
    ).run()
    assert json.dumps(answer, ensure_ascii=False).encode()


def test_a_decent_request_id_is_kept_and_another_replaced(anyone):
    assert anyone.get("/api/nope/", HTTP_X_REQUEST_ID="abcd-1234")["X-Request-ID"] == "abcd-1234"
    assert anyone.get("/api/nope/", HTTP_X_REQUEST_ID="<x>")["X-Request-ID"] != "<x>"


def test_a_browser_that_prefers_english_reads_french_too(anyone):
    answer = anyone.get("/api/moi/", HTTP_ACCEPT_LANGUAGE="en")
    assert "authentification" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("body", [b"{'a': 1}", b"\xff", b'{"a": NaN}', b"{"])
def test_what_is_no_json_is_told_in_french(anyone, body):
    answer = anyone.post("/api/token/", body, content_type="application/json")
    assert answer.status_code == 400
    assert "JSON lisible" in answer.json()["errors"][0]["detail"]


def test_a_multipart_without_boundary_is_told_in_french(api, mme_dossou):
    answer = api(mme_dossou).post("/api/epreuves/", b"x", content_type="multipart/form-data")
    assert answer.status_code == 400
    assert "multipart est illisible" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b"])
def test_a_malformed_token_header_is_one_error_of_no_field(anyone, header):
    answer = anyone.get("/api/moi/", HTTP_AUTHORIZATION=header)
    assert answer.status_code == 401
    [error] = answer.json()["errors"]
    assert error["attr"] is None


def test_a_429_always_says_when_to_come_back():
    refusal = errors.ExceptionHandler(Throttled(wait=None), {"request": None})
    assert refusal.get_headers(refusal.exc)["Retry-After"] == "60"


def test_a_known_front_end_may_call_and_read_the_delay(anyone):
    asks = {"HTTP_ORIGIN": "http://localhost:3000", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"}
    preflight = anyone.options("/api/token/", **asks)
    assert preflight.status_code == 200
    assert preflight["Access-Control-Allow-Origin"] == "http://localhost:3000"
    answer = anyone.get("/api/epreuves/", HTTP_ORIGIN="http://localhost:3000")
    assert "Retry-After" in answer["Access-Control-Expose-Headers"]
    stranger = anyone.get("/api/epreuves/", HTTP_ORIGIN="http://evil.example")
    assert "Access-Control-Allow-Origin" not in stranger
