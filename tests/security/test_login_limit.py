"""Promise 8: no more than five passwords of an account are tried from an address, however sent."""

from collections import Counter
from threading import Barrier

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.core.models import Role, User
from tests.factories import PASSWORD, UserFactory
from tests.security.crowds import together

pytestmark = pytest.mark.django_db(transaction=True)
WRONG = "faux"


def at_the_api(password=WRONG, **headers):
    body = {"username": "rachidi", "password": password}
    return APIClient().post("/api/token/", body, **headers).status_code


def at_the_administration(password=WRONG, **headers):
    body = {"username": "Rachidi", "password": password}
    return Client().post(reverse("admin:login"), body, **headers).status_code


@pytest.fixture
def tried(monkeypatch, rachidi):
    """The passwords that were held against the account's own."""
    tried = []
    check = User.check_password

    def noted(user, password):
        tried.append(password)
        return check(user, password)

    monkeypatch.setattr(User, "check_password", noted)
    return tried


def sixteen(act):
    start = Barrier(16)

    def one(n):
        start.wait()
        return act(n)

    return Counter(together(one, 16))


def test_of_sixteen_wrong_passwords_at_once_five_are_tried(tried):
    assert sixteen(lambda n: at_the_api()) == {401: 5, 429: 11}
    assert len(tried) == 5


def test_both_doors_share_one_count(tried):
    doors = (at_the_api, at_the_administration)
    said = sixteen(lambda n: doors[n % 2]())
    assert len(tried) == 5
    assert said[429] >= 11


def test_the_right_password_is_not_let_in_after_five_wrong_ones_at_once(tried):
    sixteen(lambda n: at_the_api())
    assert (at_the_api(PASSWORD), at_the_administration(PASSWORD)) == (429, 429)
    assert len(tried) == 5


def test_sixteen_right_passwords_at_once_all_come_in(tried):
    assert sixteen(lambda n: at_the_api(PASSWORD)) == {200: 16}


def test_an_unknown_account_is_told_the_same_as_often(db):
    assert sixteen(lambda n: at_the_api()) == {401: 5, 429: 11}


@pytest.mark.parametrize(("proxies", "forged"), [(0, "10.0.0.{}"), (1, "10.0.0.{}, 41.2.3.4")])
def test_forged_forwarding_headers_at_once_do_not_pass_the_limit(tried, settings, proxies, forged):
    settings.REST_FRAMEWORK = django_settings.REST_FRAMEWORK | {"NUM_PROXIES": proxies}
    said = sixteen(lambda n: at_the_api(HTTP_X_FORWARDED_FOR=forged.format(n)))
    assert said == {401: 5, 429: 11}
    assert len(tried) == 5


def test_without_redis_the_limit_stands(tried, settings):
    settings.CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"IGNORE_EXCEPTIONS": True, "SOCKET_CONNECT_TIMEOUT": 0.1},
        }
    }
    assert sixteen(lambda n: at_the_api()) == {401: 5, 429: 11}
    assert len(tried) == 5


def test_a_crowd_behind_one_address_is_not_kept_out_by_one_of_them(tried):
    names = [UserFactory(username=f"foule{n}", role=Role.ETUDIANT).username for n in range(8)]
    for _ in range(6):
        at_the_api()

    def come_in(n):
        body = {"username": names[n % 8], "password": PASSWORD}
        return APIClient().post("/api/token/", body).status_code

    assert sixteen(come_in) == {200: 16}
