"""Another model is activated while two workers of four threads answer."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.reliability import servers
from tests.reliability.conftest import FAST
from tests.reliability.servers import (
    ROOT,
    Bank,
    Client,
    Gunicorn,
    Postgres,
    Redis,
    running,
    under_load,
    wait_until,
)

pytestmark = pytest.mark.requires("servers")

PERSONALIZED = "/api/recommendations/personalized/?top_k=10"
# When it was asked, by whom, and what came.
Seen = tuple[float, str, dict[str, Any]]

ACTIVATE = """
import sys
from django.core.management import call_command

for line in sys.stdin:
    call_command("activate_model", line.strip())
    sys.stdout.flush()
"""

TOKENS = """
from apps.core.models import User
from apps.comptes.tokens import AccessToken

users = User.objects.filter(role="etudiant").order_by("pk")[:8]
print(*(AccessToken.for_user(user) for user in users), sep="\\n")
"""

OFFICE = """
from apps.core.models import User
from apps.comptes.tokens import AccessToken

print(AccessToken.for_user(User.objects.create_superuser("direction", password="x")))
"""


@pytest.fixture(scope="module")
def two_models(taught: Bank, postgres: Postgres, redis: Redis) -> Iterator[Bank]:
    """v1 and v2, learnt from the same bank with other seeds; v1 is active."""
    with (
        servers.folder() as folder,
        servers.production(
            folder, postgres, redis, template=taught.variables["DB_NAME"]
        ) as two_models,
    ):
        shutil.copytree(taught.folder / "ml_models", folder / "ml_models", dirs_exist_ok=True)
        two_models.manage("train_model", *FAST, "--seed=7", "--model-version=v2")
        two_models.manage("activate_model", "v1")
        yield two_models


@pytest.fixture(scope="module")
def serving(two_models: Bank) -> Iterator[Gunicorn]:
    with running(Gunicorn(two_models.folder, bank=two_models)) as serving:
        yield serving


@pytest.fixture(scope="module")
def students(serving: Gunicorn) -> list[Client]:
    return [serving.client.with_token(token) for token in serving.bank.python(TOKENS).split()]


def what_matters(answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The épreuves with their scores to the last digit, and where each comes from."""
    rows = answer["recommendations"]
    return [(row["epreuve"]["id"], row["score"], row["source"]) for row in rows]


def ask(student: Client) -> dict[str, Any]:
    answer = student.get(PERSONALIZED)
    assert answer.status == 200, answer.body
    return dict(answer.json)


def answers_of(serving: Gunicorn, students: list[Client], version: str) -> dict[str, Any]:
    """What each student is told once every worker serves that version, the same by each."""
    told = []
    for worker in serving.workers:
        with serving.answering_alone(worker):
            wait_until(lambda: ask(students[0])["version_modele"] == version, version, 10)
            told.append({student.token: what_matters(ask(student)) for student in students})
    assert told[0] == told[1]
    return told[0]


def test_going_back_reaches_every_worker_and_gives_the_same_to_the_last_digit(
    serving: Gunicorn, students: list[Client]
) -> None:
    before = answers_of(serving, students, "v1")
    assert {source for rows in before.values() for _, _, source in rows} == {"ncf"}
    serving.bank.manage("activate_model", "v2")
    assert answers_of(serving, students, "v2") != before
    serving.bank.manage("activate_model", "--previous")
    assert answers_of(serving, students, "v1") == before


def test_going_back_by_the_api_is_the_same_and_never_twice(
    serving: Gunicorn, students: list[Client]
) -> None:
    before = answers_of(serving, students, "v1")
    office = serving.client.with_token(serving.bank.python(OFFICE).strip())
    models = "/api/recommendations/modeles"
    assert office.post(f"{models}/v2/activer/", {"actif": "v1"}).status == 200
    answers_of(serving, students, "v2")
    assert office.post(f"{models}/revenir/", {"actif": "v2"}).status == 200
    assert office.post(f"{models}/revenir/", {"actif": "v2"}).status == 409
    assert answers_of(serving, students, "v1") == before


@contextmanager
def activation(bank: Bank) -> Iterator[Callable[[str], None]]:
    """`activate_model`, from one process: to start one for each would be most of the load."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "shell", "--no-imports", "--command", ACTIVATE],
        cwd=ROOT,
        env=bank.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process as process:
        assert process.stdin is not None
        assert process.stdout is not None
        tell, told = process.stdin, process.stdout

        def activate(version: str) -> None:
            print(version, file=tell, flush=True)
            assert told.readline().startswith(f"Modèle {version}")

        yield activate


def activate_under_load(
    serving: Gunicorn, redis: Redis, students: list[Client], *, within: float
) -> None:
    """Four activations; each reaches all within that time, and no answer is half of another."""
    expected = {"v1": answers_of(serving, students, "v1")}

    def timed(student: Client) -> Seen:
        started = time.monotonic()
        return started, student.token, ask(student)

    with activation(serving.bank) as activate:
        activate("v2")
        expected["v2"] = answers_of(serving, students, "v2")
        with under_load([partial(timed, student) for student in students]) as seen:
            for version in ("v1", "v2", "v1", "v2"):
                activate(version)
                activated = time.monotonic()
                redis.flush()
                wait_until(
                    lambda: is_all_there_is(version, seen, activated),  # noqa: B023
                    f"{version} everywhere",
                    within,
                )
        activate("v1")
    for _, token, answer in seen:
        assert what_matters(answer) == expected[answer["version_modele"]][token], "a mix"


def is_all_there_is(version: str, seen: list[Seen], since: float) -> bool:
    """A hundred in a row: each worker gave some of them."""
    last = seen[-100:]
    return len(last) == 100 and all(
        started > since and answer["version_modele"] == version for started, _, answer in last
    )


def test_four_activations_under_load_cause_neither_error_nor_mix(
    serving: Gunicorn, redis: Redis, students: list[Client]
) -> None:
    activate_under_load(serving, redis, students, within=30)


@pytest.mark.reliability
def test_every_worker_serves_the_new_version_within_five_seconds(
    serving: Gunicorn, redis: Redis, students: list[Client]
) -> None:
    activate_under_load(serving, redis, students, within=5)
