import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch
from django.core.management import CommandError, call_command

from apps.recommender.models import ModelMetadata, StatutEntrainement, TrainingLog
from apps.recommender.services import training
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


@pytest.mark.parametrize("option", ["--max-age-days=99999999999", "--min-new-interactions=-5"])
def test_a_need_that_makes_no_sense_is_named(db, option):
    with pytest.raises(CommandError, match="donnez un entier de 1 à 100000"):
        call_command("train_model", "--if-needed", option)


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


# --- Again, and only if it is needed ----------------------------------------------------------


@pytest.fixture
def broken(bank, monkeypatch):
    """A run that a full disk stopped at its end."""
    with monkeypatch.context() as patch:

        def full(*args, **options):
            raise OSError("No space left on device")

        patch.setattr(training, "activate", full)
        assert exit_code(*FAST, "--model-version=v1") == 3
    return TrainingLog.objects.get()


@pytest.mark.parametrize("which", [(), ("ID",)])
def test_a_run_that_stopped_is_resumed_by_its_number_or_as_the_last(broken, which, capsys):
    call_command("train_model", "--resume", *(str(broken.pk) for _ in which), verbosity=0)
    assert "Modèle v1 actif." in capsys.readouterr().out
    assert TrainingLog.objects.get().reprises == 1


def test_a_run_is_resumed_in_the_background_too(queue, broken, capsys):
    call_command("train_model", "--resume", "--background")
    assert f"Entraînement {broken.pk} demandé, modèle v1" in capsys.readouterr().out
    assert TrainingLog.objects.get().statut == StatutEntrainement.EN_ATTENTE


@pytest.mark.parametrize("number", [(), ("77",)])
def test_nothing_to_resume_is_2(trained, number):
    assert exit_code("--resume", *number) == 2


def test_without_enough_that_is_new_a_training_is_not_needed(trained, bank, capsys):
    call_command("train_model", *FAST, "--if-needed", "--min-new-interactions=2")
    out = capsys.readouterr().out
    assert out.startswith("Entraînement inutile : paires nouvelles : 0 sur 2 depuis l'entraînement")
    seen(bank.students["MATH"][0], *bank.epreuves["PHYS"][:2], days_ago=-1)
    call_command("train_model", *FAST, "--if-needed", "--min-new-interactions=2", "-v1")
    assert "Entraînement nécessaire : paires nouvelles : 2 sur 2" in capsys.readouterr().out
    assert TrainingLog.objects.count() == 2


def test_an_option_of_ours_goes_with_no_other_of_them(bank):
    with pytest.raises(CommandError, match="not allowed with argument"):
        call_command("train_model", "--resume", "--if-needed")


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A shell that ran us in the background had us ignore SIGINT, and so would our children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory) -> dict[str, str]:
    """The environment of a bank on SQLite, as a newcomer has it, with enough to learn from."""
    tmp_path = tmp_path_factory.mktemp("embedded")
    env = os.environ | {
        "DB_HOST": "",
        "REDIS_URL": "",
        "SQLITE_PATH": str(tmp_path / "db.sqlite3"),
        "ML_MODELS_DIR": str(tmp_path / "ml_models"),
        "ENTRAINEMENTS_DIR": str(tmp_path / "entrainements"),
        "MEDIA_ROOT": str(tmp_path / "media"),
        "DJANGO_SETTINGS_MODULE": "config.settings.development",
        "SECRET_KEY": "for-this-test",
        "JWT_SECRET_KEY": "for-this-test-too",
    }
    subprocess.run([*MANAGE, "migrate", "-v0"], env=env, check=True)
    small = ("--users=20", "--epreuves=30", "--interactions=600")
    subprocess.run([*MANAGE, "generate_data", *small, "-v0"], env=env, check=True)
    return env


MANAGE = (sys.executable, "manage.py")
LONG = ("--epochs=500", "--batch-size=1")


@pytest.mark.usefixtures("_interruptible")
def test_a_cancelled_command_is_130_and_marks_its_run(embedded):
    database = embedded["SQLITE_PATH"]
    twice = (signal.SIGINT, signal.SIGINT)
    for signals in (twice, (signal.SIGTERM,)):
        with subprocess.Popen(
            [*MANAGE, "train_model", *LONG], env=embedded, text=True, stderr=subprocess.PIPE
        ) as run:
            _wait_for(lambda: "en_cours" in _statuts(database))
            for sent in signals:
                run.send_signal(sent)
                time.sleep(0.15)
            _, err = run.communicate(timeout=60)
        assert run.returncode == 130, err
        assert "annulé" in err
        assert _statuts(database)[-1] == StatutEntrainement.ANNULE


def test_without_a_worker_the_background_is_a_process_that_outlives_who_asked(embedded):
    asked = (*MANAGE, "train_model", *LONG, "--background")
    done = subprocess.run(asked, env=embedded, capture_output=True, text=True)
    assert "un processus à part s'en charge" in done.stdout, done.stderr
    database = embedded["SQLITE_PATH"]
    _wait_for(lambda: _statuts(database)[-1] == StatutEntrainement.EN_COURS)
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        connection.execute(
            "update recommender_traininglog set arret_demande_le = '2026-01-01' where fin is null"
        )
    _wait_for(lambda: _statuts(database)[-1] == StatutEntrainement.ANNULE)
    (journal,) = Path(embedded["ENTRAINEMENTS_DIR"]).glob("entrainement-*.log")
    _wait_for(lambda: "Entraînement annulé." in journal.read_text("utf-8"))


def _statuts(database):
    with closing(sqlite3.connect(database)) as connection:
        return [
            row[0]
            for row in connection.execute("select statut from recommender_traininglog order by id")
        ]


def _wait_for(fact):
    for _ in range(600):
        if fact():
            return
        time.sleep(0.1)
    raise AssertionError("it never came")
