import dataclasses
import os

import pytest
from django_tasks_db.models import DBTaskResult

from apps.recommender.ml.errors import VersionExists
from apps.recommender.models import ModelMetadata, StatutEntrainement, TrainingLog
from apps.recommender.services import training
from apps.recommender.services.training import TrainingInProgress
from apps.recommender.services.training_requests import request_training
from apps.recommender.tasks import train_task
from tests.recommender.conftest import CONFIG

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(django_capture_on_commit_callbacks):
    """`request_training`, and all that its commit starts."""

    def ask(**options):
        with django_capture_on_commit_callbacks(execute=True):
            run = request_training(CONFIG, **options)
        run.refresh_from_db()
        return run

    return ask


def test_a_request_waits_with_its_options_and_its_task(queue, ask, rachidi):
    run = ask(version="v1", lance_par=rachidi)
    assert (run.statut, run.version, run.lance_par) == ("en_attente", "v1", rachidi)
    assert run.hyperparametres == dataclasses.asdict(CONFIG)
    assert run.epoch_totale == CONFIG.epochs
    assert DBTaskResult.objects.get().args_kwargs["args"][0] == run.pk


def test_the_task_trains_the_run_that_waited(queue, ask, bank):
    run = ask(version="v1")
    asked = run.debut
    train_task.call(run.pk, "")
    run.refresh_from_db()
    assert (run.statut, run.pid) == (StatutEntrainement.TERMINE, os.getpid())
    assert run.debut > asked
    assert run.modele.version == "v1"
    assert run.modele.est_actif


def test_where_tasks_are_done_in_place_the_run_is_done_on_return(ask, bank):
    assert ask().statut == StatutEntrainement.TERMINE


def test_what_fails_in_a_task_is_told_by_its_run(ask, db):
    run = ask()
    assert run.statut == StatutEntrainement.ECHOUE
    assert "Aucune interaction" in run.erreur


def test_one_request_waits_at_most(queue, ask):
    ask()
    with pytest.raises(TrainingInProgress, match="db_worker"):
        ask()
    assert TrainingLog.objects.count() == 1


def test_nothing_is_asked_for_while_a_run_lives(queue, ask):
    TrainingLog.objects.create(hote=os.uname().nodename, pid=os.getpid())
    with pytest.raises(TrainingInProgress, match="attendez sa fin"):
        ask()


def test_a_version_that_exists_is_refused_at_once(queue, ask, trained):
    with pytest.raises(VersionExists):
        ask(version="v1")
    assert TrainingLog.objects.count() == 1


def test_a_turn_that_a_killed_worker_lost_is_freed(queue, ask):
    lost = ask()
    DBTaskResult.objects.update(status="RUNNING")
    ask()
    lost.refresh_from_db()
    assert lost.statut == StatutEntrainement.INTERROMPU


def test_a_waiting_run_does_not_keep_an_operator_from_training(queue, ask, bank):
    ask()
    assert training.train(CONFIG, version="v1").model.est_actif


def test_a_run_taken_while_another_trains_ends_cancelled_and_says_why(queue, ask, bank):
    run = ask()
    other = TrainingLog.objects.create(hote=os.uname().nodename, pid=os.getpid())
    with pytest.raises(TrainingInProgress):
        train_task.call(run.pk, "")
    run.refresh_from_db()
    assert run.statut == StatutEntrainement.ANNULE
    assert f"Entraînement {other.pk}" in run.erreur
    assert run.fin


def test_a_run_that_ended_while_it_waited_is_not_trained(queue, ask, bank):
    run = ask()
    training.end(run, StatutEntrainement.ANNULE, "Annulé à la demande.")
    train_task.call(run.pk, "")
    assert not ModelMetadata.objects.exists()
