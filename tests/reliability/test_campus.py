"""A campus behind one address, on gunicorn and PostgreSQL, with passwords hashed as in use."""

import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.factories import PASSWORD
from tests.reliability import servers
from tests.reliability.conftest import TEMPLATE
from tests.reliability.servers import Client, Gunicorn, Postgres, Redis, running

pytestmark = pytest.mark.requires("servers")

STUDENTS = """
from django.contrib.auth.hashers import make_password
from apps.core.models import User
from tests.factories import PASSWORD

same = make_password(PASSWORD)  # To check it takes as long, whosever it is.
User.objects.bulk_create(User(username=f"foule{n}", password=same) for n in range(300))
"""


@pytest.fixture(scope="module")
def campus(postgres: Postgres, redis: Redis) -> Iterator[Gunicorn]:
    """With the limits of use, which the other tests lift, and 300 students."""
    limits = dict.fromkeys(("THROTTLE_ANON", "THROTTLE_USER"), "")
    with (
        servers.folder() as folder,
        servers.production(folder, postgres, redis, template=TEMPLATE, **limits) as bank,
    ):
        bank.python(STUDENTS)
        with running(Gunicorn(folder, bank=bank)) as web:
            yield web


def come_in(client: Client, username: str, password: str) -> int:
    body = {"username": username, "password": password}
    return client.post("/api/token/", body).status


def test_300_students_come_in_within_a_minute_while_a_guesser_is_kept_out(campus: Gunicorn) -> None:
    def guess() -> list[int]:
        return [come_in(campus.client, "etudiant0", f"essai{n}") for n in range(8)]

    began = time.monotonic()
    with ThreadPoolExecutor(17) as pool:
        guesses = pool.submit(guess)
        said = Counter(
            pool.map(lambda n: come_in(campus.client, f"foule{n}", PASSWORD), range(300))
        )
    seconds = time.monotonic() - began
    assert said == {200: 300}
    assert guesses.result() == [401] * 5 + [429] * 3
    assert seconds < 60


def test_two_processes_together_try_five_passwords_of_sixteen(campus: Gunicorn) -> None:
    with ThreadPoolExecutor(16) as pool:
        said = Counter(
            pool.map(lambda n: come_in(campus.client, "etudiant1", f"essai{n}"), range(16))
        )
    assert said == {401: 5, 429: 11}


@pytest.mark.reliability
def test_an_unknown_account_takes_as_long_as_a_wrong_password(campus: Gunicorn) -> None:
    times: dict[str, list[float]] = {"foule": [], "personne": []}
    for n in range(60):
        for name, taken in times.items():
            began = time.perf_counter()
            assert come_in(campus.client, f"{name}{n}", "faux") == 401
            taken.append(time.perf_counter() - began)
    known, unknown = map(statistics.median, times.values())
    assert 0.8 < known / unknown < 1.25
