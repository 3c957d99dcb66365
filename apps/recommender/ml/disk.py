"""Folders that are whole on the disk or not there at all: written aside, flushed, renamed."""

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from apps.recommender.ml.errors import InvalidVersion

# What reading a file that is not ours can raise.
FAULTS = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    SafetensorError,
)
ASIDE = ".aside-"
_ASIDE_SECONDS = 3600

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def version_path(root: Path, version: str) -> Path:
    """The folder of a version; raises InvalidVersion for what is no plain name."""
    if not _VERSION.fullmatch(version):
        raise InvalidVersion(
            f"« {version} » ne peut nommer un modèle : 1 à 64 lettres sans accent, chiffres, "
            "points, tirets ou soulignés, en commençant par une lettre ou un chiffre."
        )
    return root / version


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write files in, which becomes `path` at the end; a failure leaves nothing.

    What a killed process left beside it is swept. Raises FileExistsError where there is one.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, "déjà là", str(path))
    sweep(path.parent)
    aside = path.parent / f"{ASIDE}{uuid.uuid4().hex}"
    try:
        aside.mkdir()
        yield aside
        for file in aside.iterdir():
            flush(file)
        flush(aside)
        _rename(aside, path)
        flush(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def aside_of(path: Path) -> Path:
    """Where `replace_file` writes, and a killed process leaves, what becomes that file."""
    return path.with_name(f"{ASIDE}{path.name}")


def replace_file(path: Path, content: bytes) -> None:
    """As one step, whatever happens. Two at once would undo each other."""
    aside = aside_of(path)
    aside.write_bytes(content)
    flush(aside)
    aside.replace(path)
    flush(path.parent)


def remove(folder: Path) -> None:
    """All of it, if it is there; it is never seen half removed."""
    if folder.exists():
        aside = folder.with_name(f"{ASIDE}{uuid.uuid4().hex}")
        folder.rename(aside)
        shutil.rmtree(aside)


def sweep(root: Path) -> None:
    """Remove what killed processes left in `root`."""
    for left in root.glob(f"{ASIDE}*"):
        if time.time() - left.stat().st_mtime > _ASIDE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def flush(path: Path) -> None:
    """A file's or a folder's content, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(aside: Path, path: Path) -> None:
    try:
        aside.rename(path)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            raise FileExistsError(error.errno, "déjà là", str(path)) from None
        raise
