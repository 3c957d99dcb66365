"""PDFs: what is let in, how they are kept, how they leave."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core import signing
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models.fields.files import FieldFile
from django.utils.text import slugify
from pypdf import PdfReader
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, DictionaryObject
from rest_framework.exceptions import ValidationError

from apps.core.exceptions import FileTooLarge, NotAPdf
from apps.core.models import Epreuve, User, storage_name, vignette_name
from apps.core.photographs import photographs_to_pdf
from apps.core.sandbox import FailedInSandbox, run_limited

logger = logging.getLogger(__name__)

DOCUMENTS = {"sujet": "fichier", "corrige": "fichier_corrige"}
PAGES_MAX = 2_000
PHOTOGRAPHS_MAX = 40
PHOTOGRAPHS_MEMORY = 512 * 1024 * 1024
_SALT = "apps.core.fichiers"
# What a reader of hostile bytes runs into besides its own errors.
_UNREADABLE = (
    PyPdfError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Pdf:
    content: File[bytes]
    taille_octets: int
    sha256: str
    nb_pages: int


def read_document(uploads: list[File[bytes]]) -> Pdf:
    """A PDF, or photographs, which become one; raises like `read_pdf`."""
    if len(uploads) == 1 and not _is_photograph(uploads[0]):
        return read_pdf(uploads[0])
    if not all(map(_is_photograph, uploads)):
        raise NotAPdf
    if len(uploads) > PHOTOGRAPHS_MAX:
        detail = f"Au plus {PHOTOGRAPHS_MAX} photographies : envoyez plutôt un PDF."
        raise _refused(detail, "trop_de_photos")
    if any(upload.size > settings.TAILLE_MAX_OCTETS for upload in uploads):
        raise FileTooLarge
    return read_pdf(ContentFile(_pdf_of(uploads)))


def _is_photograph(upload: File[bytes]) -> bool:
    upload.seek(0)
    head: bytes = upload.read(8)
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))


def _pdf_of(photographs: list[File[bytes]]) -> bytes:
    with tempfile.TemporaryFile() as packed:
        with zipfile.ZipFile(packed, "w") as archive:
            for rank, photograph in enumerate(photographs):
                photograph.seek(0)
                with archive.open(str(rank), "w") as member:
                    shutil.copyfileobj(photograph, member)
        packed.flush()
        try:
            made = run_limited(
                photographs_to_pdf,
                packed,
                timeout_s=45,
                memory_bytes=PHOTOGRAPHS_MEMORY,
                # Past the limit, so that it is `read_pdf` that says so.
                output_max=2 * settings.TAILLE_MAX_OCTETS,
            )
        except FailedInSandbox as failure:
            logger.warning("Photographies refusées : %s", failure)
            made = b"?"
    if not made.startswith(b"%PDF-"):
        which = f"La photographie {made.decode()}" if made.isdigit() else "Une photographie"
        raise _refused(
            f"{which} est illisible ou trop grande : reprenez-la, en JPEG ou en PNG.",
            "photo_illisible",
        )
    return made


def read_pdf(upload: File[bytes]) -> Pdf:
    """Raises FileTooLarge, NotAPdf, or ValidationError where the PDF is broken or encrypted."""
    if upload.size > settings.TAILLE_MAX_OCTETS:
        raise FileTooLarge
    upload.seek(0)
    if upload.read(5) != b"%PDF-":
        raise NotAPdf
    nb_pages = _count_pages(upload)
    upload.seek(0)
    sha256 = hashlib.file_digest(upload, "sha256").hexdigest()
    upload.seek(0)
    return Pdf(upload, upload.size, sha256, nb_pages)


def _count_pages(upload: File[bytes]) -> int:
    upload.seek(-min(upload.size, 1024), 2)
    if b"%%EOF" not in upload.read():
        raise _refused("Ce PDF est tronqué : renvoyez le fichier entier.", "pdf_tronque")
    try:
        reader = PdfReader(upload)
        if reader.is_encrypted:
            raise _refused("Ce PDF est protégé : ôtez son mot de passe.", "pdf_protege")
        nb_pages = _walk(reader)
    except _UNREADABLE:
        nb_pages = 0
    if not nb_pages:
        raise _refused("Ce PDF est illisible : exportez-le de nouveau.", "pdf_illisible")
    return nb_pages


def _walk(reader: PdfReader) -> int:
    """Looks at a bounded number of nodes, where pypdf's own walk takes minutes over a trap."""
    nb_pages, left, waiting = 0, 2 * PAGES_MAX, [reader.root_object["/Pages"]]
    while waiting:
        node = waiting.pop().get_object()
        if not isinstance(node, DictionaryObject) or not node:
            continue
        kids = node.get("/Kids", ArrayObject()).get_object()
        left -= len(kids)
        nb_pages += node.get("/Type", "/Page") == "/Page" and "/Kids" not in node
        if left < 0 or nb_pages > PAGES_MAX:
            detail = f"Ce PDF dépasse {PAGES_MAX} pages : divisez-le, puis renvoyez-le."
            raise _refused(detail, "pdf_trop_long")
        waiting += kids
    return nb_pages


def _refused(detail: str, code: str) -> ValidationError:
    return ValidationError(detail, code=code)


@contextmanager
def new_files() -> Iterator[FileSet]:
    """What is put is deleted if the block fails; what it replaces, once the block is committed."""
    files = FileSet()
    try:
        yield files
    except BaseException:
        files.delete(files.added)
        raise
    transaction.on_commit(lambda: files.delete(files.replaced))


class FileSet:
    def __init__(self) -> None:
        self.added: list[str] = []
        self.replaced: list[str] = []

    def put(self, epreuve: Epreuve, fichiers: Mapping[str, Pdf | None]) -> None:
        """Write or, for None, remove; set the épreuve's facts; its row is left to the caller."""
        for field, pdf in fichiers.items():
            self._leave(getattr(epreuve, field))
            written = self._write(storage_name(epreuve, ""), pdf.content) if pdf else ""
            setattr(epreuve, field, written)
            suffix = field.removeprefix("fichier")
            setattr(epreuve, f"taille{suffix}_octets", pdf.taille_octets if pdf else 0)
            setattr(epreuve, f"sha256{suffix}", pdf.sha256 if pdf else "")
            if field == "fichier":
                epreuve.nb_pages = pdf.nb_pages if pdf else None
                self._leave(epreuve.vignette)
                epreuve.vignette = ""

    def put_vignette(self, epreuve: Epreuve, webp: bytes) -> None:
        self._leave(epreuve.vignette)
        name = self._write(vignette_name(epreuve, ""), ContentFile(webp))
        epreuve.vignette = name

    def _leave(self, stored: FieldFile) -> None:
        if stored.name:
            self.replaced.append(stored.name)

    def _write(self, name: str, content: File[bytes]) -> str:
        # Noted before it is written: a full disk leaves half a file.
        self.added.append(name)
        # Opened again if it was closed: of a thousand files few are open at a time.
        return default_storage.save(name, content.open())

    def delete(self, names: list[str]) -> None:
        for name in names:
            default_storage.delete(name)


# --- Links -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Link:
    """What a signed token stands for: this document, for this person."""

    epreuve_id: int
    document: str
    user_id: int


def signed_token(link: Link) -> str:
    return signing.dumps([link.epreuve_id, link.document, link.user_id], salt=_SALT)


def read_token(token: str) -> Link:
    """Raises django.core.signing.BadSignature once altered or past its life."""
    return Link(*signing.loads(token, salt=_SALT, max_age=settings.LIEN_DUREE_SECONDES))


def may_have(user: User | AnonymousUser, epreuve: Epreuve, document: str) -> bool:
    """Of an épreuve that this person sees: is the document there, and not under embargo?"""
    if document == "corrige":
        return epreuve.shows_corrige_to(user)
    return bool(getattr(epreuve, DOCUMENTS[document]))


def open_document(epreuve: Epreuve, document: str) -> File[bytes]:
    """Raises FileNotFoundError."""
    return getattr(epreuve, DOCUMENTS[document]).open()  # type: ignore[no-any-return]


def file_facts(epreuve: Epreuve, document: str) -> dict[str, Any]:
    suffix = DOCUMENTS[document].removeprefix("fichier")
    name = slugify(f"{epreuve.titre[:80]} {epreuve.pk}{suffix.replace('_', ' ')}")
    return {
        "nom_fichier": f"{name}.pdf",
        "taille_octets": getattr(epreuve, f"taille{suffix}_octets"),
        "sha256": getattr(epreuve, f"sha256{suffix}"),
    }
