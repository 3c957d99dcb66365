"""`manage.py test` is pytest by another name."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def manage_test(*argv: str) -> "subprocess.CompletedProcess[str]":
    ours = ("PYTEST_", "DJANGO_", "DB_", "REDIS_URL")
    variables = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return subprocess.run(
        [sys.executable, "manage.py", "test", *argv],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


def _write(tmp_path: Path, body: str) -> str:
    test = tmp_path / "test_planted.py"
    test.write_text(body, encoding="utf-8")
    return str(test)


def test_labels_reach_pytest_with_the_testing_settings(tmp_path: Path) -> None:
    label = _write(
        tmp_path,
        "def test_a(settings): assert settings.SETTINGS_MODULE == 'config.settings.testing'\n"
        "def test_b(db): pass\n",
    )
    ran = manage_test(label)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout


def test_dotted_labels_name_files_as_django_s_do() -> None:
    ran = manage_test("tests.core.test_popularity")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_failure_is_an_exit_code(tmp_path: Path) -> None:
    ran = manage_test(_write(tmp_path, "def test_a(): assert False\ndef test_b(): pass\n"))
    assert ran.returncode == 1
    assert "1 failed, 1 passed" in ran.stdout


def test_failfast_stops_at_the_first_failure(tmp_path: Path) -> None:
    label = _write(tmp_path, "def test_a(): assert False\ndef test_b(): assert False\n")
    ran = manage_test("--failfast", label)
    assert ran.returncode == 1
    assert "1 failed" in ran.stdout
    assert "2 failed" not in ran.stdout


def test_a_label_that_names_nothing_is_an_error(tmp_path: Path) -> None:
    assert manage_test(str(tmp_path / "nowhere.py")).returncode == 1


def _run_what_needs_postgresql(tmp_path: Path, **variables: str) -> str:
    """Run one planted test with the real conftest, on SQLite; return what pytest prints."""
    for name in ("apps", "config", "pyproject.toml", ".env.example"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "tests").mkdir()
    for name in ("__init__.py", "conftest.py", "factories.py", "reliability"):
        (tmp_path / "tests" / name).symlink_to(ROOT / "tests" / name)
    (tmp_path / "tests" / "test_planted.py").write_text(
        "import pytest\n@pytest.mark.requires('postgresql')\ndef test_a(): pass\n"
    )
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "tests/test_planted.py"],
        cwd=tmp_path,
        env=kept | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ran.stdout + ran.stderr


def test_what_a_machine_cannot_run_is_left_out_with_its_reason(tmp_path: Path) -> None:
    shown = _run_what_needs_postgresql(tmp_path)
    assert "1 skipped" in shown
    assert "postgresql absent: left out" in shown


def test_what_is_left_out_fails_where_everything_is_required(tmp_path: Path) -> None:
    shown = _run_what_needs_postgresql(tmp_path, REQUIRE_ALL="1")
    assert "skipped" not in shown
    assert "1 error" in shown or "1 failed" in shown
    assert "postgresql absent: left out" in shown
