"""What is shown is logged, what is opened of it counts once, and nothing of it can do harm."""

import datetime as dt
import uuid

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.utils import timezone

from apps.core.models import Epreuve, Interaction
from apps.core.services.interactions import record_interaction
from apps.recommender.models import ReponseServie
from apps.recommender.services import answers
from tests.core.test_interactions import at_once
from tests.factories import EpreuveFactory, UserFactory, with_file

pytestmark = pytest.mark.django_db

PERSONALIZED, SIMILAR = "/api/recommendations/personalized/", "/api/recommendations/similar/"


@pytest.fixture
def shown(api, awa):
    """Two épreuves, recommended to Awa."""
    EpreuveFactory.create_batch(2)
    return api(awa).get(PERSONALIZED).json()


def ids(answer) -> list[int]:
    return [one["epreuve"]["id"] for one in answer["recommendations"]]


def opened(client, answer, rang=1, how="view", **body):
    url = f"/api/epreuves/{ids(answer)[rang - 1]}/{how}/"
    return client.post(url, {"requete_id": answer["requete_id"]} | body)


# --- The log -----------------------------------------------------------------------------


def test_an_answer_is_logged_as_it_was_shown(shown, awa):
    logged = ReponseServie.objects.get()
    assert str(logged.pk) == shown["requete_id"]
    assert (logged.user, logged.genre, logged.version_modele) == (awa, "personnalisee", "")
    assert logged.epreuves == ids(shown)
    assert logged.sources.split() == [one["source"] for one in shown["recommendations"]]
    assert (logged.clics, timezone.now() - logged.date < dt.timedelta(minutes=1)) == ("", True)


def test_the_version_of_the_model_is_logged(trained, bank, api):
    client = api(bank.students["MATH"][0])
    answer = client.get(SIMILAR, {"epreuve_id": bank.epreuves["MATH"][0].pk}).json()
    logged = ReponseServie.objects.get(pk=answer["requete_id"])
    assert (logged.genre, logged.version_modele) == ("similaire", "v1")
    assert set(logged.sources.split()) <= {"ncf", "contenu"}


def test_each_answer_has_its_own_id_and_equal_ones_their_etag(shown, api, awa):
    client = api(awa)
    again, once_more = (client.get(PERSONALIZED) for _ in range(2))
    assert again.json()["depuis_cache"] is True
    assert again["ETag"] == once_more["ETag"]
    told = {shown["requete_id"], again.json()["requete_id"], once_more.json()["requete_id"]}
    assert {str(pk) for pk in ReponseServie.objects.values_list("pk", flat=True)} == told
    assert len(told) == 3


def test_only_what_is_read_anew_is_logged(shown, api, awa):
    """A 304 leaves the client the body it has, with the id of then; HEAD shows nothing."""
    etag = api(awa).get(PERSONALIZED)["ETag"]
    before = ReponseServie.objects.count()
    assert api(awa).get(PERSONALIZED, headers={"If-None-Match": etag}).status_code == 304
    assert api(awa).head(PERSONALIZED).status_code == 200
    assert api(awa).get(PERSONALIZED, {"top_k": 0}).status_code == 400
    assert ReponseServie.objects.count() == before


def test_the_epreuves_are_logged_whatever_fields_were_asked_for(api, awa):
    epreuve = EpreuveFactory()
    api(awa).get(PERSONALIZED, {"champs": "titre"})
    assert ReponseServie.objects.get().epreuves == [epreuve.pk]


def test_of_who_declined_personalisation_nothing_is_kept(api, awa):
    EpreuveFactory()
    awa.personnalisation = False
    awa.save()
    answer = api(awa).get(PERSONALIZED).json()
    assert uuid.UUID(answer["requete_id"])
    assert not ReponseServie.objects.exists()
    assert opened(api(awa), answer).status_code == 201
    assert Interaction.objects.get().contexte == "direct"


def test_a_database_that_takes_no_line_costs_nobody_the_answer(api, awa, monkeypatch, caplog):
    EpreuveFactory()

    def full(self, **kwargs):
        raise OperationalError(f"could not extend file: user {awa.pk}")

    monkeypatch.setattr(ReponseServie, "save", full)
    answer = api(awa).get(PERSONALIZED)
    assert (answer.status_code, answer.json()["count"]) == (200, 1)
    (said,) = [line.getMessage() for line in caplog.records if line.name == answers.__name__]
    assert said == "Réponse servie mais non journalisée : OperationalError"
    assert opened(api(awa), answer.json()).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_an_account_erased_before_its_answer_is_logged_leaves_nothing(awa, caplog):
    entry = ReponseServie(user=awa, genre="similaire", epreuves=[1], sources="contenu")
    type(awa).objects.filter(pk=awa.pk).delete()
    answers.log_answer(entry)
    assert not ReponseServie.objects.exists()
    assert caplog.records == []


# --- Clicks ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["view", "download"])
def test_what_is_opened_with_its_id_is_a_click(shown, api, awa, how):
    for epreuve in Epreuve.objects.all():
        with_file(epreuve)
    assert opened(api(awa), shown, rang=2, how=how).status_code < 300
    assert ReponseServie.objects.get().clics == "2"
    interaction = Interaction.objects.get()
    assert (interaction.contexte, str(interaction.requete_id)) == (
        "personnalisee",
        shown["requete_id"],
    )


def test_an_epreuve_near_another_is_followed_too(api, awa):
    first, _ = EpreuveFactory.create_batch(2, titre="Topologie générale")
    answer = api(awa).get(SIMILAR, {"epreuve_id": first.pk}).json()
    opened(api(awa), answer)
    assert ReponseServie.objects.get().clics == "1"
    assert Interaction.objects.get().contexte == "similaire"


def test_a_click_that_is_sent_again_counts_once(shown, api, awa):
    for rang in (2, 1, 2, 1):
        opened(api(awa), shown, rang)
    assert ReponseServie.objects.get().clics == "1 2"
    assert Interaction.objects.count() == 2


def test_to_view_and_to_download_is_one_click(shown, api, awa):
    with_file(Epreuve.objects.get(pk=ids(shown)[0]))
    for how in ("view", "download"):
        opened(api(awa), shown, how=how)
    assert ReponseServie.objects.get().clics == "1"
    assert Interaction.objects.filter(requete_id=shown["requete_id"]).count() == 2


def test_a_view_without_an_id_may_be_joined_in_the_same_half_hour(shown, api, awa):
    api(awa).post(f"/api/epreuves/{ids(shown)[0]}/view/", {"contexte": "recherche"})
    joined = opened(api(awa), shown)
    assert (joined.status_code, joined.json()["enregistree"]) == (200, False)
    assert ReponseServie.objects.get().clics == "1"
    interaction = Interaction.objects.get()
    assert (interaction.contexte, str(interaction.requete_id)) == (
        "personnalisee",
        shown["requete_id"],
    )
    assert interaction.epreuve.nb_vues == 1


def test_two_answers_that_showed_it_are_both_clicked_and_the_first_is_kept(shown, api, awa):
    again = api(awa).get(PERSONALIZED, {"exclude_seen": False}).json()
    for answer in (shown, again):
        opened(api(awa), answer, rang=ids(answer).index(ids(shown)[0]) + 1)
    assert "" not in ReponseServie.objects.values_list("clics", flat=True)
    assert str(Interaction.objects.get().requete_id) == shown["requete_id"]


def test_an_id_that_is_not_mine_or_shows_something_else_is_ignored_without_a_word(
    shown, api, awa, koffi
):
    """The same answer for each: it must not tell whether somebody else was answered so."""
    elsewhere = EpreuveFactory()
    said = [
        opened(api(koffi), shown),
        api(koffi).post(f"/api/epreuves/{ids(shown)[1]}/view/", {"requete_id": str(uuid.uuid4())}),
        api(awa).post(f"/api/epreuves/{elsewhere.pk}/view/", {"requete_id": shown["requete_id"]}),
        api(awa).post(f"/api/epreuves/{ids(shown)[1]}/view/", {"requete_id": None}),
    ]
    assert {answer.status_code for answer in said} == {201}
    assert ReponseServie.objects.get().clics == ""
    assert {*Interaction.objects.values_list("contexte", "requete_id")} == {("direct", None)}


def test_after_a_day_it_is_no_longer_opened_because_it_was_shown(shown, api, awa):
    for hours, rang, clics in ((25, 1, ""), (23, 2, "2")):
        ReponseServie.objects.update(date=timezone.now() - dt.timedelta(hours=hours))
        assert opened(api(awa), shown, rang).status_code == 201
        assert ReponseServie.objects.get().clics == clics


@pytest.mark.parametrize("malformed", ["x", "", 1.5, [], {}, "0" * 31, "\0"])
@pytest.mark.parametrize("how", ["view", "download"])
def test_an_id_that_is_none_is_a_400_that_says_what_to_send(shown, api, awa, how, malformed):
    refused = opened(api(awa), shown, how=how, requete_id=malformed)
    assert (refused.status_code, refused.json()["errors"][0]["attr"]) == (400, "requete_id")
    assert not Interaction.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_clicks_at_once_on_one_answer_are_all_kept():
    user, epreuves = UserFactory(), EpreuveFactory.create_batch(4)
    order = [epreuve.pk for epreuve in epreuves]
    entry = ReponseServie(user=user, genre="personnalisee", epreuves=order, sources="ncf " * 4)
    answers.log_answer(entry)

    def click(epreuve):
        return record_interaction(
            user=user, epreuve=epreuve, type_interaction="vue", requete_id=entry.pk
        )

    assert at_once(click, [*epreuves, *epreuves]).count(True) == 4
    assert ReponseServie.objects.get().clics == "1 2 3 4"
    assert {*Interaction.objects.values_list("requete_id", flat=True)} == {entry.pk}


# --- The purge ---------------------------------------------------------------------------


def logged(user, days: int) -> ReponseServie:
    date = timezone.now() - dt.timedelta(days=days)
    return ReponseServie.objects.create(user=user, genre="similaire", epreuves=[], date=date)


def test_what_is_older_than_the_setting_is_purged_in_slices(awa, settings, monkeypatch, capsys):
    monkeypatch.setattr(answers, "SLICE", 2)
    settings.JOURNAL_REPONSES_JOURS = 30
    kept = logged(awa, 29)
    for days in (31, 40, 91, 400, 401):
        logged(awa, days)
    call_command("purge_answers")
    assert capsys.readouterr().out == "5 réponses servies effacées.\n"
    assert list(ReponseServie.objects.all()) == [kept]
    call_command("purge_answers", verbosity=0)
    assert capsys.readouterr().out == ""


def test_a_person_takes_their_log_along_and_nobody_else_s(shown, api, awa, koffi):
    opened(api(awa), shown)
    (mine,) = api(awa).get("/api/moi/export/").json()["recommandations_recues"]
    assert (mine["requete_id"], mine["epreuves"], mine["clics"]) == (
        shown["requete_id"],
        ids(shown),
        "1",
    )
    assert api(koffi).get("/api/moi/export/").json()["recommandations_recues"] == []
