"""The parts of `make demo`; the whole takes minutes and is run by hand."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from pytest_django.live_server_helper import LiveServer

from tests.factories import EpreuveFactory, UserFactory

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "demo.py"


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    return module


def test_the_recommendations_of_the_student_are_shown_as_a_table(
    demo: ModuleType, live_server: LiveServer, capsys: pytest.CaptureFixture[str]
) -> None:
    UserFactory(username=demo.USERNAME, password="password123")
    EpreuveFactory(titre="Intégration : partiel", matiere__nom="Analyse", niveau="L1")
    EpreuveFactory.create_batch(11)
    demo.show(demo.recommendations(live_server.url))
    shown = capsys.readouterr().out.splitlines()
    table = shown[2:]
    assert table[0].split() == ["rang", "score", "titre", "matière", "niveau", "source"]
    assert [row.split()[0] for row in table[1:]] == [str(rang) for rang in range(1, 11)]
    assert all(row.split()[-1] in {"profil", "populaires", "recentes"} for row in table[1:])


def test_a_refused_login_is_one_sentence(demo: ModuleType, live_server: LiveServer) -> None:
    with pytest.raises(demo.StepFailed, match=r"/api/token/ a répondu 401"):
        demo.recommendations(live_server.url)


def test_the_server_is_real_and_ended_even_when_what_follows_fails(demo: ModuleType) -> None:
    answers: list[tuple[str, int]] = []

    def fail_after_an_answer() -> None:
        with demo.running_server() as base_url, urlopen(f"{base_url}/api/schema/") as answer:
            answers.append((answer.url, answer.status))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_an_answer()
    [(url, status)] = answers
    assert status == 200
    with pytest.raises(URLError):
        urlopen(url)


def test_a_server_that_cannot_start_is_told_with_its_log(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "config.settings.absent")
    told = pytest.raises(demo.StepFailed, match=r"n'a pas démarré .*serveur\.log")
    with told, demo.running_server():
        pytest.fail("it started")
    assert "config.settings.absent" in (tmp_path / "serveur.log").read_text(encoding="utf-8")


def test_a_step_that_fails_ends_the_demonstration_with_its_name(tmp_path: Path) -> None:
    nowhere = {"SQLITE_PATH": str(tmp_path / "absent" / "db.sqlite3"), "DB_HOST": ""}
    ran = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env=os.environ | nowhere,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == (
        "Démonstration arrêtée : « manage.py migrate » a échoué (code 1) ; "
        "la raison est écrite ci-dessus."
    )
