"""What another process, a person or a failing base does to a training at the worst moment."""

import datetime as dt
import os
import signal
import time
from functools import partial

import pytest
from django.conf import settings
from django.db import OperationalError
from django.utils import timezone

from apps.comptes.services.erasure import erase_account
from apps.recommender import selectors
from apps.recommender.interruption import stopping_on_signals
from apps.recommender.ml import artifact, disk, snapshot
from apps.recommender.ml.errors import OptionsOutdated, VersionExists
from apps.recommender.models import DEAD_AFTER, ModelMetadata, TrainingLog
from apps.recommender.services import forgetting, model_files, training, training_runs
from apps.recommender.services.training_runs import (
    NotResumable,
    TrainingStopped,
    TrainingSuperseded,
    ask_to_stop,
    reopen,
    take_place,
)
from tests.factories import InteractionFactory
from tests.recommender.conftest import CONFIG

pytestmark = pytest.mark.django_db


@pytest.fixture
def once(monkeypatch):
    """`once(module, name, before=…, after=…)`: at the first call alone, done around it."""
    monkeypatch.setattr(training_runs.time, "sleep", lambda seconds: None)

    def patch(module, name, *, before=lambda: None, after=lambda: None):
        real, calls = getattr(module, name), []

        def first(*args, **kwargs):
            calls.append(args)
            if len(calls) > 1:
                return real(*args, **kwargs)
            before()
            result = real(*args, **kwargs)
            after()
            return result

        monkeypatch.setattr(module, name, first)

    return patch


def lose_the_connection():
    raise OperationalError("server closed the connection unexpectedly")


def stopped_run(bank) -> TrainingLog:
    """Whose memory ran out after two epochs."""

    def die(entry):
        if entry["epoch"] == 2:
            raise MemoryError

    with pytest.raises(MemoryError):
        training.train(CONFIG, version="v1", on_epoch=die)
    return TrainingLog.objects.get()


# --- Two processes ---------------------------------------------------------------------------


def test_who_wakes_up_leaves_the_files_of_who_resumed_the_run(bank, once):
    def resumed_meanwhile():
        TrainingLog.objects.update(battement=timezone.now() - 2 * DEAD_AFTER)
        training.resume(TrainingLog.objects.get())

    once(training, "_registered", before=resumed_meanwhile)
    with pytest.raises(TrainingSuperseded):
        training.train(CONFIG, version="v1")
    assert ModelMetadata.objects.get(est_actif=True).version == "v1"
    assert model_files.exists("v1")


def test_who_wakes_up_and_fails_leaves_the_data_of_who_resumed_the_run(bank, once):
    once(artifact, "save", before=lambda: TrainingLog.objects.update(reprises=1))
    once(training, "_registered", before=lambda: (_ for _ in ()).throw(VersionExists("v1")))
    with pytest.raises(VersionExists):
        training.train(CONFIG, version="v1")
    assert training_runs.folder_of(TrainingLog.objects.get()).is_dir()


def test_a_run_that_ended_meanwhile_is_not_resumed(db):
    stale = TrainingLog.objects.create(
        hote="ailleurs", pid=1, battement=timezone.now() - 2 * DEAD_AFTER
    )
    training_runs.folder_of(stale).mkdir(parents=True)
    TrainingLog.objects.update(statut="termine", fin=timezone.now())
    with pytest.raises(NotResumable):
        reopen(stale)
    assert TrainingLog.objects.get().statut == "termine"


# --- Somebody stops it -----------------------------------------------------------------------


def test_a_stop_is_heard_by_the_worker_that_takes_the_run_meanwhile(db, rachidi, once):
    run = TrainingLog.objects.create(statut="en_attente", hote="ailleurs", version="z")
    worker = TrainingLog.objects.get()
    once(training_runs, "end", before=lambda: take_place(worker))
    ask_to_stop(run, par=rachidi)
    assert TrainingLog.objects.get().statut == "annule"
    with pytest.raises(TrainingSuperseded):
        training_runs.write(worker, epoch_courante=1)


def test_a_stop_while_the_model_is_being_written_is_kept(bank, rachidi, once):
    once(artifact, "save", after=lambda: ask_to_stop(TrainingLog.objects.get(), par=rachidi))
    with pytest.raises(TrainingStopped):
        training.train(CONFIG, version="v1")
    assert TrainingLog.objects.get().statut == "annule"
    assert not ModelMetadata.objects.exists()
    assert not model_files.exists("v1")


def test_a_signal_while_a_run_says_how_it_ended_leaves_it_said(bank, once):
    def full(entry):
        interrupt = partial(signal.raise_signal, signal.SIGINT)
        once(training_runs, "_renew_connection", before=interrupt)
        raise OSError("No space left on device")

    with stopping_on_signals(), pytest.raises(OSError, match="No space"):
        training.train(CONFIG, version="v1", on_epoch=full)
    run = TrainingLog.objects.get()
    assert (run.statut, run.erreur) == ("echoue", "No space left on device")


# --- The base is away for a moment -----------------------------------------------------------


def test_a_commit_whose_answer_is_lost_keeps_its_model(bank, once):
    once(training, "_register", after=lose_the_connection)
    assert training.train(CONFIG, version="v1").model.est_actif
    assert model_files.exists("v1")


@pytest.mark.parametrize(
    ("module", "name", "when"),
    [
        (training_runs, "_take", "after"),
        (selectors, "left_out", "before"),
    ],
)
def test_a_connection_lost_on_the_way_costs_no_training(bank, once, module, name, when):
    once(module, name, **{when: lose_the_connection})
    assert training.train(CONFIG, version="v1").model.est_actif


# --- People leave ----------------------------------------------------------------------------


def test_what_a_killed_reading_left_aside_forgets_the_erased(bank):
    student = bank.students["MATH"][0]
    root = settings.ENTRAINEMENTS_DIR
    snapshot.write(root / "entrainement-1", selectors.training_pairs(), selectors.metadata())
    aside = (root / "entrainement-1").rename(root / f"{disk.ASIDE}tue")
    before = time.time() - 3 * 3600
    os.utime(aside, (before, before))
    erase_account(student)
    assert forgetting.forget_erased() == []
    assert not aside.exists()


def test_who_is_erased_while_the_data_are_read_is_not_learnt(bank, once):
    student = bank.students["MATH"][0]

    def erase():
        erase_account(student)
        forgetting.forget_erased()

    pk = student.pk
    once(snapshot, "_write_values", after=erase)
    training.train(CONFIG, version="v1")
    assert not artifact.knows_user(settings.ML_MODELS_DIR / "v1", pk)


def test_who_declined_while_a_run_was_stopped_is_not_learnt_when_it_is_resumed(bank):
    student = bank.students["MATH"][0]
    run = stopped_run(bank)
    student.personnalisation = False
    student.save()
    training.resume(run)
    assert not artifact.knows_user(settings.ML_MODELS_DIR / "v1", student.pk)


def test_who_asks_for_their_data_is_told_of_a_model_that_cannot_be_read(trained, bank):
    (settings.ML_MODELS_DIR / "v1" / "users.json").write_bytes(b"{}")
    held = forgetting.held_of(bank.students["MATH"][0])
    assert (held["modeles_qui_me_connaissent"], held["modeles_illisibles"]) == ([], ["v1"])


# --- The version of the bank changes ---------------------------------------------------------


@pytest.mark.parametrize("outdated", [{"inconnu": 1}, {"epochs": 0}])
def test_a_run_whose_options_are_of_the_past_says_so_and_is_over(bank, outdated):
    run = stopped_run(bank)
    TrainingLog.objects.update(hyperparametres=run.hyperparametres | outdated)
    run.refresh_from_db()
    with pytest.raises(OptionsOutdated, match="lancez-en un autre"):
        training.resume(run)
    run = TrainingLog.objects.get()
    assert (run.statut, training_runs.is_resumable(run)) == ("echoue", False)


def test_an_interaction_dated_in_the_future_does_not_switch_the_gate_off(bank):
    student, epreuve = bank.students["MATH"][0], bank.epreuves["PHYS"][0]
    InteractionFactory(user=student, epreuve=epreuve, date=timezone.now() + dt.timedelta(days=3650))
    model = training.train(CONFIG, version="v1").model
    assert model.derniere_interaction
    assert model.derniere_interaction <= timezone.now()
