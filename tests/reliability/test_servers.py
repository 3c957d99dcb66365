"""What gunicorn.conf.py promises, seen from outside; and that the harness is what it says."""

import os
import signal

import pytest

from tests.factories import PASSWORD
from tests.reliability.servers import Bank, Gunicorn, Postgres, wait_until

pytestmark = pytest.mark.requires("servers")


def test_two_workers_serve_production_on_servers_of_our_own(web: Gunicorn, bank: Bank) -> None:
    assert len(web.workers) == 2
    assert web.client.get("/api/epreuves/").json["count"] == 20
    awa = web.client.signed_in("etudiant0", PASSWORD)
    assert awa.get("/api/recommendations/personalized/").status == 200
    assert bank.sql("select count(*) from core_user") == [(13,)]


def test_each_worker_can_be_asked_alone(web: Gunicorn) -> None:
    for worker in web.workers:
        with web.answering_alone(worker) as client:
            assert client.get("/api/epreuves/").status == 200


def test_a_killed_worker_is_replaced(web: Gunicorn) -> None:
    killed = web.workers[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in web.workers and web.is_ready(), "another worker")
    assert web.client.get("/api/epreuves/").status == 200


def test_workers_start_while_the_database_is_down(
    web: Gunicorn, bank: Bank, postgres: Postgres
) -> None:
    postgres.stop()
    try:
        killed = web.workers[0]
        os.kill(killed, signal.SIGKILL)
        wait_until(
            lambda: killed not in web.workers and web.is_ready(), "a worker without a database"
        )
        assert web.client.get("/api/epreuves/").status == 503
    finally:
        postgres.start()
    assert web.client.get("/api/epreuves/").status == 200
