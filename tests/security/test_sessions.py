"""Promises 6 and 7: five events end every token of an account, and a refresh token works once."""

import io
from threading import Barrier

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from apps.comptes.services.accounts import close_sessions
from apps.core.models import Role, User
from tests.factories import PASSWORD, UserFactory
from tests.security.crowds import together

pytestmark = pytest.mark.django_db
NEW = PASSWORD + "-neuf"


def signed_in(username="awa", password=PASSWORD):
    """The tokens of one more device."""
    answer = APIClient().post("/api/token/", {"username": username, "password": password})
    assert answer.status_code == 200
    return answer.json()


def status_with(kind, tokens):
    """What the API says to a token, without using it up where it is a refresh token."""
    client = APIClient()
    if kind == "access":
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
        return client.get("/api/moi/").status_code
    return client.post("/api/token/verify/", {"token": tokens["refresh"]}).status_code


def refreshed(tokens):
    return APIClient().post("/api/token/refresh/", {"refresh": tokens["refresh"]})


def change_page(desk, user, **values):
    url = reverse("admin:core_user_change", args=[user.pk])
    data = {"username": user.username, "role": user.role, "niveau": user.niveau} | values
    assert desk.post(url, data).status_code == 302


def change_password(desk, user):
    data = {"usable_password": "true", "password1": NEW, "password2": NEW}
    url = reverse("admin:auth_user_password_change", args=[user.pk])
    assert desk.post(url, data).status_code == 302


def change_role(desk, user):
    change_page(desk, user, role=Role.ENSEIGNANT, is_active="on")


def deactivate(desk, user):
    change_page(desk, user)


def log_out_on_another_device(desk, user):
    answer = APIClient().post("/api/token/blacklist/", {"refresh": signed_in()["refresh"]})
    assert answer.status_code == 200


def delete(desk, user):
    user.delete()


@pytest.mark.parametrize("kind", ["access", "refresh"])
@pytest.mark.parametrize(
    "event", [change_password, change_role, deactivate, log_out_on_another_device, delete]
)
def test_an_event_ends_the_tokens_of_the_account_and_nobody_elses(desk, awa, koffi, kind, event):
    tokens, others = signed_in(), signed_in("koffi")
    assert status_with(kind, tokens) == 200
    event(desk, awa)
    assert status_with(kind, tokens) == 401
    assert refreshed(tokens).status_code == 401
    assert status_with(kind, others) == 200


def by_the_shell(user):
    user.set_password(NEW)
    user.save()


def by_a_query(user):
    User.objects.filter(pk=user.pk).update(password="argon2$autre")


def by_a_command(user):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("getpass.getpass", lambda prompt: NEW)
        call_command("changepassword", user.username, stdout=io.StringIO())


@pytest.mark.parametrize("change", [by_the_shell, by_a_query, by_a_command])
def test_a_password_changed_by_any_path_ends_the_tokens(awa, change):
    tokens = signed_in()
    change(awa)
    assert (status_with("access", tokens), refreshed(tokens).status_code) == (401, 401)


def test_an_account_that_is_opened_again_does_not_revive_its_tokens(desk, awa):
    tokens = signed_in()
    deactivate(desk, awa)
    change_page(desk, awa, is_active="on")
    assert (status_with("access", tokens), refreshed(tokens).status_code) == (401, 401)
    assert status_with("access", signed_in()) == 200


def test_a_role_that_is_given_back_does_not_revive_its_tokens(desk, awa):
    tokens = signed_in()
    change_role(desk, awa)
    change_page(desk, awa, is_active="on")
    awa.refresh_from_db()
    assert awa.role == Role.ETUDIANT
    assert (status_with("access", tokens), refreshed(tokens).status_code) == (401, 401)


def test_a_refused_token_says_to_sign_in_again(anyone, awa):
    tokens = signed_in()
    close_sessions(awa)
    answer = refreshed(tokens)
    assert "connectez-vous" in answer.json()["errors"][0]["detail"]
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_refreshed_pair_ends_like_the_first(awa):
    tokens = refreshed(signed_in()).json()
    assert status_with("access", tokens) == 200
    close_sessions(awa)
    assert (status_with("access", tokens), refreshed(tokens).status_code) == (401, 401)


@pytest.mark.parametrize("event", [change_password, change_role, deactivate, close_sessions])
def test_an_event_ends_the_session_of_the_administration(desk, event):
    second = UserFactory(username="fifame", role=Role.ADMINISTRATEUR)
    theirs = Client()
    theirs.force_login(second)
    assert theirs.get(reverse("admin:index")).status_code == 200
    event(second) if event is close_sessions else event(desk, second)
    assert theirs.get(reverse("admin:index")).status_code == 302


def test_changing_ones_own_password_in_the_administration_keeps_its_session(desk, rachidi):
    change_password(desk, rachidi)
    assert desk.get(reverse("admin:index")).status_code == 200


def test_saving_a_person_does_not_write_the_counters_that_move_by_themselves(desk, awa):
    with CaptureQueriesContext(connection) as queries:
        change_page(desk, awa, is_active="on", niveau="M1")
        change_password(desk, awa)
    updates = [q["sql"] for q in queries if q["sql"].startswith('UPDATE "core_user"')]
    assert len(updates) == 2
    assert not [sql for sql in updates if "token_version" in sql or "version_historique" in sql]


@pytest.mark.django_db(transaction=True)
def test_of_sixteen_who_refresh_at_once_with_one_token_one_passes(awa):
    tokens, start = signed_in(), Barrier(16)

    def attempt(n):
        start.wait()
        return refreshed(tokens).status_code

    assert sorted(together(attempt, 16)) == [200] + [401] * 15
