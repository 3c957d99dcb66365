"""From draft to archive: who moves an épreuve, from where, and what is told of it."""

from threading import Barrier, Thread

import pytest
from django.contrib.admin.models import LogEntry
from django.db import IntegrityError, connection, transaction

from apps.core.exceptions import Conflict
from apps.core.models import Epreuve, Statut
from apps.core.review import TRANSITIONS, Action, Who, actions_from
from apps.core.services.epreuves import move_epreuve
from tests.core.test_files import deposit
from tests.factories import EpreuveFactory, moved, pdf, with_file

pytestmark = pytest.mark.django_db
MOVES = [action for action in Action if action != Action.ARCHIVER]


def take(client, epreuve, action, **body):
    url = f"/api/epreuves/{epreuve.pk}/"
    if action == Action.ARCHIVER:
        return client.delete(url)
    if action == Action.REJETER:
        body = {"motif": "Page 2 illisible."} | body
    return client.post(f"{url}{action.value}/", body)


def told():
    return list(LogEntry.objects.order_by("pk").values_list("user__username", "change_message"))


def someone_who_may(action, request):
    return request.getfixturevalue(
        "rachidi" if Who.ADMINISTRATEUR in TRANSITIONS[action].who else "mme_dossou"
    )


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("statut", Statut)
def test_every_move_is_as_the_table_says_and_leaves_one_line(
    api, mme_dossou, request, action, statut
):
    epreuve = EpreuveFactory(statut=statut, depose_par=mme_dossou)
    who = someone_who_may(action, request)
    answer = take(api(who), epreuve, action)
    after = Epreuve.objects.get()
    if (action, statut) == (Action.SOUMETTRE, Statut.ARCHIVEE):
        assert answer.status_code == 404  # Its author sees it no more.
    elif statut in TRANSITIONS[action].before:
        assert answer.status_code == (204 if action == Action.ARCHIVER else 200)
        assert after.statut == TRANSITIONS[action].after
        (line,) = told()
        assert line[0] == who.username
        assert line[1].startswith(f"{action.label} : {statut.label} → {after.get_statut_display()}")
    else:
        assert answer.status_code == 409
        (error,) = answer.json()["errors"]
        assert error["code"] == "transition_impossible"
        assert f"« {statut.label} »" in error["detail"]
        assert all(possible.value in error["detail"] for possible in actions_from(statut))
        assert (after.statut, told()) == (statut, [])


def test_a_draft_becomes_a_published_epreuve(api, mme_dossou, rachidi, awa):
    answer = deposit(api(mme_dossou), statut="brouillon")
    assert (answer.status_code, answer.json()["statut"]) == (201, "brouillon")
    epreuve = Epreuve.objects.get()
    assert api(rachidi).post(f"/api/epreuves/{epreuve.pk}/publier/").status_code == 409
    assert take(api(mme_dossou), epreuve, Action.SOUMETTRE).json()["statut"] == "soumise"
    assert take(api(rachidi), epreuve, Action.PUBLIER).json()["date_publication"]
    assert api(awa).get(f"/api/epreuves/{epreuve.pk}/").json()["statut"] == "publiee"
    assert told() == [
        ("dossou", "Déposée : Brouillon."),
        ("dossou", "Soumettre : Brouillon → Soumise."),
        ("rachidi", "Publier : Soumise → Publiée."),
    ]


def test_only_an_administrator_deposits_published(api, mme_dossou, rachidi):
    assert deposit(api(mme_dossou), statut="publiee").status_code == 403
    assert deposit(api(rachidi), statut="publiee").json()["statut"] == "publiee"
    assert deposit(api(rachidi), statut="rejetee").status_code == 400


def test_a_rejection_says_why_until_it_is_submitted_again(api, mme_dossou, rachidi):
    epreuve = EpreuveFactory(statut=Statut.SOUMISE, depose_par=mme_dossou)
    take(api(rachidi), epreuve, Action.REJETER, motif="Page 2 illisible.")
    url = f"/api/epreuves/{epreuve.pk}/"
    assert api(mme_dossou).get(url).json()["motif_rejet"] == "Page 2 illisible."
    api(mme_dossou).patch(url, {"titre": "Recopiée"})
    assert api(mme_dossou).get(url).json()["motif_rejet"] == "Page 2 illisible."
    again = take(api(mme_dossou), epreuve, Action.SOUMETTRE).json()
    assert (again["statut"], again["motif_rejet"]) == ("soumise", "")


@pytest.mark.parametrize("motif", [None, "", "  ", "\u200b", "x" * 1001, "a\0b", []])
def test_a_rejection_without_a_reason_is_refused(api, rachidi, motif):
    epreuve = EpreuveFactory(statut=Statut.SOUMISE)
    answer = take(api(rachidi), epreuve, Action.REJETER, motif=motif)
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "motif")
    assert Epreuve.objects.get().statut == Statut.SOUMISE


@pytest.mark.parametrize(
    ("statut", "motif"), [(Statut.REJETEE, ""), (Statut.PUBLIEE, "Page 2 illisible.")]
)
def test_the_database_too_keeps_the_reason_with_the_rejection(statut, motif):
    with pytest.raises(IntegrityError), transaction.atomic():
        EpreuveFactory(statut=statut, motif_rejet=motif)


def test_an_author_s_correction_of_what_is_published_counts_at_once_and_is_told(
    api, anyone, mme_dossou
):
    epreuve = with_file(EpreuveFactory(depose_par=mme_dossou))
    url = f"/api/epreuves/{epreuve.pk}/"
    api(mme_dossou).patch(url, {"titre": "Corrigée", "annee": 2023})
    card = anyone.get(url).json()
    assert (card["titre"], card["statut"]) == ("Corrigée", "publiee")
    assert told() == [("dossou", "Modifiée : titre, année.")]


def test_published_again_an_epreuve_keeps_its_first_date():
    first = EpreuveFactory().date_publication
    for action in (Action.ARCHIVER, Action.RESTAURER, Action.PUBLIER):
        epreuve = moved(Epreuve.objects.get(), action)
    assert epreuve.date_publication == first


def test_what_was_deposited_again_meanwhile_is_not_restored(api, rachidi):
    archived = with_file(EpreuveFactory(statut=Statut.ARCHIVEE), pdf("le même"))
    with_file(EpreuveFactory(), pdf("le même"))
    answer = take(api(rachidi), archived, Action.RESTAURER)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "fichier_duplique")
    assert told() == []


@pytest.mark.django_db(transaction=True)
def test_of_two_moderators_who_decide_at_once_one_does(rachidi):
    epreuve, together, outcomes = EpreuveFactory(statut=Statut.SOUMISE), Barrier(2), []

    def decide(action, motif):
        together.wait()
        try:
            outcomes.append(move_epreuve(epreuve, action, par=rachidi, motif=motif).statut)
        except Conflict as conflict:
            outcomes.append(conflict.status_code)
        finally:
            connection.close()

    threads = [Thread(target=decide, args=(Action.REJETER, "Illisible.")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["409", "rejetee"]
    assert len(told()) == 1
