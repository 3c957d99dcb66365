"""The counters of an épreuve, counted again from the rows they stand for."""

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from apps.core.models import Epreuve, Evaluation, Interaction
from apps.core.services.interactions import COUNTERS


def recount(epreuves: QuerySet[Epreuve]) -> int:
    """Set every counter of these épreuves to what the rows say; how many épreuves were there?"""
    return epreuves.update(
        **{counter: _interactions(kind) for kind, counter in COUNTERS.items()},
        nb_evaluations=_evaluations(Count("pk")),
        somme_difficulte=_evaluations(Sum("note_difficulte")),
        somme_pertinence=_evaluations(Sum("note_pertinence")),
    )


def _interactions(kind: str) -> Coalesce:
    rows = Interaction.objects.filter(epreuve=OuterRef("pk"), type_interaction=kind)
    return _total(rows, Count("pk"))


def _evaluations(total: Count | Sum) -> Coalesce:
    return _total(Evaluation.objects.filter(epreuve=OuterRef("pk")), total)


def _total(rows: QuerySet[Interaction] | QuerySet[Evaluation], total: Count | Sum) -> Coalesce:
    one_row = rows.order_by().values("epreuve").annotate(total=total).values("total")
    return Coalesce(Subquery(one_row, output_field=IntegerField()), 0)
