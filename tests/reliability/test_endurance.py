"""Minutes of faults, of steady load and of too much load: `make test-endurance`."""

import http.client
import logging
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.reliability import servers, traffic
from tests.reliability.conftest import FAST
from tests.reliability.servers import (
    Answer,
    Bank,
    Client,
    Gunicorn,
    Nginx,
    Postgres,
    Redis,
    running,
    under_load,
    wait_until,
)
from tests.reliability.test_background import LONG, Worker, ask, runs, wait_for
from tests.reliability.test_database import Writer, check

pytestmark = [
    pytest.mark.requires("servers", "nginx"),
    pytest.mark.endurance,
    pytest.mark.timeout(3600),
]
MINUTE = 60
CAST = """
from apps.core.models import Epreuve
from apps.core.services.counters import recount
from tests.factories import UserFactory
UserFactory(username="etudiant0")
recount(Epreuve.objects.values_list("pk", flat=True))
"""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """All that production runs, for faults to fall upon."""

    bank: Bank
    postgres: Postgres
    redis: Redis
    web: Gunicorn
    worker: Worker
    nginx: Nginx


@pytest.fixture
def stage(school: Bank, postgres: Postgres, redis: Redis) -> Iterator[Stage]:
    school.python(CAST)
    school.variables["JWT_ACCESS_MINUTES"] = "60"  # Nobody signs in again in half an hour.
    school.manage("train_model", *FAST, "--seed=7", "--model-version=v2")
    with (
        running(Gunicorn(school.folder, bank=school)) as web,
        running(Worker(school.folder, bank=school)) as worker,
        servers.folder() as front,
        running(Nginx(front, web=web)) as nginx,
    ):
        yield Stage(school, postgres, redis, web, worker, nginx)


# --- Faults ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """How a call ended, when, and after how long: `status` 0 where its connection broke."""

    what: str
    at: float
    seconds: float
    status: int = 0
    error: str = ""


@dataclass(frozen=True)
class Witness(Client):
    """Remembers how each of its calls ended."""

    said: list[Said] = field(default_factory=list, compare=False)

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        start = time.monotonic()

        def note(status: int = 0, error: str = "") -> None:
            now = time.monotonic()
            self.said.append(Said(f"{method} {path}", now, now - start, status, error))

        try:
            answer = super().call(method, path, body, **headers)
        except (OSError, http.client.HTTPException) as error:
            note(error=repr(error))
            raise
        note(answer.status)
        return answer


def restart_database(stage: Stage) -> None:
    stage.postgres.stop()
    time.sleep(1)
    stage.postgres.start()


def crash_database(stage: Stage) -> None:
    stage.postgres.crash()
    stage.postgres.start()


def kill_redis(stage: Stage) -> None:
    stage.redis.kill()
    time.sleep(1)
    stage.redis.start()


def freeze_redis(stage: Stage) -> None:
    stage.redis.freeze()
    time.sleep(3)
    stage.redis.thaw()


def kill_a_process(stage: Stage) -> None:
    os.kill(random.choice(stage.web.workers), signal.SIGKILL)


def reload_gunicorn(stage: Stage) -> None:
    stage.web.send(signal.SIGHUP)


def kill_a_training(stage: Stage) -> None:
    if not stage.worker.is_running:
        stage.worker.start()  # As systemd does: without its database, a worker ends.
    ask(stage.bank, *LONG)
    wait_until(lambda: ("en_cours",) in runs(stage.bank), "a training", 120)
    stage.worker.kill()
    stage.worker.start()


def change_the_model(stage: Stage) -> None:
    for version in ("v1", "v2"):
        stage.bank.manage("activate_model", version)


# What each may cost who is asking just then: a clear 503, which nginx says for a killed process.
FAULTS: dict[Callable[[Stage], None], set[int]] = {
    restart_database: {503},
    crash_database: {503},
    kill_redis: set(),
    freeze_redis: set(),
    kill_a_process: {503},
    reload_gunicorn: set(),
    kill_a_training: set(),
    change_the_model: set(),
}
RECOVERY = 5


@dataclass(frozen=True)
class Fault:
    what: str
    excused: set[int]
    start: float
    end: float

    def explains(self, said: Said) -> bool:
        return said.status in self.excused and self.start <= said.at <= self.end + RECOVERY

    def __str__(self) -> str:
        return f"{self.what}, {self.start:.1f} to {self.end:.1f}"


def strike(stage: Stage, draw: random.Random, minutes: float) -> Iterator[Fault]:
    """One fault every 20 s: each kind once, in an order drawn anew, then all of them again."""
    over = time.monotonic() + minutes * MINUTE
    while True:
        for fault in draw.sample(list(FAULTS), len(FAULTS)):
            start = time.monotonic()
            if start > over:
                return
            fault(stage)
            done = Fault(fault.__name__, FAULTS[fault], start, time.monotonic())
            logger.info("%s: %.1f s", done.what, done.end - done.start)
            yield done
            time.sleep(max(0.0, 20 - (time.monotonic() - start)))


def read(requests: Iterator[traffic.Request]) -> None:
    """A broken connection is remembered by the client that broke it."""
    with suppress(OSError, http.client.HTTPException):
        next(requests)()


def test_five_minutes_of_faults_lose_nothing_and_each_is_over_within_five_seconds(
    stage: Stage,
) -> None:
    epreuves = traffic.epreuve_ids(stage.bank)
    client = stage.nginx.client
    witness = Witness(client.port, tls=client.tls)
    people = [witness.with_token(one.token) for one in traffic.newcomers(stage.bank, client, 16)]
    writers = [Writer(one, epreuves) for one in people[:8]]
    readers = [traffic.everyday(one, epreuves) for one in people[8:]]
    calls = [writer.write for writer in writers] + [partial(read, reader) for reader in readers]
    with under_load(calls):
        faults = list(strike(stage, random.Random(42), 5))
        time.sleep(RECOVERY)
    bad = [said for said in witness.said if said.status not in (200, 201)]
    logger.info("%d answers, %d refused or lost", len(witness.said), len(bad))
    unexplained = [said for said in bad if not any(fault.explains(said) for fault in faults)]
    assert not unexplained, "\n".join(map(str, [*faults, *unexplained]))
    check(stage.bank, writers)
    wait_until(stage.web.is_ready, "every process")
    if not stage.worker.is_running:
        stage.worker.start()
    ask(stage.bank, *FAST, "--model-version=v3")
    wait_for(stage.bank, "termine")


# --- Steady load -------------------------------------------------------------------------


def resident(pid: int) -> int:
    """In KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def everyday(client: Client, epreuves: Sequence[int]) -> Callable[[], Answer]:
    requests = traffic.everyday(client, epreuves)
    return lambda: next(requests)()


def test_half_an_hour_of_load_takes_no_more_memory_than_its_first_minutes(stage: Stage) -> None:
    epreuves = traffic.epreuve_ids(stage.bank)
    people = traffic.newcomers(stage.bank, stage.nginx.client, 4)
    with under_load([everyday(one, epreuves) for one in people]) as answers:
        time.sleep(5 * MINUTE)
        before = {pid: resident(pid) for pid in stage.web.workers}
        for minute in range(5, 31, 5):
            logger.info("minute %d: %s", minute, {pid: resident(pid) for pid in before})
            time.sleep(5 * MINUTE if minute < 30 else 0)
        after = {pid: resident(pid) for pid in stage.web.workers}
    assert {answer.status for answer in answers} <= {200, 201}
    assert after.keys() == before.keys()
    assert max(after[pid] / before[pid] for pid in before) <= 1.05


# --- Too much load -----------------------------------------------------------------------


def goodput(people: Sequence[Client], epreuves: Sequence[int], seconds: float = 12) -> float:
    """Good answers a second, all of these asking at once."""
    with under_load([everyday(one, epreuves) for one in people]) as answers:
        time.sleep(seconds)
        good = sum(answer.status in (200, 201) for answer in answers)
    return good / seconds


def test_sixty_four_at_once_are_served_nearly_as_many_answers_as_few(stage: Stage) -> None:
    epreuves = traffic.epreuve_ids(stage.bank)
    people = traffic.newcomers(stage.bank, stage.nginx.client, 64)
    goodput(people[:4], epreuves)
    few = {n: goodput(people[:n], epreuves) for n in (1, 2, 4, 8, 16, 32)}
    many = goodput(people, epreuves)
    logger.info("good answers a second: %s, then %.0f", few, many)
    assert many >= 0.8 * max(few.values())
