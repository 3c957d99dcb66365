"""scripts/test_api.py against a real server, on the banks people have."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from apps.core.models import Commentaire, Interaction
from tests.factories import PASSWORD, EpreuveFactory, UserFactory, with_file

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "test_api.py"


def check(
    base_url: str, *options: str, password: str = PASSWORD
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            sys.executable,
            str(SCRIPT),
            f"--base-url={base_url}",
            "--username=awa",
            f"--password={password}",
            *options,
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


@pytest.fixture
def server(live_server: LiveServer) -> LiveServer:
    UserFactory(username="awa")
    return live_server


def test_every_endpoint_answers_on_a_bank_with_files_and_without_a_model(
    server: LiveServer,
) -> None:
    for _ in range(3):
        with_file(EpreuveFactory())
    checked = check(server.url)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "✗" not in checked.stdout
    for asked in (
        "POST /api/token/",
        "GET /api/recommendations/personalized/?top_k=10",
        "GET /api/recommendations/similar/?epreuve_id=",
        "GET /api/recommendations/status/",
        "GET /api/recommendations/stats/",
        "GET /api/epreuves/ ",
        "GET /api/epreuves/populaires/",
        "GET /api/epreuves/recentes/",
        "GET /api/epreuves/facettes/",
        "/view/",
        "/download/",
        "GET du lien signé, sans jeton : 200, PDF de",
        "POST /api/evaluations/",
        "POST /api/commentaires/",
        "GET /api/docs/",
    ):
        assert re.search(f"✓ .*{re.escape(asked)}", checked.stdout), asked


def test_it_can_be_run_again(server: LiveServer) -> None:
    with_file(EpreuveFactory())
    assert check(server.url).returncode == 0
    again = check(server.url)
    assert again.returncode == 0, again.stdout + again.stderr


def test_reading_only_leaves_no_trace(server: LiveServer) -> None:
    with_file(EpreuveFactory())
    checked = check(server.url, "--lecture-seule")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "similar/?epreuve_id=" in checked.stdout
    assert not Interaction.objects.exists()
    assert not Commentaire.objects.exists()


def test_reading_only_takes_an_empty_bank(server: LiveServer) -> None:
    assert check(server.url, "--lecture-seule").returncode == 0


def test_an_imported_bank_without_files_passes(server: LiveServer) -> None:
    EpreuveFactory.create_batch(3)
    checked = check(server.url)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "404, épreuve importée sans fichier" in checked.stdout


def test_an_empty_bank_fails_and_says_what_to_do(server: LiveServer) -> None:
    checked = check(server.url)
    assert checked.returncode == 1
    assert "lancez python manage.py generate_data" in checked.stdout


def test_a_wrong_password_is_one_failed_line(server: LiveServer) -> None:
    checked = check(server.url, password="pas-le-bon")
    assert checked.returncode == 1
    assert "✗ POST /api/token/ : 401" in checked.stdout
    assert "1 vérification(s) en échec" in checked.stderr


def test_a_lost_file_is_a_failed_line(server: LiveServer) -> None:
    epreuve = with_file(EpreuveFactory())
    Path(epreuve.fichier.path).unlink()
    checked = check(server.url)
    assert checked.returncode == 1
    assert "✗ " in checked.stdout


def test_without_a_server_it_says_which_command_starts_one() -> None:
    checked = check("http://127.0.0.1:9")
    assert checked.returncode == 1
    assert checked.stderr.count("\n") == 1
    assert "lancez python manage.py runserver" in checked.stderr
