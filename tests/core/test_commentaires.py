from threading import Barrier, Thread

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.throttling import SimpleRateThrottle

from apps.core.exceptions import Conflict
from apps.core.models import Commentaire, Interaction, Signalement, Statut, StatutCommentaire
from apps.core.services.commentaires import edit_comment, moderate_comment, report_comment
from tests.factories import CommentaireFactory, EpreuveFactory, UserFactory

pytestmark = pytest.mark.django_db
URL = "/api/commentaires/"


def post(client, epreuve, contenu="Très bonne épreuve!", **more):
    return client.post(URL, {"epreuve": epreuve.pk, "contenu": contenu} | more)


def shown(client, epreuve):
    answer = client.get(URL, {"epreuve": epreuve.pk})
    assert answer.status_code == 200
    return [row["contenu"] for row in answer.json()["results"]]


def test_a_comment_is_201_and_says_who_wrote_it(api, awa):
    epreuve = EpreuveFactory()
    answer = post(api(awa), epreuve)
    assert answer.status_code == 201
    body = answer.json()
    assert body.pop("date_creation").endswith("Z")
    assert body.pop("date_modification").endswith("Z")
    assert body == {
        "id": Commentaire.objects.get().pk,
        "epreuve": epreuve.pk,
        "auteur": {"id": awa.pk, "nom": "Awa"},
        "contenu": "Très bonne épreuve!",
        "parent": None,
        "nb_reponses": 0,
        "statut": "visible",
    }
    assert Interaction.objects.get().type_interaction == "commentaire"


def test_an_epreuve_shows_its_comments_oldest_first_and_counts_replies(api, awa, koffi):
    epreuve = EpreuveFactory()
    first = post(api(awa), epreuve, "Question").json()["id"]
    assert post(api(koffi), epreuve, "Réponse", parent=first).status_code == 201
    CommentaireFactory()
    rows = api(awa).get(URL, {"epreuve": epreuve.pk}).json()["results"]
    assert [(row["contenu"], row["parent"], row["nb_reponses"]) for row in rows] == [
        ("Question", None, 1),
        ("Réponse", first, 0),
    ]


def test_without_an_epreuve_the_list_is_mine(api, awa):
    CommentaireFactory()
    mine = CommentaireFactory(auteur=awa)
    body = api(awa).get(URL).json()
    assert [row["id"] for row in body["results"]] == [mine.pk]


@pytest.mark.parametrize("params", [{}, {"epreuve": None}])
def test_the_list_takes_as_many_queries_for_ten_as_for_two(
    api, awa, django_assert_num_queries, params
):
    epreuve = EpreuveFactory()
    params = dict.fromkeys(params, epreuve.pk)

    def rows(count):
        CommentaireFactory.create_batch(count, epreuve=epreuve, auteur=awa)
        for _ in range(count):
            CommentaireFactory(epreuve=epreuve, auteur=UserFactory())

    rows(2)
    with CaptureQueriesContext(connection) as few:
        api(awa).get(URL, params)
    rows(6)
    with django_assert_num_queries(len(few)):
        assert api(awa).get(URL, params).json()["count"] >= 8


def test_a_reply_to_a_reply_is_refused(api, awa):
    epreuve = EpreuveFactory()
    parent = CommentaireFactory(epreuve=epreuve)
    reply = CommentaireFactory(epreuve=epreuve, parent=parent)
    answer = post(api(awa), epreuve, parent=reply.pk)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == "parent"


def test_a_reply_stays_under_its_epreuve(api, awa):
    assert post(api(awa), EpreuveFactory(), parent=CommentaireFactory().pk).status_code == 400


@pytest.mark.parametrize("statut", ["masque", "supprime"])
def test_a_hidden_comment_takes_no_reply(api, awa, statut):
    parent = CommentaireFactory(statut=statut)
    assert post(api(awa), parent.epreuve, parent=parent.pk).status_code == 400


@pytest.mark.parametrize("contenu", ["\u200b", "\u202e \u2066", "\ufe0f\u0301", "\u3164", "\u2800"])
def test_a_text_with_nothing_to_see_is_refused(api, awa, contenu):
    answer = post(api(awa), EpreuveFactory(), contenu)
    assert answer.status_code == 400
    assert "visible" in answer.json()["errors"][0]["detail"]
    mine = CommentaireFactory(auteur=awa)
    assert api(awa).patch(f"{URL}{mine.pk}/", {"contenu": contenu}).status_code == 400


@pytest.mark.parametrize("contenu", ["👍🏽", "?", "7", "√", "ça", "日本", "e\u0301", "\u202bسلام"])
def test_a_text_of_one_sign_is_kept(api, awa, contenu):
    assert post(api(awa), EpreuveFactory(), contenu).json()["contenu"] == contenu


@pytest.mark.parametrize("contenu", ["", " \n\t ", "x" * 2001, None, 3.5, [], {}, "a\0b"])
def test_bad_contents_are_refused(api, awa, contenu):
    answer = post(api(awa), EpreuveFactory(), contenu)
    if contenu == 3.5:
        assert answer.json()["contenu"] == "3.5"
        return
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == "contenu"
    assert not Interaction.objects.exists()


def test_two_thousand_characters_are_kept_as_written(api, awa):
    contenu = "é" * 1990 + "<b>&</b>"
    assert post(api(awa), EpreuveFactory(), contenu).json()["contenu"] == contenu


@pytest.mark.parametrize("statut", set(Statut) - {Statut.PUBLIEE})
def test_what_is_not_published_is_not_commented(api, rachidi, statut):
    assert post(api(rachidi), EpreuveFactory(statut=statut)).status_code == 404


def test_the_comments_of_what_i_may_not_see_do_not_exist(api, awa):
    hidden = CommentaireFactory(epreuve=EpreuveFactory(statut=Statut.ARCHIVEE))
    assert api(awa).get(URL, {"epreuve": hidden.epreuve_id}).status_code == 404


@pytest.mark.parametrize("params", [{"epreuve": "x"}, {"epreuve": ""}, {"auteur": 1}])
def test_a_bad_query_is_refused(api, awa, params):
    answer = api(awa).get(URL, params)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] in params


def test_the_author_corrects_the_words_only(api, awa):
    mine = CommentaireFactory(auteur=awa)
    other = EpreuveFactory()
    body = {"contenu": "Mieux dit", "epreuve": other.pk, "statut": "masque", "auteur": 1}
    answer = api(awa).patch(f"{URL}{mine.pk}/", body)
    assert (answer.status_code, answer.json()["contenu"]) == (200, "Mieux dit")
    after = Commentaire.objects.get()
    assert (after.epreuve, after.statut, after.auteur) == (mine.epreuve, "visible", awa)


def test_under_what_is_archived_since_one_deletes_but_does_not_correct(api, awa):
    mine = CommentaireFactory(auteur=awa, epreuve__statut=Statut.ARCHIVEE)
    refused = api(awa).patch(f"{URL}{mine.pk}/", {"contenu": "Autre chose"})
    assert refused.status_code == 404
    mine.refresh_from_db()
    assert mine.contenu != "Autre chose"
    assert api(awa).delete(f"{URL}{mine.pk}/").status_code == 204


def test_correcting_does_not_show_again_what_a_moderator_hides_meanwhile(awa):
    mine = CommentaireFactory(auteur=awa)
    read_before = Commentaire.objects.get(pk=mine.pk)
    Commentaire.objects.update(statut=StatutCommentaire.MASQUE)
    edit_comment(read_before, contenu="Mieux dit")
    mine.refresh_from_db()
    assert (mine.contenu, mine.statut) == ("Mieux dit", "masque")


def test_nobody_corrects_another_s_words(api, awa, koffi, rachidi):
    comment = CommentaireFactory(auteur=awa)
    for who in (koffi, rachidi):
        answer = api(who).patch(f"{URL}{comment.pk}/", {"contenu": "Non"})
        assert answer.status_code == 403


@pytest.mark.parametrize(("who", "status"), [("awa", 204), ("rachidi", 204), ("koffi", 403)])
def test_the_author_and_moderators_delete(api, awa, request, who, status):
    comment = CommentaireFactory(auteur=awa)
    client = api(request.getfixturevalue(who))
    assert client.delete(f"{URL}{comment.pk}/").status_code == status
    comment.refresh_from_db()
    assert (comment.statut == StatutCommentaire.SUPPRIME) == (status == 204)


def test_a_deleted_comment_is_gone_and_its_replies_stay(api, awa, koffi):
    epreuve = EpreuveFactory()
    parent = CommentaireFactory(epreuve=epreuve, auteur=awa, contenu="Question")
    CommentaireFactory(epreuve=epreuve, auteur=koffi, parent=parent, contenu="Réponse")
    api(awa).delete(f"{URL}{parent.pk}/")
    assert shown(api(koffi), epreuve) == ["Réponse"]
    for method in ("patch", "delete"):
        assert getattr(api(awa), method)(f"{URL}{parent.pk}/").status_code == 404


def test_a_deleted_reply_is_no_longer_counted(api, awa):
    parent = CommentaireFactory()
    reply = CommentaireFactory(parent=parent, epreuve=parent.epreuve, auteur=awa)
    api(awa).delete(f"{URL}{reply.pk}/")
    (row,) = api(awa).get(URL, {"epreuve": parent.epreuve_id}).json()["results"]
    assert row["nb_reponses"] == 0


def test_the_comment_of_an_erased_account_stays_without_a_name(api, awa):
    comment = CommentaireFactory(auteur=None)
    (row,) = api(awa).get(URL, {"epreuve": comment.epreuve_id}).json()["results"]
    assert row["auteur"] is None


def test_writing_too_fast_is_429_with_a_delay_and_reading_goes_on(api, awa, koffi, monkeypatch):
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "ecriture", "3/min")
    epreuve = EpreuveFactory()
    statuses = [post(api(awa), epreuve).status_code for _ in range(4)]
    assert statuses == [201, 201, 201, 429]
    refused = post(api(awa), epreuve)
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert refused.json()["errors"][0]["code"] == "throttled"
    assert len(shown(api(awa), epreuve)) == 3
    assert post(api(koffi), epreuve).status_code == 201


# --- Reports -----------------------------------------------------------------------------


def report(client, commentaire, motif="Hors sujet."):
    return client.post(f"{URL}{commentaire.pk}/signaler/", {"motif": motif})


def reported_by(api, commentaire, number):
    return [report(api(UserFactory()), commentaire).status_code for _ in range(number)]


def statut_of(commentaire):
    return Commentaire.objects.get(pk=commentaire.pk).statut


def test_the_third_person_who_reports_a_comment_masks_it(api, awa, koffi, rachidi):
    comment = CommentaireFactory(auteur=awa, contenu="Réclame")
    assert reported_by(api, comment, 2) == [204, 204]
    assert shown(api(koffi), comment.epreuve) == ["Réclame"]
    assert report(api(koffi), comment).status_code == 204
    assert shown(api(koffi), comment.epreuve) == []
    assert report(api(UserFactory()), comment).status_code == 404
    for who in (awa, rachidi):
        (row,) = api(who).get(URL, {"epreuve": comment.epreuve_id}).json()["results"]
        assert (row["contenu"], row["statut"]) == ("Réclame", "masque")


def test_how_many_people_it_takes_is_a_setting(api, settings):
    settings.SIGNALEMENTS_MASQUAGE = 1
    comment = CommentaireFactory()
    reported_by(api, comment, 1)
    assert statut_of(comment) == "masque"


def test_reporting_again_counts_once(api, awa):
    comment = CommentaireFactory()
    statuses = [report(api(awa), comment).status_code for _ in range(4)]
    assert statuses == [204, 409, 409, 409]
    assert (statut_of(comment), Signalement.objects.count()) == ("visible", 1)


def test_nobody_reports_themselves(api, awa):
    answer = report(api(awa), CommentaireFactory(auteur=awa))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "commentaire_a_soi")
    assert not Signalement.objects.exists()


@pytest.mark.parametrize("motif", [None, "", " ", "\u200b", "x" * 501, "a\0b", []])
def test_a_report_says_why(api, awa, motif):
    answer = report(api(awa), CommentaireFactory(), motif)
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "motif")


def test_under_what_is_archived_since_nothing_is_reported(api, awa):
    comment = CommentaireFactory(epreuve__statut=Statut.ARCHIVEE)
    assert report(api(awa), comment).status_code == 404


def test_once_restored_the_old_reports_mask_it_no_more(api, rachidi):
    comment = CommentaireFactory()
    reported_by(api, comment, 3)
    moderate_comment(comment, StatutCommentaire.VISIBLE, par=rachidi)
    assert (statut_of(comment), Signalement.objects.filter(traite=True).count()) == ("visible", 3)
    reported_by(api, comment, 2)
    assert statut_of(comment) == "visible"
    reported_by(api, comment, 1)
    assert statut_of(comment) == "masque"


def test_the_author_corrects_or_deletes_what_is_masked_and_it_stays_so(api, awa, koffi):
    mine = CommentaireFactory(auteur=awa, statut=StatutCommentaire.MASQUE)
    answer = api(awa).patch(f"{URL}{mine.pk}/", {"contenu": "Mieux dit"})
    assert (answer.status_code, answer.json()["statut"]) == (200, "masque")
    assert api(koffi).patch(f"{URL}{mine.pk}/", {"contenu": "Non"}).status_code == 404
    assert api(awa).delete(f"{URL}{mine.pk}/").status_code == 204
    assert api(awa).get(URL).json()["count"] == 0


def test_the_replies_to_what_is_masked_stay_and_no_more_come(api, awa, koffi):
    parent = CommentaireFactory(auteur=awa, contenu="Question", statut="masque")
    CommentaireFactory(epreuve=parent.epreuve, parent=parent, contenu="Réponse")
    assert shown(api(koffi), parent.epreuve) == ["Réponse"]
    for who in (awa, koffi):
        assert post(api(who), parent.epreuve, parent=parent.pk).status_code == 400


def test_what_is_deleted_stays_deleted(rachidi):
    comment = CommentaireFactory(statut=StatutCommentaire.SUPPRIME)
    with pytest.raises(Conflict):
        moderate_comment(comment, StatutCommentaire.VISIBLE, par=rachidi)
    assert statut_of(comment) == "supprime"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("people", [2, 3, 8])
def test_reports_that_arrive_together_mask_exactly_at_the_third(people):
    comment, together = CommentaireFactory(), Barrier(people)

    def send(user):
        together.wait()
        try:
            report_comment(comment, par=user, motif="Hors sujet.")
        finally:
            connection.close()

    threads = [Thread(target=send, args=(UserFactory(),)) for _ in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Signalement.objects.count() == people
    assert statut_of(comment) == ("masque" if people >= 3 else "visible")


@pytest.mark.django_db(transaction=True)
def test_the_same_report_twice_at_once_counts_once(awa):
    comment, together, refused = CommentaireFactory(), Barrier(4), []

    def send():
        together.wait()
        try:
            report_comment(comment, par=awa, motif="Hors sujet.")
        except Conflict as conflict:
            refused.append(conflict.get_codes())
        finally:
            connection.close()

    threads = [Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (Signalement.objects.count(), refused) == (1, ["deja_signale"] * 3)
