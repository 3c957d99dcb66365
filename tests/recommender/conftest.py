"""A bank where taste is plain: students of mathematics take mathematics, physicists physics."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from django.utils import timezone

from apps.core.models import Epreuve, User
from apps.recommender import model_store
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.services import training
from apps.recommender.services.training import Outcome
from tests.factories import (
    EpreuveFactory,
    FiliereFactory,
    InteractionFactory,
    MatiereFactory,
    UserFactory,
)

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


@pytest.fixture
def queue(settings: pytest.FixtureRequest) -> None:
    """Tasks wait for a worker, as they do on PostgreSQL."""
    settings.TACHES_EN_ARRIERE_PLAN = True
    settings.TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
