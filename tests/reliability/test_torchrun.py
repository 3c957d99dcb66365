"""A training by several processes: as one, written by the first alone; one that dies ends all."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.servers import Bank, Server, running, wait_until

pytestmark = pytest.mark.requires("servers")

LONG = ("--epochs=5000", "--batch-size=64", "--architecture=neumf", "-v0")


@dataclass
class Torchrun(Server):
    bank: Bank = field(kw_only=True)
    options: tuple[str, ...] = field(kw_only=True)

    def argv(self) -> list[str]:
        torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2")
        return [*torchrun, "manage.py", "train_model", *self.options]

    def environment(self) -> dict[str, str]:
        return self.bank.environment | {"OMP_NUM_THREADS": "1"}

    def is_ready(self) -> bool:
        return True

    @property
    def ranks(self) -> dict[int, int]:
        """The process of each rank, as long as it lives."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True
        )
        found = {}
        for pid in map(int, listed.stdout.split()):
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            found |= {int(one[5:]): pid for one in variables if one.startswith(b"RANK=")}
        return found

    def code(self, seconds: float) -> int:
        assert self.process
        return self.process.wait(seconds)


@pytest.fixture
def long(school: Bank) -> Iterator[Torchrun]:
    """A training that nobody waits for, past its first epoch."""
    with running(Torchrun(school.folder, bank=school, options=LONG)) as torchrun:
        wait_until(
            lambda: last(school, "statut, epoch_courante > 0") == ("en_cours", True),
            "the first epoch",
            90,
        )
        yield torchrun


def last(bank: Bank, columns: str) -> tuple[Any, ...]:
    (row,) = bank.sql(f"select {columns} from recommender_traininglog order by id desc limit 1")
    return row


def test_two_processes_train_one_model_as_one_process_does(school: Bank) -> None:
    # At its default rate: a greater one would amplify the order of the additions.
    options = ("--epochs=4", "--batch-size=64", "--embedding-dim=8", "-v0")
    shared_options = (*options, "--model-version=v2")
    with running(Torchrun(school.folder, bank=school, options=shared_options)) as two:
        assert two.code(120) == 0, two.tail()
    school.manage("train_model", *options, "--model-version=v3")
    rows = school.sql("select metriques from recommender_traininglog order by id desc limit 2")
    (alone,), (shared,) = rows
    for name in ("ndcg_at_10", "hr_at_10", "map_at_10", "rmse"):
        assert shared[name] == pytest.approx(alone[name], abs=1e-3)
    models = {path.name for path in (school.folder / "ml_models").iterdir()}
    assert models == {"v1", "v2", "v3"}


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_others_and_the_old_model_serves(
    school: Bank, long: Torchrun, rank: int
) -> None:
    ranks = long.ranks
    os.kill(ranks[rank], signal.SIGKILL)
    assert long.code(40) == 1
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks.values())
    if rank == 1:
        assert last(school, "statut, erreur like 'Un autre processus%'") == ("echoue", True)
    assert school.sql("select version from recommender_modelmetadata where est_actif") == [("v1",)]
    with running(Torchrun(school.folder, bank=school, options=("--resume", "-v0"))) as again:
        wait_until(lambda: last(school, "statut, reprises") == ("en_cours", 1), "it goes on", 90)
        assert again.process


def test_ctrl_c_cancels_it(school: Bank, long: Torchrun) -> None:
    ranks = long.ranks
    os.killpg(long.pid, signal.SIGINT)
    assert long.code(40) == 1
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks.values())
    assert last(school, "statut") == ("annule",)


def test_nothing_to_do_and_what_cannot_be_end_all(school: Bank) -> None:
    for options, code in ((("--if-needed", "-v0"), 0), (("--background",), 1)):
        with running(Torchrun(school.folder, bank=school, options=options)) as torchrun:
            assert torchrun.code(90) == code, torchrun.tail()
