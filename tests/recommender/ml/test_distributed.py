import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.recommender.ml import distributed
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset
from apps.recommender.ml.registry import of_architecture
from tests.reliability.servers import wait_until

ROOT = Path(__file__).parent.parent.parent.parent
PROCESSES = 3
# The last batch of an epoch has fewer rows than there are processes.
CONFIGS = {
    "neumf": TrainingConfig("neumf", epochs=9, embedding_dim=8, pretraining=True),
    "hybrid": TrainingConfig("hybrid", epochs=3, embedding_dim=8),
}
SCRIPT = """
import json
import torch
from apps.recommender.ml import distributed
from apps.recommender.ml.data_loader import split_by_date
from tests.recommender.ml.conftest import N, checkerboard_of
from tests.recommender.ml.test_distributed import CONFIGS, learnt

torch.set_num_threads(1)
data = split_by_date(checkerboard_of(N))
with distributed.together():
    found = {name: learnt(name, data) for name in CONFIGS}
    assert distributed.add_up(torch.ones(1)) == distributed.size()
    if distributed.is_leader():
        print(json.dumps(found))
"""


def learnt(name: str, data: Dataset) -> dict[str, Any]:
    """What a model of CONFIGS comes to, as JSON takes it."""
    rows = len(data.train) * (1 if name == "hybrid" else 5)
    config = replace(CONFIGS[name], batch_size=(rows - 1) // 2, learning_rate=0.01)
    model = of_architecture(config)
    model.fit(data, np.random.default_rng(config.seed))
    kept = ("loss_entrainement", "loss_validation", "ndcg_validation")
    return {
        "weights": [float(one.double().norm()) for one in model.network.state_dict().values()],
        "history": [[entry[key] for key in kept] for entry in model.history],
        "best_epoch": model.best_epoch,
        "last_batch": rows % config.batch_size,
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """By the number of processes; all of their own, since BLAS differs with what was loaded."""
    script = tmp_path_factory.mktemp("torchrun") / "script.py"
    script.write_text(SCRIPT)
    started = {n: torchrun(n, script) for n in (1, PROCESSES)}
    outputs = {n: process.communicate(timeout=200) for n, process in started.items()}
    assert all(process.returncode == 0 for process in started.values()), outputs
    return {n: json.loads(out) for n, (out, _) in outputs.items()}


def torchrun(n: int, script: Path, *argv: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={n}"),
            *(str(script), *argv),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_three_processes_learn_what_one_learns(name: str, found: dict[int, Any]) -> None:
    alone, shared = found[1][name], found[PROCESSES][name]
    assert alone["last_batch"] < PROCESSES
    assert shared["best_epoch"] == alone["best_epoch"]
    # But for the order of the additions.
    assert shared["weights"] == pytest.approx(alone["weights"], rel=1e-3)
    assert np.array(shared["history"]) == pytest.approx(np.array(alone["history"]), rel=1e-3)


FREEZING = """
import os, pathlib, signal, sys, time
from datetime import timedelta
import torch
from apps.recommender.ml import distributed
from apps.recommender.ml.errors import PeerLost

frozen, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
distributed.PATIENCE, distributed.BEAT_SECONDS = timedelta(seconds=4), 0.5
# Ready together: a busy machine loads torch at its own pace.
(folder / os.environ["RANK"]).touch()
while len([*folder.glob("[01]")]) < 2:
    time.sleep(0.05)
with distributed.together():
    # The leader alone may take longer than anybody's patience.
    distributed.by_leader(lambda: time.sleep(9))
    distributed.add_up(torch.ones(1))
    if int(os.environ["RANK"]) == frozen:
        (folder / "frozen").write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)
    try:
        distributed.by_leader(lambda: None)
        distributed.add_up(torch.ones(1))
    except PeerLost:
        (folder / "lost").touch()
        raise
"""


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_process_that_is_frozen_is_noticed(frozen: int, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(FREEZING)
    process = torchrun(2, script, str(frozen), str(tmp_path))
    try:
        wait_until((tmp_path / "lost").exists, "the other one has noticed", 90)
    finally:
        stopped = tmp_path / "frozen"
        if stopped.exists():
            os.kill(int(stopped.read_text()), signal.SIGKILL)
        process.terminate()
        process.communicate(timeout=60)


def test_alone_a_batch_is_whole() -> None:
    assert distributed.size() == 1
    assert distributed.is_leader()
    assert [*range(5)][distributed.share(5)] == [*range(5)]
