"""The recommender in the administration, over a demonstration bank with a trained model."""

import datetime as dt

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


@pytest.fixture
def bank(transactional_db: None) -> dict[str, int]:
    """A demonstration bank with a trained model, as an administrator meets it: what to open.

    Read before Playwright starts: inside its event loop the ORM opens a connection that nobody
    closes, and PostgreSQL keeps the database.
    """
    create_demo_bank(users=40, epreuves=60, interactions=2400, seed=42, reset=False)
    training.train(
        TrainingConfig(epochs=12, batch_size=64, embedding_dim=16, learning_rate=0.005),
        version="essai",
    )
    _use_it()
    User.objects.create_superuser("rachidi", password=PASSWORD)
    opened = (Epreuve.objects.first(), TrainingLog.objects.get(), ModelMetadata.objects.get())
    asked = timezone.now() - dt.timedelta(minutes=5)
    waiting = TrainingLog.objects.create(statut="en_attente", version="suivant", debut=asked)
    return {row._meta.model_name: row.pk for row in opened} | {"waiting": waiting.pk}


def _use_it() -> None:
    """As of lately: the demonstration ends where its year does."""
    students, epreuves = list(User.objects.filter(role="etudiant")), list(Epreuve.objects.all())
    for day in range(40):
        for student, epreuve in zip(students[day % 7 :], epreuves[day:], strict=False):
            seen(student, epreuve, days_ago=day, contexte="recherche" if day < 7 else "direct")
    for source, seconds in (("ncf", 0.004), ("historique", 0.006), ("populaires", 0.02)):
        telemetry.record(source=source, version="essai", cached=source == "ncf", seconds=seconds)


def test_no_page_is_broken_or_asks_anything_of_the_outside(bank, desk):
    desk.sign_in("rachidi")
    for path, name in (
        ("/admin/", "admin-accueil"),
        ("/admin/core/user/", "admin-utilisateurs"),
        ("/admin/core/epreuve/", "admin-epreuves"),
        (f"/admin/core/epreuve/{bank['epreuve']}/change/", "admin-epreuve"),
        ("/admin/recommender/traininglog/", "admin-entrainements"),
        (f"/admin/recommender/traininglog/{bank['waiting']}/change/", "admin-en-attente"),
        (f"/admin/recommender/traininglog/{bank['traininglog']}/change/", "admin-entrainement"),
        ("/admin/recommender/activationmodele/", "admin-activations"),
        ("/admin/recommender/modelmetadata/", "admin-modeles"),
        (f"/admin/recommender/modelmetadata/{bank['modelmetadata']}/change/", "admin-modele"),
    ):
        desk.open_at_both_widths(path, name)
    assert desk.faults == []
