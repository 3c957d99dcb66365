import datetime as dt
import re

import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient
from rest_framework.throttling import SimpleRateThrottle

from apps.comptes.pages import NewPasswordForm, NewPasswordView
from apps.comptes.services import password_links
from apps.comptes.services.accounts import change_password, close_sessions
from apps.comptes.services.password_links import link_path
from apps.core.exceptions import Conflict
from apps.core.models import Role, User
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


def test_a_temporary_password_opens_no_administration_but_the_page_to_choose_another(rachidi):
    User.objects.update(mot_de_passe_temporaire=True)
    client, data = Client(), {"username": "rachidi", "password": PASSWORD}
    page = client.post(reverse("admin:login"), data)
    assert page.status_code == 200
    choose = client.get(re.search(r'href="(/mot-de-passe/[^"]+)"', page.text)[1], follow=True)
    new = {"new_password1": NEW, "new_password2": NEW}
    assert client.post(choose.request["PATH_INFO"], new).status_code == 302
    assert client.post(reverse("admin:login"), data | {"password": NEW}).status_code == 302


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


# --- Forgotten ---------------------------------------------------------------------------


def forget(client, email="awa@imsp.test", **extra):
    return client.post("/api/mot-de-passe/oubli/", {"email": email}, **extra)


def choose(client, path, new=NEW):
    _, _, uid, token, _ = path.split("/")
    body = {"uid": uid, "jeton": token, "nouveau_mot_de_passe": new}
    return client.post("/api/mot-de-passe/nouveau/", body)


@pytest.fixture
def mails(settings):
    settings.COURRIEL = True
    return mail.outbox


def link_in(message):
    return re.search(r"http://testserver(/mot-de-passe/\S+)", message.body)[1]


def test_a_forgotten_password_is_replaced_by_the_mailed_link(anyone, awa, mails):
    assert forget(anyone, "AWA@imsp.test").status_code == 202
    [message] = mails
    assert (message.to, message.from_email) == (["awa@imsp.test"], "banque-epreuves@localhost")
    assert "Bonjour Awa," in message.body
    assert "« awa »" in message.body
    assert "24 h" in message.body
    answer = choose(anyone, link_in(message))
    assert answer.status_code == 200
    assert profile(answer.json()["access"]).status_code == 200
    assert login(anyone, password=NEW).status_code == 200


def test_the_answer_does_not_tell_who_has_an_account(anyone, awa, mails):
    UserFactory(username="parti", email="parti@imsp.test", is_active=False)
    answers = [forget(anyone, f"{name}@imsp.test") for name in ("awa", "personne", "parti")]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert answers[0].content == answers[1].content == answers[2].content
    assert len(mails) == 1


def test_who_asks_does_not_wait_for_the_search_of_the_account(
    anyone, awa, mails, monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr("apps.comptes.tasks.mail_link", lambda email, site: None)
    with django_assert_num_queries(0):
        forget(anyone)


def test_without_a_mail_server_the_answer_says_whom_to_ask(anyone, awa, settings):
    settings.COURRIEL = False
    answer = forget(anyone)
    assert (answer.status_code, mail.outbox) == (202, [])
    assert "administrateur" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{}, {"email": "pas une adresse"}, {"email": ["a@b.c"]}, []])
def test_a_garbled_request_is_400(anyone, mails, body):
    assert anyone.post("/api/mot-de-passe/oubli/", body).status_code == 400


def test_nobody_floods_a_mailbox_and_others_go_on(anyone, awa, mails, monkeypatch):
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "oubli", "3/hour")
    same = ("awa@imsp.test", "AWA@imsp.test", "  awa@imsp.test", "awa@imsp.test\t")
    assert [forget(anyone, name).status_code for name in same] == [202, 202, 202, 429]
    assert forget(anyone, "koffi@imsp.test").status_code == 202
    assert forget(anyone, REMOTE_ADDR="10.1.2.3").status_code == 202


def test_one_address_does_not_fill_the_queue_with_mails(anyone, mails, monkeypatch):
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "oubli_adresse", "3/min")
    said = [forget(anyone, f"{n}@imsp.test").status_code for n in range(4)]
    assert said == [202, 202, 202, 429]
    assert forget(anyone, "5@imsp.test", REMOTE_ADDR="10.1.2.3").status_code == 202


# --- The link ----------------------------------------------------------------------------


def test_a_link_serves_once_and_closes_the_sessions(anyone, awa):
    access, link = login(anyone).json()["access"], None
    awa.refresh_from_db()
    link = link_path(awa)
    assert choose(anyone, link).status_code == 200
    assert profile(access).status_code == 401
    again = choose(anyone, link, NEW + "-2")
    assert (again.status_code, again.json()["errors"][0]["code"]) == (403, "lien_invalide")


def deactivated(user):
    User.objects.filter(pk=user.pk).update(is_active=False)


def deactivated_and_back(user):
    close_sessions(user)


def promoted(user):
    User.objects.filter(pk=user.pk).update(role=Role.ENSEIGNANT)


def deleted(user):
    user.delete()


@pytest.mark.parametrize("event", [deactivated, deactivated_and_back, promoted, deleted])
def test_a_link_ends_with_what_ends_the_sessions(anyone, awa, event):
    link = link_path(awa)
    event(awa)
    assert choose(anyone, link).status_code == 403
    assert Client().get(link).context["validlink"] is False


def test_a_link_lives_a_day(anyone, awa, monkeypatch):
    link = link_path(awa)
    later = dt.datetime.now() + dt.timedelta(hours=25)  # noqa: DTZ005 - as Django's own clock.
    monkeypatch.setattr(password_links.links, "_now", lambda: later)
    assert choose(anyone, link).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/mot-de-passe/é/x/",
        "/mot-de-passe/MQ/a-b/",
        "/mot-de-passe/OTk5OTk5OTk5OTk5OTk5OTk5OTk5/a-b/",
    ],
)
def test_a_made_up_link_is_refused_at_both_doors(anyone, awa, path):
    assert choose(anyone, path).status_code == 403
    assert Client().get(path).context["validlink"] is False


def test_a_weak_password_does_not_use_the_link_up(anyone, awa):
    link = link_path(awa)
    assert choose(anyone, link, "court").status_code == 400
    assert choose(anyone, link).status_code == 200


def test_a_link_ends_a_temporary_password_and_the_lock_of_the_account(anyone, newcomer):
    for _ in range(6):
        login(anyone, "nadege", "faux")
    assert choose(anyone, link_path(newcomer)).status_code == 200
    assert login(anyone, "nadege", NEW).status_code == 200


# --- The page ----------------------------------------------------------------------------


def test_the_page_of_the_link_takes_the_new_password(awa, anyone):
    browser = Client()
    page = browser.get(link_path(awa), follow=True)
    assert "awa" in page.content.decode()
    # The address that browsers and proxies note no longer holds the link.
    assert page.request["PATH_INFO"].endswith("/set-password/")
    data = {"new_password1": NEW, "new_password2": NEW}
    done = browser.post(page.request["PATH_INFO"], data, follow=True)
    assert "enregistré" in done.content.decode()
    assert login(anyone, password=NEW).status_code == 200


def test_the_page_says_what_is_wrong_with_a_password(awa, anyone):
    browser = Client()
    page = browser.get(link_path(awa), follow=True)
    said = browser.post(page.request["PATH_INFO"], {"new_password1": "a", "new_password2": "a"})
    assert "trop court" in said.content.decode()
    assert login(anyone).status_code == 200


def test_of_two_windows_on_one_link_the_second_is_told_that_it_served(awa, rf):
    page = NewPasswordView()
    page.setup(rf.post("/"))
    page.validlink = True
    data = {"new_password1": NEW, "new_password2": NEW}
    slow = NewPasswordForm(User.objects.get(pk=awa.pk), data)
    assert slow.is_valid()
    change_password(awa, NEW + "-2")
    assert page.form_valid(slow).context_data["validlink"] is False


# --- From an administrator ---------------------------------------------------------------


def link_page(user):
    return f"/admin/core/user/{user.pk}/lien/"


def test_an_administrator_makes_a_link_that_the_journal_does_not_repeat(desk, anyone, awa):
    assert link_page(awa) in desk.get(reverse("admin:core_user_change", args=[awa.pk])).text
    assert "/mot-de-passe/" not in desk.get(link_page(awa)).text
    made = re.search(r"http://testserver(/mot-de-passe/[^<\s]+)", desk.post(link_page(awa)).text)
    assert choose(anyone, made[1]).status_code == 200
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user.username) == (str(awa.pk), "rachidi")
    assert made[1].split("/")[3] not in entry.change_message


def test_a_closed_account_gets_no_link(desk, awa):
    deactivated(awa)
    assert "réactivez-le" in desk.post(link_page(awa)).text
    assert not LogEntry.objects.exists()


def test_only_administrators_make_links(awa, mme_dossou):
    client = Client()
    client.force_login(mme_dossou)
    assert client.post(link_page(awa)).status_code == 302


def test_a_link_for_nobody_is_404(desk):
    assert desk.get("/admin/core/user/999/lien/").status_code == 404
