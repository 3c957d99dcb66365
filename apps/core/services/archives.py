"""The PDFs of a ZIP that somebody sent, unpacked within bounds under names of our own."""

import errno
import shutil
import stat
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath

from django.conf import settings

from apps.core.services.import_files import MalformedFile

MEMBERS_MAX = 2_000
# Deflate makes a thousand of one; PDFs are compressed inside, and rarely give two.
RATIO_MAX = 100
_BROKEN = (
    zipfile.BadZipFile,
    NotImplementedError,
    zlib.error,
    EOFError,
    ValueError,
)
_ENTRY = b"PK\x01\x02"


@contextmanager
def unpacked(archive: Path | None) -> Iterator[dict[str, Path]]:
    """Name in the ZIP -> file on disk, until the block ends; raises MalformedFile.

    A folder that holds everything may be left out of the names.
    """
    if archive is None:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="banque-import-") as folder:
        try:
            _refuse_a_crowd(archive)
            with zipfile.ZipFile(archive) as opened:
                documents = _unpack(opened, Path(folder))
        except (*_BROKEN, OSError) as error:
            # A member said to start before the file does: the disk itself says other things.
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            raise MalformedFile("L'archive n'est pas un ZIP, ou elle est abîmée.") from None
        yield documents


def _refuse_a_crowd(archive: Path) -> None:
    """Before `zipfile` makes an object of each entry."""
    with archive.open("rb") as raw:
        entries = sum(chunk.count(_ENTRY) for chunk in iter(lambda: raw.read(1 << 20), b""))
    if entries > MEMBERS_MAX:
        raise MalformedFile(f"L'archive a plus de {MEMBERS_MAX} fichiers : divisez-la.")


def _unpack(archive: zipfile.ZipFile, folder: Path) -> dict[str, Path]:
    members = {}
    for member in archive.infolist():
        name = plain_name(member.filename)
        # What macOS adds has the names of the documents, and is none.
        if member.is_dir() or not name.lower().endswith(".pdf") or name.startswith("__MACOSX/"):
            continue
        _refuse(name, member)
        if name in members:
            raise MalformedFile(f"L'archive a plusieurs fichiers « {name} ».")
        members[name] = member
    most = 2 * settings.IMPORT_ARCHIVE_MAX_OCTETS
    if sum(member.file_size for member in members.values()) > most:
        raise MalformedFile(f"Dépliée, l'archive dépasse {most >> 20} Mo : divisez-la.")
    documents = {}
    for number, (name, member) in enumerate(members.items()):
        documents[name] = folder / f"{number}.pdf"
        with archive.open(member) as packed, documents[name].open("wb") as target:
            shutil.copyfileobj(packed, target)
    return _without_the_folder(documents) | documents


def _refuse(name: str, member: zipfile.ZipInfo) -> None:
    if not is_inside(name) or stat.S_ISLNK(member.external_attr >> 16):
        raise MalformedFile(f"L'archive a un chemin interdit : « {name} ».")
    if member.flag_bits & 1:
        raise MalformedFile(f"L'archive est protégée (« {name} ») : ôtez son mot de passe.")
    # zipfile unpacks the others by blocks of any size.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MalformedFile(f"« {name} » : refaites l'archive en ZIP ordinaire.")
    if member.file_size > RATIO_MAX * max(member.compress_size, 1):
        raise MalformedFile(f"« {name} » se déplie plus de {RATIO_MAX} fois : refusé.")


def _without_the_folder(documents: dict[str, Path]) -> dict[str, Path]:
    if len({name.partition("/")[0] for name in documents}) != 1:
        return {}
    return {rest: path for name, path in documents.items() if (rest := name.partition("/")[2])}


def plain_name(name: str) -> str:
    """As Windows and macOS write it too: `TD\\\\Algèbre.pdf` -> `TD/Algèbre.pdf`."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def is_inside(name: str) -> bool:
    """No `..`, no absolute path, no drive."""
    path = PureWindowsPath(name)
    return not (path.anchor or ".." in path.parts)
