"""Bring an interaction log from elsewhere into the bank, all or nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeVar

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.text import slugify

from apps.core.models import (
    Contexte,
    Epreuve,
    Evaluation,
    Favori,
    Filiere,
    Interaction,
    Matiere,
    Niveau,
    Session,
    Statut,
    TypeEpreuve,
    TypeInteraction,
    User,
)
from apps.core.services.counters import recount
from apps.core.services.import_files import (
    CatalogueEntry,
    Event,
    ImportOptions,
    MalformedFile,
    read_catalogue,
    read_events,
)
from apps.core.services.search_index import index_epreuves
from apps.core.signals import catalogue_changed

BATCH = 2000
Progress = Callable[[int, int], None]
Row = TypeVar("Row", Matiere, Filiere)


@dataclass
class ImportReport:
    read: int = 0
    imported: int = 0
    folded: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    users_created: int = 0
    epreuves_created: int = 0
    evaluations: int = 0


def import_interactions(
    path: Path,
    *,
    catalogue_path: Path | None = None,
    options: ImportOptions,
    on_progress: Progress = lambda done, total: None,
    now: dt.datetime | None = None,
) -> ImportReport:
    """Write the log in one transaction; lines that name nobody are refused, the rest goes in."""
    # Read before the transaction: SQLite has one writer, and would keep everyone else waiting.
    events = read_events(path, options)
    catalogue = read_catalogue(catalogue_path, options) if catalogue_path else {}
    report = ImportReport(read=len(events))
    past = _past(events, now or timezone.now(), report)
    with transaction.atomic():
        _write(past, catalogue, options, report, on_progress)
        if options.dry_run:
            transaction.set_rollback(True)
    report.refused.sort()
    return report


def _write(
    events: list[Event],
    catalogue: dict[str, CatalogueEntry],
    options: ImportOptions,
    report: ImportReport,
    on_progress: Progress,
) -> None:
    users = _users(events, options, report)
    epreuves = _epreuves(events, catalogue, options, report)
    accepted = _known(events, users, epreuves, report)
    kept = _fold(accepted, users, epreuves, report)
    _keep_favoris(kept, users, epreuves)
    for start in range(0, len(kept), BATCH):
        batch = kept[start : start + BATCH]
        Interaction.objects.bulk_create([_interaction(one, users, epreuves) for one in batch])
        on_progress(start + len(batch), len(kept))
    _evaluate(accepted, users, epreuves, report)
    recount(epreuves.values())
    if kept or report.epreuves_created:
        catalogue_changed.send(sender=Epreuve)


def _past(events: list[Event], now: dt.datetime, report: ImportReport) -> list[Event]:
    """Refuse the dates to come, before anybody is created for them."""
    report.refused += [
        (event.line, f"date à venir : {event.date:%Y-%m-%d %H:%M}")
        for event in events
        if event.date > now
    ]
    return [event for event in events if event.date <= now]


def _users(events: list[Event], options: ImportOptions, report: ImportReport) -> dict[str, int]:
    """Lower-case username -> id of everyone the log names, made where asked."""
    wanted = {event.user.lower(): event.user for event in events}
    known = {name.lower(): pk for name, pk in User.objects.values_list("username", "pk")}
    missing = [name for key, name in wanted.items() if key not in known]
    if options.create_missing and missing:
        fresh = [User(username=_username(name), password=make_password(None)) for name in missing]
        for user in User.objects.bulk_create(fresh, BATCH):
            known[user.username.lower()] = user.pk
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
        index_epreuves(fresh)
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
    matieres = nomenclature(Matiere, {entry.matiere or "Autre" for entry in entries.values()})
    filieres = nomenclature(Filiere, {e.filiere for e in entries.values() if e.filiere})
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


def nomenclature(model: type[Row], names: set[str]) -> dict[str, Row]:
    """Find each name as a code or a name of the bank, or add it under a free code."""
    found = {}
    for name in sorted(names):
        row = model.objects.filter(models.Q(code__iexact=name) | models.Q(nom__iexact=name)).first()
        found[name] = row or model.objects.create(code=_free_code(model, name), nom=name)
    return found


def _free_code(model: type[Row], name: str) -> str:
    """`C++` and `C#` both read C: the second becomes C-2."""
    base = slugify(name).upper()[:28] or "X"
    taken = set(model.objects.filter(code__istartswith=base).values_list("code", flat=True))
    codes = (base if n == 1 else f"{base}-{n}" for n in count(1))
    return next(code for code in codes if code not in taken)


def _known(
    events: list[Event], users: dict[str, int], epreuves: dict[str, int], report: ImportReport
) -> list[Event]:
    known = []
    for event in events:
        if event.user.lower() not in users:
            reason = f"utilisateur « {event.user} » inconnu (--create-missing le crée)"
        elif event.epreuve not in epreuves:
            reason = f"épreuve « {event.epreuve} » inconnue (--create-missing la crée)"
        else:
            known.append(event)
            continue
        report.refused.append((event.line, reason))
    return known


def _fold(
    events: list[Event], users: dict[str, int], epreuves: dict[str, int], report: ImportReport
) -> list[Event]:
    """One event per (user, épreuve, type, window), in the log as in the bank."""
    windows = [event.fenetre for event in events] or [0]
    taken = set(
        Interaction.objects.filter(fenetre__range=(min(windows), max(windows))).values_list(
            "user_id", "epreuve_id", "type_interaction", "fenetre"
        )
    )
    kept = []
    for event in sorted(events, key=lambda event: (event.date, event.line)):
        pair = users[event.user.lower()], epreuves[event.epreuve]
        key = (*pair, event.type_interaction, event.fenetre)
        if key in taken:
            report.folded += 1
            continue
        taken.add(key)
        kept.append(event)
    report.imported = len(kept)
    return kept


def _interaction(event: Event, users: dict[str, int], epreuves: dict[str, int]) -> Interaction:
    return Interaction(
        user_id=users[event.user.lower()],
        epreuve_id=epreuves[event.epreuve],
        type_interaction=event.type_interaction,
        contexte=Contexte.IMPORT,
        date=event.date,
        fenetre=event.fenetre,
    )


def _keep_favoris(events: list[Event], users: dict[str, int], epreuves: dict[str, int]) -> None:
    """A favourite that the bank knew, and that was taken back there since, stays taken back."""
    favourites = Interaction.objects.filter(type_interaction=TypeInteraction.FAVORI).order_by()
    known = set(favourites.values_list("user_id", "epreuve_id"))
    first: dict[tuple[int, int], dt.datetime] = {}
    for event in events:
        pair = users[event.user.lower()], epreuves[event.epreuve]
        if event.type_interaction == TypeInteraction.FAVORI and pair not in known:
            first.setdefault(pair, event.date)
    rows = [Favori(user_id=u, epreuve_id=e, date=date) for (u, e), date in first.items()]
    Favori.objects.bulk_create(rows, BATCH, ignore_conflicts=True)


def _evaluate(
    events: list[Event], users: dict[str, int], epreuves: dict[str, int], report: ImportReport
) -> None:
    """The last notes of each pair; a note given in the bank since then stays."""
    last = {
        (users[event.user.lower()], epreuves[event.epreuve]): (event.date, *event.notes)
        for event in sorted(events, key=lambda event: (event.date, event.line))
        if event.notes
    }
    for (user, epreuve), (date, difficulte, pertinence) in last.items():
        old = Evaluation.objects.filter(user_id=user, epreuve_id=epreuve).first()
        if old and old.date_modification >= date:
            continue
        evaluation = old or Evaluation(user_id=user, epreuve_id=epreuve, date_creation=date)
        evaluation.note_difficulte, evaluation.note_pertinence = difficulte, pertinence
        evaluation.save()
        Evaluation.objects.filter(pk=evaluation.pk).update(date_modification=date)
        report.evaluations += 1
