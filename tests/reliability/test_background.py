"""What `db_worker` processes take from PostgreSQL, and what a killed one leaves."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.reliability import servers
from tests.reliability.conftest import FAST, SCHOOL
from tests.reliability.servers import ROOT, Bank, Postgres, Server, running, wait_until

pytestmark = pytest.mark.requires("servers")

LONG = ("--epochs=500", "--batch-size=1")


DEPOSITS = """
from apps.core.models import Matiere, User
from apps.core.services.epreuves import deposit_epreuve
from apps.core.services.files import read_pdf
from tests.core.test_files import upload
from tests.core.test_subject_texts import CAUCHY, INFLATED, page_of

for titre, content in (("Piège", page_of(INFLATED)), ("Examen", CAUCHY)):
    deposit_epreuve(
        auteur=User.objects.first(),
        fichiers={"fichier": read_pdf(upload(content))},
        titre=titre,
        matiere=Matiere.objects.first(),
    )
"""

FOUND = """
from apps.core.models import Epreuve
print(Epreuve.objects.matching("lipschitz").get())
"""


@dataclass
class Worker(Server):
    bank: Bank = field(kw_only=True)

    def argv(self) -> list[str]:
        return [sys.executable, "manage.py", "db_worker", "--no-startup-delay", "--interval=0.2"]

    def environment(self) -> dict[str, str]:
        return self.bank.environment

    def is_ready(self) -> bool:
        return "Starting worker" in self.log.read_text("utf-8")


@dataclass
class Training(Server):
    """`train_model` beside the test, ended with the block."""

    bank: Bank = field(kw_only=True)
    options: tuple[str, ...] = field(kw_only=True)

    def argv(self) -> list[str]:
        return [sys.executable, "manage.py", "train_model", *self.options]

    def environment(self) -> dict[str, str]:
        return self.bank.environment

    def is_ready(self) -> bool:
        return True


def training(bank: Bank, *options: str) -> AbstractContextManager[Training]:
    return running(Training(bank.folder, bank=bank, options=options))


@pytest.fixture
def worker(school: Bank) -> Iterator[Worker]:
    with running(Worker(school.folder, bank=school)) as worker:
        yield worker


def ask(bank: Bank, *options: str) -> None:
    bank.manage("train_model", "--background", *options)


def runs(bank: Bank, columns: str = "statut") -> list[tuple[Any, ...]]:
    return bank.sql(f"select {columns} from recommender_traininglog order by id")


def tasks(bank: Bank) -> list[str]:
    table = "django_tasks_database_dbtaskresult"
    return [status for (status,) in bank.sql(f"select status from {table} order by enqueued_at")]


def wait_for(bank: Bank, statut: str, seconds: float = 60) -> None:
    wait_until(lambda: runs(bank)[-1] == (statut,), f"a run that is {statut}", seconds)


def wait_for_an_epoch(bank: Bank) -> None:
    wait_until(lambda: runs(bank, "epoch_courante")[-1][0], "the first epoch", 60)


def active(bank: Bank) -> list[tuple[Any, ...]]:
    return bank.sql("select version from recommender_modelmetadata where est_actif")


def models(bank: Bank) -> set[str]:
    return {path.name for path in (bank.folder / "ml_models").iterdir()}


def test_a_worker_trains_what_was_asked_for_and_its_progress_shows(
    school: Bank, worker: Worker
) -> None:
    ask(school, "--epochs=40", "--batch-size=32", "--embedding-dim=8", "--model-version=v2")
    wait_for_an_epoch(school)
    assert runs(school) == [("termine",), ("en_cours",)]
    wait_for(school, "termine")
    assert runs(school, "version, pid, declencheur")[-1] == ("v2", worker.pid, "commande")
    assert models(school) == {"v1", "v2"}
    assert active(school) == [("v2",)]


def test_a_worker_told_to_stop_ends_its_run_at_once_and_leaves_nothing(
    school: Bank, worker: Worker
) -> None:
    for sent in (signal.SIGTERM, signal.SIGINT):
        ask(school, *LONG)
        wait_for(school, "en_cours")
        worker.stop(sent, within=10)
        assert runs(school, "statut, erreur")[-1] == ("annule", "Son travailleur a été arrêté.")
        worker.start()
    assert models(school) == {"v1"}
    assert active(school) == [("v1",)]


def test_a_killed_worker_keeps_neither_the_place_nor_the_queue(
    school: Bank, worker: Worker
) -> None:
    ask(school, *LONG)
    wait_for(school, "en_cours")
    worker.kill()
    worker.start()
    ask(school, *FAST, "--model-version=v2")
    wait_for(school, "termine")
    assert runs(school) == [("termine",), ("interrompu",), ("termine",)]
    # The task is closed after its run, in a transaction of its own.
    wait_until(lambda: tasks(school) == ["RUNNING", "SUCCESSFUL"], "the end of the second task")


# Epochs of a second or so: a checkpoint comes before the end.
SLOW = ("--architecture=neumf", "--epochs=8", "--batch-size=4", "--embedding-dim=8")


def test_a_killed_worker_leaves_the_old_model_serving_and_the_run_to_be_resumed(
    school: Bank, worker: Worker
) -> None:
    ask(school, *SLOW, "--model-version=v2")
    kept = school.folder / "entrainements"
    wait_until(lambda: list(kept.glob("entrainement-*/*.point")), "a checkpoint", 120)
    worker.kill()
    assert active(school) == [("v1",)]
    worker.start()
    ask(school, "--resume")
    wait_for(school, "termine", 120)
    assert runs(school, "version, reprises")[-1] == ("v2", 1)
    assert "refusé" not in worker.tail()
    epochs = [entry["epoch"] for entry in runs(school, "historique")[-1][0]]
    assert epochs == [*range(1, len(epochs) + 1)]
    assert models(school) == {"v1", "v2"}
    wait_until(lambda: not list(kept.iterdir()), "nothing is kept")


def test_a_training_waits_for_a_database_that_is_away_when_it_ends(
    school: Bank, worker: Worker, postgres: Postgres
) -> None:
    ask(school, "--epochs=30", "--batch-size=32", "--embedding-dim=8", "--model-version=v2")
    wait_for_an_epoch(school)
    postgres.stop()
    try:
        wait_until(lambda: "nouvel essai" in worker.tail(), "the end of the epochs", 60)
    finally:
        postgres.start()
    wait_for(school, "termine")
    assert models(school) == {"v1", "v2"}


def test_a_worker_that_finds_another_training_ends_its_own_run_and_says_why(
    school: Bank, worker: Worker
) -> None:
    worker.stop()
    ask(school, *FAST)
    with training(school, *LONG):
        wait_until(lambda: ("en_cours",) in runs(school), "the other training")
        worker.start()
        wait_until(lambda: ("annule",) in runs(school), "the end of the run")
        said = dict(runs(school, "statut, erreur"))
    assert said["annule"].startswith("Pas commencé : Entraînement")


def second(bank: Bank) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", "train_model"],
        cwd=ROOT,
        env=bank.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_second_training_is_refused_while_one_lives_and_a_killed_one_frees_the_place(
    school: Bank,
) -> None:
    with training(school, *LONG) as first:
        wait_for(school, "en_cours")
        refused = second(school)
        assert refused.returncode == 75
        assert "attendez sa fin" in refused.stderr
        first.kill()
    school.manage("train_model", *FAST, "-v0")
    assert runs(school) == [("termine",), ("interrompu",), ("termine",)]


@pytest.mark.reliability
def test_the_second_is_refused_within_two_seconds(school: Bank) -> None:
    with training(school, *LONG):
        wait_for(school, "en_cours")
        started = time.monotonic()
        assert second(school).returncode == 75
        assert time.monotonic() - started < 2


# --- While an import runs ----------------------------------------------------------------


def log_of(n: int, path: Path) -> Path:
    """What 400 people whom nobody knew did with as many épreuves, over the last 60 days."""
    draw, now, step = random.Random(42), int(time.time()), 60 * 86_400 // n
    rows = (f"{draw.randrange(400)},{draw.randrange(400)},{now - k * step}" for k in range(n))
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows]), "utf-8")
    return path


def import_beside_training(bank: Bank) -> None:
    log = log_of(4_000, bank.folder / "log.csv")
    before = bank.sql("select count(*) from core_interaction")[0][0]
    with training(bank, *FAST, "--epochs=60", "--model-version=v2") as run:
        bank.manage("import_interactions", str(log), "--create-missing", "-v0")
        assert run.process is not None
        assert run.process.wait(120) in (0, 4), run.tail()
    assert runs(bank)[-1] == ("termine",)
    assert bank.sql("select count(*) from core_interaction") == [(before + 4_000,)]


def test_an_import_and_a_training_at_once_both_finish_on_postgresql(school: Bank) -> None:
    import_beside_training(school)


def test_an_import_and_a_training_at_once_both_finish_on_sqlite() -> None:
    with servers.folder() as folder:
        bank = servers.embedded(folder)
        bank.manage(*SCHOOL)
        import_beside_training(bank)


def test_a_worker_reads_the_subjects_of_deposits_and_survives_a_bomb(
    school: Bank, worker: Worker
) -> None:
    school.python(DEPOSITS)
    etats = "select etat from core_texteepreuve order by epreuve_id desc limit 2"
    wait_until(
        lambda: school.sql(etats) == [("fait",), ("sans_texte",)], "both subjects are read", 60
    )
    assert worker.is_running
    found = (
        "from apps.core.models import Epreuve; print(Epreuve.objects.matching('lipschitz').get())"
    )
    assert school.python(found).strip() == "Examen"
