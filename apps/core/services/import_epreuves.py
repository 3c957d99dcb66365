"""Bring a catalogue and its PDFs into the bank: every fault is told, and one leaves all undone."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.files.base import File
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from rest_framework.exceptions import APIException

from apps.core.catalogue_file import COLUMNS, TOLD, as_written
from apps.core.exceptions import Conflict, NotAPdf, in_words
from apps.core.models import (
    Epreuve,
    Filiere,
    Matiere,
    Niveau,
    Role,
    Session,
    Statut,
    TypeEpreuve,
    User,
)
from apps.core.serializers import CatalogueLineSerializer
from apps.core.services.archives import is_inside, plain_name
from apps.core.services.epreuves import add_epreuve, change_epreuve
from apps.core.services.files import FileSet, Pdf, new_files, read_pdf
from apps.core.services.import_files import MalformedFile, Table
from apps.core.services.imports import nomenclature
from apps.core.services.search_index import learn_words, text_of
from apps.core.signals import catalogue_changed
from apps.core.text import normalise

LINES_MAX = 5_000
FAULTS_SHOWN = 100
Progress = Callable[[int, int], None]
DOCUMENTS = {"fichier": "fichier", "corrige": "fichier_corrige"}
CHOICES: dict[str, type[models.TextChoices]] = {
    "niveau": Niveau,
    "type_epreuve": TypeEpreuve,
    "session": Session,
}


class Existing(models.TextChoices):
    """What becomes of a line whose épreuve the bank has."""

    REFUSE = "refuse", "La refuser"
    SKIP = "skip", "La passer"
    UPDATE = "update", "Mettre l'épreuve à jour"


class Outcome(models.TextChoices):
    ADDED = "added", "ajout"
    UPDATED = "updated", "mise à jour"
    UNCHANGED = "unchanged", "inchangée"
    SKIPPED = "skipped", "passée : déjà dans la banque"
    WITHDRAWN = "withdrawn", "laissée : archivée là d'où elle vient"


@dataclass(frozen=True)
class CatalogueOptions:
    existing: Existing = Existing.REFUSE
    publish: bool = False
    create_missing: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    line: int
    column: str
    message: str

    def __str__(self) -> str:
        return f"ligne {self.line}, {self.column} : {self.message}"


@dataclass(frozen=True, slots=True)
class Done:
    """What happened to a line, or would."""

    line: int
    titre: str
    outcome: Outcome


@dataclass
class CatalogueReport:
    read: int = 0
    # PDFs that no line names.
    unnamed: int = 0
    done: list[Done] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __str__(self) -> str:
        """Of the lines only where none is at fault: else nothing becomes of any."""
        counts = Counter(one.outcome for one in self.done)
        became = (
            f"{counts[Outcome.ADDED]} ajouts",
            f"{counts[Outcome.UPDATED]} mises à jour",
            f"{counts[Outcome.UNCHANGED]} inchangées",
            f"{counts[Outcome.SKIPPED] + counts[Outcome.WITHDRAWN]} passées",
        )
        said = (
            f"{self.read} lignes lues",
            *([f"{len(self.faults)} erreurs"] if self.faults else became),
            f"{self.unnamed} PDF sans ligne",
        )
        return f"{', '.join(said)}."

    def first_faults(self) -> list[str]:
        more = len(self.faults) - FAULTS_SHOWN
        return [
            *map(str, self.faults[:FAULTS_SHOWN]),
            *([f"… et {more} autres erreurs"] if more > 0 else ()),
        ]


def import_epreuves(
    catalogue: Path,
    *,
    documents: Mapping[str, Path],
    par: User,
    options: CatalogueOptions,
    on_progress: Progress = lambda done, total: None,
) -> CatalogueReport:
    """`documents` are named as in the catalogue. Raises MalformedFile, and Conflict where the bank
    changed meanwhile; then, or with one fault, nothing is written."""
    report = CatalogueReport()
    lines = _read(catalogue, report)
    # Before the transaction: it is what takes long, and SQLite has one writer.
    total = len(lines) if options.dry_run else 2 * len(lines)
    for number, line in enumerate(lines, start=1):
        line.open_documents(documents)
        on_progress(number, total)
    report.unnamed = len({*documents.values()} - {path for line in lines for path in line.paths})
    try:
        with new_files() as files, transaction.atomic():
            changes = _check(lines, options, report)
            if report.faults or options.dry_run:
                transaction.set_rollback(True)  # The names made for `create_missing`.
                return report
            _lock(changes, options)
            for number, change in enumerate(changes, start=len(lines) + 1):
                change.write(files, par, options)
                on_progress(number, total)
    except IntegrityError:
        raise Conflict(
            "La banque a changé pendant l'import, rien n'a été écrit : relancez-le."
        ) from None
    return report


def documents_under(folder: Path) -> dict[str, Path]:
    """Name from the folder -> PDF, without the links that lead out of it."""
    if not folder.is_dir():
        raise MalformedFile(f"{folder} n'est pas un dossier.")
    return dict(_files(folder.resolve()))


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            is_pdf = path.suffix.lower() == ".pdf" and path.is_file()
            if is_pdf and path.resolve().is_relative_to(root):
                yield plain_name(str(path.relative_to(root))), path


# --- Reading -----------------------------------------------------------------------------


@dataclass
class _Line:
    number: int
    # Column -> what the cell says; empty cells are left out.
    cells: dict[str, str]
    # Where it comes from: empty in a catalogue written by hand.
    statut: str = ""
    pdfs: dict[str, Pdf] = field(default_factory=dict)
    paths: set[Path] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, column: str, message: str) -> None:
        self.faults.append(Fault(self.number, column, message))

    def open_documents(self, documents: Mapping[str, Path]) -> None:
        for column in DOCUMENTS:
            name = plain_name(self.cells.get(column, ""))
            if name and not is_inside(name):
                self.fault(column, f"« {name} » : un nom dans le dossier, sans « .. ».")
            elif path := documents.get(name):
                self.paths.add(path)
                self._open(column, path)

    def _open(self, column: str, path: Path) -> None:
        try:
            with File(path.open("rb"), name=str(path)) as content:
                self.pdfs[column] = read_pdf(content)
        except NotAPdf:
            self.fault(column, f"« {self.cells[column]} » n'est pas un PDF.")
        except APIException as refusal:
            self.fault(column, in_words(refusal))
        except OSError as error:
            self.fault(column, f"« {self.cells[column]} » est illisible : {error.strerror}.")


def _read(catalogue: Path, report: CatalogueReport) -> list[_Line]:
    known = {name: (name,) for name in (*COLUMNS, *TOLD)}
    table = Table(catalogue, {}, known, quoted=True)
    given = [normalise(name) for name in table.names]
    wrong = {
        "manque": [name for name in ("titre", "matiere", "fichier") if name not in given],
        "inconnue": [name or "sans nom" for name in table.names if normalise(name) not in known],
        "répétée": sorted({name for name in given if given.count(name) > 1}),
    }
    if any(wrong.values()):
        told = (f"{how} : {', '.join(names)}" for how, names in wrong.items() if names)
        raise MalformedFile(
            f"{catalogue.name}, colonne {' ; '.join(told)}. Admises : {', '.join(COLUMNS)}."
        )
    lines = []
    for number, cells in table.lines():
        report.read += 1
        if report.read > LINES_MAX:
            raise MalformedFile(f"{catalogue.name} dépasse {LINES_MAX} lignes : divisez-le.")
        if len(cells) != table.width:
            detail = f"{len(cells)} champs au lieu de {table.width}."
            report.faults.append(Fault(number, "toutes", detail))
            continue
        said = table.named(cells)
        filled = {c: as_written(said[c]) for c in COLUMNS if said.get(c)}
        lines.append(_Line(number, filled, said.get("statut") or ""))
    if not report.read:
        raise MalformedFile(f"{catalogue.name} ne contient aucune épreuve.")
    return lines


# --- Checking ----------------------------------------------------------------------------


@dataclass
class _Change:
    existing: Epreuve | None
    fields: dict[str, Any]
    pdfs: dict[str, Pdf]
    # What was a draft, waited or was rejected elsewhere is not published here by a switch.
    may_be_published: bool = True

    @property
    def outcome(self) -> Outcome:
        if not self.existing:
            return Outcome.ADDED
        return Outcome.UPDATED if self.fields or self.pdfs else Outcome.UNCHANGED

    @property
    def foreseen(self) -> Epreuve:
        """As it will be; not saved."""
        epreuve = self.existing or Epreuve()
        for name, value in self.fields.items():
            setattr(epreuve, name, value)
        return epreuve

    def write(self, files: FileSet, par: User, options: CatalogueOptions) -> None:
        with ExitStack() as opened:
            for pdf in self.pdfs.values():
                opened.enter_context(_reopened(pdf))
            fichiers = {DOCUMENTS[column]: pdf for column, pdf in self.pdfs.items()}
            if self.existing:
                change_epreuve(files, self.existing, par=par, fichiers=fichiers, **self.fields)
            else:
                publish = options.publish and self.may_be_published
                statut = Statut.PUBLIEE if publish else Statut.SOUMISE
                add_epreuve(files, auteur=par, fichiers=fichiers, statut=statut, **self.fields)


@contextmanager
def _reopened(pdf: Pdf) -> Iterator[None]:
    """Raises Conflict where it is no longer the file that was checked."""
    path = Path(pdf.content.name or "")
    if not path.is_file():
        raise Conflict(f"{path.name} a disparu pendant l'import, rien n'a été écrit.")
    with pdf.content.open() as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != pdf.sha256:
            raise Conflict(f"{path.name} a changé pendant l'import, rien n'a été écrit.")
        yield


def _lock(changes: list[_Change], options: CatalogueOptions) -> None:
    """In the order in which one deposit or edit locks: rows, catalogue, words.

    Line after line the words would come in any order, and a deposit beside it could wait for the
    import while the import waits for it.
    """
    known = [change.existing for change in changes if change.existing]
    rows = Epreuve.objects.select_for_update(no_key=True).order_by("pk")
    list(rows.filter(pk__in=[epreuve.pk for epreuve in known]))
    if options.publish or any(epreuve.statut == Statut.PUBLIEE for epreuve in known):
        catalogue_changed.send(sender=Epreuve)
    learn_words([text_of(change.foreseen) for change in changes])


def _check(lines: list[_Line], options: CatalogueOptions, report: CatalogueReport) -> list[_Change]:
    if options.create_missing:
        nomenclature(Matiere, _unknown(Matiere, "matiere", lines))
        nomenclature(Filiere, _unknown(Filiere, "filiere", lines))
    bank, seen, changes = _Bank(lines), _Seen(), []
    for line in lines:
        existing = bank.find(line)
        outcome = Outcome.SKIPPED
        if not existing and line.statut == Statut.ARCHIVEE:
            outcome = Outcome.WITHDRAWN
        elif not (existing and options.existing == Existing.SKIP):
            seen.check(line, existing)
            change = _change(line, existing, bank, options)
            change.may_be_published = line.statut in {"", Statut.PUBLIEE}
            outcome = change.outcome
            changes.append(change)
            report.faults += line.faults
        report.done.append(Done(line.number, line.cells.get("titre", ""), outcome))
    report.faults.sort(key=lambda fault: fault.line)
    return [change for change in changes if change.outcome != Outcome.UNCHANGED]


def _unknown(model: type[Matiere | Filiere], column: str, lines: list[_Line]) -> set[str]:
    """One spelling of each; one too long to be a name meets the refusal of an unknown code."""
    codes, most = _by_name(model), model._meta.get_field("nom").max_length or 0
    asked = sorted(line.cells[column] for line in lines if column in line.cells)
    spelt = {normalise(name): name for name in asked if len(name) <= most}
    return {name for key, name in spelt.items() if key not in codes}


def _by_name(model: type[Matiere | Filiere]) -> dict[str, str]:
    """Names and codes, in the form they are compared in -> code; a code wins over a name."""
    rows = model._default_manager.values_list("nom", "code")
    return {normalise(nom): code for nom, code in rows} | {
        normalise(code): code for _, code in rows
    }


class _Bank:
    """What the bank has of what the lines name."""

    def __init__(self, lines: list[_Line]) -> None:
        references = {line.cells.get("reference_externe", "") for line in lines} - {""}
        stored = {line.cells.get("fichier", "") for line in lines} - {""}
        hashes = {line.pdfs["fichier"].sha256 for line in lines if "fichier" in line.pdfs}
        same = Q(sha256__in=hashes) & ~Q(statut=Statut.ARCHIVEE)
        found = Epreuve.objects.with_names().filter(
            Q(reference_externe__in=references) | Q(fichier__in=stored) | same
        )
        self.by_name: dict[str, Epreuve] = {}
        self.by_hash: dict[str, Epreuve] = {}
        for epreuve in found:
            names = (f"fichier {epreuve.fichier.name}", f"reference {epreuve.reference_externe}")
            self.by_name |= dict.fromkeys(names, epreuve)
            if epreuve.statut != Statut.ARCHIVEE:
                self.by_hash[epreuve.sha256] = epreuve
        self.known = {
            "matiere": _by_name(Matiere),
            "filiere": _by_name(Filiere),
            **{column: _choices(choices) for column, choices in CHOICES.items()},
        }
        teachers = User.objects.exclude(role=Role.ETUDIANT)
        accounts = list(teachers.values_list("pk", "username", "matricule"))
        self.teachers = {matricule.lower(): pk for pk, _, matricule in accounts if matricule}
        self.teachers |= {username.lower(): pk for pk, username, _ in accounts}

    def find(self, line: _Line) -> Epreuve | None:
        """By its reference, by the name of its file in the bank, or by the bytes of its file."""
        reference, fichier = line.cells.get("reference_externe"), line.cells.get("fichier")
        pdf = line.pdfs.get("fichier")
        same = self.by_hash.get(pdf.sha256) if pdf else None
        named = self.by_name.get(f"reference {reference}") if reference else None
        if not named and fichier:
            named = self.by_name.get(f"fichier {fichier}")
        found = named or same
        is_other = found and reference and (found.reference_externe or reference) != reference
        if is_other or (named and same and named.pk != same.pk):
            other = (same or found).pk  # type: ignore[union-attr]
            line.fault("fichier", f"ce fichier est celui d'une autre : l'épreuve {other}.")
        return found

    def values(self, cells: Mapping[str, str]) -> dict[str, Any]:
        """As the serializer takes them: codes for names, an account for a teacher who has one."""
        values: dict[str, Any] = {
            name: self.known[name].get(normalise(said), said) if name in self.known else said
            for name, said in cells.items()
            if name not in DOCUMENTS
        }
        teacher, name = values.pop("enseignant", ""), values.pop("enseignant_nom", "")
        if teacher or name:
            account = self.teachers.get(teacher.lower())
            values |= {"enseignant": account, "enseignant_nom": "" if account else name or teacher}
        return values


def _choices(choices: type[models.TextChoices]) -> dict[str, str]:
    return {normalise(name): value for value, label in choices.choices for name in (label, value)}


class _Seen:
    """Two lines are not about the same épreuve."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, Any], int] = {}

    def check(self, line: _Line, existing: Epreuve | None) -> None:
        pdf = line.pdfs.get("fichier")
        keys = {
            "reference_externe": line.cells.get("reference_externe"),
            "fichier": pdf.sha256 if pdf else None,
            "toutes": existing.pk if existing else None,
        }
        for column, value in keys.items():
            first = self.lines.setdefault((column, value), line.number)
            if value and first != line.number:
                line.fault(column, f"la même épreuve est à la ligne {first}.")
                return


def _change(
    line: _Line, existing: Epreuve | None, bank: _Bank, options: CatalogueOptions
) -> _Change:
    if existing and options.existing == Existing.REFUSE:
        column = "reference_externe" if "reference_externe" in line.cells else "fichier"
        line.fault(column, f"déjà dans la banque : épreuve {existing.pk}.")
    for column, stored in DOCUMENTS.items():
        name = line.cells.get(column)
        is_its_own = existing and getattr(existing, stored).name == name
        told = any(fault.column == column for fault in line.faults)
        if name and not (column in line.pdfs or is_its_own or told):
            line.fault(column, f"« {name} » n'est pas parmi les PDF.")
    if not existing and "fichier" not in line.cells:
        line.fault("fichier", "une nouvelle épreuve a son PDF.")
    form = CatalogueLineSerializer(
        existing, data=bank.values(line.cells), partial=existing is not None
    )
    if not form.is_valid():
        for name, messages in form.errors.items():
            column = "enseignant" if name == "enseignant_nom" else name
            line.fault(column, " ".join(map(str, messages)))
        return _Change(existing, {}, {})
    fields = {
        name: value
        for name, value in form.validated_data.items()
        if not existing or getattr(existing, name) != value
    }
    pdfs = {
        column: pdf
        for column, pdf in line.pdfs.items()
        if not existing or getattr(existing, _hash_of(column)) != pdf.sha256
    }
    return _Change(existing, fields, pdfs)


def _hash_of(column: str) -> str:
    return f"sha256{DOCUMENTS[column].removeprefix('fichier')}"
