"""./setup.sh, run for real in a folder of its own, with nothing to download."""

import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TORCH = next(
    line
    for line in (ROOT / "requirements" / "base.txt").read_text(encoding="utf-8").splitlines()
    if line.startswith("torch==")
)
NO_REGISTRY = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
Setup = Callable[..., "subprocess.CompletedProcess[str]"]


def _wheel(folder: Path) -> Path:
    """The smallest wheel pip takes, under torch's name and pinned version."""
    name, _, version = TORCH.partition("==")
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in files) + f"{info}/RECORD,,\n"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(path, content)
    return wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder whose only requirement is torch, after a first run."""
    project = tmp_path_factory.mktemp("projet avec espaces")
    shutil.copy(ROOT / "setup.sh", project)
    shutil.copy(ROOT / ".env.example", project)
    (project / "requirements").mkdir()
    (project / "requirements" / "base.txt").write_text(f"# Rien d'autre.\n{TORCH}\n")
    for name in ("development", "production"):
        (project / "requirements" / f"{name}.txt").write_text("-r base.txt\n")
    _wheel(project / "roues")
    first = _setup(project)(TORCH_INDEX_URL="roues")
    assert first.returncode == 0, first.stdout + first.stderr
    return project


def _setup(project: Path) -> Setup:
    def setup(*argv: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.run(
            ["bash", str(project / "setup.sh"), *argv],
            cwd=project.parent,
            env=kept | NO_REGISTRY | {"PYTHON": sys.executable} | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return setup


@pytest.fixture
def setup(installed: Path) -> Setup:
    return _setup(installed)


@pytest.fixture
def without_torch(installed: Path) -> Iterator[None]:
    pip = [installed / "venv" / "bin" / "python", "-m", "pip", "uninstall", "-qy", "torch"]
    subprocess.run(pip, check=True, timeout=60)
    (installed / "venv" / ".installe-development").unlink(missing_ok=True)
    yield
    assert _setup(installed)(TORCH_INDEX_URL="roues").returncode == 0


def _values(project: Path) -> dict[str, str]:
    lines = (project / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_first_run_installs_torch_from_a_folder_of_wheels(installed: Path) -> None:
    torch = [installed / "venv" / "bin" / "python", "-m", "pip", "show", "torch"]
    shown = subprocess.run(torch, capture_output=True, text=True, timeout=60)
    assert f"Version: {TORCH.removeprefix('torch==')}" in shown.stdout


def test_the_first_run_writes_a_private_env_with_fresh_secrets(installed: Path) -> None:
    values = _values(installed)
    assert stat.S_IMODE((installed / ".env").stat().st_mode) == 0o600
    for name in ("SECRET_KEY", "JWT_SECRET_KEY"):
        assert len(values[name]) >= 50
        assert "changez" not in values[name]
    assert values["SECRET_KEY"] != values["JWT_SECRET_KEY"]


def test_env_has_the_very_names_and_defaults_of_the_example(installed: Path) -> None:
    secrets = ("SECRET_KEY=", "JWT_SECRET_KEY=", "DB_", "REDIS_URL=")
    example, dotenv = (
        [
            line
            for line in (installed / name).read_text(encoding="utf-8").splitlines()
            if not line.startswith(secrets)
        ]
        for name in (".env.example", ".env")
    )
    assert dotenv == example


def test_a_second_run_is_quick_silent_and_keeps_env(installed: Path, setup: Setup) -> None:
    before, start = (installed / ".env").read_bytes(), time.monotonic()
    again = setup()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert time.monotonic() - start < 5
    assert (installed / ".env").read_bytes() == before


def test_an_interrupted_run_is_repaired_by_the_next(installed: Path, setup: Setup) -> None:
    (installed / "venv" / ".incomplet").touch()
    shutil.rmtree(next((installed / "venv" / "lib").glob("python*/site-packages/pip")))
    repaired = setup(TORCH_INDEX_URL=str(installed / "roues"))
    assert repaired.returncode == 0, repaired.stderr
    assert "Création de venv/" in repaired.stdout
    assert (setup().returncode, setup().stdout) == (0, "")


def test_it_installs_in_a_terminal_too(installed: Path) -> None:
    (installed / "venv" / ".installe-development").unlink()
    terminal, slave = os.openpty()
    with subprocess.Popen(
        ["bash", "setup.sh"],
        cwd=installed,
        env=os.environ | NO_REGISTRY | {"PYTHON": sys.executable},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ) as run:
        os.close(slave)
        shown = _read_to_the_end(terminal)
    os.close(terminal)
    assert run.returncode == 0, shown


def _read_to_the_end(terminal: int) -> str:
    shown = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # Linux's way to say that the other side closed
            part = b""
        if not part:
            return shown.decode()
        shown += part


def test_a_folder_of_wheels_that_is_not_there_is_one_sentence(
    installed: Path, setup: Setup, without_torch: None
) -> None:
    ran = setup(TORCH_INDEX_URL="/nulle/part")
    assert ran.returncode == 1
    assert "/nulle/part n'existe pas" in ran.stderr


def test_a_changed_requirement_is_installed(installed: Path, setup: Setup) -> None:
    development = installed / "requirements" / "development.txt"
    development.write_text("-r base.txt\n# Une ligne de plus.\n")
    assert "Installation de requirements/development.txt" in setup().stdout
    assert setup().stdout == ""


def test_a_requirement_that_cannot_be_had_is_one_sentence_and_the_next_run_tries_again(
    installed: Path, setup: Setup
) -> None:
    production = installed / "requirements" / "production.txt"
    production.write_text("-r base.txt\nun-paquet-introuvable==1.0\n")
    failed = setup("--production")
    assert failed.returncode == 1
    assert "Erreur : l'installation a échoué" in failed.stderr
    production.write_text("-r base.txt\n")
    repaired = setup("--production")
    assert repaired.returncode == 0
    assert "Création de venv/" not in repaired.stdout


def test_services_fills_env_for_postgresql_and_redis_and_keeps_the_rest(
    installed: Path, setup: Setup
) -> None:
    before = _values(installed)
    assert setup("--services").returncode == 0
    values = _values(installed)
    assert values["DB_HOST"] == "127.0.0.1"
    assert values["DB_PORT"] == "5432"
    assert (values["DB_NAME"], values["DB_USER"]) == ("banque_epreuves", "banque_epreuves")
    assert values["REDIS_URL"] == "redis://127.0.0.1:6379/0"
    assert len(values["DB_PASSWORD"]) >= 50
    services = {"DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD", "REDIS_URL"}
    assert {k: v for k, v in values.items() if k not in services} == {
        k: v for k, v in before.items() if k not in services
    }


def test_services_twice_writes_the_same_private_file(installed: Path, setup: Setup) -> None:
    setup("--services")
    once = (installed / ".env").read_bytes()
    setup("--services")
    assert (installed / ".env").read_bytes() == once
    assert stat.S_IMODE((installed / ".env").stat().st_mode) == 0o600


def test_services_adds_a_line_that_env_lost(installed: Path, setup: Setup) -> None:
    dotenv = installed / ".env"
    lines = dotenv.read_text(encoding="utf-8").splitlines()
    dotenv.write_text("\n".join(line for line in lines if not line.startswith("REDIS_URL")) + "\n")
    assert setup("--services").returncode == 0
    assert _values(installed)["REDIS_URL"] == "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize("version", ["Python 3.8.10", "Python 3.10.13"])
def test_a_python_too_old_is_one_clear_sentence(tmp_path: Path, version: str) -> None:
    shutil.copy(ROOT / "setup.sh", tmp_path)
    old = tmp_path / "python-ancien"
    old.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{version}" && exit\nexit 1\n')
    old.chmod(0o755)
    refused = _setup(tmp_path)(PYTHON=str(old))
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "Python 3.11 ou plus récent est nécessaire" in refused.stderr
    assert version in refused.stderr


def test_a_python_without_venv_is_one_clear_sentence(tmp_path: Path) -> None:
    shutil.copy(ROOT / "setup.sh", tmp_path)
    bare = tmp_path / "python-nu"
    bare.write_text(
        f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n'
    )
    bare.chmod(0o755)
    refused = _setup(tmp_path)(PYTHON=str(bare))
    assert refused.returncode == 1
    assert "modules venv et pip" in refused.stderr


@pytest.mark.usefixtures("without_torch")
def test_an_index_that_has_no_torch_is_one_sentence(installed: Path, setup: Setup) -> None:
    (installed / "vide").mkdir(exist_ok=True)
    refused = setup(TORCH_INDEX_URL="vide")
    assert refused.returncode == 1
    assert "n'a pas pu être installé depuis TORCH_INDEX_URL=vide" in refused.stderr


@pytest.mark.usefixtures("without_torch")
def test_without_an_index_the_size_of_torch_is_told_before_the_download(
    tmp_path: Path, setup: Setup
) -> None:
    told = setup(PIP_FIND_LINKS=str(_wheel(tmp_path).parent))
    assert told.returncode == 0, told.stderr
    assert told.stdout.index("environ 200 Mo") < told.stdout.index("Installation de requirements")
    assert "TORCH_INDEX_URL" in told.stdout


def test_help_and_unknown_options_change_nothing(tmp_path: Path) -> None:
    shutil.copy(ROOT / "setup.sh", tmp_path)
    setup = _setup(tmp_path)
    helped, refused = setup("--help"), setup("--nawak")
    assert helped.returncode == 0
    assert all(word in helped.stdout for word in ("--production", "--services", "TORCH_INDEX_URL"))
    assert refused.returncode == 1
    assert "option inconnue : --nawak" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["setup.sh"]
