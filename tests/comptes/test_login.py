import datetime as dt

import pytest
from axes.models import AccessAttempt
from django.conf import settings as django_settings
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework.throttling import SimpleRateThrottle

from apps.comptes.addresses import client_address
from apps.comptes.tokens import AccessToken, RefreshToken
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


def login(client, username="awa", password=PASSWORD, **extra):
    return client.post("/api/token/", {"username": username, "password": password}, **extra)


def bearer(token):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def body_of(answer):
    body = answer.json()
    body.pop("request_id")
    return body


# --- Coming in ---------------------------------------------------------------------------


@pytest.mark.parametrize("username", ["awa", "AWA", "aWa", " awa "])
def test_a_login_disregards_case_and_opens_my_profile(anyone, awa, username):
    answer = login(anyone, username)
    assert answer.status_code == 200
    assert set(answer.json()) == {"access", "refresh"}
    me = bearer(answer.json()["access"]).get("/api/moi/")
    assert me.json() == {
        "id": awa.pk,
        "username": "awa",
        "email": "awa@imsp.test",
        "prenom": "Awa",
        "nom": "",
        "role": "etudiant",
        "matricule": None,
        "filiere": {"code": "MATH", "nom": "Filière MATH"},
        "niveau": "L2",
        "personnalisation": True,
        "date_inscription": awa.date_joined.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
    }


def test_a_login_is_remembered_as_the_last_one(anyone, awa):
    login(anyone)
    awa.refresh_from_db()
    assert awa.last_login is not None


def test_a_wrong_password_an_unknown_and_a_closed_account_are_told_alike(anyone, awa):
    UserFactory(username="parti", is_active=False)
    answers = [login(anyone, "awa", "faux"), login(anyone, "personne"), login(anyone, "parti")]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert body_of(answers[0]) == body_of(answers[1]) == body_of(answers[2])
    assert all(answer["WWW-Authenticate"].startswith("Bearer") for answer in answers)


@pytest.mark.parametrize(
    ("body", "attrs"),
    [
        ({}, {"username", "password"}),
        ({"username": "awa"}, {"password"}),
        ({"username": "a" * 151, "password": "x"}, {"username"}),
        ({"username": "awa", "password": "x" * 129}, {"password"}),
        ({"username": "a\0", "password": "x"}, {"username"}),
        ({"username": ["awa"], "password": {}}, {"username", "password"}),
    ],
)
def test_a_garbled_login_is_400(anyone, body, attrs):
    answer = anyone.post("/api/token/", body)
    assert answer.status_code == 400
    assert {error["attr"] for error in answer.json()["errors"]} == attrs


# --- Being kept out ----------------------------------------------------------------------


def test_the_sixth_try_is_429_even_with_the_right_password_and_in_other_case(anyone, awa):
    statuses = [login(anyone, name, "faux").status_code for name in ("awa", "AWA", "Awa") * 2]
    assert statuses == [401] * 5 + [429]
    refused = login(anyone)
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) == 900
    assert refused.json()["type"] == "client_error"
    assert "15 minutes" in refused.json()["errors"][0]["detail"]


@pytest.mark.parametrize("name", ["kofﬁ", "ſam", "ıda", "İda", "ｋoffi", "kóffi"])
def test_a_name_that_only_looks_like_mine_finds_nobody(anyone, koffi, name):
    for username in ("sam", "ida"):
        UserFactory(username=username)
    assert login(anyone, name).status_code == 401


def test_a_letter_that_is_lowered_to_mine_counts_as_mine(anyone, koffi):
    kelvin = "\N{KELVIN SIGN}offi"
    assert login(anyone, kelvin).status_code == 200
    statuses = [login(anyone, name, "faux").status_code for name in (kelvin, "koffi") * 3]
    assert statuses == [401] * 5 + [429]


def test_an_unknown_account_is_kept_out_in_the_same_words(anyone, awa):
    for name in ("awa", "personne"):
        for _ in range(5):
            login(anyone, name, "faux")
    assert body_of(login(anyone, "awa")) == body_of(login(anyone, "personne"))


def test_only_that_account_from_that_address_is_kept_out(anyone, awa, koffi):
    for _ in range(6):
        login(anyone, "awa", "faux")
    assert login(anyone, "koffi").status_code == 200
    assert login(anyone, "awa", REMOTE_ADDR="10.1.2.3").status_code == 200


def test_a_forged_forwarding_header_opens_nothing(anyone, awa):
    for n in range(6):
        login(anyone, "awa", "faux", HTTP_X_FORWARDED_FOR=f"10.0.0.{n}")
    assert login(anyone, HTTP_X_FORWARDED_FOR="10.9.9.9").status_code == 429


def test_behind_one_proxy_the_address_it_saw_counts(anyone, awa, settings):
    settings.REST_FRAMEWORK = django_settings.REST_FRAMEWORK | {"NUM_PROXIES": 1}
    for n in range(6):
        login(anyone, "awa", "faux", HTTP_X_FORWARDED_FOR=f"10.0.0.{n}, 41.2.3.4")
    assert login(anyone, HTTP_X_FORWARDED_FOR="10.0.0.1, 41.2.3.4").status_code == 429
    assert login(anyone, HTTP_X_FORWARDED_FOR="10.0.0.1, 41.2.3.5").status_code == 200


def test_what_is_no_address_is_not_stored_as_one():
    for address in ("pas une adresse", "", "10.0.0.1:80"):
        assert client_address(RequestFactory().get("/", REMOTE_ADDR=address)) is None


def test_the_addresses_of_one_ipv6_network_are_one(anyone, awa):
    statuses = [
        login(anyone, "awa", "faux", REMOTE_ADDR=f"2001:db8:1:2::{n:x}").status_code
        for n in range(1, 7)
    ]
    assert statuses == [401] * 5 + [429]
    assert login(anyone, REMOTE_ADDR="2001:db8:1:3::1").status_code == 200


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("41.2.3.4", "41.2.3.4"),
        ("::ffff:41.2.3.4", "41.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
    ],
)
def test_an_address_is_counted_by_what_its_holder_cannot_change(address, seen):
    assert client_address(RequestFactory().get("/", REMOTE_ADDR=address)) == seen


def test_a_success_forgets_the_failures(anyone, awa):
    for _ in range(2):
        assert [login(anyone, "awa", "faux").status_code for _ in range(4)] == [401] * 4
        assert login(anyone).status_code == 200


def test_after_a_quarter_of_an_hour_one_may_try_again(anyone, awa):
    for _ in range(5):
        login(anyone, "awa", "faux")
    AccessAttempt.objects.update(attempt_time=timezone.now() - dt.timedelta(minutes=16))
    assert login(anyone).status_code == 200


def test_the_administration_keeps_out_too_and_says_when_to_come_back(rachidi):
    desk = Client()
    data = {"username": "rachidi", "password": "faux"}
    for _ in range(6):
        answer = desk.post(reverse("admin:login"), data)
    assert (answer.status_code, answer["Retry-After"]) == (429, "900")


def test_a_campus_behind_one_address_is_not_kept_out(anyone, awa, monkeypatch):
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "user", "3/min")
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "anon", "50/min")
    assert {login(anyone).status_code for _ in range(10)} == {200}


# --- Tokens ------------------------------------------------------------------------------


def test_refreshing_rotates_and_uses_up(anyone, awa):
    refresh = login(anyone).json()["refresh"]
    renewed = anyone.post("/api/token/refresh/", {"refresh": refresh})
    assert renewed.status_code == 200
    assert bearer(renewed.json()["access"]).get("/api/moi/").status_code == 200
    assert renewed.json()["refresh"] != refresh
    again = anyone.post("/api/token/refresh/", {"refresh": refresh})
    assert again.status_code == 401


def test_a_blacklisted_token_is_refused_by_refresh_and_verify(anyone, awa):
    refresh = login(anyone).json()["refresh"]
    assert anyone.post("/api/token/verify/", {"token": refresh}).status_code == 200
    assert anyone.post("/api/token/blacklist/", {"refresh": refresh}).status_code == 200
    assert anyone.post("/api/token/refresh/", {"refresh": refresh}).status_code == 401
    assert anyone.post("/api/token/verify/", {"token": refresh}).status_code == 401


@pytest.mark.parametrize("fate", ["deleted", "closed"])
def test_a_refresh_outlived_by_its_account_is_401(anyone, awa, fate):
    refresh = str(RefreshToken.for_user(awa))
    access = str(AccessToken.for_user(awa))
    if fate == "deleted":
        awa.delete()
    else:
        awa.is_active = False
        awa.save()
    assert anyone.post("/api/token/refresh/", {"refresh": refresh}).status_code == 401
    assert bearer(access).get("/api/moi/").status_code == 401


@pytest.mark.parametrize(
    "path", ["/api/token/refresh/", "/api/token/verify/", "/api/token/blacklist/"]
)
@pytest.mark.parametrize("token", ["x", "a.b.c", "é", "eyJhbGciOiJub25lIn0.e30."])
def test_a_bad_token_is_401(anyone, path, token):
    name = "token" if "verify" in path else "refresh"
    answer = anyone.post(path, {name: token})
    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *(
            ("user_id", value)
            for value in ("abc", "1\0", "٣", "9" * 30, 10**30, [1], {"a": 1}, None)
        ),
        *(("exp", value) for value in (10**30, "demain", [1], None, float("inf"), float("nan"))),
        *(("iat", value) for value in (10**30, [1], {}, float("inf"))),
        *(("nbf", value) for value in ([1], float("inf"))),
        *(("jti", value) for value in ("a\0", "a" * 500, 7, [1], None)),
        *(("token_version", value) for value in ("", "0" * 16, "0" * 17, "G" * 16, 0, {}, None)),
    ],
)
def test_a_signed_token_with_a_claim_we_never_write_is_401(anyone, awa, claim, value):
    access, refresh = AccessToken.for_user(awa), RefreshToken.for_user(awa)
    for token in (access, refresh):
        token.payload = {**token.payload, claim: value}
        if value is None:
            del token.payload[claim]
    calls = [
        bearer(access).get("/api/moi/"),
        anyone.post("/api/token/refresh/", {"refresh": str(refresh)}),
        anyone.post("/api/token/blacklist/", {"refresh": str(refresh)}),
        anyone.post("/api/token/verify/", {"token": str(access)}),
    ]
    assert [answer.status_code for answer in calls] == [401] * 4


def expired(user):
    token = AccessToken.for_user(user)
    token.set_exp(lifetime=-dt.timedelta(seconds=1))
    return token


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (lambda user: "x", "n'est pas valable"),
        (RefreshToken.for_user, "est de l'autre sorte"),
        (expired, "est périmé"),
    ],
)
def test_a_token_that_opens_nothing_is_one_error_that_says_why(awa, token, reason):
    answer = bearer(token(awa)).get("/api/moi/")
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["code"], error["attr"]) == (401, "token_not_valid", None)
    assert reason in error["detail"]
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_used_refresh_token_says_so(anyone, awa):
    body = {"refresh": str(RefreshToken.for_user(awa))}
    anyone.post("/api/token/refresh/", body)
    [error] = anyone.post("/api/token/refresh/", body).json()["errors"]
    assert (error["code"], error["detail"]) == ("token_not_valid", "Ce jeton a déjà servi.")


def test_a_bad_token_is_401_where_none_is_needed_too(awa):
    assert bearer("x").get("/api/epreuves/").status_code == 401


def test_my_profile_takes_three_queries(awa, django_assert_max_num_queries):
    client = bearer(AccessToken.for_user(awa))
    with django_assert_max_num_queries(3):
        client.get("/api/moi/")
