import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import torch
from django.core.management import CommandError, call_command

from apps.recommender.models import ModelMetadata, StatutEntrainement, TrainingLog
from tests.factories import EpreuveFactory, seen

pytestmark = pytest.mark.django_db

FAST = ("--epochs=8", "--batch-size=32", "--embedding-dim=8", "--learning-rate=0.02")


def exit_code(*args: str) -> int:
    with pytest.raises(CommandError) as error:
        call_command("train_model", *args, verbosity=0)
    return error.value.returncode


def test_it_ends_with_a_table_an_interval_and_an_active_model(bank, capsys):
    call_command("train_model", *FAST, "--model-version=v1", verbosity=0)
    out = capsys.readouterr().out
    models = ("hasard", "popularité", "kNN (items)", "EASE", "iALS", "NeuMF hybride")
    for word in ("NDCG@10", *models, "intervalle à 95 %"):
        assert word in out
    assert "Modèle v1 actif." in out


@pytest.mark.parametrize("architecture", ["gmf", "mlp", "neumf", "hybrid"])
def test_every_architecture_trains(bank, architecture):
    call_command("train_model", *FAST, f"--architecture={architecture}", verbosity=0)
    assert ModelMetadata.objects.get().architecture == architecture


def test_too_little_data_is_3(db):
    assert exit_code() == 3


def test_a_refused_model_is_4(awa, koffi):
    for day, epreuve in enumerate(EpreuveFactory.create_batch(12)):
        seen(awa, epreuve, days_ago=60 - 5 * day)
        seen(koffi, epreuve, days_ago=60 - 5 * day)
    assert exit_code(*FAST) == 4


def test_another_run_in_progress_is_75(bank):
    TrainingLog.objects.create(hote=os.uname().nodename, pid=os.getpid())
    assert exit_code(*FAST) == 75


@pytest.mark.parametrize(
    "option",
    [
        "--epochs=0",
        "--batch-size=0",
        "--embedding-dim=0",
        "--learning-rate=nan",
        "--device=tpu",
        "--negative-samples=0",
        "--architecture=magie",
        "--model-version=../x",
    ],
)
def test_an_option_that_makes_no_sense_is_2_and_starts_no_run(bank, option):
    assert exit_code(option) == 2
    assert not TrainingLog.objects.exists()


@pytest.mark.parametrize("architecture", ["gmf", "mlp", "hybrid"])
def test_an_option_that_an_architecture_cannot_use_is_2_and_named(bank, architecture):
    with pytest.raises(CommandError, match=f"pretraining .* {architecture}") as error:
        call_command("train_model", "--pretraining", f"--architecture={architecture}", verbosity=0)
    assert error.value.returncode == 2
    assert not TrainingLog.objects.exists()


def test_neumf_can_be_pretrained(bank):
    call_command("train_model", *FAST, "--architecture=neumf", "--pretraining", verbosity=0)
    assert ModelMetadata.objects.get().training_log.hyperparametres["pretraining"] is True


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_one_clear_sentence(bank):
    with pytest.raises(CommandError, match="CUDA"):
        call_command("train_model", "--device=cuda", verbosity=0)


def test_in_the_background_it_says_what_waits_and_where_to_watch(queue, bank, capsys):
    call_command("train_model", *FAST, "--model-version=v1", "--background")
    run = TrainingLog.objects.get()
    assert (run.statut, run.version) == (StatutEntrainement.EN_ATTENTE, "v1")
    assert (run.hyperparametres["batch_size"], run.hyperparametres["epochs"]) == (32, 8)
    out = capsys.readouterr().out
    assert f"Entraînement {run.pk} demandé" in out
    assert f"/admin/recommender/traininglog/{run.pk}/change/" in out
    assert exit_code(*FAST, "--background") == 75


def test_in_the_background_it_can_be_as_quiet_as_cron_wants(queue, bank, capsys):
    call_command("train_model", *FAST, "--background", verbosity=0)
    assert capsys.readouterr().out == ""


def test_in_the_background_an_option_that_makes_no_sense_is_2_too(queue, bank):
    assert exit_code("--epochs=0", "--background") == 2
    assert exit_code("--model-version=../x", "--background") == 2
    assert not TrainingLog.objects.exists()


def test_where_there_is_no_background_it_says_so_and_trains(bank, capsys):
    call_command("train_model", *FAST, "--model-version=v1", "--background", verbosity=0)
    out = capsys.readouterr().out
    assert "TACHES_EN_ARRIERE_PLAN" in out
    assert "Modèle v1 actif." in out


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A shell that ran us in the background had us ignore SIGINT, and so would our children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_a_cancelled_command_is_130_and_marks_its_run(tmp_path):
    database = tmp_path / "db.sqlite3"
    env = os.environ | {
        "DB_HOST": "",
        "REDIS_URL": "",
        "SQLITE_PATH": str(database),
        "ML_MODELS_DIR": str(tmp_path / "ml_models"),
        "ENTRAINEMENTS_DIR": str(tmp_path / "entrainements"),
        "MEDIA_ROOT": str(tmp_path / "media"),
        "DJANGO_SETTINGS_MODULE": "config.settings.development",
        "SECRET_KEY": "for-this-test",
        "JWT_SECRET_KEY": "for-this-test-too",
    }
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "-v0"], env=env, check=True)
    small = ("--users=20", "--epreuves=30", "--interactions=600")
    subprocess.run([*manage, "generate_data", *small, "-v0"], env=env, check=True)
    for count, sent in enumerate((signal.SIGINT, signal.SIGTERM), start=1):
        with subprocess.Popen(
            [*manage, "train_model", "--epochs=500", "--batch-size=1"],
            env=env,
            text=True,
            stderr=subprocess.PIPE,
        ) as run:
            _wait_for_runs(database, count)
            run.send_signal(sent)
            _, err = run.communicate(timeout=60)
        assert run.returncode == 130, err
        assert "annulé" in err
    assert _statuts(database) == [StatutEntrainement.ANNULE] * 2


def _statuts(database):
    with closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute("select statut from recommender_traininglog")]


def _wait_for_runs(database, count):
    for _ in range(600):
        if len(_statuts(database)) == count:
            return
        time.sleep(0.1)
    raise AssertionError("the run never started")
