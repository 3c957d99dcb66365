"""What was sent to be imported, on disk between its rehearsal and its confirmation.

Nobody's after a day, it goes with the other orphans: see stored_files.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.files.base import File

FOLDER = "imports"


class NoLongerWaiting(Exception):
    """Imported already, or too long ago."""


@dataclass(frozen=True)
class Sent:
    folder: Path

    @property
    def catalogue(self) -> Path:
        return self.folder / "catalogue.csv"

    @property
    def archive(self) -> Path | None:
        path = self.folder / "documents.zip"
        return path if path.exists() else None


def keep(catalogue: File[bytes], archive: File[bytes] | None) -> str:
    """Returns the key by which `taken` finds it."""
    key = uuid.uuid4().hex
    folder = _folder(key)
    folder.mkdir(parents=True)
    for name, content in (("catalogue.csv", catalogue), ("documents.zip", archive)):
        if content:
            with (folder / name).open("wb") as target:
                shutil.copyfileobj(content.open(), target)
    return key


def number() -> int:
    """How many wait for their confirmation."""
    return sum(not name.suffix for name in Path(settings.MEDIA_ROOT, FOLDER).glob("*"))


def sent(key: str) -> Sent:
    return Sent(_folder(key))


@contextmanager
def taken(key: str) -> Iterator[Sent]:
    """Of two who confirm the same, one does; it is gone afterwards. Raises NoLongerWaiting."""
    mine = _folder(key).with_suffix(".pris")
    try:
        _folder(key).rename(mine)
    except FileNotFoundError:
        raise NoLongerWaiting from None
    try:
        yield Sent(mine)
    finally:
        shutil.rmtree(mine)


def discard(key: str) -> None:
    shutil.rmtree(_folder(key))


def _folder(key: str) -> Path:
    return Path(settings.MEDIA_ROOT, FOLDER, key)
