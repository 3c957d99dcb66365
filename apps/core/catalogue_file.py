"""The catalogue as a file for a French spreadsheet: what goes out can come back in."""

import csv
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.core.models import Epreuve
from apps.core.querysets import EpreuveQuerySet

# What an import reads.
COLUMNS = (
    "titre",
    "matiere",
    "filiere",
    "niveau",
    "type_epreuve",
    "session",
    "semestre",
    "annee",
    "annee_academique",
    "enseignant",
    "enseignant_nom",
    "description",
    "reference_externe",
    "fichier",
    "corrige",
    "corrige_visible_le",
)
# What an export says besides, and an import passes over.
TOLD = (
    "statut",
    "date_publication",
    "nb_pages",
    "nb_vues",
    "nb_telechargements",
    "nb_evaluations",
    "note_difficulte_moyenne",
    "note_pertinence_moyenne",
)
BATCH = 500
# A cell that a spreadsheet would run, behind as many ' as there are.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def harmless(cell: str) -> str:
    """`=1+1` -> `'=1+1`; `as_written` takes it back."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def as_written(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


class _Line:
    """What csv writes to: it hands the line back."""

    def write(self, line: str) -> str:
        return line


def write_catalogue(epreuves: EpreuveQuerySet) -> Iterator[bytes]:
    """Line by line, a few hundred épreuves in memory at a time."""
    writer = csv.writer(_Line(), delimiter=";", lineterminator="\r\n")
    yield writer.writerow([*COLUMNS, *TOLD]).encode("utf-8-sig")
    for epreuve in epreuves.with_names().iterator(BATCH):
        yield writer.writerow(map(harmless, _cells(epreuve))).encode()


def _cells(epreuve: Epreuve) -> Iterator[str]:
    said = {
        "matiere": epreuve.matiere.code,
        "filiere": epreuve.filiere.code if epreuve.filiere else "",
        # The account, for this bank; the name, for one that has no such account.
        "enseignant": epreuve.enseignant.username if epreuve.enseignant else "",
        "enseignant_nom": epreuve.enseignant.get_full_name()
        if epreuve.enseignant
        else epreuve.enseignant_nom,
        # Their names in MEDIA_ROOT, by which an import knows them again.
        "fichier": epreuve.fichier.name,
        "corrige": epreuve.fichier_corrige.name,
    }
    for column in (*COLUMNS, *TOLD):
        yield _cell(said[column] if column in said else getattr(epreuve, column))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.2f}".replace(".", ",")
    if isinstance(value, datetime):
        return timezone.localtime(value).replace(tzinfo=None).isoformat(" ")
    return str(value)
