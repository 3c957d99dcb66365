"""Typed readers of the environment that name the variable they could not use."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
DOTENV = BASE_DIR / ".env"


class SettingRefused(ImproperlyConfigured):
    """A value of the environment that nothing should start with."""


_DOTENV_LINE = re.compile(r"\s*(#.*|(export )?[A-Za-z_][A-Za-z0-9_]*=.*)?")


def read_dotenv(path: Path = DOTENV) -> None:
    """Variables already in the environment win over the file; a line without sense is refused."""
    if not path.is_file():
        return
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise SettingRefused(f"{path} n'est pas en UTF-8 : enregistrez-le en UTF-8.") from None
    except OSError as error:
        raise SettingRefused(
            f"{path} ne se lit pas ({error.strerror}) : lancez la commande sous le compte à qui il "
            "appartient."
        ) from None
    for number, line in enumerate(lines, start=1):
        if not _DOTENV_LINE.fullmatch(line):
            raise SettingRefused(
                f"{path}, ligne {number} : écrivez NOM=valeur, sans espace autour du signe égal."
            )
    environ.Env.read_env(path, encoding="utf-8-sig")


@contextmanager
def dotenv(path: Path = DOTENV) -> Iterator[None]:
    """For a block only: kept by a parent, they would hide a changed .env from its children."""
    before = dict(os.environ)
    read_dotenv(path)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def text(name: str, default: str | None = None) -> str:
    """An empty value counts as absent, so that `NAME=` in .env means the default."""
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if default is None:
        raise SettingRefused(
            f"La variable d'environnement {name} est requise : ./setup.sh écrit un .env complet, "
            "quand il n'y en a pas."
        )
    return default


def integer(name: str, default: int, *, minimum: int = 0, maximum: int | None = None) -> int:
    raw = text(name, str(default))
    try:
        value = int(raw)
    except ValueError:
        raise SettingRefused(f"{name} doit être un entier, pas « {raw} ».") from None
    if value < minimum:
        raise SettingRefused(f"{name} doit valoir au moins {minimum}, pas {value}.")
    if maximum is not None and value > maximum:
        raise SettingRefused(f"{name} doit valoir au plus {maximum}, pas {value}.")
    return value


def share(name: str, default: float) -> float:
    raw = text(name, str(default))
    try:
        value = float(raw.replace(",", "."))
    except ValueError:
        raise SettingRefused(f"{name} doit être un nombre, pas « {raw} ».") from None
    if not 0 <= value <= 1:  # NaN fails both comparisons
        raise SettingRefused(f"{name} doit valoir de 0 à 1, pas {raw}.")
    return value


def boolean(name: str, default: bool) -> bool:
    raw = text(name, str(default)).lower()
    if raw in {"true", "1", "yes", "on", "oui"}:
        return True
    if raw in {"false", "0", "no", "off", "non"}:
        return False
    raise SettingRefused(f"{name} doit valoir True ou False, pas « {raw} ».")


def words(name: str, default: str = "") -> list[str]:
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def matching(name: str, default: str, pattern: str, expected: str) -> str:
    value = text(name, default)
    if not re.fullmatch(pattern, value):
        raise SettingRefused(f"{name} vaut « {value} » : donnez {expected}.")
    return value


def rate(name: str, default: str) -> str:
    pattern = "[1-9][0-9]*/(s|sec|second|m|min|minute|h|hour|d|day)"
    return matching(name, default, pattern, "un débit comme 600/min")


def url(name: str, *schemes: str) -> str:
    """Empty where the variable is."""
    expected = "une adresse qui commence par " + " ou ".join(f"{scheme}://" for scheme in schemes)
    return matching(name, "", rf"(({'|'.join(schemes)})://\S+)?", expected)


def email(name: str) -> dict[str, Any]:
    """The EMAIL_… settings that a URL stands for; none where it is empty."""
    value = text(name, "")
    if not value:
        return {}
    if not re.fullmatch(r"smtp(\+tls|\+ssl)?://([^\s@/]+@)?[^\s@/:]+:[0-9]+", value):
        # Without its value, which holds a password.
        raise SettingRefused(f"{name} : écrivez smtp+tls://nom:motdepasse@serveur:587.")
    return dict(environ.Env.email_url_config(value))


def path(name: str, default: Path) -> Path:
    return BASE_DIR / text(name, str(default))


def settings_module(argv: Sequence[str]) -> str:
    """Choose the settings of a process.

    `manage.py test` always gets the testing settings; else the named ones; else those of
    production where DEBUG=False in the environment or .env, and of development elsewhere.
    """
    if argv[1:2] == ["test"]:
        return "config.settings.testing"
    if named := os.environ.get("DJANGO_SETTINGS_MODULE"):
        return named
    read_dotenv()
    return f"config.settings.{'development' if boolean('DEBUG', True) else 'production'}"


def configure(argv: Sequence[str] = ()) -> None:
    """Set DJANGO_SETTINGS_MODULE; end with one sentence where DEBUG cannot be read."""
    try:
        os.environ["DJANGO_SETTINGS_MODULE"] = settings_module(argv)
    except SettingRefused as refusal:
        sys.exit(str(refusal))
