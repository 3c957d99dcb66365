"""The servers that the tests of this folder share, and a small bank on them."""

import shutil
from collections.abc import Iterator

import pytest

from tests.reliability import servers, traffic
from tests.reliability.servers import Bank, Client, Gunicorn, Nginx, Postgres, Redis, running

TEMPLATE = "modele"
# Twelve students who took six of twenty épreuves each, and one administrator.
CAST = """
from tests.factories import EpreuveFactory, UserFactory, seen

students = [UserFactory(username=f"etudiant{n}") for n in range(12)]
UserFactory(username="rachidi", role="administrateur", filiere=None, niveau="")
epreuves = EpreuveFactory.create_batch(20)
for n, student in enumerate(students):
    for day in range(6):
        seen(student, epreuves[(n + day) % 20], days_ago=30 - day)
"""

# A bank with enough to learn from, and a training of it that takes two seconds.
SCHOOL = ("generate_data", "--users=40", "--epreuves=40", "--interactions=1500", "-v0")
FAST = ("--epochs=10", "--batch-size=64", "--embedding-dim=8", "--learning-rate=0.02", "-v0")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """A failure shows what the servers last said."""
    report = yield
    if report.failed:
        for fixture in vars(item).get("funcargs", {}).values():
            if isinstance(fixture, servers.Server):
                report.sections.append((type(fixture).__name__, fixture.tail()))
    return report


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A cluster of this session's, with a migrated bank to copy."""
    with servers.folder() as folder, servers.postgres(folder) as postgres:
        with servers.production(folder, postgres, Redis(folder)) as bank:
            bank.manage("migrate", "--verbosity=0")
            bank.python(CAST)
            postgres.create_database(TEMPLATE, template=bank.variables["DB_NAME"])
        yield postgres


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with servers.folder() as folder, running(Redis(folder)) as redis:
        yield redis


@pytest.fixture(scope="module")
def bank(postgres: Postgres, redis: Redis) -> Iterator[Bank]:
    with (
        servers.folder() as folder,
        servers.production(folder, postgres, redis, template=TEMPLATE) as bank,
    ):
        yield bank


@pytest.fixture(scope="module")
def web(bank: Bank) -> Iterator[Gunicorn]:
    with running(Gunicorn(bank.folder, bank=bank)) as web:
        yield web


@pytest.fixture(scope="module")
def nginx(web: Gunicorn) -> Iterator[Nginx]:
    with servers.folder() as folder, running(Nginx(folder, web=web)) as nginx:
        yield nginx


@pytest.fixture(scope="session")
def taught(postgres: Postgres) -> Iterator[Bank]:
    with servers.folder() as folder, servers.production(folder, postgres, Redis(folder)) as bank:
        bank.manage("migrate", "--verbosity=0")
        bank.manage(*SCHOOL, "--force")
        bank.manage("train_model", *FAST, "--model-version=v1")
        yield bank


@pytest.fixture
def school(taught: Bank, postgres: Postgres, redis: Redis) -> Iterator[Bank]:
    """A bank of forty students and its model v1, for one test to break."""
    template = taught.variables["DB_NAME"]
    with (
        servers.folder() as folder,
        servers.production(folder, postgres, redis, template=template) as bank,
    ):
        shutil.copytree(taught.folder / "ml_models", folder / "ml_models", dirs_exist_ok=True)
        yield bank


@pytest.fixture(scope="module")
def epreuves(bank: Bank) -> list[int]:
    return traffic.epreuve_ids(bank)


@pytest.fixture(scope="module")
def students(web: Gunicorn, bank: Bank) -> list[Client]:
    return traffic.newcomers(bank, web.client, 8)
