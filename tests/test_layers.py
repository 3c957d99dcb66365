"""Who may import whom: the contracts hold, and each of them turns red when it is broken."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOUND = 3  # an exit code that no crash of Python has
URLCONF = (
    "import sys, django; django.setup(); import config.urls\n"
    f"sys.exit({FOUND} * ('torch' in sys.modules))"
)
ML = (
    "import sys, pkgutil, importlib, apps.recommender.ml as ml\n"
    "for module in pkgutil.iter_modules(ml.__path__, 'apps.recommender.ml.'):\n"
    "    importlib.import_module(module.name)\n"
    f"sys.exit({FOUND} * ('django' in sys.modules))"
)
TESTING = {"DJANGO_SETTINGS_MODULE": "config.settings.testing"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("apps", "config"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "data").mkdir()  # Where the settings put SQLite, and refuse to start without.
    return tmp_path


def plant(module: Path, line: str) -> None:
    """Write the line at the end of the module, which is made if it does not exist."""
    before = module.read_text(encoding="utf-8") if module.is_file() else ""
    module.write_text(f"{before}\n{line}\n", encoding="utf-8")


def lint(tree: Path) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [str(program), "--no-logo", "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=60,
    )


def python(tree: Path, code: str, **variables: str) -> int:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    kept |= {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=kept | variables, timeout=60
    ).returncode


def test_every_contract_is_kept() -> None:
    kept = lint(ROOT)
    assert kept.returncode == 0, kept.stdout
    assert "0 broken" in kept.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("apps/core/models.py", "import apps.recommender.models", "core knows nothing"),
        ("apps/core/services/planted.py", "import torch", "core knows nothing"),
        ("apps/core/selectors.py", "def f():\n    import numpy", "core knows nothing"),
        ("apps/recommender/ml/metrics.py", "from django.conf import settings", "ml is pure"),
        ("apps/recommender/ml/trainer.py", "from apps.core.models import User", "ml is pure"),
        ("apps/recommender/ml/planted.py", "import apps.recommender.selectors", "ml is pure"),
        (
            "apps/recommender/api/urls.py",
            "import apps.recommender.ml.predictor",
            "api and commands reach ml",
        ),
        ("apps/recommender/api/planted.py", "import torch", "api and commands reach ml"),
        (
            "apps/recommender/management/commands/planted.py",
            "import torch",
            "api and commands reach ml",
        ),
        (
            "apps/paquets/views.py",
            "import apps.recommender.ml.metrics",
            "api and commands reach ml",
        ),
        ("apps/recommender/selectors.py", "import apps.paquets.models", "paquets -> recommender"),
        ("apps/core/views.py", "import apps.comptes.login", "comptes -> core"),
        ("apps/comptes/views.py", "import apps.recommender.selectors", "comptes -> core"),
        (
            "apps/recommender/services/catalogue.py",
            "import apps.recommender.api.urls",
            "commands and api -> services",
        ),
    ],
)
def test_a_forbidden_import_turns_its_contract_red(
    tree: Path, module: str, line: str, contract: str
) -> None:
    plant(tree / module, line)
    broken = lint(tree)
    assert broken.returncode == 1, broken.stdout + broken.stderr
    red = [row for row in broken.stdout.splitlines() if " BROKEN" in row]
    assert any(row.startswith(contract) for row in red), broken.stdout


def test_importing_the_urlconf_does_not_pay_for_torch() -> None:
    assert python(ROOT, URLCONF, **TESTING) == 0


def test_a_torch_at_module_level_of_the_urlconf_is_seen(tree: Path) -> None:
    plant(tree / "apps" / "recommender" / "api" / "urls.py", "import torch")
    assert python(tree, URLCONF, **TESTING) == FOUND


def test_ml_is_imported_without_settings_and_without_django() -> None:
    assert python(ROOT, ML) == 0


def test_a_django_in_ml_is_seen(tree: Path) -> None:
    plant(tree / "apps" / "recommender" / "ml" / "planted.py", "import django")
    assert python(tree, ML) == FOUND


def test_the_bank_stands_without_the_recommender(tree: Path) -> None:
    for name in ("recommender", "paquets"):
        shutil.rmtree(tree / "apps" / name)
    above = re.compile(r"apps\.(recommender|paquets)")
    for module in (tree / "config").rglob("*.py"):
        lines = module.read_text(encoding="utf-8").splitlines()
        module.write_text("\n".join(row for row in lines if not above.search(row)))
    check = "import django; django.setup(); from django.core.management import call_command as c;"
    started = python(tree, check + "c('check')", DJANGO_SETTINGS_MODULE="config.settings.testing")
    assert started == 0


# --- What no contract can say --------------------------------------------------------------


def smells(root: Path) -> Iterator[str]:
    for folder in ("apps", "config"):
        for source in sorted((root / folder).rglob("*.py")):
            name = str(source.relative_to(root))
            if source.stem == "utils" or "utils" in source.parts:
                yield f"{name}: utils"
            for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
                yield from (f"{name}:{node.lineno}: {smell}" for smell in _smells_of(node))


UNSAFE = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
MODEL_SIGNALS = {"pre_save", "post_save", "pre_delete", "post_delete", "m2m_changed", "pre_init"}


def _smells_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        if node.level:
            yield "relative import"
        names = {(node.module or "").split(".")[0], *(alias.name for alias in node.names)}
    elif isinstance(node, ast.Import):
        names = {alias.name.split(".")[0] for alias in node.names}
    elif isinstance(node, ast.Attribute):
        names = {node.attr}
        if ast.unparse(node) in {"torch.load", "torch.save"}:
            yield ast.unparse(node)
    elif isinstance(node, ast.ExceptHandler):
        everything = node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
        # Cleaning up and letting it pass is no swallowing.
        if everything and ast.unparse(node.body[-1]) != "raise":
            yield "swallows everything"
        return
    else:
        return
    yield from (f"{name}: can run code" for name in sorted(names & UNSAFE))
    yield from (f"{name}: model signal" for name in sorted(names & MODEL_SIGNALS))


def test_no_smell_is_in_the_tree() -> None:
    assert list(smells(ROOT)) == []


@pytest.mark.parametrize(
    ("line", "smell"),
    [
        ("from . import models", "relative import"),
        ("from ..core import models", "relative import"),
        ("from django.db.models.signals import post_save", "post_save: model signal"),
        ("signals.pre_delete.connect(print)", "pre_delete: model signal"),
        ("import pickle", "pickle: can run code"),
        ("from joblib import load", "joblib: can run code"),
        ("weights = torch.load('x')", "torch.load"),
        ("try:\n    pass\nexcept Exception:\n    pass", "swallows everything"),
    ],
)
def test_a_planted_smell_is_seen(tmp_path: Path, line: str, smell: str) -> None:
    (tmp_path / "apps").mkdir()
    plant(tmp_path / "apps" / "planted.py", line)
    assert [found.rpartition(".py:")[2].partition(": ")[2] for found in smells(tmp_path)] == [smell]


def test_a_utils_module_is_seen(tmp_path: Path) -> None:
    (tmp_path / "apps").mkdir()
    plant(tmp_path / "apps" / "utils.py", "")
    assert list(smells(tmp_path)) == ["apps/utils.py: utils"]
