"""A run that stopped before its end goes on, with the same data, to the same files."""

import datetime as dt
import os
import time

import pytest
from django.utils import timezone

from apps.comptes.services.erasure import erase_account
from apps.core.models import Interaction, User
from apps.recommender.ml import artifact
from apps.recommender.ml.checkpoints import OnDisk
from apps.recommender.ml.errors import TrainingDiverged, VersionExists
from apps.recommender.models import ActivationModele, ModelMetadata, TrainingLog
from apps.recommender.services import training, training_runs
from apps.recommender.services.training_runs import NotResumable
from tests.factories import seen
from tests.recommender.conftest import CONFIG

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch):
    monkeypatch.setattr(OnDisk, "EVERY_SECONDS", 0)


class Breakdown(OSError):
    """What is no fault of the data's: a full disk, a machine."""


def breaks(entry):
    if entry["epoch"] == 3:
        raise Breakdown("No space left on device")


@pytest.fixture
def broken(bank):
    """A run of v2 that stopped at its third epoch."""
    with pytest.raises(Breakdown):
        training.train(CONFIG, version="v2", on_epoch=breaks)
    return TrainingLog.objects.get(version="v2")


def weights(settings, version):
    return (settings.ML_MODELS_DIR / version / "weights.safetensors").read_bytes()


def test_it_goes_on_at_its_epoch_to_the_weights_of_an_unbroken_run(trained, settings, broken, bank):
    seen(bank.students["MATH"][0], *bank.epreuves["PHYS"], days_ago=0)
    epochs = []
    outcome = training.resume(broken, on_epoch=lambda entry: epochs.append(entry["epoch"]))
    assert epochs[0] == 3
    assert weights(settings, "v2") == weights(settings, "v1")
    run, unbroken = TrainingLog.objects.get(version="v2"), trained.run
    assert (run.statut, run.reprises, run.erreur) == ("termine", 1, "")
    assert [entry["epoch"] for entry in run.historique] == [
        entry["epoch"] for entry in unbroken.historique
    ]
    assert (run.metriques, run.references) == (unbroken.metriques, unbroken.references)
    assert run.debut < run.fin
    assert outcome.model.est_actif
    assert training_runs.folders() == []


def test_a_killed_run_goes_on_too(broken):
    row = {"statut": "en_cours", "fin": None, "hote": os.uname().nodename, "pid": 2**22 + 1}
    TrainingLog.objects.update(**row)
    broken.refresh_from_db()
    assert broken.is_dead
    assert training_runs.last_resumable() == broken
    assert training.resume(broken).run.statut == "termine"


def test_a_damaged_checkpoint_is_refused_and_the_run_starts_again(
    trained, settings, broken, caplog
):
    (path,) = training_runs.folder_of(broken).glob("*.point")
    path.write_bytes(path.read_bytes()[:-1])
    epochs = []
    training.resume(broken, on_epoch=lambda entry: epochs.append(entry["epoch"]))
    assert epochs[0] == 0
    assert "point de reprise apprentissage refusé, tout est refait" in caplog.text
    assert weights(settings, "v2") == weights(settings, "v1")
    assert [entry["epoch"] for entry in broken.historique] == epochs


def test_damaged_data_are_read_again_from_the_bank(broken, caplog):
    (training_runs.folder_of(broken) / "interactions.parquet").write_bytes(b"PAR1")
    assert training.resume(broken).run.statut == "termine"
    assert "inutilisables, relues dans la base" in caplog.text


def test_a_model_written_but_not_registered_is_written_again(bank, monkeypatch):
    with monkeypatch.context() as patch:

        def full(*args, **options):
            raise Breakdown

        patch.setattr(training, "activate", full)
        with pytest.raises(Breakdown):
            training.train(CONFIG, version="v2")
    run = TrainingLog.objects.get()
    assert (run.statut, ModelMetadata.objects.count()) == ("echoue", 0)
    assert training.resume(run).model.est_actif


def test_a_version_that_another_run_took_is_not_written_over(broken):
    training.train(CONFIG, version="v3")
    ModelMetadata.objects.update(version="v2")
    with pytest.raises(VersionExists):
        training.resume(broken)


def test_a_model_of_that_name_by_the_run_of_another_database_stays_and_is_named(broken, settings):
    """Two installations share a folder of models, and their runs have the same ids."""
    training.train(CONFIG, version="v2")
    ActivationModele.objects.all().delete()
    ModelMetadata.objects.all().delete()
    theirs = weights(settings, "v2")
    with pytest.raises(VersionExists, match="Le modèle v2 existe déjà : choisissez une autre"):
        training.resume(broken)
    assert weights(settings, "v2") == theirs


def test_what_would_fail_again_is_not_kept(bank, monkeypatch):
    def diverge(entry):
        raise TrainingDiverged("La perte est devenue infinie.")

    with pytest.raises(TrainingDiverged):
        training.train(CONFIG, on_epoch=diverge)
    run = TrainingLog.objects.get()
    assert not training_runs.is_resumable(run)
    with pytest.raises(NotResumable, match="n'ont pas été gardées"):
        training.resume(run)


@pytest.mark.parametrize("statut", ["termine", "annule", "en_attente"])
def test_a_run_that_did_not_break_down_is_not_resumed(broken, statut):
    fin = None if statut == "en_attente" else timezone.now()
    TrainingLog.objects.update(statut=statut, fin=fin)
    broken.refresh_from_db()
    with pytest.raises(NotResumable):
        training.resume(broken)


def test_one_run_at_a_time_is_resumed(broken):
    stale = TrainingLog.objects.get(pk=broken.pk)
    training_runs.reopen(broken)
    TrainingLog.objects.update(statut="echoue", fin=timezone.now())
    with pytest.raises(NotResumable, match="quelqu'un d'autre"):
        training_runs.reopen(stale)


def test_a_run_without_a_place_can_be_resumed_later(broken):
    training_runs.reopen(broken)
    TrainingLog.objects.create(hote="elsewhere")
    with pytest.raises(training_runs.TrainingInProgress):
        training.train_waiting(broken)
    assert broken.statut == "interrompu"
    assert training_runs.is_resumable(broken)


# --- What is kept ----------------------------------------------------------------------------


def test_an_erased_account_takes_with_it_the_data_that_knew_it(
    broken, bank, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        erase_account(bank.students["MATH"][0])
    assert training_runs.folders() == []
    with pytest.raises(NotResumable, match="un compte qui s'y trouvait a été effacé"):
        training.resume(broken)


def test_a_run_under_way_loses_its_data_to_an_erasure_and_goes_on(
    bank, django_capture_on_commit_callbacks, caplog
):
    student = bank.students["MATH"][0]

    def erase(entry):
        if User.objects.filter(pk=student.pk).exists():
            with django_capture_on_commit_callbacks(execute=True):
                erase_account(student)

    outcome = training.train(CONFIG, version="v1", on_epoch=erase)
    assert outcome.run.statut == "termine"
    assert "point de reprise apprentissage non écrit" in caplog.text
    assert training_runs.folders() == []


def test_an_account_erased_while_its_run_was_being_killed_is_not_learnt_from(
    broken, bank, settings
):
    student = bank.students["MATH"][0]
    pk = student.pk
    Interaction.objects.filter(user=student).delete()
    User.objects.filter(pk=pk).delete()
    training.resume(broken)
    assert not artifact.knows_user(settings.ML_MODELS_DIR / "v2", pk)


def test_others_leave_what_a_run_keeps_alone(broken, awa, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        erase_account(awa)
    assert training_runs.is_resumable(broken)


def test_what_nobody_resumed_for_a_week_is_swept(broken, bank):
    folder, week = training_runs.folder_of(broken), dt.timedelta(days=7)
    training_runs.sweep_folders()
    assert folder.is_dir()
    old = time.time() - week.total_seconds() - 1
    journal = training_runs.journal_of(broken)
    journal.touch()
    for path in (folder, journal):
        os.utime(path, (old, old))
    training.train(CONFIG, version="v3")
    assert not folder.exists()
    assert not journal.exists()
    with pytest.raises(NotResumable, match="trop de jours"):
        training.resume(broken)
