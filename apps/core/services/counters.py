"""The counters of an épreuve, counted again from the rows they stand for."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count, Sum

from apps.core.models import Epreuve, Evaluation, Interaction
from apps.core.services.interactions import COUNTERS

BATCH = 200
TOTALS = {
    "nb_evaluations": Count("pk"),
    "somme_difficulte": Sum("note_difficulte", default=0),
    "somme_pertinence": Sum("note_pertinence", default=0),
}
NAMES = (*COUNTERS.values(), *TOTALS)


class Difference(NamedTuple):
    epreuve: int
    counter: str
    stored: int
    counted: int


def count_evaluations(epreuve_id: int) -> None:
    """After any change of its evaluations, by who holds the lock of the épreuve.

    Counted, not moved by what changed: a rater whose role has changed since would be taken off
    without having been added.
    """
    rows = Evaluation.objects.counted().filter(epreuve=epreuve_id)
    Epreuve.objects.filter(pk=epreuve_id).update(**rows.aggregate(**TOTALS))


def recount(
    epreuve_ids: Iterable[int],
    *,
    repair: bool = True,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[Difference]:
    """Compare every counter of these épreuves with the rows, and set those that differ."""
    ids, found = sorted(epreuve_ids), []
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        found += _recount(batch, repair=repair)
        on_progress(start + len(batch), len(ids))
    return found


@transaction.atomic
def _recount(ids: list[int], *, repair: bool) -> list[Difference]:
    # Locked, then counted by queries of their own: one that did both would wait for a counter on
    # the move, and still count the rows as they were before.
    locked = Epreuve.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    stored = {row["pk"]: row for row in locked.values("pk", *NAMES)}
    counted = _counted(stored)
    found = [
        Difference(pk, name, stored[pk][name], counted[pk][name])
        for pk in stored
        for name in NAMES
        if stored[pk][name] != counted[pk][name]
    ]
    if repair:
        for pk in dict.fromkeys(one.epreuve for one in found):
            Epreuve.objects.filter(pk=pk).update(**counted[pk])
    return found


def _counted(ids: Iterable[int]) -> dict[int, dict[str, int]]:
    counted = {pk: dict.fromkeys(NAMES, 0) for pk in ids}
    interactions = Interaction.objects.counted().filter(epreuve__in=counted).order_by()
    kinds = interactions.filter(type_interaction__in=COUNTERS)
    for pk, kind, number in kinds.values_list("epreuve", "type_interaction").annotate(Count("pk")):
        counted[pk][COUNTERS[kind]] = number
    evaluations = Evaluation.objects.counted().filter(epreuve__in=counted).order_by()
    for pk, *totals in evaluations.values_list("epreuve").annotate(**TOTALS):
        counted[pk].update(zip(TOTALS, totals, strict=True))
    return counted
