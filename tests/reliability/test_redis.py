"""Redis dead, frozen, flushed: the answer comes, from elsewhere and in time."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from statistics import quantiles

import pytest

from tests.reliability import traffic
from tests.reliability.servers import Answer, Client, Gunicorn, Redis, wait_until

pytestmark = pytest.mark.requires("servers")


def faults(answers: list[Answer]) -> list[bytes]:
    return [answer.body for answer in answers if answer.status not in (200, 201)]


@contextmanager
def killed(redis: Redis) -> Iterator[None]:
    redis.kill()
    try:
        yield
    finally:
        redis.start()


@contextmanager
def frozen(redis: Redis) -> Iterator[None]:
    redis.freeze()
    try:
        yield
    finally:
        redis.thaw()


def is_used_by(worker: int, web: Gunicorn, redis: Redis, student: Client) -> bool:
    with web.answering_alone(worker), redis.client as client:
        client.flushall()
        assert student.get("/api/recommendations/personalized/").status == 200
        return client.dbsize() > 0


def wait_until_used(web: Gunicorn, redis: Redis, student: Client, within: float) -> None:
    """By every worker, the last one included."""

    def is_used() -> bool:
        return all(is_used_by(worker, web, redis, student) for worker in web.workers)

    wait_until(is_used, "Redis in use", within)


def test_without_redis_the_api_serves_and_takes_it_back(
    web: Gunicorn, redis: Redis, students: list[Client], epreuves: list[int]
) -> None:
    with killed(redis):
        assert faults(traffic.answers(students, epreuves, 200)) == []
    wait_until_used(web, redis, students[0], 20)


def test_with_redis_frozen_the_api_serves_and_takes_it_back(
    web: Gunicorn, redis: Redis, students: list[Client], epreuves: list[int]
) -> None:
    with frozen(redis):
        assert faults(traffic.answers(students, epreuves, 200)) == []
    wait_until_used(web, redis, students[0], 20)


def test_a_flush_costs_nothing_but_time(
    redis: Redis, students: list[Client], epreuves: list[int]
) -> None:
    for _ in range(4):
        redis.flush()
        assert faults(traffic.answers(students, epreuves, 48)) == []


def test_a_login_is_limited_without_redis(web: Gunicorn, redis: Redis) -> None:
    wrong = {"username": "etudiant5", "password": "pas-le-bon"}
    with killed(redis):
        said = [web.client.post("/api/token/", wrong).status for _ in range(6)]
    assert said == [401] * 5 + [429]


@pytest.mark.reliability
def test_redis_is_back_in_use_within_five_seconds(
    web: Gunicorn, redis: Redis, students: list[Client], epreuves: list[int]
) -> None:
    with killed(redis):
        traffic.answers(students, epreuves, 200)
    wait_until_used(web, redis, students[0], 5)


@pytest.mark.reliability
def test_a_frozen_redis_adds_at_most_three_tenths_of_a_second(
    redis: Redis, students: list[Client], epreuves: list[int]
) -> None:
    def p95() -> float:
        requests = islice(traffic.everyday(students[0], epreuves), 200)
        return quantiles((traffic.seconds(request) for request in requests), n=20)[-1]

    p95()
    quiet = p95()
    with frozen(redis):
        assert p95() <= quiet + 0.3
