"""The cast. Awa and Koffi are students, Mme Dossou and M. Zinsou teach, Rachidi administers."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.cache import cache, caches
from django.test import Client
from rest_framework.test import APIClient

from apps.core.models import Role, User
from tests.factories import FiliereFactory, UserFactory
from tests.reliability import servers

_FOUND: dict[str, Callable[[], bool]] = {
    "postgresql": lambda: settings.DB_HOST != "",
    "redis": lambda: settings.REDIS_URL != "",
    "redis-server": lambda: shutil.which("redis-server") is not None,
    "servers": servers.are_installed,
    "nginx": lambda: shutil.which("nginx") is not None,
    "chromium": lambda: shutil.which("chromium") is not None,
    "node": lambda: shutil.which("node") is not None,
}


# As in settings.base, with time enough for a busy machine to answer.
REDIS_OPTIONS = {
    "IGNORE_EXCEPTIONS": True,
    "SOCKET_CONNECT_TIMEOUT": 1,
    "SOCKET_TIMEOUT": 1,
    "CONNECTION_POOL_CLASS": "apps.core.cache.BreakerPool",
    "CONNECTION_POOL_KWARGS": {"retry": None},
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out, plainly, what this machine cannot run; with REQUIRE_ALL=1 that is a failure."""
    leave_out = pytest.fail if os.environ.get("REQUIRE_ALL") else pytest.skip
    for mark in item.iter_markers("requires"):
        for service in mark.args:
            if not _FOUND[service]():
                leave_out(f"{service} absent: left out")


def forget() -> None:
    """Only this worker's keys: `clear` would flush the Redis database of all."""
    caches["processus"].clear()
    if settings.REDIS_URL:
        cache.delete_pattern("*")
    else:
        cache.clear()


@pytest.fixture(autouse=True)
def _clean_cache() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.fixture(autouse=True)
def _files_in_a_folder_of_the_test(tmp_path: Path, settings: pytest.FixtureRequest) -> None:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    settings.ML_MODELS_DIR = tmp_path / "ml_models"
    settings.ENTRAINEMENTS_DIR = tmp_path / "entrainements"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[servers.Redis]:
    """One to kill or freeze, of this test alone."""
    with servers.running(servers.Redis(tmp_path)) as server:
        yield server


@pytest.fixture
def awa(db: None) -> User:
    return UserFactory(
        username="awa", first_name="Awa", email="awa@imsp.test", filiere=FiliereFactory(code="MATH")
    )


@pytest.fixture
def koffi(db: None) -> User:
    return UserFactory(
        username="koffi", filiere=FiliereFactory(code="PHYS"), email="koffi@imsp.test"
    )


@pytest.fixture
def mme_dossou(db: None) -> User:
    return UserFactory(
        username="dossou",
        first_name="Reine",
        last_name="Dossou",
        role=Role.ENSEIGNANT,
        filiere=None,
        niveau="",
    )


@pytest.fixture
def m_zinsou(db: None) -> User:
    return UserFactory(username="zinsou", role=Role.ENSEIGNANT, filiere=None, niveau="")


@pytest.fixture
def rachidi(db: None) -> User:
    return UserFactory(username="rachidi", role=Role.ADMINISTRATEUR, filiere=None, niveau="")


@pytest.fixture
def desk(rachidi: User) -> Client:
    """Rachidi, signed in to the administration."""
    client = Client()
    client.force_login(rachidi)
    return client


@pytest.fixture
def anyone() -> APIClient:
    """Nobody: a client without a token."""
    return APIClient()


@pytest.fixture
def api() -> Callable[[User | None], APIClient]:
    """`api(awa).get(…)`: a client signed in as that person, without a token."""

    def client_of(user: User | None) -> APIClient:
        client = APIClient()
        if user is not None:
            client.force_authenticate(user)
        return client

    return client_of
