"""Every change of an épreuve: under its row lock, told to whom the published catalogue matters."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.admin.models import ADDITION
from django.contrib.admin.utils import label_for_field
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.core.exceptions import Conflict, Duplicate
from apps.core.models import Epreuve, Filiere, Matiere, Statut, User
from apps.core.review import TRANSITIONS, Action, actions_from
from apps.core.services import journal
from apps.core.services.files import FileSet, Pdf, new_files
from apps.core.services.search_index import forget_words, index_epreuves
from apps.core.signals import catalogue_changed
from apps.core.tasks import draw_vignette_task, extract_text_task, hand_over
from apps.core.text import words


def deposit_epreuve(**given: Any) -> Epreuve:
    """As `add_epreuve`, on its own."""
    with new_files() as files, transaction.atomic():
        return add_epreuve(files, **given)


def edit_epreuve(epreuve: Epreuve, **given: Any) -> Epreuve:
    """As `change_epreuve`, on its own."""
    with new_files() as files, transaction.atomic():
        return change_epreuve(files, epreuve, **given)


def add_epreuve(
    files: FileSet,
    *,
    auteur: User,
    fichiers: Mapping[str, Pdf | None],
    statut: Statut = Statut.SOUMISE,
    **fields: Any,
) -> Epreuve:
    """In the caller's transaction; raises Duplicate where the bank already holds the file."""
    epreuve = Epreuve(depose_par=auteur, **fields)
    files.put(epreuve, fichiers)
    _set_statut(epreuve, statut)
    _save(epreuve)
    journal.note(epreuve, f"Déposée : {statut.label}.", par=auteur, flag=ADDITION)
    _index(epreuve, new_subject=True)
    hand_over(draw_vignette_task, epreuve.pk)
    return epreuve


def change_epreuve(
    files: FileSet,
    epreuve: Epreuve,
    *,
    par: User,
    fichiers: Mapping[str, Pdf | None],
    **fields: Any,
) -> Epreuve:
    """Replace the given fields and files only; raises Duplicate like `add_epreuve`."""
    locked = _locked(epreuve.pk)
    for name, value in fields.items():
        setattr(locked, name, value)
    files.put(locked, fichiers)
    _save(locked)
    if changed := [*fields, *fichiers]:
        labels = ", ".join(str(label_for_field(name, Epreuve)) for name in changed)
        journal.note(locked, f"Modifiée : {labels}.", par=par)
    _index(locked, new_subject="fichier" in fichiers)
    if fichiers.get("fichier"):
        hand_over(draw_vignette_task, locked.pk)
    return locked


@transaction.atomic
def move_epreuve(
    epreuve: Epreuve,
    action: Action,
    *,
    par: User,
    motif: str = "",
    now: dt.datetime | None = None,
) -> Epreuve:
    """Raises Conflict where the table has no such move; published again, it keeps its first date.

    Of those who decide at once, one does: the others meet the state that is left.
    """
    locked, transition = _locked(epreuve.pk), TRANSITIONS[action]
    before = Statut(locked.statut)
    if before not in transition.before:
        possible = ", ".join(actions_from(before))
        raise Conflict(
            f"Cette épreuve est « {before.label} » : on ne peut pas {action}. "
            f"Possible : {possible}.",
            "transition_impossible",
        )
    locked.motif_rejet = motif
    _set_statut(locked, transition.after, now)
    _save(locked, was_published=before == Statut.PUBLIEE)
    because = f" Motif : {motif}" if motif else ""
    message = f"{action.label} : {before.label} → {transition.after.label}.{because}"
    journal.note(locked, message, par=par)
    return locked


@transaction.atomic
def merge(kept: Matiere | Filiere, merged: Iterable[Matiere | Filiere]) -> None:
    """Let all that points to `merged` point to `kept`, then delete `merged`."""
    others = [row.pk for row in merged if row.pk != kept.pk]
    for relation in type(kept)._meta.related_objects:
        field = relation.field.name
        rows = relation.related_model._default_manager.filter(**{f"{field}__in": others})
        rows.update(**{field: kept})
    type(kept)._default_manager.filter(pk__in=others).delete()
    refresh_search_text(kept.epreuves.all())


def refresh_search_text(epreuves: QuerySet[Epreuve]) -> None:
    """After a name they are found by has changed; épreuves keep their date of modification."""
    with transaction.atomic():
        rows = list(epreuves.select_related("matiere", "enseignant"))
        before = {word for epreuve in rows for word in words(epreuve.texte_recherche)}
        for epreuve in rows:
            epreuve.texte_recherche = epreuve.searchable_text()
        Epreuve.objects.bulk_update(rows, ["texte_recherche"], batch_size=500)
        index_epreuves(rows)
        forget_words(before - {word for epreuve in rows for word in words(epreuve.texte_recherche)})
        if any(epreuve.statut == Statut.PUBLIEE for epreuve in rows):
            catalogue_changed.send(sender=Epreuve)


def _index(epreuve: Epreuve, *, new_subject: bool) -> None:
    index_epreuves([epreuve], new_subject=new_subject)
    if new_subject and epreuve.fichier:
        hand_over(extract_text_task, epreuve.pk)


def _locked(pk: int) -> Epreuve:
    return Epreuve.objects.select_for_update(no_key=True).get(pk=pk)


def _set_statut(epreuve: Epreuve, statut: Statut, now: dt.datetime | None = None) -> None:
    epreuve.statut = statut
    if statut == Statut.PUBLIEE:
        epreuve.date_publication = epreuve.date_publication or now or timezone.now()


def _save(epreuve: Epreuve, *, was_published: bool = False) -> None:
    refuse_a_double(epreuve)
    try:
        with transaction.atomic():
            epreuve.save()
    except IntegrityError:
        # The double came in between; any other cause is raised again.
        refuse_a_double(epreuve)
        raise
    if was_published or epreuve.statut == Statut.PUBLIEE:
        catalogue_changed.send(sender=Epreuve)


def refuse_a_double(epreuve: Epreuve) -> None:
    """Raises Duplicate where another épreuve that is not archived holds the same file."""
    if not epreuve.sha256 or epreuve.statut == Statut.ARCHIVEE:
        return
    others = Epreuve.objects.exclude(pk=epreuve.pk).exclude(statut=Statut.ARCHIVEE)
    other = others.filter(sha256=epreuve.sha256).values_list("pk", flat=True).first()
    if other is not None:
        raise Duplicate(other)
