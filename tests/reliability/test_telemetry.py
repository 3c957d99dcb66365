"""What several processes and machines say together: counts, metrics, one id in every log."""

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apps.recommender.services.recommendations import SOURCES
from tests.reliability import servers, traffic
from tests.reliability.conftest import TEMPLATE
from tests.reliability.servers import (
    Bank,
    Client,
    Gunicorn,
    Nginx,
    Postgres,
    Redis,
    running,
    wait_until,
)
from tests.reliability.test_background import Worker
from tests.reliability.test_forgotten_password import ADDRESS, Mailbox, mailbox  # noqa: F401

pytestmark = pytest.mark.requires("servers", "nginx")

KEY = "une-clef-pour-prometheus"
READY = "/api/sante/ready/"
PERSONALIZED, STATS = "/api/recommendations/personalized/", "/api/recommendations/stats/"


@pytest.fixture(scope="module")
def bank(postgres: Postgres, redis: Redis) -> Iterator[Bank]:
    with (
        servers.folder() as folder,
        servers.production(folder, postgres, redis, template=TEMPLATE, METRIQUES_JETON=KEY) as bank,
    ):
        yield bank


@pytest.fixture(scope="module")
def student(web: Gunicorn, bank: Bank) -> Client:
    return traffic.newcomers(bank, web.client, 1)[0]


def lines(log: Path) -> list[dict[str, Any]]:
    """Of the log, those in JSON; there are no others."""
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


def counted(client: Client, view: str) -> float:
    page = client.get("/metrics", Authorization=f"Bearer {KEY}").body.decode()
    found = re.findall(rf'^banque_requetes_secondes_count{{.*vue="{view}"}} (.+)$', page, re.M)
    return sum(map(float, found))


def asked_of_each(web: Gunicorn, path: str, token: str, times: int) -> None:
    """So many times of every worker, one after the other."""
    for worker in web.workers:
        with web.answering_alone(worker) as client:
            for _ in range(times):
                assert client.with_token(token).get(path).status == 200


@contextmanager
def frozen(redis: Redis, web: Gunicorn) -> Iterator[None]:
    """Until every worker asks it again."""

    def is_used_by(worker: int) -> bool:
        with web.answering_alone(worker) as client:
            return bool(client.get(READY).json["cache"] == "ok")

    redis.freeze()
    try:
        yield
    finally:
        redis.thaw()
        wait_until(lambda: all(map(is_used_by, web.workers)), "all workers use Redis", 10)


def test_sixty_requests_to_two_workers_are_sixty_on_either(web: Gunicorn, student: Client) -> None:
    asked_of_each(web, "/api/moi/", student.token, 30)
    answered = [line["pid"] for line in lines(web.log) if line.get("chemin") == "/api/moi/"]
    assert {answered.count(pid) for pid in web.workers} == {30}
    for worker in web.workers:
        with web.answering_alone(worker) as client:
            assert counted(client, "moi") == 60


def test_what_a_worker_counted_outlives_it(web: Gunicorn, student: Client) -> None:
    before = counted(web.client, "evaluation-list")
    asked_of_each(web, "/api/evaluations/", student.token, 2)
    old = web.workers
    web.send(signal.SIGHUP)
    wait_until(lambda: not set(old) & set(web.workers) and web.is_ready(), "new workers")
    assert counted(web.client, "evaluation-list") == before + 4


def test_metrics_are_not_for_the_public(web: Gunicorn, nginx: Nginx) -> None:
    assert web.client.get("/metrics").status == 401
    assert web.client.get("/metrics", X_Forwarded_Proto="http").status == 401
    assert nginx.client.get("/metrics", Authorization=f"Bearer {KEY}").status == 404


def test_seven_requests_through_two_workers_read_seven_on_either(
    web: Gunicorn, redis: Redis, student: Client
) -> None:
    redis.flush()
    # As something done would: whatever a worker remembers answers another question.
    web.bank.sql("update core_user set version_historique = version_historique + 1")
    first, second = web.workers
    for worker, times in ((first, 3), (second, 4)):
        with web.answering_alone(worker) as client:
            for _ in range(times):
                source = client.with_token(student.token).get(PERSONALIZED).json["source"]
                assert source == "populaires"
    for worker in (first, second):
        with web.answering_alone(worker) as client:
            figures = client.with_token(student.token).get(STATS).json
        assert figures["requetes_par_source"] == {
            **dict.fromkeys(SOURCES, 0),
            "aucune": 0,
            "populaires": 7,
        }
        assert figures["taux_cache"] == round(6 / 7, 4)
        assert 0 < figures["latence_ms"]["p50"] <= figures["latence_ms"]["p95"]


def test_a_flushed_redis_counts_anew_and_a_dead_one_says_so(
    web: Gunicorn, redis: Redis, student: Client
) -> None:
    student.get(PERSONALIZED)
    redis.flush()
    student.get(PERSONALIZED)
    assert sum(student.get(STATS).json["requetes_par_source"].values()) == 1
    with frozen(redis, web):
        figures = student.get(STATS).json
    assert (figures["telemetrie_disponible"], figures["taux_cache"]) == (False, None)


def test_ready_follows_redis_and_live_follows_nothing(web: Gunicorn, redis: Redis) -> None:
    with frozen(redis, web):
        ready = web.client.get(READY, X_Forwarded_Proto="http")
    assert (ready.status, ready.json["cache"]) == (200, "degrade")
    assert web.client.get("/api/sante/live/", X_Forwarded_Proto="http").status == 200


def test_one_id_goes_from_nginx_to_the_task(
    postgres: Postgres,
    redis: Redis,
    mailbox: Mailbox,  # noqa: F811
) -> None:
    mail = {
        "EMAIL_URL": f"smtp://{servers.HOST}:{mailbox.server_address[1]}",
        "DEFAULT_FROM_EMAIL": "banque@imsp.test",
    }
    with (
        servers.folder() as folder,
        servers.production(folder, postgres, redis, template=TEMPLATE, **mail) as bank,
    ):
        bank.sql(f"update core_user set email = '{ADDRESS}' where username = 'etudiant0'")
        with (
            running(Gunicorn(folder, bank=bank)) as web,
            running(Nginx(folder, web=web)) as nginx,
            running(Worker(folder, bank=bank)) as worker,
        ):
            answer = nginx.client.post("/api/mot-de-passe/oubli/", {"email": ADDRESS})
            wait_until(lambda: mailbox.messages, "a message", 10)
            front = nginx.logged(answer)
        # They have ended: all that they had to say is said.
        served, worked = lines(web.log), lines(worker.log)
    wanted = answer.headers["X-Request-ID"]
    assert (front["request_id"], front["statut"]) == (wanted, 202)
    [access] = [line for line in served if line["request_id"] == wanted]
    assert (access["journal"], access["statut"]) == ("acces", 202)
    [task] = [line for line in worked if line["request_id"] == wanted]
    assert task["message"].startswith("Lien de mot de passe envoyé")
    assert ADDRESS not in json.dumps([*served, *worked])
