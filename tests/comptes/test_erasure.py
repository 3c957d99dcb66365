import threading
import time
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from rest_framework.test import APIClient

from apps.comptes.services import erasure
from apps.comptes.services.erasure import erase_account
from apps.core.models import (
    Commentaire,
    Epreuve,
    Interaction,
    Role,
    Signalement,
    StatutCommentaire,
    TypeInteraction,
    User,
)
from apps.core.selectors import popularity
from apps.core.services import journal
from apps.core.services.commentaires import moderate_comment
from apps.core.services.counters import recount
from apps.core.services.epreuves import refresh_search_text
from apps.core.signals import account_erased
from tests.factories import (
    PASSWORD,
    CommentaireFactory,
    EpreuveFactory,
    EvaluationFactory,
    FavoriFactory,
    SignalementFactory,
    UserFactory,
    seen,
)

pytestmark = pytest.mark.django_db
URL = "/api/moi/"


def signed_in(user: User) -> tuple[APIClient, dict[str, str]]:
    client = APIClient()
    body = {"username": user.username, "password": PASSWORD}
    tokens = client.post("/api/token/", body).json()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
    return client, tokens


def refused(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


# --- Who may -----------------------------------------------------------------------------


def test_the_password_is_asked_for(api, awa):
    assert refused(api(awa).delete(URL)) == (400, "required")
    answer = api(awa).delete(URL, {"password": "pas-le-mien"})
    assert refused(answer) == (400, "mot_de_passe_incorrect")
    assert answer.json()["errors"][0]["attr"] == "password"
    assert User.objects.filter(pk=awa.pk).exists()


def test_its_failures_count_with_those_of_the_login(api, awa, anyone):
    for _ in range(3):
        api(awa).delete(URL, {"password": "faux"})
    for _ in range(2):
        anyone.post("/api/token/", {"username": "awa", "password": "faux"})
    assert refused(api(awa).delete(URL, {"password": PASSWORD})) == (429, "throttled")
    assert refused(anyone.post("/api/token/", {"username": "awa", "password": PASSWORD}))[0] == 429
    assert User.objects.filter(pk=awa.pk).exists()


def test_the_password_of_another_does_not_serve(api, awa, koffi):
    koffi.set_password("celui-de-koffi")
    koffi.save()
    answer = api(awa).delete(URL, {"password": "celui-de-koffi"})
    assert refused(answer) == (400, "mot_de_passe_incorrect")


def test_the_last_administrateur_stays(api, rachidi):
    UserFactory(role=Role.ADMINISTRATEUR, is_active=False)
    answer = api(rachidi).delete(URL, {"password": PASSWORD})
    assert refused(answer) == (409, "dernier_administrateur")
    assert User.objects.filter(pk=rachidi.pk).exists()
    UserFactory(role=Role.ADMINISTRATEUR)
    assert api(rachidi).delete(URL, {"password": PASSWORD}).status_code == 204


@pytest.mark.requires("postgresql")
@pytest.mark.django_db(transaction=True)
def test_of_two_last_administrateurs_who_leave_at_once_one_stays():
    both = UserFactory.create_batch(2, role=Role.ADMINISTRATEUR)
    statuses = []

    def leave(user: User) -> None:
        client, _ = signed_in(user)
        start.wait(30)
        statuses.append(client.delete(URL, {"password": PASSWORD}).status_code)
        connection.close()

    start = threading.Barrier(2)
    threads = [threading.Thread(target=leave, args=(user,)) for user in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [204, 409]
    assert User.objects.filter(role=Role.ADMINISTRATEUR).count() == 1


# --- What goes ---------------------------------------------------------------------------


def test_every_token_and_session_ends_at_once(awa, anyone):
    client, tokens = signed_in(awa)
    other, _ = signed_in(awa)
    assert client.delete(URL, {"password": PASSWORD}).status_code == 204
    assert [one.get(URL).status_code for one in (client, other)] == [401, 401]
    answer = anyone.post("/api/token/refresh/", {"refresh": tokens["refresh"]})
    assert answer.status_code == 401
    answer = anyone.post("/api/token/", {"username": "awa", "password": PASSWORD})
    assert refused(answer) == (401, "no_active_account")


def test_a_session_of_the_administration_ends_and_that_of_another_goes_on(rachidi):
    other = UserFactory(role=Role.ADMINISTRATEUR)
    hers, his = Client(), Client()
    hers.force_login(other)
    his.force_login(rachidi)
    erase_account(other)
    assert hers.get("/admin/").status_code == 302
    assert his.get("/admin/").status_code == 200


def test_what_i_liked_is_popular_no_more(awa, koffi):
    mine, ours = EpreuveFactory.create_batch(2)
    seen(awa, mine, ours, type_interaction=TypeInteraction.TELECHARGEMENT)
    seen(koffi, ours)
    FavoriFactory(user=awa, epreuve=mine)
    erase_account(awa)
    assert {pk: rank.total for pk, rank in popularity().items()} == {ours.pk: 1}
    assert set(Interaction.objects.values_list("user", flat=True)) == {koffi.pk}


def test_counters_are_counted_again_without_what_was_mine_even_one_that_was_wrong(awa, koffi):
    epreuve, other = EpreuveFactory.create_batch(2)
    seen(awa, epreuve)
    seen(awa, epreuve, days_ago=1)
    seen(awa, epreuve, type_interaction=TypeInteraction.TELECHARGEMENT)
    seen(koffi, epreuve, other)
    EvaluationFactory(user=awa, epreuve=epreuve, note_difficulte=1, note_pertinence=5)
    EvaluationFactory(user=koffi, epreuve=epreuve, note_difficulte=4, note_pertinence=2)
    recount([epreuve.pk, other.pk])
    # Of an épreuve that was none of mine, and of one that was.
    Epreuve.objects.filter(pk=other.pk).update(nb_vues=7)
    Epreuve.objects.filter(pk=epreuve.pk).update(nb_telechargements=0)
    erase_account(awa)
    epreuve.refresh_from_db()
    other.refresh_from_db()
    assert (epreuve.nb_vues, epreuve.nb_telechargements, other.nb_vues) == (1, 0, 7)
    notes = (epreuve.nb_evaluations, epreuve.somme_difficulte, epreuve.somme_pertinence)
    assert notes == (1, 4, 2)


def test_a_comment_that_was_answered_keeps_its_place_without_its_words(awa, koffi):
    answered, alone = CommentaireFactory.create_batch(2, auteur=awa)
    theirs = CommentaireFactory(auteur=koffi)
    reply = CommentaireFactory(auteur=koffi, parent=answered, epreuve=answered.epreuve)
    mine = CommentaireFactory(auteur=awa, parent=theirs, epreuve=theirs.epreuve)
    own = CommentaireFactory(auteur=awa)
    CommentaireFactory(auteur=awa, parent=own, epreuve=own.epreuve)
    SignalementFactory(commentaire=answered, user=koffi, motif="Awa exagère.")
    erase_account(awa)
    left = Commentaire.objects.order_by("pk").values_list("pk", "auteur", "contenu")
    assert list(left) == [
        (answered.pk, None, "Commentaire supprimé"),
        (theirs.pk, koffi.pk, theirs.contenu),
        (reply.pk, koffi.pk, reply.contenu),
    ]
    assert not Signalement.objects.exists()
    assert mine.pk not in {pk for pk, _, _ in left}
    assert alone.pk not in {pk for pk, _, _ in left}


def test_what_was_hidden_does_not_come_back(awa, koffi, rachidi):
    masked = CommentaireFactory(auteur=awa, statut=StatutCommentaire.MASQUE)
    CommentaireFactory(auteur=koffi, parent=masked, epreuve=masked.epreuve)
    erase_account(awa)
    masked.refresh_from_db()
    assert masked.statut == StatutCommentaire.MASQUE


def test_an_epreuve_that_names_a_namesake_keeps_the_name(mme_dossou):
    namesake = EpreuveFactory(enseignant_nom="Reine Dossou")
    taught = EpreuveFactory(enseignant=mme_dossou)
    refresh_search_text(Epreuve.objects.all())
    erase_account(mme_dossou)
    namesake.refresh_from_db()
    assert namesake.enseignant_nom == "Reine Dossou"
    assert list(Epreuve.objects.matching("dossou")) == [namesake]
    taught.refresh_from_db()
    assert taught.enseignant is None


def test_a_student_leaves_no_line_and_the_lines_about_them_no_name(awa, koffi, rachidi):
    deleted, masked = CommentaireFactory.create_batch(2, auteur=awa)
    theirs = CommentaireFactory(auteur=koffi)
    moderate_comment(deleted, StatutCommentaire.SUPPRIME, par=awa)
    moderate_comment(masked, StatutCommentaire.MASQUE, par=rachidi)
    moderate_comment(theirs, StatutCommentaire.MASQUE, par=rachidi)
    journal.note(awa, "Rôle revu.", par=rachidi)
    journal.note(koffi, "Rôle revu.", par=rachidi)
    journal.note(EpreuveFactory(titre="La awa du Mono"), "Déposée.", par=rachidi)
    erase_account(awa)
    lines = LogEntry.objects.order_by("pk").values_list("user", "object_id", "object_repr")
    assert list(lines) == [
        (rachidi.pk, str(masked.pk), f"Compte supprimé — {masked.epreuve}"),
        (rachidi.pk, str(theirs.pk), f"koffi — {theirs.epreuve}"),
        (rachidi.pk, None, "Compte supprimé"),
        (rachidi.pk, str(koffi.pk), "koffi"),
        (rachidi.pk, str(Epreuve.objects.get(titre="La awa du Mono").pk), "La awa du Mono"),
    ]
    assert not User.objects.filter(username__startswith="compte-supprime").exists()


def test_failed_logins_of_others_stay(awa, koffi, anyone):
    from axes.models import AccessAttempt

    for username in ("awa", "Awa@imsp.test", "koffi"):
        anyone.post("/api/token/", {"username": username, "password": "faux"})
    erase_account(awa)
    assert list(AccessAttempt.objects.values_list("username", flat=True)) == ["koffi"]


@pytest.mark.parametrize("module", ["core", "comptes"])
def test_a_link_asked_for_before_its_task_moved_goes_too(awa, koffi, module):
    for user in (awa, koffi):
        DBTaskResult.objects.create(
            task_path=f"apps.{module}.tasks.mail_link_task",
            args_kwargs={"args": [user.email, "https://banque.example", "x"], "kwargs": {}},
            backend_name="default",
            run_after=timezone.now(),
            exception_class_path="",
            traceback="",
        )
    erase_account(awa)
    assert [row.args_kwargs["args"][0] for row in DBTaskResult.objects.all()] == [koffi.email]


# --- All or nothing ----------------------------------------------------------------------


@pytest.fixture
def announced():
    """How often it was said that somebody left."""
    times = []

    def count(**kwargs):
        times.append(1)

    account_erased.connect(count)
    yield times
    account_erased.disconnect(count)


def test_a_crash_in_the_middle_erases_nothing_and_announces_nothing(
    awa, monkeypatch, announced, django_capture_on_commit_callbacks
):
    seen(awa, EpreuveFactory())

    def crash(user):
        raise RuntimeError("coupure")

    monkeypatch.setattr(erasure, "_forget_logins", crash)
    with django_capture_on_commit_callbacks(execute=True), pytest.raises(RuntimeError):
        erase_account(awa)
    assert User.objects.filter(pk=awa.pk).exists()
    assert Interaction.objects.filter(user=awa).exists()
    assert announced == []


@pytest.mark.django_db(transaction=True)
def test_what_is_written_in_the_meantime_is_a_conflict_and_leaves_nothing(
    awa, koffi, monkeypatch, caplog
):
    """Of the account that goes, and in answer to its words: neither can stay, neither is a 500."""
    comment = CommentaireFactory(auteur=awa)
    body = {"epreuve": comment.epreuve_id, "contenu": "Oui", "parent": comment.pk}
    paused, go_on = threading.Event(), threading.Event()
    forget = erasure._forget_logins
    (mine, _), (theirs, _) = signed_in(awa), signed_in(koffi)

    def slowly(user):
        paused.set()
        assert go_on.wait(30)
        forget(user)

    monkeypatch.setattr(erasure, "_forget_logins", slowly)
    answers = {}

    def leave():
        erase_account(awa)
        connection.close()

    def write(client, url, body):
        answers[url] = client.post(url, body).status_code
        connection.close()

    view = f"/api/epreuves/{comment.epreuve_id}/view/"
    threads = [threading.Thread(target=leave)]
    threads[0].start()
    assert paused.wait(30)
    for client, url, content in ((mine, view, {}), (theirs, "/api/commentaires/", body)):
        threads.append(threading.Thread(target=write, args=(client, url, content)))
        threads[-1].start()
    time.sleep(0.5)  # They have read by then what they are about to write on.
    go_on.set()
    for thread in threads:
        thread.join()
    assert answers == {view: 409, "/api/commentaires/": 409}
    assert not Interaction.objects.exists()
    assert not Commentaire.objects.exists()
    assert f"({awa.pk})" not in caplog.text


def test_erasing_twice_is_once(awa, announced, django_capture_on_commit_callbacks):
    same = User.objects.get(pk=awa.pk)
    with django_capture_on_commit_callbacks(execute=True):
        erase_account(awa)
        erase_account(same)
    assert announced == [1]


# --- The command -------------------------------------------------------------------------


def run(*args: str, **options: object) -> str:
    out = StringIO()
    call_command("erase_accounts", *args, stdout=out, **options)
    return out.getvalue()


def test_the_command_erases_those_it_is_given(awa, koffi):
    assert run("AWA") == "awa : effacé.\n1 compte(s).\n"
    assert list(User.objects.all()) == [koffi]


def test_an_unknown_name_erases_nobody(awa):
    with pytest.raises(CommandError, match="Inconnus : personne"):
        run("awa", "personne")
    assert User.objects.filter(pk=awa.pk).exists()


def test_the_command_keeps_the_last_administrateur(rachidi):
    with pytest.raises(CommandError, match="nommez"):
        run("rachidi")


def test_a_restored_account_is_erased_again_by_the_log(
    awa, koffi, tmp_path, caplog, django_capture_on_commit_callbacks
):
    back = User.objects.values().get(pk=awa.pk)
    with django_capture_on_commit_callbacks(execute=True), caplog.at_level("INFO"):
        erase_account(awa)
    assert "Compte effacé" in caplog.text
    path = tmp_path / "journal"
    path.write_text(caplog.text, "utf-8")
    # Somebody else may have got the same number meanwhile.
    User.objects.create(**back)
    assert run(journal=str(path), dry_run=True) == "awa : à effacer.\n1 compte(s).\n"
    assert run(journal=str(path)) == "awa : effacé.\n1 compte(s).\n"
    UserFactory(pk=awa.pk)
    assert run(journal=str(path)) == "0 compte(s).\n"
    assert User.objects.filter(pk=koffi.pk).exists()
