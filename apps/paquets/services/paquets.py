"""What goes into a paquet, and what of it may still leave."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core import signing
from django.core.files.base import File
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import override

from apps.core.models import Epreuve, Statut, User
from apps.core.querysets import EpreuveQuerySet
from apps.core.services.files import DOCUMENTS, file_facts, may_have
from apps.paquets.archive import Archive, Entry, text_entry
from apps.paquets.choice import best_under
from apps.paquets.exceptions import NothingNew, Outdated
from apps.paquets.models import DocumentPaquet, Paquet
from apps.paquets.selectors import received, with_something_new
from apps.recommender.services.recommendations import preferred

logger = logging.getLogger(__name__)

EPREUVES_MAX = 500
_SALT = "apps.paquets"
_BLOCK = 64 * 1024
# An embargo holds for all alike here: a paquet goes from hand to hand.
_ANYBODY = AnonymousUser()


@dataclass(frozen=True)
class Document:
    """A PDF of an épreuve, under its name in the archive."""

    epreuve: Epreuve
    document: str
    nom: str
    taille_octets: int
    sha256: str
    crc32: int = 0

    @property
    def titre(self) -> str:
        return self.epreuve.titre

    def open(self) -> File[bytes]:
        """Raises FileNotFoundError, where the field, once read and closed, has its own error."""
        stored = getattr(self.epreuve, DOCUMENTS[self.document])
        return stored.storage.open(stored.name)  # type: ignore[no-any-return]

    def entry(self) -> Entry:
        return Entry(self.nom, self.taille_octets, self.crc32, self.open)


@dataclass(frozen=True)
class Composition:
    documents: tuple[Document, ...]

    @cached_property
    def manifeste(self) -> str:
        lines = [
            {
                "nom": one.nom,
                "epreuve": one.epreuve.pk,
                "titre": one.titre,
                "document": one.document,
                "taille_octets": one.taille_octets,
                "sha256": one.sha256,
            }
            for one in self.documents
        ]
        return json.dumps({"version": 1, "documents": lines}, ensure_ascii=False, indent=1)

    @cached_property
    def page(self) -> str:
        with override("fr"):  # Whoever asks: the same documents, the same bytes.
            return render_to_string("paquets/index.html", {"documents": self.documents})

    @cached_property
    def taille_octets(self) -> int:
        return self.archive().size

    @property
    def nb_epreuves(self) -> int:
        return len({one.epreuve.pk for one in self.documents})

    def archive(self) -> Archive:
        return _archive(self.manifeste, self.page, [one.entry() for one in self.documents])


def _archive(
    manifeste: str, page: str, entries: Iterable[Entry], paquet: Paquet | None = None
) -> Archive:
    texts = [text_entry("index.html", page), text_entry("manifeste.json", manifeste)]
    return Archive([*texts, *entries], partial(_handed_over, paquet) if paquet else lambda: None)


def compose(
    user: User, epreuves: EpreuveQuerySet, *, budget_octets: int, corriges: bool, deja: bool
) -> Composition:
    """What is worth most to this person of these, the archive itself within the budget.

    Favourites first, then as they are recommended. With `deja`, also what they have.
    """
    wanted = epreuves.exclude(depose_par=user)
    if not deja:
        new = with_something_new(user, corriges=corriges)
        wanted = wanted.filter(pk__in=new.order_by().values("pk"))
    had = set() if deja else received(user)
    lots = [lot for one in _ranked(user, wanted) if (lot := _lot(one, had, corriges=corriges))]
    sizes = [sum(one.taille_octets for one in lot) for lot in lots]
    room = budget_octets
    while True:
        chosen = Composition(tuple(one for at in best_under(sizes, room) for one in lots[at]))
        if chosen.taille_octets <= budget_octets:
            return chosen
        # What the names, the manifest and the page take.
        room -= chosen.taille_octets - budget_octets


def _ranked(user: User, wanted: EpreuveQuerySet) -> list[Epreuve]:
    favourites = list(wanted.favourites_of(user).values_list("pk", flat=True)[:EPREUVES_MAX])
    ids = [*dict.fromkeys(favourites + preferred(user, wanted, top_k=EPREUVES_MAX))][:EPREUVES_MAX]
    rows = Epreuve.objects.with_names().in_bulk(ids)
    return [rows[pk] for pk in ids if pk in rows]


def _lot(epreuve: Epreuve, had: set[str], *, corriges: bool) -> list[Document]:
    """Its documents that anybody may have, and this person has not."""
    names = [name for name in DOCUMENTS if name == "sujet" or corriges]
    shown = [document_of(epreuve, name) for name in names if may_have(_ANYBODY, epreuve, name)]
    return [one for one in shown if one.taille_octets and one.sha256 not in had]


def document_of(epreuve: Epreuve, document: str) -> Document:
    facts = file_facts(epreuve, document)
    return Document(
        epreuve,
        document,
        f"epreuves/{facts['nom_fichier']}",
        facts["taille_octets"],
        facts["sha256"],
    )


def prepare(user: User, chosen: Composition) -> tuple[Paquet, bool]:
    """The paquet of that content, and whether it is new.

    Raises NothingNew, or Outdated where a file was replaced while it was read.
    """
    chosen = Composition(tuple(_readable(chosen.documents)))
    if not chosen.documents:
        raise NothingNew
    try:
        with chosen.archive() as archive:
            sha256 = hashlib.file_digest(archive, "sha256").hexdigest()
    except FileNotFoundError:
        raise Outdated from None
    _forget_expired(user)
    with transaction.atomic():
        paquet, new = Paquet.objects.update_or_create(
            user=user,
            sha256=sha256,
            defaults={
                "taille_octets": chosen.taille_octets,
                "manifeste": chosen.manifeste,
                "page": chosen.page,
                "date": timezone.now(),
            },
        )
        if new:
            DocumentPaquet.objects.bulk_create(
                DocumentPaquet(
                    paquet=paquet,
                    epreuve=one.epreuve,
                    document=one.document,
                    nom=one.nom,
                    taille_octets=one.taille_octets,
                    sha256=one.sha256,
                    crc32=one.crc32,
                )
                for one in chosen.documents
            )
    return paquet, new


def _readable(documents: Sequence[Document]) -> Iterable[Document]:
    """With their CRC-32; one whose file is lost or cut does not keep the others from leaving."""
    for one in documents:
        try:
            crc32, size = _checked(one)
        except FileNotFoundError:
            crc32, size = 0, 0
        if size == one.taille_octets:
            yield replace(one, crc32=crc32)
        else:
            logger.warning(
                "Épreuve %s : %s absent du disque ou tronqué", one.epreuve.pk, one.document
            )


def _checked(document: Document) -> tuple[int, int]:
    crc32 = size = 0
    with document.open() as content:
        while block := content.read(_BLOCK):
            crc32 = zlib.crc32(block, crc32)
            size += len(block)
    return crc32, size


def _forget_expired(user: User) -> None:
    """Once no link leads there, all but what the person has received."""
    before = timezone.now() - dt.timedelta(seconds=settings.PAQUET_DUREE_SECONDES)
    expired = Paquet.objects.filter(user=user, date__lt=before)
    expired.filter(remis_le=None).delete()
    expired.exclude(page="").update(manifeste="", page="")


# --- What leaves -------------------------------------------------------------------------


def signed_token(paquet: Paquet) -> str:
    return signing.dumps(paquet.pk, salt=_SALT)


def paquet_of(token: str) -> Paquet:
    """Raises django.core.signing.BadSignature, or Paquet.DoesNotExist with its person's account."""
    pk = signing.loads(token, salt=_SALT, max_age=settings.PAQUET_DUREE_SECONDES)
    return Paquet.objects.get(pk=pk, user__is_active=True)


def open_archive(paquet: Paquet) -> Archive:
    """The very bytes of its SHA-256. Raises Outdated where one of its documents is no more."""
    lines = list(paquet.documents.select_related("epreuve"))
    if not all(map(_still_there, lines)):
        raise Outdated
    entries = [
        Document(
            line.epreuve, line.document, line.nom, line.taille_octets, line.sha256, line.crc32
        ).entry()
        for line in lines
    ]
    archive = _archive(paquet.manifeste, paquet.page, entries, paquet)
    # A line is gone with its épreuve.
    if archive.size != paquet.taille_octets:
        raise Outdated
    return archive


def _still_there(line: DocumentPaquet) -> bool:
    epreuve = line.epreuve
    return (
        epreuve.statut == Statut.PUBLIEE
        and may_have(_ANYBODY, epreuve, line.document)
        and file_facts(epreuve, line.document)["sha256"] == line.sha256
    )


def _handed_over(paquet: Paquet) -> None:
    """Once, as its last bytes leave, which wait for it: the next paquet begins after this one.

    No interaction: the bank chose these, and would learn its own choices as if they were tastes.
    """
    Paquet.objects.filter(pk=paquet.pk, remis_le=None).update(remis_le=timezone.now())
