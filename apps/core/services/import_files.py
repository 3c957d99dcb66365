"""Read CSV and TSV files: logs, catalogues, lists of people; refuse what makes no sense."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from django.db import models
from django.utils import timezone

from apps.core.models import Niveau, Session, TypeEpreuve, TypeInteraction, fenetre_of
from apps.core.text import normalise

LINES_SHOWN = 20

# The names under which the files we know call a column; an option names any other.
Aliases = Mapping[str, tuple[str, ...]]
LOG: Aliases = {
    "user": ("user_id", "username", "user", "matricule"),
    "epreuve": ("epreuve_id", "item_id", "reference_externe", "reference", "epreuve", "item"),
    "date": ("timestamp", "date", "horodatage"),
    "type": ("type_interaction", "type"),
    "note_difficulte": ("note_difficulte",),
    "note_pertinence": ("note_pertinence",),
    "titre": ("titre", "title", "movie_title", "nom"),
    "annee": ("annee", "year", "release_year"),
    "matiere": ("matiere", "class", "genre", "genres", "subject"),
    "filiere": ("filiere",),
    "niveau": ("niveau",),
    "type_epreuve": ("type_epreuve",),
    "session": ("session",),
}


class MalformedFile(Exception):
    """The file cannot be read for what it should be; nothing was written."""


@contextmanager
def gone_if_it_fails(path: Path | None) -> Iterator[None]:
    """Leave no half-written file behind."""
    try:
        yield
    except BaseException:
        if path:
            path.unlink()
        raise


@dataclass(frozen=True)
class ImportOptions:
    default_type: str = TypeInteraction.VUE
    user_prefix: str = ""
    create_missing: bool = False
    dry_run: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    line: int
    user: str
    epreuve: str
    type_interaction: str
    date: dt.datetime
    notes: tuple[int, int] | None

    @property
    def fenetre(self) -> int:
        return fenetre_of(self.date)


@dataclass(frozen=True)
class CatalogueEntry:
    titre: str
    annee: int | None
    matiere: str
    filiere: str
    niveau: str
    type_epreuve: str
    session: str
    description: str


# Of two bytes, an accented letter of UTF-8; in Windows-1252, a pair that no French has.
_UTF8_LETTER = re.compile(rb"[\xc2-\xc5][\x80-\xbf]")


def read_text(path: Path) -> str:
    """UTF-8, or Windows-1252, in which a French spreadsheet writes CSV unless asked otherwise."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MalformedFile(f"{path.name} est illisible : {error.strerror}.") from None
    if b"\0" in content:
        raise MalformedFile(f"{path.name} contient des octets nuls : ce n'est pas du texte.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        damaged = MalformedFile(
            f"{path.name} n'est ni en UTF-8 (octet {error.start}) ni en Windows-1252 : "
            "enregistrez-le en « CSV UTF-8 »."
        )
    if _UTF8_LETTER.search(content):
        raise damaged
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:
        raise damaged from None


class Table:
    """A CSV or TSV file with a header; `user_id:token` is the column `user_id`, of type token.

    `quoted`: a spreadsheet quotes whatever separates its cells; other exports by tabs quote
    nothing, and a lone " is part of a title there.
    """

    def __init__(
        self,
        path: Path,
        columns: Mapping[str, str],
        aliases: Aliases = LOG,
        *,
        quoted: bool = False,
    ) -> None:
        self.path = path
        text = read_text(path)
        first = text.partition("\n")[0]
        if not first.strip():
            raise MalformedFile(f"{path.name} est vide ou n'a pas de ligne d'en-tête.")
        delimiter = max("\t,;", key=first.count)
        is_bare = delimiter == "\t" and not quoted
        quoting: Literal[0, 3] = csv.QUOTE_NONE if is_bare else csv.QUOTE_MINIMAL
        self.reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True
        )
        header = self._next() or []
        self.width = len(header)
        names, kinds = zip(*(cell.strip().partition(":")[::2] for cell in header), strict=True)
        self.kind = dict(zip(names, kinds, strict=True))
        self.names: tuple[str, ...] = names
        found = {role: self._find(columns.get(role), aliases[role]) for role in aliases}
        self.index = {role: at for role, at in found.items() if at >= 0}
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise MalformedFile(f"{path.name} a plusieurs colonnes « {repeated} ».")

    def _next(self) -> list[str] | None:
        try:
            return next(self.reader, None)
        except csv.Error as error:
            raise MalformedFile(
                f"{self.path.name}, ligne {self.reader.line_num} : {error}. Rien n'a été importé."
            ) from None

    def _find(self, named: str | None, aliases: tuple[str, ...]) -> int:
        if named in self.names:
            return self.names.index(named)
        plain = [normalise(name) for name in self.names]
        return next((plain.index(name) for name in aliases if name in plain), -1)

    def require(self, *roles: str, columns: Mapping[str, str]) -> None:
        """These roles must have a column, and one that was named must be there."""
        for role in roles:
            if role not in self.index or columns.get(role, self.name_of(role)) not in self.names:
                raise MalformedFile(
                    f"{self.path.name} n'a pas de colonne pour « {role} » parmi : "
                    f"{', '.join(self.names)}. Nommez-la avec --{role}-column."
                )

    def name_of(self, role: str) -> str:
        return self.names[self.index[role]] if role in self.index else ""

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (line number, cells); it is that of a spreadsheet, where a cell has line breaks."""
        number = 1
        while (row := self._next()) is not None:
            number += 1
            if any(cell.strip() for cell in row):
                yield number, [cell.strip() for cell in row]

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield (line number, role -> value); stop at the first line of another width."""
        for number, row in self.lines():
            if len(row) != self.width:
                raise MalformedFile(
                    f"{self.path.name}, ligne {number} : {len(row)} champs au lieu de "
                    f"{self.width}. Rien n'a été importé."
                )
            yield number, self.named(row)

    def named(self, row: list[str]) -> dict[str, str]:
        return {role: row[at] for role, at in self.index.items()}


def read_events(path: Path, options: ImportOptions) -> list[Event]:
    """Every line of the log, or MalformedFile with the numbers of the lines that make no sense."""
    table = Table(path, options.columns)
    named = {"type"} & options.columns.keys()
    table.require("user", "epreuve", "date", *named, columns=options.columns)
    events, faults = [], []
    for line, row in table.rows():
        try:
            events.append(_event(line, row, options))
        except ValueError as error:
            faults.append(f"ligne {line} : {error}")
    if faults:
        more = len(faults) - LINES_SHOWN
        shown = "\n  ".join(faults[:LINES_SHOWN]) + (f"\n  … et {more} autres" if more > 0 else "")
        raise MalformedFile(f"{path.name} est mal formé, rien n'a été importé :\n  {shown}")
    if not events:
        raise MalformedFile(f"{path.name} ne contient aucune interaction.")
    return events


def _event(line: int, row: dict[str, str], options: ImportOptions) -> Event:
    for role in ("user", "epreuve", "date"):
        if not row[role]:
            raise ValueError(f"« {role} » est vide")
    kind = row.get("type") or options.default_type
    if kind not in TypeInteraction.values:
        raise ValueError(f"type « {kind} » inconnu (attendu : {', '.join(TypeInteraction.values)})")
    return Event(
        line=line,
        user=options.user_prefix + row["user"],
        epreuve=row["epreuve"],
        type_interaction=kind,
        date=parse_date(row["date"]),
        notes=_notes(row) if kind == TypeInteraction.EVALUATION else None,
    )


def _notes(row: dict[str, str]) -> tuple[int, int]:
    try:
        notes = int(row["note_difficulte"]), int(row["note_pertinence"])
    except (KeyError, ValueError):
        raise ValueError("une évaluation porte note_difficulte et note_pertinence") from None
    if not all(1 <= note <= 5 for note in notes):
        raise ValueError(f"notes {notes[0]} et {notes[1]} hors de 1 à 5")
    return notes


def parse_date(text: str) -> dt.datetime:
    """Epoch seconds or ISO 8601, from 1970 on; a date without zone is read in the bank's own."""
    try:
        if text.replace(".", "", 1).isdigit():
            return dt.datetime.fromtimestamp(float(text), dt.UTC)
        parsed = dt.datetime.fromisoformat(text)
        aware = parsed if timezone.is_aware(parsed) else timezone.make_aware(parsed)
        in_utc = aware.astimezone(dt.UTC)
    except (ValueError, OverflowError, OSError):
        in_utc = dt.datetime.min.replace(tzinfo=dt.UTC)
    if in_utc.year < 1970:
        raise ValueError(f"date « {text} » illisible (secondes Unix ou AAAA-MM-JJTHH:MM:SS)")
    return in_utc


def read_catalogue(path: Path, options: ImportOptions) -> dict[str, CatalogueEntry]:
    table = Table(path, options.columns)
    named = {"annee", "matiere"} & options.columns.keys()
    # The log and the catalogue may call the épreuve differently: its option is for either.
    table.require("epreuve", columns={})
    table.require("titre", *named, columns=options.columns)
    several_subjects = table.kind.get(table.name_of("matiere"), "") == "token_seq"
    catalogue = {}
    for line, row in table.rows():
        if not row["epreuve"]:
            raise MalformedFile(f"{path.name}, ligne {line} : « epreuve » est vide.")
        catalogue[row["epreuve"]] = _entry(path, line, row, several_subjects)
    return catalogue


def _entry(path: Path, line: int, row: dict[str, str], several: bool) -> CatalogueEntry:
    subjects = row.get("matiere", "")
    first = (subjects.split() or [""])[0] if several else subjects
    try:
        return CatalogueEntry(
            titre=row["titre"][:200] or f"Épreuve {row['epreuve']}",
            annee=_year(row.get("annee", "")),
            matiere=first[:120],
            filiere=row.get("filiere", "")[:120],
            niveau=one_of(row.get("niveau", ""), Niveau, Niveau.AUTRE),
            type_epreuve=one_of(row.get("type_epreuve", ""), TypeEpreuve, TypeEpreuve.AUTRE),
            session=one_of(row.get("session", ""), Session, Session.UNIQUE),
            description=", ".join(subjects.split()) if several else "",
        )
    except ValueError as error:
        raise MalformedFile(f"{path.name}, ligne {line} : {error}. Rien n'a été importé.") from None


def _year(text: str) -> int | None:
    """None where the source says « unknown »: a title without its year is still a title."""
    if not text.isdecimal():
        return None
    if not 1900 <= int(text) <= 2100:
        raise ValueError(f"année « {text} » hors de 1900 à 2100")
    return int(text)


def one_of(text: str, choices: type[models.TextChoices], default: str) -> str:
    if not text:
        return default
    if text not in choices.values:
        raise ValueError(f"« {text} » inconnu (attendu : {', '.join(choices.values)})")
    return text
