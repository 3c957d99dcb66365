"""How a command ends, started for real, when the database is away."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.servers import HOST, free_port

ROOT = Path(__file__).parent.parent
SECRET = hashlib.sha256(b"one").hexdigest()
AWAY = 69  # sysexits.h: EX_UNAVAILABLE


def manage(*argv: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    settings = {
        "DJANGO_SETTINGS_MODULE": "config.settings.development",
        "SECRET_KEY": SECRET,
        "JWT_SECRET_KEY": SECRET,
        "DB_HOST": "",
    }
    return subprocess.run(
        [sys.executable, "manage.py", *argv],
        cwd=ROOT,
        env=kept | settings | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def stopped() -> dict[str, str]:
    """A PostgreSQL that nobody started."""
    return {"DB_HOST": HOST, "DB_PORT": str(free_port()), "DB_PASSWORD": "un-mot-de-passe"}


@pytest.mark.parametrize(
    "argv", [("migrate",), ("train_model", "--verbosity=0"), ("activate_model", "--list")]
)
def test_a_command_without_its_postgresql_ends_with_one_line_and_a_code_of_its_own(
    stopped: dict[str, str], argv: tuple[str, ...]
) -> None:
    ended = manage(*argv, **stopped)
    assert ended.returncode == AWAY
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("La base de données fait défaut (")
    assert "DB_HOST, DB_PORT, DB_NAME, DB_USER et DB_PASSWORD dans .env, puis relancez." in line
    assert "un-mot-de-passe" not in line


def test_a_sqlite_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    ended = manage("recount_counters", SQLITE_PATH=str(tmp_path))
    assert ended.returncode == AWAY
    (line,) = ended.stderr.splitlines()
    assert f"peut lire et écrire {tmp_path} et son dossier" in line


def test_the_traceback_is_for_who_asks_for_it(stopped: dict[str, str]) -> None:
    ended = manage("recount_counters", "--traceback", **stopped)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "OperationalError" in ended.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ("recount_counters",),
        ("train_model", "--verbosity=0"),
        ("prune_models",),
        ("activate_model", "v1"),
    ],
)
def test_a_base_without_its_tables_is_to_be_migrated(tmp_path: Path, argv: tuple[str, ...]) -> None:
    ended = manage(*argv, SQLITE_PATH=str(tmp_path / "vide.sqlite3"))
    assert ended.returncode == AWAY
    (line,) = ended.stderr.splitlines()
    assert line.startswith("La base de données n'est pas à jour (no such table: ")
    assert "Lancez python manage.py migrate" in line


def test_accounts_that_were_not_imported_give_that_code_too(
    stopped: dict[str, str], tmp_path: Path
) -> None:
    people = tmp_path / "rentree.csv"
    people.write_text("matricule,nom,email,filiere,niveau\nIMSP-1,Koffi,,,L1\n")
    passwords = tmp_path / "mots-de-passe.csv"
    ended = manage("import_users", str(people), f"--output={passwords}", "-v0", **stopped)
    assert ended.returncode == AWAY
    assert "La base n'a pas confirmé l'import" in ended.stderr
