"""One run at a time, stopped when asked, freed when dead, and only its own process ends it."""

import datetime as dt
import os
import subprocess
import sys

import pytest
from django.db import OperationalError
from django.utils import timezone

from apps.recommender.ml import artifact
from apps.recommender.models import DEAD_AFTER, ModelMetadata, StatutEntrainement, TrainingLog
from apps.recommender.services import training, training_runs
from apps.recommender.services.training_runs import (
    NotStoppable,
    TrainingInProgress,
    TrainingStopped,
    TrainingSuperseded,
    ask_to_stop,
)
from tests.recommender.conftest import CONFIG

pytestmark = pytest.mark.django_db


def test_a_second_run_is_refused_while_one_lives(bank):
    TrainingLog.objects.create(hote=os.uname().nodename, pid=os.getpid())
    with pytest.raises(TrainingInProgress):
        training.train(CONFIG)
    assert TrainingLog.objects.count() == 1


def test_a_run_whose_process_died_frees_its_place(bank):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = TrainingLog.objects.create(hote=os.uname().nodename, pid=child.pid)
    training.train(CONFIG)
    dead.refresh_from_db()
    assert dead.statut == StatutEntrainement.INTERROMPU


def test_a_number_given_to_a_younger_process_is_not_the_run(bank):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        hote, pid = os.uname().nodename, child.pid
        before = timezone.now() - dt.timedelta(seconds=5)
        dead = TrainingLog.objects.create(hote=hote, pid=pid, battement=before)
        assert dead.is_dead
        dead.battement = timezone.now()
        assert not dead.is_dead


def test_a_silent_run_on_another_machine_frees_its_place(bank):
    silent = TrainingLog.objects.create(
        hote="elsewhere", pid=1, battement=timezone.now() - DEAD_AFTER * 1.1
    )
    training.train(CONFIG)
    silent.refresh_from_db()
    assert silent.statut == StatutEntrainement.INTERROMPU


def test_a_run_elsewhere_that_gave_a_recent_sign_keeps_its_place(bank):
    TrainingLog.objects.create(
        hote="elsewhere", pid=1, battement=timezone.now() - dt.timedelta(minutes=5)
    )
    with pytest.raises(TrainingInProgress):
        training.train(CONFIG)


def test_what_a_run_writes_is_tried_again_for_minutes(monkeypatch, caplog):
    waits, faults = [], [OperationalError("database is locked"), OperationalError("away")]
    monkeypatch.setattr(training_runs.time, "sleep", waits.append)

    def write():
        if faults:
            raise faults.pop(0)
        return "written"

    assert training_runs.patiently(write) == "written"
    assert len(waits) == 2
    assert "database is locked" in caplog.text
    faults += [OperationalError("away")] * 1000
    with pytest.raises(OperationalError):
        training_runs.patiently(write)
    assert 60 <= sum(waits) <= 600


def test_an_interruption_after_the_end_changes_nothing(trained):
    run = TrainingLog.objects.get()
    training_runs.end(run, StatutEntrainement.ANNULE, "Annulé à la demande.")
    run.refresh_from_db()
    assert (run.statut, run.erreur) == (StatutEntrainement.TERMINE, "")


# --- Stopped ---------------------------------------------------------------------------------


def test_a_run_stops_at_the_epoch_at_which_it_is_asked_to(bank, rachidi):
    epochs = []

    def ask(entry):
        epochs.append(entry["epoch"])
        if entry["epoch"] == 2:
            ask_to_stop(TrainingLog.objects.get(), par=rachidi)

    with pytest.raises(TrainingStopped):
        training.train(CONFIG, on_epoch=ask)
    run = TrainingLog.objects.get()
    assert (run.statut, run.erreur) == ("annule", "Annulé à la demande.")
    assert run.arret_demande_par == rachidi
    assert epochs == [0, 1, 2]
    assert not training_runs.folders()
    assert not ModelMetadata.objects.exists()


def test_a_run_that_waits_is_cancelled_at_once(db, rachidi):
    run = TrainingLog.objects.create(statut="en_attente")
    ask_to_stop(run, par=rachidi)
    assert (run.statut, run.arret_demande_par, run.fin is None) == ("annule", rachidi, False)


def test_a_dead_run_is_cancelled_at_once(db, rachidi):
    silent = timezone.now() - DEAD_AFTER * 1.1
    run = TrainingLog.objects.create(hote="elsewhere", battement=silent)
    ask_to_stop(run, par=rachidi)
    assert run.statut == "annule"


def test_who_asked_first_stays_named(db, rachidi, mme_dossou):
    run = TrainingLog.objects.create(hote="elsewhere")
    ask_to_stop(run, par=rachidi)
    ask_to_stop(run, par=mme_dossou)
    run.refresh_from_db()
    assert (run.statut, run.arret_demande_par) == ("en_cours", rachidi)


def test_a_run_that_ended_cannot_be_stopped(trained, rachidi):
    run = TrainingLog.objects.get()
    with pytest.raises(NotStoppable):
        ask_to_stop(run, par=rachidi)
    run.refresh_from_db()
    assert (run.statut, run.arret_demande_le) == ("termine", None)


# --- Declared dead, and awake again ----------------------------------------------------------

OTHER_HOLDERS = [{"statut": "interrompu", "fin": timezone.now()}, {"reprises": 1}]


@pytest.mark.parametrize("row", OTHER_HOLDERS)
def test_a_run_that_was_declared_dead_writes_nothing_more(bank, row):
    def sleep(entry):
        TrainingLog.objects.update(**row)

    with pytest.raises(TrainingSuperseded, match="déclaré mort"):
        training.train(CONFIG, version="v1", on_epoch=sleep)
    run = TrainingLog.objects.get()
    assert run.epoch_courante == 0
    assert run.statut == row.get("statut", "en_cours")
    assert len(training_runs.folders()) == 1
    assert not ModelMetadata.objects.exists()


@pytest.mark.parametrize("row", OTHER_HOLDERS)
def test_a_run_that_slept_while_it_wrote_its_model_registers_nothing(
    bank, settings, monkeypatch, row
):
    save = artifact.save

    def slow(*args, **options):
        info = save(*args, **options)
        TrainingLog.objects.update(**row)
        return info

    monkeypatch.setattr(artifact, "save", slow)
    with pytest.raises(TrainingSuperseded):
        training.train(CONFIG, version="v1")
    assert not ModelMetadata.objects.exists()
    # Resumed, the files are those of who resumed it.
    assert (settings.ML_MODELS_DIR / "v1").exists() == ("reprises" in row)
