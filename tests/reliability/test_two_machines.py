"""Two web machines share a database, a cache and a bucket, and no folder."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.reliability import servers
from tests.reliability.conftest import FAST
from tests.reliability.servers import (
    HOST,
    S3,
    Bank,
    Gunicorn,
    Postgres,
    Redis,
    free_port,
    running,
    wait_until,
)
from tests.reliability.test_hot_reload import PERSONALIZED, TOKENS, ask, what_matters

pytestmark = pytest.mark.requires("servers")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with servers.folder() as folder, running(S3(folder)) as s3:
        yield s3


@pytest.fixture(scope="module")
def worker(taught: Bank, postgres: Postgres, redis: Redis, s3: S3) -> Iterator[Bank]:
    """The machine that trains, and serves nobody: v1, from before the bucket, then v2."""
    template = taught.variables["DB_NAME"]
    with (
        servers.folder() as folder,
        servers.production(folder, postgres, redis, template=template, **s3.variables) as bank,
    ):
        shutil.copytree(taught.folder / "ml_models", folder / "ml_models", dirs_exist_ok=True)
        bank.manage("publish_models")
        bank.manage("train_model", *FAST, "--seed=7", "--model-version=v2")
        yield bank


@contextmanager
def machine(worker: Bank, **variables: str) -> Iterator[Gunicorn]:
    """One that starts from an empty folder."""
    with servers.folder() as folder:
        bank = replace(worker, folder=folder, variables=worker.variables | variables)
        with running(Gunicorn(folder, bank=bank)) as web:
            yield web


@pytest.fixture(scope="module")
def web(worker: Bank) -> Iterator[Gunicorn]:
    with machine(worker) as web:
        yield web


@pytest.fixture(scope="module")
def other(worker: Bank) -> Iterator[Gunicorn]:
    with machine(worker) as other:
        yield other


@pytest.fixture(scope="module")
def tokens(worker: Bank) -> list[str]:
    return worker.python(TOKENS).split()


def told_by(web: Gunicorn, redis: Redis, tokens: list[str]) -> dict[str, Any]:
    """What it answers each student by itself: nothing is left of what the other remembered."""
    redis.flush()
    clients = (web.client.with_token(token) for token in tokens)
    answers = {client.token: ask(client) for client in clients}
    assert {answer["source"] for answer in answers.values()} == {"ncf"}
    return {token: what_matters(answer) for token, answer in answers.items()}


def serves(web: Gunicorn, token: str, version: str) -> bool:
    """A dozen in a row: each of its processes gave some of them."""
    client = web.client.with_token(token)
    return all(ask(client)["version_modele"] == version for _ in range(12))


def test_an_activation_on_one_machine_reaches_both_and_they_answer_alike(
    web: Gunicorn, other: Gunicorn, redis: Redis, tokens: list[str]
) -> None:
    told = {}
    for version in ("v1", "v2"):
        web.bank.manage("activate_model", version)
        for one in (web, other):
            wait_until(lambda: serves(one, tokens[0], version), version, 30)  # noqa: B023
        told[version] = told_by(web, redis, tokens)
        assert told_by(other, redis, tokens) == told[version]
    assert told["v1"] != told["v2"]


@pytest.mark.reliability
def test_it_does_so_within_five_seconds(web: Gunicorn, other: Gunicorn, tokens: list[str]) -> None:
    for version in ("v1", "v2"):
        web.bank.manage("activate_model", version)
        for one in (web, other):
            wait_until(lambda: serves(one, tokens[0], version), version, 5)  # noqa: B023


def test_a_machine_added_later_starts_from_nothing_and_answers_alike(
    worker: Bank, web: Gunicorn, redis: Redis, tokens: list[str]
) -> None:
    with machine(worker, WEB_PROCESSUS="1") as added:
        assert told_by(added, redis, tokens) == told_by(web, redis, tokens)


def test_what_one_machine_recorded_counts_at_once_on_the_other(
    web: Gunicorn, other: Gunicorn, tokens: list[str]
) -> None:
    here, there = (one.client.with_token(tokens[1]) for one in (web, other))
    first = ask(here)["recommendations"][0]["epreuve"]["id"]
    assert here.post(f"/api/epreuves/{first}/view/").status == 201
    rows = there.get(PERSONALIZED).json["recommendations"]
    assert first not in [row["epreuve"]["id"] for row in rows]


def test_a_machine_that_cannot_reach_the_bucket_serves_without_a_model_and_says_so(
    worker: Bank, tokens: list[str]
) -> None:
    nowhere = f"http://{HOST}:{free_port()}"
    with machine(worker, S3_ENDPOINT_URL=nowhere, WEB_PROCESSUS="1") as added:
        answer = ask(added.client.with_token(tokens[2]))
        assert answer["recommendations"]
        assert answer["version_modele"] is None
        assert "Could not connect to the endpoint" in added.tail()
