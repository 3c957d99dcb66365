"""A training that is killed, or finds the disk full, costs nothing but itself."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.reliability import servers
from tests.reliability.conftest import FAST, SCHOOL
from tests.reliability.servers import Bank

pytestmark = pytest.mark.requires("servers")

# Children of one process that has imported torch: a training each, and no four seconds of imports.
KILL = """
import itertools, json, os, random, signal, sys, time
import pandas
from django.conf import settings
from django.db import connections
from apps.recommender.ml import artifact, baselines, evaluation, trainer
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.predictor import Predictor
from apps.recommender.models import ModelMetadata, TrainingLog
from apps.recommender.services import training

CONFIG = TrainingConfig(epochs=10, batch_size=64, embedding_dim=8, learning_rate=0.02)


def start(version, *, dies_at=0):
    connections.close_all()
    child = os.fork()
    if child:
        return child
    events = itertools.count(1)

    def die(event, args):
        # Of its own files: those of the models before, which it reads too, grow with every step.
        if event in {"open", "os.mkdir", "os.rename"}:
            is_own = version in str(args[0]) or ".aside-" in str(args[0])
            if is_own and next(events) == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    if dies_at:
        sys.addaudithook(die)
    os._exit(0 if training.train(CONFIG, version=version).model.est_actif else 4)


def how_it_ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def left():
    models = [path for path in settings.ML_MODELS_DIR.iterdir() if path.name[0] != "."]
    loaded = sorted(Predictor.load(path).version for path in models)
    return {
        "active": ModelMetadata.objects.get(est_actif=True).version,
        "whole": loaded,
        "known": sorted(ModelMetadata.objects.values_list("version", flat=True)),
        "alive": sum(not run.is_dead for run in TrainingLog.objects.filter(statut="en_cours")),
    }
"""


@pytest.fixture(scope="module")
def taught_here() -> Iterator[Bank]:
    with servers.folder() as folder:
        # Pruning would take away models that the tests look for.
        bank = servers.embedded(folder, MODELES_GARDES="1000")
        bank.manage(*SCHOOL)
        bank.manage("train_model", *FAST, "--model-version=v1")
        yield bank


def told(bank: Bank, code: str) -> list[dict[str, Any]]:
    """The JSON lines that the code prints."""
    return [json.loads(line) for line in bank.python(KILL + code, timeout=280).splitlines()]


def test_a_training_killed_at_any_moment_keeps_the_old_model(taught_here: Bank) -> None:
    seen = told(
        taught_here,
        """
started, active = time.monotonic(), "whole"
assert how_it_ended(start(active)) == 0
whole = time.monotonic() - started
moments, killed = random.Random(42), 0
for number in itertools.count():
    if killed == 10:
        break
    child = start(f"killed{number}")
    time.sleep(moments.uniform(0, whole))
    os.kill(child, signal.SIGKILL)
    if how_it_ended(child) == 0:
        active = f"killed{number}"  # It was faster.
    else:
        killed += 1
        print(json.dumps({"wanted": active} | left()))
""",
    )
    assert len(seen) == 10
    for state in seen:
        assert (state["active"], state["alive"]) == (state["wanted"], 0), state
        assert set(state["known"]) <= set(state["whole"]), state


def test_a_training_killed_at_any_step_of_writing_leaves_no_half_model(taught_here: Bank) -> None:
    """At the opening of each file, at each folder made or renamed, until none is left to die at."""
    seen = told(
        taught_here,
        """
before = left()["active"]
for step in itertools.count(1):
    version = f"written{step}"
    killed = how_it_ended(start(version, dies_at=step)) == -signal.SIGKILL
    state = left()
    # Killed after its row was written, it serves: what follows may be done again at any time.
    before = version if version in state["known"] else before
    print(json.dumps({"step": step, "killed": killed, "wanted": before} | state))
    if not killed:
        break
""",
    )
    assert len(seen) > 10
    assert not seen[-1]["killed"]
    assert seen[0]["wanted"] != f"written{seen[0]['step']}"
    for state in seen:
        assert (state["active"], state["alive"]) == (state["wanted"], 0), state
        assert set(state["known"]) <= set(state["whole"]), state


@contextmanager
def full_disk(folder: Path) -> Iterator[Path]:
    """A real file system of 128 KiB."""
    disk = folder / "disk"
    disk.mkdir(exist_ok=True)
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "banque-test", disk], capture_output=True
    )
    if mount.returncode:
        pytest.skip("mounting a small disk is not permitted here: left out")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_full_disk_fails_the_training_and_keeps_the_old_model(taught_here: Bank) -> None:
    before = taught_here.sql("select version from recommender_modelmetadata where est_actif")
    with full_disk(taught_here.folder) as disk:
        shutil.copytree(taught_here.folder / "ml_models" / "v1", disk / "v1")
        whole = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
        done = subprocess.run(
            [
                sys.executable,
                "manage.py",
                "train_model",
                *FAST,
                "--epochs=1",
                "--embedding-dim=160",
            ],
            cwd=servers.ROOT,
            env=taught_here.environment | {"ML_MODELS_DIR": str(disk)},
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert (done.returncode, "No space left" in done.stderr) == (3, True), done.stderr
        assert {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()} == whole
        assert [path.name for path in disk.iterdir()] == ["v1"]
    last = "select statut, erreur from recommender_traininglog order by id desc limit 1"
    statut, erreur = taught_here.sql(last)[0]
    assert (statut, "No space left" in erreur) == ("echoue", True)
    active = taught_here.sql("select version from recommender_modelmetadata where est_actif")
    assert active == before
