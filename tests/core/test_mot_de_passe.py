import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.core.exceptions import Conflict
from apps.core.models import Role, User
from apps.core.services.accounts import change_password
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
NEW = "Kpodji-7-fromagers"


def change(client, username="awa", old=PASSWORD, new=NEW):
    body = {"username": username, "mot_de_passe": old, "nouveau_mot_de_passe": new}
    return client.post("/api/mot-de-passe/", body)


def login(client, username="awa", password=PASSWORD):
    return client.post("/api/token/", {"username": username, "password": password})


def profile(access):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client.get("/api/moi/")


@pytest.fixture
def newcomer(db):
    return UserFactory(username="nadege", mot_de_passe_temporaire=True)


@pytest.fixture
def desk(rachidi):
    client = Client()
    client.force_login(rachidi)
    return client


# --- Changing it -------------------------------------------------------------------------


def test_whoever_knows_the_password_changes_it_and_is_signed_in_here_alone(anyone, awa):
    before = login(anyone).json()
    answer = change(anyone)
    assert (answer.status_code, set(answer.json())) == (200, {"access", "refresh"})
    assert profile(answer.json()["access"]).json()["username"] == "awa"
    assert profile(before["access"]).status_code == 401
    assert login(anyone, password=PASSWORD).status_code == 401
    assert login(anyone, password=NEW).status_code == 200


@pytest.mark.parametrize(
    ("new", "code"),
    [
        ("court1", "password_too_short"),
        ("password", "password_too_common"),
        ("20261123", "password_entirely_numeric"),
        ("awa@imsp.test", "password_too_similar"),
        (PASSWORD, "password_unchanged"),
        ("x" * 129, "max_length"),
        ("", "blank"),
    ],
)
def test_a_weak_new_password_is_refused_in_french_beside_its_field(anyone, awa, new, code):
    answer = change(anyone, new=new)
    assert answer.status_code == 400
    said = answer.json()["errors"]
    assert (code, "nouveau_mot_de_passe") in {(error["code"], error["attr"]) for error in said}
    assert "mot de passe" in said[0]["detail"] or "champ" in said[0]["detail"]
    assert login(anyone).status_code == 200


def test_changing_counts_the_same_failures_as_signing_in(anyone, awa):
    assert [change(anyone, old="faux").status_code for _ in range(3)] == [401] * 3
    assert [login(anyone, password="faux").status_code for _ in range(2)] == [401] * 2
    assert (change(anyone).status_code, login(anyone).status_code) == (429, 429)


def test_a_wrong_password_and_an_unknown_account_are_told_alike(anyone, awa):
    wrong, unknown = change(anyone, old="faux"), change(anyone, "personne")
    assert wrong.json()["errors"] == unknown.json()["errors"]


def test_a_closed_account_changes_nothing(anyone):
    UserFactory(username="parti", is_active=False)
    assert change(anyone, "parti").status_code == 401


def test_of_two_changes_at_once_the_second_is_refused(awa):
    first, second = User.objects.get(pk=awa.pk), User.objects.get(pk=awa.pk)
    change_password(first, NEW)
    with pytest.raises(Conflict):
        change_password(second, NEW + "-2")
    awa.refresh_from_db()
    assert awa.check_password(NEW)


# --- Used once ---------------------------------------------------------------------------


def test_a_temporary_password_opens_no_session_and_says_what_to_do(anyone, newcomer):
    answer = login(anyone, "nadege")
    assert answer.status_code == 403
    [error] = answer.json()["errors"]
    assert error["code"] == "mot_de_passe_a_changer"
    assert "/api/mot-de-passe/" in error["detail"]


def test_a_temporary_password_is_told_apart_only_by_who_knows_it(anyone, newcomer):
    assert login(anyone, "nadege", "faux").status_code == 401


def test_a_temporary_password_serves_once_to_choose_another(anyone, newcomer):
    assert change(anyone, "nadege", new=PASSWORD).status_code == 400
    assert change(anyone, "nadege").status_code == 200
    assert change(anyone, "nadege").status_code == 401
    assert login(anyone, "nadege", NEW).status_code == 200


def test_a_temporary_password_opens_no_administration(rachidi):
    User.objects.update(mot_de_passe_temporaire=True)
    data = {"username": "rachidi", "password": PASSWORD}
    page = Client().post(reverse("admin:login"), data)
    assert page.status_code == 200
    assert "en choisir un autre" in page.content.decode()


def test_an_administrator_sets_a_temporary_password(desk, anyone, awa):
    url = reverse("admin:auth_user_password_change", args=[awa.pk])
    assert "temporaire" in desk.get(url).content.decode()
    data = {"usable_password": "true", "password1": NEW, "password2": NEW, "temporaire": "on"}
    assert desk.post(url, data).status_code == 302
    assert login(anyone, password=NEW).status_code == 403


def test_declaring_a_password_temporary_closes_the_sessions(desk, anyone, awa):
    access = login(anyone).json()["access"]
    url = reverse("admin:core_user_change", args=[awa.pk])
    data = {"username": "awa", "role": Role.ETUDIANT, "niveau": "", "is_active": "on"}
    assert desk.post(url, data | {"mot_de_passe_temporaire": "on"}).status_code == 302
    assert profile(access).status_code == 401
