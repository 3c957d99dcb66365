"""The recommender in the administration, over a demonstration bank with a trained model."""

import datetime as dt
import os
from dataclasses import replace

import pytest
from django.utils import timezone

from apps.core.models import Epreuve, User
from apps.recommender import telemetry
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.models import ModelMetadata, TrainingLog
from apps.recommender.services import training
from apps.recommender.services.demo_bank import create_demo_bank
from tests.factories import PASSWORD, seen

pytestmark = [pytest.mark.requires("chromium"), pytest.mark.django_db(transaction=True)]

# As long as names that nobody chose.
OTHER = "20261126-222000-hybrid-autre"


@pytest.fixture
def bank(transactional_db: None) -> dict[str, int | str]:
    """A demonstration bank with a trained model, as an administrator meets it: what to open.

    Read before Playwright starts: inside its event loop the ORM opens a connection that nobody
    closes, and PostgreSQL keeps the database.
    """
    create_demo_bank(users=40, epreuves=60, interactions=2400, seed=42, reset=False)
    config = TrainingConfig(epochs=12, batch_size=64, embedding_dim=16, learning_rate=0.005)
    training.train(config, version="essai")
    training.train(replace(config, epochs=5, architecture="gmf"), version=OTHER)
    _use_it()
    User.objects.create_superuser("rachidi", password=PASSWORD)
    model = ModelMetadata.objects.get(version="essai")
    student = User.objects.filter(role="etudiant").earliest("pk")
    opened = (Epreuve.objects.first(), model.training_log, model)
    asked = timezone.now() - dt.timedelta(minutes=5)
    waiting = TrainingLog.objects.create(statut="en_attente", version="suivant", battement=asked)
    other = ModelMetadata.objects.get(version=OTHER).pk
    rows = {row._meta.model_name: row.pk for row in opened}
    return rows | {"waiting": waiting.pk, "other": other, "student": student.username}


def _use_it() -> None:
    """As of lately: the demonstration ends where its year does."""
    students, epreuves = list(User.objects.filter(role="etudiant")), list(Epreuve.objects.all())
    for day in range(40):
        for student, epreuve in zip(students[day % 7 :], epreuves[day:], strict=False):
            seen(student, epreuve, days_ago=day, contexte="recherche" if day < 7 else "direct")
    for source, repli in (("ncf", None), ("historique", "filtres"), ("profil", "sans_historique")):
        kinds = {"source": source, "repli": repli, "cached": repli is None}
        telemetry.record(version="essai", seconds=0.004, **kinds)


def test_no_page_is_broken_or_asks_anything_of_the_outside(bank, desk):
    desk.sign_in("rachidi")
    for path, name in (
        ("/admin/", "admin-accueil"),
        ("/admin/core/user/", "admin-utilisateurs"),
        ("/admin/core/epreuve/", "admin-epreuves"),
        (f"/admin/core/epreuve/{bank['epreuve']}/change/", "admin-epreuve"),
        ("/admin/recommender/traininglog/", "admin-entrainements"),
        ("/admin/recommender/traininglog/entrainer/", "admin-reentrainer"),
        (f"/admin/recommender/traininglog/{bank['waiting']}/change/", "admin-en-attente"),
        (f"/admin/recommender/traininglog/{bank['traininglog']}/change/", "admin-entrainement"),
        ("/admin/recommender/activationmodele/", "admin-activations"),
        ("/admin/recommender/modelmetadata/", "admin-modeles"),
        (f"/admin/recommender/modelmetadata/{bank['modelmetadata']}/change/", "admin-modele"),
    ):
        desk.open_at_both_widths(path, name)
    assert desk.faults == []


MODELS = "/admin/recommender/modelmetadata"


def test_what_an_administrator_measures_reads_well(bank, desk):
    desk.sign_in("rachidi")
    chosen = f"modele={bank['modelmetadata']}&modele={bank['other']}"
    for path, name in (
        (f"{MODELS}/comparer/", "admin-comparer-choisir"),
        (f"{MODELS}/comparer/?{chosen}&mesurer=1", "admin-comparer"),
        (f"{MODELS}/voir-comme/", "admin-voir-comme-qui"),
    ):
        desk.open_at_both_widths(path, name)
    page = desk.page
    page.goto(f"{desk.base}{MODELS}/derive/")
    page.get_by_role("button", name="Mesurer").click()
    page.wait_for_url("**/derive/?mesurer=1#couverture")
    desk.look("admin-derive")
    desk.look_at_the_other_width("admin-derive")
    page.goto(f"{desk.base}{MODELS}/voir-comme/")
    # Typing would abort what opening the box asks for.
    with page.expect_response("**/autocomplete/**"):
        page.locator(".select2-selection").click()
    page.locator(".select2-search__field").fill(bank["student"])
    page.get_by_role("option", name=bank["student"], exact=True).click()
    page.get_by_role("button", name="Voir", exact=True).click()
    page.get_by_text("Ce qui lui est recommandé").wait_for()
    desk.look("admin-voir-comme")
    desk.look_at_the_other_width("admin-voir-comme")
    assert desk.faults == []


@pytest.fixture
def living(transactional_db: None) -> int:
    """A run of this process, after three epochs."""
    User.objects.create_superuser("rachidi", password=PASSWORD)
    losses = {"loss_entrainement": 0.4, "loss_validation": 0.5, "secondes": 0.1}
    epochs = [
        {**losses, "epoch": n, "ndcg_validation": n / 10, "learning_rate": 0.001} for n in (1, 2, 3)
    ]
    return TrainingLog.objects.create(
        version="essai",
        etape="apprentissage",
        epoch_courante=3,
        epoch_totale=9,
        historique=epochs,
        hote=os.uname().nodename,
        pid=os.getpid(),
    ).pk


def test_a_run_is_watched_while_it_lives_and_is_told_to_stop(living, desk):
    desk.sign_in("rachidi")
    url = f"/admin/recommender/traininglog/{living}/"
    desk.open_at_both_widths(f"{url}change/", "admin-en-cours")
    with desk.page.expect_response(f"**{url}avancement/"):
        pass
    assert "epoch 3 sur 9" in desk.page.inner_text("#avancement")
    assert desk.page.locator("#courbes svg").count() == 2
    desk.page.get_by_role("button", name="Annuler").click()
    desk.page.get_by_text("Arrêt demandé : il vient").wait_for()
    assert desk.faults == []


def test_a_model_is_activated_and_left_again(bank, desk):
    desk.sign_in("rachidi")
    desk.open_at_both_widths(f"{MODELS}/{bank['modelmetadata']}/activer/", "admin-activer")
    page = desk.page
    page.fill("[name=motif]", "Pour essayer une semaine")
    page.get_by_role("button", name="Activer").click()
    page.get_by_text(f"Le modèle essai sert, à la place de {OTHER}.").wait_for()
    desk.open_at_both_widths(f"{MODELS}/", "admin-revenir")
    page.get_by_role("button", name=f"Revenir au modèle précédent : {OTHER}").click()
    page.get_by_text(f"Le modèle {OTHER} sert, à la place de essai.").wait_for()
    assert desk.faults == []
