"""Reads across models."""

import datetime as dt
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models import (
    Case,
    Count,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    IntegerField,
    Max,
    OuterRef,
    QuerySet,
    Subquery,
    When,
)

from apps.core import feedback
from apps.core.models import Epreuve, Evaluation, Interaction, TypeInteraction, User
from apps.core.querysets import EpreuveQuerySet


def popularity(*, now: dt.datetime | None = None) -> dict[int, int]:
    """Sum the feedback weights of each épreuve over the last POPULARITY_DAYS, in one query.

    Without `now` the days end with the bank's latest interaction, so that neither holidays nor an
    imported log leave it empty. An épreuve without weight is absent.
    """
    pairs, params = _weighted_pairs(now).query.sql_with_params()
    # The ORM cannot group a grouped query again; `pairs` is its own SQL, the values are bound.
    sql = f"SELECT epreuve_id, SUM(poids) FROM ({pairs}) pairs GROUP BY epreuve_id"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return {epreuve_id: int(poids) for epreuve_id, poids in cursor.fetchall()}


def _weighted_pairs(now: dt.datetime | None) -> "QuerySet[Interaction, Any]":
    """One row (epreuve_id, poids) per pair (user, épreuve) that is a positive."""
    of_the_pair = Evaluation.objects.filter(user=OuterRef("user"), epreuve=OuterRef("epreuve"))
    disliked = of_the_pair.filter(note_pertinence__lte=feedback.DISLIKED_PERTINENCE)
    return (
        Interaction.objects.order_by()
        .filter(~Exists(disliked), **_window(now))
        .alias(note=Subquery(of_the_pair.values("note_pertinence")))
        .values("user_id", "epreuve_id")
        .annotate(poids=Max(_weight()))
        .filter(poids__gt=0)
        .values("epreuve_id", "poids")
    )


def _window(now: dt.datetime | None) -> dict[str, object]:
    length = dt.timedelta(days=feedback.POPULARITY_DAYS)
    if now is not None:
        return {"date__gt": now - length, "date__lte": now}
    latest = Subquery(Interaction.objects.order_by("-date").values("date")[:1])
    return {"date__gt": ExpressionWrapper(latest - length, output_field=DateTimeField())}


def _weight() -> Case:
    """What one interaction is worth: by its type, an evaluation by the note of its pair."""
    by_note = Case(
        *(When(note=note, then=weight) for note, weight in feedback.WEIGHT_BY_PERTINENCE.items()),
        default=feedback.WEIGHTS[TypeInteraction.EVALUATION],
        output_field=IntegerField(),
    )
    by_type = (
        When(type_interaction=type_interaction, then=weight)
        for type_interaction, weight in feedback.WEIGHTS.items()
        if type_interaction != TypeInteraction.EVALUATION
    )
    return Case(*by_type, default=by_note, output_field=IntegerField())


def top_popular(queryset: EpreuveQuerySet, limite: int) -> list[Epreuve]:
    """The most popular épreuves of a published queryset, ties by id; none without popularity."""
    weights = popularity()
    candidates = (pk for pk in queryset.order_by().values_list("pk", flat=True) if pk in weights)
    best = sorted(candidates, key=lambda pk: (-weights[pk], pk))[:limite]
    rows = queryset.with_names().in_bulk(best)
    return [rows[pk] for pk in best]


def has_seen(user: User | AnonymousUser, epreuve: Epreuve) -> bool:
    """An interaction of any kind counts."""
    if not user.is_authenticated:
        return False
    return Interaction.objects.filter(user=user, epreuve=epreuve).exists()


def note_distribution(epreuve: Epreuve) -> dict[str, dict[int, int]]:
    """How many evaluations gave each note from 1 to 5, in one query."""
    difficulte = dict.fromkeys(range(1, 6), 0)
    pertinence = dict.fromkeys(range(1, 6), 0)
    pairs = epreuve.evaluations.order_by().values_list("note_difficulte", "note_pertinence")
    for note_difficulte, note_pertinence, number in pairs.annotate(number=Count("id")):
        difficulte[note_difficulte] += number
        pertinence[note_pertinence] += number
    return {"difficulte": difficulte, "pertinence": pertinence}
