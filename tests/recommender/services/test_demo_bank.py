import hashlib
from io import BytesIO
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.core.files.storage import FileSystemStorage
from django.db.models import Count, F, Model, Sum
from pypdf import PdfReader
from rest_framework.renderers import JSONRenderer

from apps.core.models import (
    Commentaire,
    Epreuve,
    Evaluation,
    Interaction,
    Role,
    User,
    fenetre_of,
)
from apps.core.services.evaluations import rate_epreuve
from apps.core.services.interactions import record_interaction
from apps.recommender.services import demo_bank
from apps.recommender.services.catalogue import catalogue_generation
from apps.recommender.services.demo_bank import (
    PASSWORD,
    DemoBankRefused,
    DemoBankReport,
    create_demo_bank,
)
from tests.factories import EpreuveFactory, UserFactory, seen, with_file

pytestmark = pytest.mark.django_db


def make(**options) -> DemoBankReport:
    sizes = {"users": 20, "epreuves": 30, "interactions": 600, "seed": 42, "reset": False}
    return create_demo_bank(**sizes | options)


def media(settings) -> set[str]:
    return {path.name for path in Path(settings.MEDIA_ROOT).rglob("*.pdf")}


def rows(model: type[Model], *names: str) -> list[tuple]:
    return list(model._default_manager.order_by(*names).values_list(*names))


def everything() -> list[list[tuple]]:
    """All that a seed decides: no keys, no file names."""
    epreuve = [
        field.name
        for field in Epreuve._meta.fields
        if field.name not in {"id", "fichier", "fichier_corrige", "enseignant", "depose_par"}
        and not field.is_relation
    ]
    who = ("user__username", "epreuve__reference_externe")
    return [
        rows(User, "username", "first_name", "last_name", "role", "filiere__code", "niveau"),
        rows(Epreuve, *epreuve, "matiere__code", "filiere__code", "enseignant__username"),
        rows(Interaction, *who, "type_interaction", "date", "fenetre"),
        rows(Evaluation, *who, "note_difficulte", "note_pertinence", "date_modification"),
        rows(Commentaire, "auteur__username", who[1], "contenu", "date_modification"),
    ]


def test_the_counts_are_exact():
    report = make()
    assert Interaction.objects.count() == report.interactions == 600
    assert Epreuve.objects.published().count() == report.epreuves == 30
    by_role = dict(User.objects.values_list("role").annotate(Count("id")))
    assert by_role == {Role.ETUDIANT: 20, Role.ENSEIGNANT: 10, Role.ADMINISTRATEUR: 1}
    assert (report.etudiants, report.enseignants, report.admin_created) == (20, 10, True)
    by_type = dict(Interaction.objects.values_list("type_interaction").annotate(Count("id")))
    assert by_type == {kind: count for kind, count in report.par_type.items() if count}
    assert Evaluation.objects.count() == by_type["evaluation"]
    assert Commentaire.objects.count() == by_type["commentaire"]


def test_everyone_signs_in_with_the_same_password(rf):
    make()
    for name in ("etudiant1", "etudiant20", "enseignant10", "admin"):
        assert authenticate(rf.post("/"), username=name, password=PASSWORD).username == name
    assert User.objects.get(username="admin").is_superuser
    assert not User.objects.exclude(username="admin").filter(is_superuser=True).exists()


def test_the_password_is_hashed_once_with_the_configured_hasher(monkeypatch):
    hashed = []
    monkeypatch.setattr(
        demo_bank, "make_password", lambda password: hashed.append(password) or "md5$x$y"
    )
    make()
    assert hashed == [PASSWORD]


def test_counters_are_the_sums_of_the_rows():
    make()
    for name, kind in (("nb_vues", "vue"), ("nb_telechargements", "telechargement")):
        counted = dict(
            Interaction.objects.filter(type_interaction=kind)
            .values_list("epreuve")
            .annotate(Count("id"))
        )
        assert {e.pk: getattr(e, name) for e in Epreuve.objects.filter(**{f"{name}__gt": 0})} == (
            counted
        )
    for epreuve in Epreuve.objects.annotate(
        n=Count("evaluations"),
        difficulte=Sum("evaluations__note_difficulte", default=0),
        pertinence=Sum("evaluations__note_pertinence", default=0),
    ):
        assert epreuve.nb_evaluations == epreuve.n
        assert epreuve.somme_difficulte == epreuve.difficulte
        assert epreuve.somme_pertinence == epreuve.pertinence


def test_an_evaluation_and_a_comment_stand_where_their_interactions_do():
    make()
    for model, author, kind in (
        (Evaluation, "user", "evaluation"),
        (Commentaire, "auteur", "commentaire"),
    ):
        written = set(model.objects.values_list(author, "epreuve", "date_creation"))
        assert written == set(
            Interaction.objects.filter(type_interaction=kind).values_list("user", "epreuve", "date")
        )
        assert model.objects.filter(date_modification=F("date_creation")).count() == len(written)


def test_every_row_keeps_the_rules_of_its_model():
    make()
    for model in (User, Epreuve, Evaluation, Commentaire):
        for row in model.objects.all():
            row.full_clean()
    assert all(row.fenetre == fenetre_of(row.date) for row in Interaction.objects.all())


def test_the_pdfs_are_real_distinct_and_in_french():
    make()
    texts = set()
    for epreuve in Epreuve.objects.all():
        content = Path(epreuve.fichier.path).read_bytes()
        assert len(content) == epreuve.taille_octets > 1000
        assert hashlib.sha256(content).hexdigest() == epreuve.sha256
        pages = PdfReader(BytesIO(content)).pages
        assert len(pages) == epreuve.nb_pages == 1
        text = pages[0].extract_text()
        assert "Énoncer avec précision" in text
        assert epreuve.titre.split()[0] in text
        assert "{" not in text
        texts.add(text)
    assert len(texts) == 30


def test_one_epreuve_in_two_has_its_answers_beside_it():
    report = make()
    corrected = Epreuve.objects.exclude(fichier_corrige="")
    assert corrected.count() == report.corriges == 15
    for epreuve in corrected:
        content = Path(epreuve.fichier_corrige.path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == epreuve.sha256_corrige != epreuve.sha256
        assert len(content) == epreuve.taille_corrige_octets
        assert "Corrigé" in PdfReader(BytesIO(content)).pages[0].extract_text()


def test_epreuves_are_found_by_their_words():
    make()
    epreuve = Epreuve.objects.select_related("matiere").first()
    assert epreuve in Epreuve.objects.matching(epreuve.titre.upper())
    assert epreuve in Epreuve.objects.matching(epreuve.matiere.nom)
    assert epreuve in Epreuve.objects.matching(epreuve.enseignant.last_name)


def test_its_cards_are_short(anyone):
    make()
    cards = anyone.get("/api/epreuves/?page_size=30").json()["results"]
    sizes = [len(JSONRenderer().render(card)) for card in cards]
    assert (len(sizes), max(sizes) <= 400) == (30, True)


def test_the_same_seed_writes_the_same_rows_and_bytes():
    make()
    first = everything()
    make(reset=True)
    assert everything() == first


def test_another_seed_writes_other_rows():
    make()
    first = everything()
    make(reset=True, seed=43)
    assert everything() != first


def test_the_catalogue_is_announced_changed():
    make()
    assert catalogue_generation() == 1


def test_rows_are_written_in_bulk(django_assert_max_num_queries):
    with django_assert_max_num_queries(42):
        make(interactions=1200)


def test_a_demonstration_is_replaced_on_demand_only():
    make()
    told = r"comptes : 31, épreuves : 30, interactions : 600\).*--reset"
    with pytest.raises(DemoBankRefused, match=told):
        make()


@pytest.mark.parametrize("content", [UserFactory, EpreuveFactory])
@pytest.mark.parametrize(
    "options", [{}, {"reset": True}, {"beside_real": True}], ids=["plain", "reset", "force"]
)
def test_a_single_real_row_is_enough_to_refuse(content, options):
    content()
    with pytest.raises(DemoBankRefused, match=r"données réelles .*--reset --force"):
        make(**options)


def test_a_superuser_does_not_fill_a_bank_and_keeps_the_name_admin():
    mine = User.objects.create_superuser("Admin", password="à moi seul")
    report = make()
    assert not report.admin_created
    mine.refresh_from_db()
    assert mine.check_password("à moi seul")
    make(reset=True)
    assert User.objects.get(username="Admin") == mine


def test_a_reset_beside_real_rows_leaves_exact_counters():
    make()
    real = EpreuveFactory()
    for user in (UserFactory(username="awa"), User.objects.get(username="etudiant1")):
        record_interaction(user=user, epreuve=real, type_interaction="vue")
        rate_epreuve(user=user, epreuve=real, note_difficulte=2, note_pertinence=5)
    make(reset=True, beside_real=True)
    real.refresh_from_db()
    assert (real.nb_vues, real.nb_evaluations) == (1, 1)
    assert (real.somme_difficulte, real.somme_pertinence) == (2, 5)


def test_a_reset_beside_real_rows_deletes_none_of_them(
    awa, settings, django_capture_on_commit_callbacks
):
    make(reset=True, beside_real=True)
    mine = with_file(EpreuveFactory(depose_par=awa))
    seen(awa, mine)
    with django_capture_on_commit_callbacks(execute=True):
        make(reset=True, beside_real=True, users=21)
    assert User.objects.filter(pk=awa.pk).exists()
    assert Interaction.objects.get(user=awa).epreuve == mine
    assert mine.fichier.storage.exists(mine.fichier.name)
    assert User.objects.filter(role=Role.ETUDIANT).count() == 22
    assert len(media(settings)) == 30 + 15 + 1


def test_a_real_account_that_bears_a_name_of_the_demonstration_is_never_replaced():
    UserFactory(username="Etudiant7")
    with pytest.raises(DemoBankRefused, match="Etudiant7"):
        make(reset=True, beside_real=True)
    assert User.objects.count() == 1


def test_a_reset_removes_the_old_files(settings, django_capture_on_commit_callbacks):
    make()
    before = media(settings)
    with django_capture_on_commit_callbacks(execute=True):
        make(reset=True)
    assert len(media(settings)) == len(before) == 45
    assert not media(settings) & before


def test_a_disk_that_fills_up_leaves_the_old_bank_whole(settings, monkeypatch):
    make()
    rows_before, files_before = everything(), media(settings)
    save, saved = FileSystemStorage._save, []

    def fill_up(self, name, content):
        saved.append(save(self, name, content))
        if len(saved) == 20:
            raise OSError(28, "No space left on device")
        return saved[-1]

    monkeypatch.setattr(FileSystemStorage, "_save", fill_up)
    with pytest.raises(OSError, match="No space"):
        make(reset=True, seed=43)
    assert everything() == rows_before
    assert media(settings) == files_before


def test_impossible_numbers_touch_nothing():
    make()
    with pytest.raises(DemoBankRefused, match="de 400 à 8000"):
        make(reset=True, interactions=10)
    assert Interaction.objects.count() == 600


def test_progress_is_told_epreuve_by_epreuve():
    told = []
    make(track=lambda papers: (told.append(paper.reference) or paper for paper in papers))
    assert told == [f"SYN-{number:04}" for number in range(1, 31)]
