import dataclasses
import datetime as dt
import os
import subprocess
import sys

import pytest
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from apps.recommender.ml.errors import TooFewInteractions
from apps.recommender.ml.hybrid import Hybrid
from apps.recommender.models import (
    FORGOTTEN_AFTER,
    ModelMetadata,
    StatutEntrainement,
    TrainingLog,
)
from apps.recommender.options import OptionRefused
from apps.recommender.services import training, training_runs
from apps.recommender.services.training_requests import request_training
from apps.recommender.services.training_runs import TrainingInProgress
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


def test_a_default_name_tells_the_hour_of_the_institute(monkeypatch):
    moment = dt.datetime(2026, 5, 4, 23, 30, tzinfo=dt.UTC)
    monkeypatch.setattr(timezone, "now", lambda: moment)
    assert training.default_version(CONFIG).startswith("20260505-003000-")


def test_the_task_trains_the_run_that_waited(queue, ask, bank):
    run = ask(version="v1")
    asked = run.debut
    train_task.call(run.pk, "")
    run.refresh_from_db()
    assert (run.statut, run.pid) == (StatutEntrainement.TERMINE, os.getpid())
    assert run.debut > asked
    assert run.modele.version == "v1"
    assert run.modele.est_actif


def test_what_fails_in_a_task_is_told_by_its_run(queue, ask, db):
    run = ask()
    with pytest.raises(TooFewInteractions):
        train_task.call(run.pk, "")
    run.refresh_from_db()
    assert run.statut == StatutEntrainement.ECHOUE
    assert "Aucune interaction" in run.erreur


def test_a_run_stopped_in_a_task_leaves_its_worker_alone(queue, ask, bank, rachidi, monkeypatch):
    run = ask()
    fit = Hybrid.fit

    def stopped(*args, **options):
        training_runs.ask_to_stop(run, par=rachidi)
        fit(*args, **options)

    monkeypatch.setattr(Hybrid, "fit", stopped)
    train_task.call(run.pk, "")
    run.refresh_from_db()
    assert run.statut == StatutEntrainement.ANNULE


def test_where_nobody_takes_tasks_a_request_waits_for_a_process_of_its_own(db):
    run = request_training(CONFIG, version="v1")
    assert run.statut == StatutEntrainement.EN_ATTENTE
    assert not DBTaskResult.objects.exists()
    with pytest.raises(TrainingInProgress, match="attend déjà son tour"):
        request_training(CONFIG)


def test_a_process_that_died_before_it_began_frees_its_turn(db):
    lost = request_training(CONFIG)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        here = {"hote": os.uname().nodename, "pid": child.pid, "battement": timezone.now()}
        TrainingLog.objects.update(**here)
        with pytest.raises(TrainingInProgress):
            request_training(CONFIG)
    request_training(CONFIG)
    lost.refresh_from_db()
    assert lost.statut == StatutEntrainement.INTERROMPU


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
    with pytest.raises(OptionRefused, match="v1 existe déjà"):
        ask(version="v1")
    assert TrainingLog.objects.count() == 1


def test_a_turn_that_a_killed_worker_lost_is_freed(queue, ask):
    lost = ask()
    DBTaskResult.objects.update(status="RUNNING")
    with pytest.raises(TrainingInProgress):  # A worker has just taken it, perhaps.
        ask()
    TrainingLog.objects.update(battement=timezone.now() - FORGOTTEN_AFTER)
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
    training_runs.end(run, StatutEntrainement.ANNULE, "Annulé à la demande.")
    train_task.call(run.pk, "")
    assert not ModelMetadata.objects.exists()
