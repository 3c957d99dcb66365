import datetime as dt

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.core.models import (
    Commentaire,
    Epreuve,
    Evaluation,
    Filiere,
    Interaction,
    Matiere,
    Statut,
    StatutCommentaire,
    User,
)
from apps.core.review import TRANSITIONS, Action
from apps.core.services.evaluations import rate_epreuve
from apps.core.signals import catalogue_changed
from tests.factories import (
    CommentaireFactory,
    EpreuveFactory,
    EvaluationFactory,
    FiliereFactory,
    InteractionFactory,
    MatiereFactory,
    SignalementFactory,
    UserFactory,
    pdf,
    with_file,
)

pytestmark = pytest.mark.django_db
FACTORIES = {
    Commentaire: CommentaireFactory,
    Epreuve: EpreuveFactory,
    Evaluation: EvaluationFactory,
    Interaction: InteractionFactory,
    User: UserFactory,
}


def url_of(model, page, *args):
    return reverse(f"admin:core_{model._meta.model_name}_{page}", args=args)


def act(desk, model, action, *rows):
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    return desk.post(url_of(model, "changelist"), data, follow=True)


def reject(desk, *epreuves, motif="Page 2 illisible."):
    data = {"action": "reject", "_selected_action": [row.pk for row in epreuves], "motif": motif}
    return desk.post(url_of(Epreuve, "changelist"), data, follow=True)


def history(row):
    """What the history page of a row says, oldest first, and of whom."""
    lines = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(row), object_id=str(row.pk)
    )
    return [(line.user.username, line.change_message) for line in lines.order_by("pk")]


@pytest.mark.parametrize("model", FACTORIES)
def test_a_changelist_takes_as_many_queries_for_ten_rows_as_for_two(
    desk, model, django_assert_num_queries
):
    def rows(count):
        for n in range(count):
            FACTORIES[model]()
            MatiereFactory(code=f"M{model.__name__}{count}{n}")

    rows(2)
    desk.get(url_of(model, "changelist"))
    with CaptureQueriesContext(connection) as few:
        assert desk.get(url_of(model, "changelist")).status_code == 200
    rows(8)
    with django_assert_num_queries(len(few)):
        assert desk.get(url_of(model, "changelist")).status_code == 200


@pytest.mark.parametrize("model", FACTORIES)
def test_a_change_page_opens(desk, model):
    row = FACTORIES[model]()
    page = desk.get(url_of(model, "change", row.pk))
    assert page.status_code == 200
    assert str(row.pk) in page.content.decode()


@pytest.mark.parametrize("model", [Epreuve, User, Matiere, Filiere])
def test_an_add_page_opens(desk, model):
    assert desk.get(url_of(model, "add")).status_code == 200


@pytest.mark.parametrize("model", [Matiere, Filiere])
def test_nomenclatures_show_how_many_epreuves_they_hold(desk, model):
    EpreuveFactory.create_batch(2)
    page = desk.get(url_of(model, "changelist"))
    assert page.status_code == 200
    assert page.context["cl"].result_list[0].nombre == 2
    assert desk.get(url_of(model, "change", model.objects.get().pk)).status_code == 200


@pytest.mark.parametrize("model", [Interaction, Evaluation, Commentaire])
def test_what_people_did_cannot_be_added_by_hand(desk, model):
    assert desk.get(url_of(model, "add")).status_code == 403


@pytest.mark.parametrize("model", [Epreuve, User, Interaction])
def test_nothing_that_history_stands_on_is_deleted(desk, model):
    row = FACTORIES[model]()
    assert desk.post(url_of(model, "delete", row.pk), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("who", ["awa", "mme_dossou"])
def test_only_administrators_enter(who, request):
    client = Client()
    client.force_login(request.getfixturevalue(who))
    answer = client.get(reverse("admin:index"))
    assert (answer.status_code, answer.url.split("?")[0]) == (302, reverse("admin:login"))


def test_every_own_model_is_registered():
    for model in (*FACTORIES, Matiere, Filiere):
        assert admin.site.is_registered(model)


def epreuve_form(epreuve, **values):
    return {
        "titre": epreuve.titre,
        "description": "",
        "matiere": epreuve.matiere_id,
        "filiere": epreuve.filiere_id,
        "niveau": epreuve.niveau,
        "type_epreuve": epreuve.type_epreuve,
        "session": epreuve.session,
        "annee": epreuve.annee,
        "annee_academique": epreuve.annee_academique,
    } | values


def test_an_epreuve_is_deposited_with_its_pdf(desk, rachidi):
    model = EpreuveFactory()
    upload = SimpleUploadedFile("x.pdf", pdf("neuf"))
    data = epreuve_form(model, titre="Topologie", fichier=upload)
    assert desk.post(url_of(Epreuve, "add"), data).status_code == 302
    epreuve = Epreuve.objects.get(titre="Topologie")
    assert (epreuve.statut, epreuve.depose_par, epreuve.nb_pages) == ("soumise", rachidi, 1)
    assert len(epreuve.sha256) == 64
    assert "En attente" in desk.get(url_of(Epreuve, "change", epreuve.pk)).content.decode()


def test_a_new_file_replaces_the_old_one_on_disk(desk, django_capture_on_commit_callbacks):
    epreuve = with_file(EpreuveFactory())
    old = epreuve.fichier.name
    data = epreuve_form(epreuve, fichier=SimpleUploadedFile("x.pdf", pdf("neuf")))
    with django_capture_on_commit_callbacks(execute=True):
        assert desk.post(url_of(Epreuve, "change", epreuve.pk), data).status_code == 302
    epreuve.refresh_from_db()
    assert epreuve.fichier.name != old
    assert default_storage.exists(epreuve.fichier.name)
    assert not default_storage.exists(old)


def test_saving_without_a_new_file_keeps_the_file(desk):
    epreuve = with_file(EpreuveFactory())
    data = epreuve_form(epreuve, titre="Nouveau titre")
    assert desk.post(url_of(Epreuve, "change", epreuve.pk), data).status_code == 302
    after = Epreuve.objects.get(pk=epreuve.pk)
    assert (after.titre, after.fichier.name) == ("Nouveau titre", epreuve.fichier.name)
    assert default_storage.exists(epreuve.fichier.name)


@pytest.mark.parametrize(
    ("content", "words"), [(b"MZ not a pdf", "pas un PDF"), (b"%PDF-1.4 cut", "tronqué")]
)
def test_a_bad_file_is_refused_beside_its_field(desk, content, words):
    data = epreuve_form(EpreuveFactory(), fichier=SimpleUploadedFile("x.pdf", content))
    page = desk.post(url_of(Epreuve, "add"), data)
    assert page.status_code == 200
    assert words in str(page.context["adminform"].form.errors["fichier"])


def test_a_file_already_in_the_bank_is_refused_and_names_the_other(desk):
    other = with_file(EpreuveFactory(), pdf("le même"))
    data = epreuve_form(other, titre="Double", fichier=SimpleUploadedFile("x.pdf", pdf("le même")))
    page = desk.post(url_of(Epreuve, "add"), data)
    assert f"épreuve {other.pk}" in str(page.context["adminform"].form.errors["fichier"])


@pytest.mark.parametrize("action", [Action.PUBLIER, Action.ARCHIVER, Action.RESTAURER])
@pytest.mark.parametrize("statut", Statut)
def test_a_bulk_action_moves_what_it_may_and_says_why_not_the_rest(desk, action, statut):
    epreuve = EpreuveFactory(statut=statut)
    english = {Action.PUBLIER: "publish", Action.ARCHIVER: "archive", Action.RESTAURER: "restore"}
    page = act(desk, Epreuve, english[action], epreuve).content.decode()
    epreuve.refresh_from_db()
    transition = TRANSITIONS[action]
    if statut in transition.before:
        assert epreuve.statut == transition.after
        assert len(history(epreuve)) == 1
    else:
        assert epreuve.statut == statut
        assert f"on ne peut pas {action.value}" in page
        assert history(epreuve) == []


def test_rejecting_asks_for_a_reason_which_each_author_then_reads(desk):
    epreuves = EpreuveFactory.create_batch(2, statut=Statut.SOUMISE)
    asked = act(desk, Epreuve, "reject", *epreuves).content.decode()
    assert all(epreuve.titre in asked for epreuve in epreuves)
    assert "Motif" in asked
    refused = reject(desk, *epreuves, motif=" \u200b ").content.decode()
    assert "au moins un caractère visible" in refused
    assert set(Epreuve.objects.values_list("statut", flat=True)) == {"soumise"}
    reject(desk, *epreuves, motif="Illisible.")
    rows = set(Epreuve.objects.values_list("statut", "motif_rejet"))
    assert rows == {("rejetee", "Illisible.")}
    told = "Rejeter : Soumise → Rejetée. Motif : Illisible."
    assert history(epreuves[0]) == [("rachidi", told)]


def test_the_page_that_asks_for_a_reason_keeps_the_whole_selection(desk):
    epreuves = EpreuveFactory.create_batch(101, statut=Statut.SOUMISE)
    data = {"action": "reject", "_selected_action": [epreuves[0].pk], "select_across": "1"}
    asked = desk.post(url_of(Epreuve, "changelist"), data)
    again = asked.context["posted"] | {"motif": "Illisible."}
    desk.post(url_of(Epreuve, "changelist"), again)
    assert Epreuve.objects.filter(statut=Statut.REJETEE).count() == 101


def test_what_waits_comes_first_the_oldest_before_all_and_is_counted(desk):
    now = timezone.now()
    published = EpreuveFactory()
    new, old = (
        EpreuveFactory(statut=Statut.SOUMISE, date_creation=now - dt.timedelta(days=days))
        for days in (1, 9)
    )
    page = desk.get(url_of(Epreuve, "changelist"))
    assert list(page.context["cl"].result_list) == [old, new, published]
    assert "À modérer : 2" in page.content.decode()


def test_the_queue_opens_the_pdf(desk):
    epreuve = with_file(EpreuveFactory(statut=Statut.SOUMISE))
    link = reverse("admin:core_epreuve_document", args=[epreuve.pk, "sujet"])
    assert link in desk.get(url_of(Epreuve, "changelist")).content.decode()


def test_what_is_written_by_the_form_is_told_once(desk, rachidi):
    epreuve = EpreuveFactory(titre="Avant")
    desk.post(url_of(Epreuve, "change", epreuve.pk), epreuve_form(epreuve, titre="Après"))
    assert history(epreuve) == [("rachidi", "Modifiée : titre.")]
    page = desk.get(url_of(Epreuve, "history", epreuve.pk)).content.decode()
    assert "Modifiée : titre." in page


def test_publishing_and_archiving_are_announced(desk):
    heard = []
    listener = lambda **kwargs: heard.append(1)  # noqa: E731
    catalogue_changed.connect(listener)
    try:
        epreuve = EpreuveFactory(statut=Statut.SOUMISE)
        reject(desk, epreuve)
        assert heard == []
        act(desk, Epreuve, "publish", epreuve)
        act(desk, Epreuve, "archive", epreuve)
        assert len(heard) == 2
    finally:
        catalogue_changed.disconnect(listener)


def test_an_archived_double_is_not_restored(desk):
    archived = with_file(EpreuveFactory(statut=Statut.ARCHIVEE), pdf("le même"))
    other = with_file(EpreuveFactory(), pdf("le même"))
    page = act(desk, Epreuve, "restore", archived)
    archived.refresh_from_db()
    assert archived.statut == Statut.ARCHIVEE
    assert f"épreuve {other.pk}" in page.content.decode()


def test_a_year_that_cannot_be_is_400(desk):
    answer = desk.get(url_of(Interaction, "changelist"), {"date__year": 99999999999})
    assert answer.status_code == 400


@pytest.mark.requires("postgresql")
@pytest.mark.parametrize("filtered", ["statut__exact", "niveau__exact", "matiere__code"])
def test_nul_in_a_filter_is_400(desk, filtered):
    assert desk.get(url_of(Epreuve, "changelist"), {filtered: "\0"}).status_code == 400


def test_completions_are_ordered(desk):
    for nom in ("Zoologie", "Algèbre"):
        FiliereFactory(code=nom[0], nom=nom)
    query = {"app_label": "core", "model_name": "epreuve", "field_name": "filiere"}
    found = desk.get(reverse("admin:autocomplete"), query | {"term": "g"}).json()["results"]
    assert [row["text"] for row in found] == ["Algèbre", "Zoologie"]


@pytest.mark.requires("postgresql")
def test_nul_in_a_completion_is_400(desk):
    query = {"app_label": "core", "model_name": "epreuve", "field_name": "matiere", "term": "\0"}
    assert desk.get(reverse("admin:autocomplete"), query).status_code == 400


def test_an_unknown_document_is_404(desk):
    url = reverse("admin:core_epreuve_document", args=[with_file(EpreuveFactory()).pk, "zzz"])
    assert desk.get(url).status_code == 404


def test_documents_open_through_a_signed_link(desk):
    epreuve = with_file(EpreuveFactory(statut=Statut.SOUMISE))
    url = reverse("admin:core_epreuve_document", args=[epreuve.pk, "sujet"])
    assert url in desk.get(url_of(Epreuve, "change", epreuve.pk)).content.decode()
    answer = desk.get(url, follow=True)
    assert b"".join(answer.streaming_content).startswith(b"%PDF-")


def test_search_disregards_accents(desk):
    EpreuveFactory(titre="Équations différentielles")
    EpreuveFactory(titre="Algèbre")
    page = desk.get(url_of(Epreuve, "changelist"), {"q": "equations"})
    assert [row.titre for row in page.context["cl"].result_list] == ["Équations différentielles"]


def test_merging_keeps_the_fullest_and_leaves_no_epreuve_behind(desk):
    full, empty = MatiereFactory(code="ANALYSE"), MatiereFactory(code="ANA", nom="Ana")
    EpreuveFactory.create_batch(2, matiere=full)
    moved = EpreuveFactory(matiere=empty)
    assert act(desk, Matiere, "merge_selected", full, empty).status_code == 200
    moved.refresh_from_db()
    assert moved.matiere == full
    assert list(Matiere.objects.all()) == [full]
    assert moved in Epreuve.objects.matching("matiere analyse")


def test_merging_filieres_moves_students_too(desk, awa):
    other = FiliereFactory(code="MA")
    EpreuveFactory(filiere=other)
    act(desk, Filiere, "merge_selected", other, awa.filiere)
    awa.refresh_from_db()
    assert awa.filiere == other


def test_merging_one_alone_changes_nothing(desk):
    matiere = MatiereFactory()
    page = act(desk, Matiere, "merge_selected", matiere)
    assert "au moins deux" in page.content.decode()
    assert Matiere.objects.count() == 1


def test_withdrawing_an_evaluation_keeps_the_counters_exact(desk, awa, koffi):
    epreuve = EpreuveFactory()
    notes = {"note_difficulte": 2, "note_pertinence": 5}
    one, _ = rate_epreuve(user=awa, epreuve=epreuve, **notes)
    two, _ = rate_epreuve(user=koffi, epreuve=epreuve, **notes)
    desk.post(url_of(Evaluation, "delete", one.pk), {"post": "yes"})
    data = {"action": "delete_selected", "_selected_action": [two.pk], "post": "yes"}
    desk.post(url_of(Evaluation, "changelist"), data)
    epreuve.refresh_from_db()
    totals = (epreuve.nb_evaluations, epreuve.somme_difficulte, epreuve.somme_pertinence)
    assert (Evaluation.objects.count(), totals) == (0, (0, 0, 0))


@pytest.mark.parametrize(
    ("action", "statut"), [("hide", "masque"), ("remove", "supprime"), ("show", "visible")]
)
def test_comments_are_moderated(desk, action, statut):
    was = "masque" if action == "show" else "visible"
    commentaire = CommentaireFactory(statut=was)
    SignalementFactory(commentaire=commentaire)
    act(desk, Commentaire, action, commentaire)
    commentaire.refresh_from_db()
    assert commentaire.statut == statut
    before, after = (StatutCommentaire(word).label for word in (was, statut))
    assert history(commentaire) == [("rachidi", f"Commentaire : {before} → {after}.")]
    assert commentaire.signalements.get().traite


def test_a_deleted_comment_is_not_shown_again(desk):
    commentaire = CommentaireFactory(statut="supprime")
    page = act(desk, Commentaire, "show", commentaire).content.decode()
    assert "est supprimé" in page
    commentaire.refresh_from_db()
    assert commentaire.statut == "supprime"


def test_reported_comments_come_first_and_say_why(desk):
    reported, quiet = CommentaireFactory(), CommentaireFactory()
    SignalementFactory(commentaire=quiet, traite=True)
    SignalementFactory(commentaire=reported, motif="Injurieux.")
    page = desk.get(url_of(Commentaire, "changelist"))
    assert list(page.context["cl"].result_list) == [reported, quiet]
    assert "à décider : 1" in page.content.decode()
    detail = desk.get(url_of(Commentaire, "change", reported.pk)).content.decode()
    assert "Injurieux." in detail


def test_the_page_of_a_comment_takes_as_many_queries_for_ten_reports_as_for_two(
    desk, django_assert_num_queries
):
    commentaire = CommentaireFactory()
    url = url_of(Commentaire, "change", commentaire.pk)
    SignalementFactory.create_batch(2, commentaire=commentaire)
    desk.get(url)
    with CaptureQueriesContext(connection) as few:
        desk.get(url)
    SignalementFactory.create_batch(8, commentaire=commentaire)
    with django_assert_num_queries(len(few)):
        desk.get(url)


def test_a_corrige_can_be_taken_back(desk, django_capture_on_commit_callbacks):
    epreuve = EpreuveFactory()
    epreuve.fichier_corrige.save("c.pdf", SimpleUploadedFile("c.pdf", pdf("corrigé")))
    name = epreuve.fichier_corrige.name
    with django_capture_on_commit_callbacks(execute=True):
        act(desk, Epreuve, "remove_corrige", epreuve)
    epreuve.refresh_from_db()
    assert not epreuve.fichier_corrige
    assert not default_storage.exists(name)
