"""Bring an interaction log from elsewhere into the bank: read, check, then write all or nothing."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.text import slugify

from apps.core.models import (
    Contexte,
    Epreuve,
    Evaluation,
    Filiere,
    Interaction,
    Matiere,
    Niveau,
    Session,
    Statut,
    TypeEpreuve,
    TypeInteraction,
    User,
    fenetre_of,
)
from apps.core.signals import catalogue_changed

BATCH = 2000
LINES_SHOWN = 20

# The names under which the logs we know call a column; an option names any other.
ALIASES: dict[str, tuple[str, ...]] = {
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
CATALOGUE_ROLES = ("titre", "annee", "matiere", "filiere", "niveau", "type_epreuve", "session")
COUNTERS = {
    TypeInteraction.VUE: "nb_vues",
    TypeInteraction.TELECHARGEMENT: "nb_telechargements",
}

Progress = Callable[[int, int], None]
Row = TypeVar("Row", Matiere, Filiere)


class MalformedFile(Exception):
    """The file cannot be read as a log; nothing was written."""


@dataclass(frozen=True)
class ImportOptions:
    default_type: str = TypeInteraction.VUE
    user_prefix: str = ""
    create_missing: bool = False
    dry_run: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ImportReport:
    read: int = 0
    imported: int = 0
    folded: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    users_created: int = 0
    epreuves_created: int = 0
    evaluations: int = 0


@dataclass(frozen=True)
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


# --- Reading -----------------------------------------------------------------------------


class Table:
    """A CSV or TSV file with a header; `user_id:token` is the column `user_id`, of type token."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise MalformedFile(f"{path} est illisible : {error.strerror}.") from None
        except UnicodeDecodeError as error:
            raise MalformedFile(
                f"{path} n'est pas en UTF-8 (octet {error.start}) : convertissez-le d'abord."
            ) from None
        if "\0" in text:
            raise MalformedFile(f"{path} contient des octets nuls : ce n'est pas un fichier texte.")
        first = text.partition("\n")[0]
        if not first.strip():
            raise MalformedFile(f"{path} est vide ou n'a pas de ligne d'en-tête.")
        delimiter = max("\t,;", key=first.count)
        # Tab-separated exports quote nothing: a lone " is part of a title there.
        quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
        self.reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True
        )
        header = self._next() or []
        self.width = len(header)
        names, kinds = zip(*(cell.strip().partition(":")[::2] for cell in header), strict=True)
        self.kind = dict(zip(names, kinds, strict=True))
        self.index = {role: at for role in ALIASES if (at := self._find(role, names, columns)) >= 0}
        self.names = names

    def _next(self) -> list[str] | None:
        try:
            return next(self.reader, None)
        except csv.Error as error:
            raise MalformedFile(
                f"{self.path}, ligne {self.reader.line_num} : {error}. Rien n'a été importé."
            ) from None

    def _find(self, role: str, names: tuple[str, ...], columns: Mapping[str, str]) -> int:
        wanted = columns.get(role)
        if wanted is None:
            return next((names.index(alias) for alias in ALIASES[role] if alias in names), -1)
        return names.index(wanted) if wanted in names else -1

    def require(self, *roles: str) -> None:
        for role in roles:
            if role not in self.index:
                raise MalformedFile(
                    f"{self.path} n'a pas de colonne pour « {role} » parmi : "
                    f"{', '.join(self.names)}. Nommez-la avec --{role}-column."
                )

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield (line number, role -> value); stop at the first line of another width."""
        while (row := self._next()) is not None:
            if not row:
                continue
            if len(row) != self.width:
                raise MalformedFile(
                    f"{self.path}, ligne {self.reader.line_num} : {len(row)} champs au lieu de "
                    f"{self.width}. Rien n'a été importé."
                )
            yield (
                self.reader.line_num,
                {role: row[at].strip() for role, at in self.index.items()},
            )


def read_events(path: Path, options: ImportOptions) -> list[Event]:
    """Every line of the log, or MalformedFile with the numbers of the lines that make no sense."""
    table = Table(path, options.columns)
    table.require("user", "epreuve", "date")
    if "type" in options.columns:
        table.require("type")
    events, faults = [], []
    for line, row in table.rows():
        try:
            events.append(_event(line, row, options))
        except ValueError as error:
            faults.append(f"ligne {line} : {error}")
    if faults:
        more = len(faults) - LINES_SHOWN
        shown = "\n  ".join(faults[:LINES_SHOWN]) + (f"\n  … et {more} autres" if more > 0 else "")
        raise MalformedFile(f"{path} est mal formé, rien n'a été importé :\n  {shown}")
    if not events:
        raise MalformedFile(f"{path} ne contient aucune interaction.")
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
    """Epoch seconds or ISO 8601; a date without zone is read in the bank's own."""
    try:
        if text.replace(".", "", 1).isdigit():
            return dt.datetime.fromtimestamp(float(text), dt.UTC)
        parsed = dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"date « {text} » illisible (secondes Unix ou AAAA-MM-JJTHH:MM:SS)"
        ) from None
    return parsed if timezone.is_aware(parsed) else timezone.make_aware(parsed)


def read_catalogue(path: Path, options: ImportOptions) -> dict[str, CatalogueEntry]:
    table = Table(path, options.columns)
    table.require("epreuve", "titre")
    several_subjects = table.kind.get(_name_of(table, "matiere"), "") == "token_seq"
    catalogue = {}
    for line, row in table.rows():
        if not row["epreuve"]:
            raise MalformedFile(f"{path}, ligne {line} : « epreuve » est vide.")
        catalogue[row["epreuve"]] = _entry(path, line, row, several_subjects)
    return catalogue


def _name_of(table: Table, role: str) -> str:
    return table.names[table.index[role]] if role in table.index else ""


def _entry(path: Path, line: int, row: dict[str, str], several: bool) -> CatalogueEntry:
    subjects = row.get("matiere", "")
    first = (subjects.split() or [""])[0] if several else subjects
    try:
        return CatalogueEntry(
            titre=row["titre"][:200] or f"Épreuve {row['epreuve']}",
            annee=_year(row.get("annee", "")),
            matiere=first[:120],
            filiere=row.get("filiere", "")[:120],
            niveau=_choice(row.get("niveau", ""), Niveau, Niveau.AUTRE),
            type_epreuve=_choice(row.get("type_epreuve", ""), TypeEpreuve, TypeEpreuve.AUTRE),
            session=_choice(row.get("session", ""), Session, Session.UNIQUE),
            description=", ".join(subjects.split()) if several else "",
        )
    except ValueError as error:
        raise MalformedFile(f"{path}, ligne {line} : {error}. Rien n'a été importé.") from None


def _year(text: str) -> int | None:
    """None where the source says « unknown »: a title without its year is still a title."""
    if not text.isdecimal():
        return None
    if not 1900 <= int(text) <= 2100:
        raise ValueError(f"année « {text} » hors de 1900 à 2100")
    return int(text)


def _choice(text: str, choices: type[models.TextChoices], default: str) -> str:
    if not text:
        return default
    if text not in choices.values:
        raise ValueError(f"« {text} » inconnu (attendu : {', '.join(choices.values)})")
    return text


# --- Writing -----------------------------------------------------------------------------


@transaction.atomic
def import_interactions(
    path: Path,
    *,
    catalogue_path: Path | None = None,
    options: ImportOptions,
    on_progress: Progress = lambda done, total: None,
    now: dt.datetime | None = None,
) -> ImportReport:
    """Write the log in one transaction; lines that name nobody are refused, the rest goes in."""
    events = read_events(path, options)
    catalogue = read_catalogue(catalogue_path, options) if catalogue_path else {}
    report = ImportReport(read=len(events))

    users = _users(events, options, report)
    epreuves = _epreuves(events, catalogue, options, report)
    accepted = _accept(events, users, epreuves, now or timezone.now(), report)
    rows = _fold(accepted, users, epreuves, report)
    for start in range(0, len(rows), BATCH):
        Interaction.objects.bulk_create(rows[start : start + BATCH])
        on_progress(min(start + BATCH, len(rows)), len(rows))
    _move_counters(rows)
    _evaluate(accepted, users, epreuves, report)
    if report.epreuves_created:
        catalogue_changed.send(sender=Epreuve)
    if options.dry_run:
        transaction.set_rollback(True)
    return report


def _users(events: list[Event], options: ImportOptions, report: ImportReport) -> dict[str, int]:
    """Casefolded username -> id of everyone the log names, made where asked."""
    wanted = {event.user.casefold(): event.user for event in events}
    known = {name.casefold(): pk for name, pk in User.objects.values_list("username", "pk")}
    missing = [name for key, name in wanted.items() if key not in known]
    if options.create_missing and missing:
        fresh = [User(username=_username(name), password=make_password(None)) for name in missing]
        for user in User.objects.bulk_create(fresh, BATCH):
            known[user.username.casefold()] = user.pk
        report.users_created = len(fresh)
    return {key: known[key] for key in wanted if key in known}


def _username(name: str) -> str:
    try:
        return str(User._meta.get_field("username").clean(name, None))
    except ValidationError as error:
        raise MalformedFile(
            f"« {name} » ne peut pas être un nom d'utilisateur : {error.messages[0]} "
            "Rien n'a été importé."
        ) from None


def _epreuves(
    events: list[Event],
    catalogue: dict[str, CatalogueEntry],
    options: ImportOptions,
    report: ImportReport,
) -> dict[str, int]:
    """Reference -> id of every épreuve the log or the catalogue names, made where asked."""
    first_seen: dict[str, dt.datetime] = {}
    for event in events:
        first_seen[event.epreuve] = min(event.date, first_seen.get(event.epreuve, event.date))
    wanted = dict.fromkeys([*first_seen, *catalogue])
    known = dict(
        Epreuve.objects.exclude(reference_externe=None).values_list("reference_externe", "pk")
    )
    missing = [reference for reference in wanted if reference not in known]
    if options.create_missing and missing:
        if long := next((reference for reference in missing if len(reference) > 64), None):
            raise MalformedFile(f"La référence « {long} » dépasse 64 caractères.")
        fresh = _new_epreuves(missing, catalogue, first_seen)
        for epreuve in Epreuve.objects.bulk_create(fresh, BATCH):
            known[epreuve.reference_externe] = epreuve.pk
        report.epreuves_created = len(fresh)
    return {str(key): known[key] for key in wanted if key in known}


def _new_epreuves(
    references: list[str],
    catalogue: dict[str, CatalogueEntry],
    first_seen: dict[str, dt.datetime],
) -> list[Epreuve]:
    now = timezone.now()
    blank = CatalogueEntry("", None, "", "", Niveau.AUTRE, TypeEpreuve.AUTRE, Session.UNIQUE, "")
    entries = {ref: catalogue.get(ref, blank) for ref in references}
    matieres = _nomenclature(Matiere, {entry.matiere or "Autre" for entry in entries.values()})
    filieres = _nomenclature(Filiere, {e.filiere for e in entries.values() if e.filiere})
    fresh = []
    for reference, entry in entries.items():
        epreuve = Epreuve(
            reference_externe=reference,
            titre=entry.titre or f"Épreuve {reference}",
            description=entry.description,
            annee=entry.annee,
            matiere=matieres[entry.matiere or "Autre"],
            filiere=filieres.get(entry.filiere),
            niveau=entry.niveau,
            type_epreuve=entry.type_epreuve,
            session=entry.session,
            statut=Statut.PUBLIEE,
            date_publication=min(first_seen.get(reference, now), now),
        )
        epreuve.texte_recherche = epreuve.searchable_text()  # bulk_create skips save()
        fresh.append(epreuve)
    return fresh


def _nomenclature(model: type[Row], names: set[str]) -> dict[str, Row]:
    """Find each name as a code or a name of the bank, or add it."""
    found = {}
    for name in sorted(names):
        code = slugify(name).upper()[:32] or "AUTRE"
        row = model.objects.filter(models.Q(code__iexact=name) | models.Q(nom__iexact=name)).first()
        found[name] = row or model.objects.get_or_create(code=code, defaults={"nom": name})[0]
    return found


def _accept(
    events: list[Event],
    users: dict[str, int],
    epreuves: dict[str, int],
    now: dt.datetime,
    report: ImportReport,
) -> list[Event]:
    accepted = []
    for event in events:
        if event.user.casefold() not in users:
            reason = f"utilisateur « {event.user} » inconnu (--create-missing le crée)"
        elif event.epreuve not in epreuves:
            reason = f"épreuve « {event.epreuve} » inconnue (--create-missing la crée)"
        elif event.date > now:
            reason = f"date à venir : {event.date:%Y-%m-%d %H:%M}"
        else:
            accepted.append(event)
            continue
        report.refused.append((event.line, reason))
    return accepted


def _fold(
    events: list[Event], users: dict[str, int], epreuves: dict[str, int], report: ImportReport
) -> list[Interaction]:
    """One row per (user, épreuve, type, window), in the log as in the bank."""
    windows = [event.fenetre for event in events] or [0]
    taken = set(
        Interaction.objects.filter(fenetre__range=(min(windows), max(windows))).values_list(
            "user_id", "epreuve_id", "type_interaction", "fenetre"
        )
    )
    rows = []
    for event in sorted(events, key=lambda event: (event.date, event.line)):
        user, epreuve = users[event.user.casefold()], epreuves[event.epreuve]
        key = (user, epreuve, event.type_interaction, event.fenetre)
        if key in taken:
            report.folded += 1
            continue
        taken.add(key)
        rows.append(
            Interaction(
                user_id=user,
                epreuve_id=epreuve,
                type_interaction=event.type_interaction,
                contexte=Contexte.IMPORT,
                date=event.date,
                fenetre=event.fenetre,
            )
        )
    report.imported = len(rows)
    return rows


def _move_counters(rows: list[Interaction]) -> None:
    moves = Counter(
        (row.epreuve_id, COUNTERS[TypeInteraction(row.type_interaction)])
        for row in rows
        if row.type_interaction in COUNTERS
    )
    for (epreuve, counter), count in moves.items():
        Epreuve.objects.filter(pk=epreuve).update(**{counter: F(counter) + count})


def _evaluate(
    events: list[Event], users: dict[str, int], epreuves: dict[str, int], report: ImportReport
) -> None:
    """The last notes of each pair; a note given in the bank since then stays."""
    last = {
        (users[event.user.casefold()], epreuves[event.epreuve]): (event.date, *event.notes)
        for event in sorted(events, key=lambda event: (event.date, event.line))
        if event.notes
    }
    for (user, epreuve), (date, difficulte, pertinence) in last.items():
        old = Evaluation.objects.filter(user_id=user, epreuve_id=epreuve).first()
        if old and old.date_modification >= date:
            continue
        evaluation = old or Evaluation(user_id=user, epreuve_id=epreuve, date_creation=date)
        moves = {
            "nb_evaluations": 0 if old else 1,
            "somme_difficulte": difficulte - (old.note_difficulte if old else 0),
            "somme_pertinence": pertinence - (old.note_pertinence if old else 0),
        }
        evaluation.note_difficulte, evaluation.note_pertinence = difficulte, pertinence
        evaluation.save()
        Evaluation.objects.filter(pk=evaluation.pk).update(date_modification=date)
        Epreuve.objects.filter(pk=epreuve).update(
            **{name: F(name) + move for name, move in moves.items()}
        )
        report.evaluations += 1
