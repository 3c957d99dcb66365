"""The four production commands of the request, on the files that the image is made of."""

import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.reliability import servers
from tests.reliability.servers import DOMAIN, HOST, ROOT, Gunicorn, Postgres, Redis, running

pytestmark = pytest.mark.requires("servers")

PRODUCTION = (ROOT / "README.md").read_text("utf-8").split("\n## Production\n")[1]
SETTINGS, GUNICORN = (
    re.search(rf"```bash\n({first}.*?)```", PRODUCTION, re.DOTALL)[1].strip()  # type: ignore[index]
    for first in ("DEBUG=False", "gunicorn ")
)
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COPIED = re.findall(r"^COPY (?!--from|requirements)(.+) \S+$", DOCKERFILE, re.MULTILINE)


@dataclass
class Tree:
    """A copy of what the image holds, with a .env beside it and nothing else in the environment."""

    folder: Path

    def run(self, command: str) -> str:
        done = subprocess.run(
            self.argv(command),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def argv(self, command: str) -> list[str]:
        """With the programs of this virtual environment, as `source venv/bin/activate` gives."""
        program, *rest = shlex.split(command)
        return [str(Path(sys.executable).parent / program), *rest]

    @property
    def environment(self) -> dict[str, str]:
        return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


@dataclass
class Deployed(Gunicorn):
    """gunicorn by the line of the README, the address apart: loopback, and a port of our own."""

    def argv(self) -> list[str]:
        assert GUNICORN == "gunicorn config.wsgi:application --bind 0.0.0.0:8000"
        return Tree(self.where).argv(GUNICORN.replace("0.0.0.0:8000", f"{HOST}:{self.port}"))

    def environment(self) -> dict[str, str]:
        return Tree(self.where).environment


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    tree = Tree(tmp_path_factory.mktemp("image") / "banque")
    tree.folder.mkdir()
    for name in " ".join(COPIED).split():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tree.folder / name)
    (tree.folder / "data").mkdir()
    return tree


@pytest.fixture(scope="module")
def deployed(tree: Tree, postgres: Postgres, redis: Redis) -> Iterator[Deployed]:
    """The settings of the README filled in, then its commands one after the other."""
    with servers.folder() as folder, servers.production(folder, postgres, redis) as bank:
        given = {
            "ALLOWED_HOSTS": DOMAIN,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "JWT_SECRET_KEY": secrets.token_urlsafe(50),
            **bank.variables,
        }
        names = [line.partition("=")[0] for line in SETTINGS.splitlines()]
        # Three more than the README shows: they have defaults, which a test cannot share.
        names += ["DB_PORT", "DB_NAME", "DB_USER"]
        dotenv = "".join(f"{name}={given[name]}\n" for name in names)
        (tree.folder / ".env").write_text(dotenv)
        assert "no issues" in tree.run("python manage.py check --deploy --fail-level WARNING")
        tree.run("python manage.py migrate")
        assert "post-processed" in tree.run("python manage.py collectstatic")
        with running(Deployed(folder, bank=bank, where=tree.folder)) as web:
            yield web


def test_the_api_answers(deployed: Deployed) -> None:
    answer = deployed.client.get("/api/epreuves/")
    assert (answer.status, answer.json["count"]) == (200, 0)


def test_the_admin_asks_who_one_is_and_its_style_is_served_for_ever(deployed: Deployed) -> None:
    page = deployed.client.get("/admin/login/")
    assert page.status == 200
    hashed = re.findall(r'href="(/static/[^"]+\.[0-9a-f]{12}\.css)"', page.body.decode())
    assert hashed
    for path in hashed:
        style = deployed.client.get(path, Accept_Encoding="br")
        assert style.status == 200
        assert style.headers["Content-Encoding"] == "br"
        assert "immutable" in style.headers["Cache-Control"]


def test_plain_http_is_sent_to_https(deployed: Deployed) -> None:
    answer = deployed.client.get("/api/epreuves/", X_Forwarded_Proto="http")
    assert answer.status == 301
    assert answer.headers["Location"] == f"https://{DOMAIN}/api/epreuves/"


def test_the_health_check_of_the_image_passes_and_fails_with_the_server(
    deployed: Deployed, tree: Tree
) -> None:
    command = json.loads(re.search(r"HEALTHCHECK .* CMD (\[.*\])", DOCKERFILE)[1])  # type: ignore[index]

    def exit_code(port: int) -> int:
        asked = [word.replace(":8000", f":{port}") for word in command[1:]]
        environment = tree.environment | {"ALLOWED_HOSTS": f"{DOMAIN},www.{DOMAIN}"}
        return subprocess.run(
            [sys.executable, *asked], env=environment, capture_output=True, timeout=30
        ).returncode

    assert exit_code(deployed.port) == 0
    assert exit_code(servers.free_port()) == 1


def test_two_processes_of_four_threads_serve(deployed: Deployed) -> None:
    for worker in deployed.workers:
        with deployed.answering_alone(worker) as client:
            assert client.get("/api/epreuves/").status == 200
    assert len(deployed.workers) == 2
