"""A bank where taste is plain: students of mathematics take mathematics, physicists physics."""

import datetime as dt
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from django.conf import settings
from django.utils import timezone

from apps.core.models import Epreuve, User
from apps.recommender import model_store
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.models import DeclencheurActivation, ModelMetadata, TrainingLog
from apps.recommender.services import training
from apps.recommender.services.activation import activate
from apps.recommender.services.training import Outcome
from tests.factories import (
    EpreuveFactory,
    FiliereFactory,
    InteractionFactory,
    MatiereFactory,
    UserFactory,
)
from tests.recommender.ml.test_artifact import edit_manifest, reseal_users

CONFIG = TrainingConfig(epochs=8, batch_size=32, embedding_dim=8, learning_rate=0.02)
STUDENTS, EPREUVES, TAKEN = 8, 10, 7


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Two threads on matrices this small spend their time waiting for each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _new_process() -> Iterator[None]:
    model_store.reset()
    yield
    model_store.reset()


@dataclass(frozen=True)
class Bank:
    students: dict[str, list[User]]
    epreuves: dict[str, list[Epreuve]]


@pytest.fixture
def bank(db: None) -> Bank:
    """Two filières of 8 students and 10 épreuves; each student took 7 of their own filière's."""
    students, epreuves = {}, {}
    start = timezone.now() - dt.timedelta(days=60)
    for code, matiere in (("MATH", "ALGEBRE"), ("PHYS", "OPTIQUE")):
        filiere = FiliereFactory(code=code)
        students[code] = UserFactory.create_batch(STUDENTS, filiere=filiere)
        epreuves[code] = EpreuveFactory.create_batch(
            EPREUVES, filiere=filiere, matiere=MatiereFactory(code=matiere)
        )
        for rank, student in enumerate(students[code]):
            for day in range(TAKEN):
                InteractionFactory(
                    user=student,
                    epreuve=epreuves[code][(rank + day) % EPREUVES],
                    date=start + dt.timedelta(days=5 * day, minutes=rank),
                )
    return Bank(students, epreuves)


@pytest.fixture
def trained(bank: Bank) -> Outcome:
    """The bank with an active model."""
    outcome = training.train(CONFIG, version="v1")
    assert outcome.model.est_actif
    return outcome


def copy_of(model: ModelMetadata, version: str) -> ModelMetadata:
    """The same model under another name, as a training would register it."""
    path = shutil.copytree(settings.ML_MODELS_DIR / model.chemin, settings.ML_MODELS_DIR / version)
    edit_manifest(path, version=version)
    reseal_users(path, version=version)
    copy = ModelMetadata.objects.get(pk=model.pk)
    copy.pk, copy.version, copy.chemin, copy.est_actif = None, version, version, False
    copy.sha256 = hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()
    copy.training_log = TrainingLog.objects.create(statut="termine", version=version)
    copy.date_creation = timezone.now()
    copy.save()
    return copy


@pytest.fixture
def twins(trained: Outcome) -> dict[str, ModelMetadata]:
    """v1 served, v2 serves: the same model, trained once."""
    activate(copy_of(trained.model, "v2"), declencheur=DeclencheurActivation.ENTRAINEMENT)
    return {model.version: model for model in ModelMetadata.objects.all()}


@pytest.fixture
def queue(settings: pytest.FixtureRequest) -> None:
    """Tasks wait for a worker, as they do on PostgreSQL."""
    settings.TACHES_EN_ARRIERE_PLAN = True
    settings.TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
