"""Reads across models."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models import (
    Case,
    Count,
    Exists,
    IntegerField,
    Max,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    TextChoices,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.core import feedback
from apps.core.cache import kept_at_its_price
from apps.core.models import (
    Epreuve,
    Evaluation,
    Favori,
    Filiere,
    Interaction,
    Matiere,
    Niveau,
    Session,
    Signalement,
    Statut,
    TypeEpreuve,
    TypeInteraction,
    User,
    date_of,
)
from apps.core.querysets import EpreuveQuerySet


class Popularity(NamedTuple):
    """The weights of an épreuve over the last POPULARITY_DAYS, then over all time.

    They compare in that order: after the holidays, or in a bank that lives on an imported log,
    what was popular before still ranks what is tied at nothing.
    """

    recent: int
    total: int


def popularity(*, now: dt.datetime | None = None) -> dict[int, Popularity]:
    """Sum the feedback weights of each épreuve, in one query; without any weight it is absent."""
    pairs, params = _weighted_pairs(now or timezone.now()).query.sql_with_params()
    # The ORM cannot group a grouped query again; `pairs` is its own SQL, the values are bound.
    sql = (
        "SELECT epreuve_id, SUM(recent), SUM(total) "  # noqa: S608
        f"FROM ({pairs}) pairs GROUP BY epreuve_id"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return {pk: Popularity(int(recent), int(total)) for pk, recent, total in cursor.fetchall()}


def current_popularity() -> dict[int, Popularity]:
    """As of now, or of a few minutes ago where there are millions of interactions to add up."""
    return kept_at_its_price("popularite:1", popularity)


def _weighted_pairs(now: dt.datetime) -> "QuerySet[Interaction, Any]":
    """One row (epreuve_id, recent, total) per pair (user, épreuve) that is a positive."""
    since = now - dt.timedelta(days=feedback.POPULARITY_DAYS)
    return (
        positive_pairs(Interaction.objects.counted().filter(date__lte=now))
        .annotate(recent=Coalesce(Max(_weight(), filter=Q(date__gt=since)), 0))
        .values("epreuve_id", "recent", "total")
    )


def positive_pairs(interactions: "QuerySet[Interaction]") -> "QuerySet[Interaction, Any]":
    """One row (user_id, epreuve_id, total) per pair liked, `total` its weight: see feedback.py."""
    of_the_pair = Evaluation.objects.filter(user=OuterRef("user"), epreuve=OuterRef("epreuve"))
    disliked = of_the_pair.filter(note_pertinence__lte=feedback.DISLIKED_PERTINENCE)
    return (
        standing(interactions)
        .order_by()
        .filter(~Exists(disliked))
        .alias(note=Subquery(of_the_pair.order_by().values("note_pertinence")))
        .values("user_id", "epreuve_id")
        .annotate(total=Max(_weight()))
        .filter(total__gt=0)
    )


def standing(interactions: "QuerySet[Interaction]") -> "QuerySet[Interaction]":
    """Without the favourites taken back since: the log keeps them, nothing counts them."""
    kept = Favori.objects.filter(user=OuterRef("user"), epreuve=OuterRef("epreuve"))
    return interactions.filter(~Q(type_interaction=TypeInteraction.FAVORI) | Exists(kept))


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
    ours = When(
        type_interaction=TypeInteraction.VUE, contexte__in=feedback.RECOMMENDED, then=Value(0)
    )
    return Case(ours, *by_type, default=by_note, output_field=IntegerField())


def most_popular(popular: dict[int, Popularity]) -> list[int]:
    """Their ids, the most popular first, ties by id."""
    return sorted(popular, key=lambda pk: (-popular[pk].recent, -popular[pk].total, pk))


def top_popular(queryset: EpreuveQuerySet, limite: int) -> list[Epreuve]:
    """The most popular épreuves of a published queryset, ties by id; none without popularity."""
    popular = current_popularity()
    candidates = set(queryset.values_list("pk", flat=True)) & popular.keys()
    best = most_popular({pk: popular[pk] for pk in candidates})[:limite]
    rows = queryset.with_names().in_bulk(best)
    return [rows[pk] for pk in best]


def has_seen(user: User, epreuve: Epreuve) -> bool:
    """An interaction of any kind counts."""
    return Interaction.objects.filter(user=user, epreuve=epreuve).exists()


def history_of(user: User) -> "QuerySet[Interaction]":
    """What this person did with épreuves that are published, the last first."""
    theirs = Interaction.objects.filter(user=user, epreuve__statut=Statut.PUBLIEE)
    return theirs.prefetch_related(Prefetch("epreuve", Epreuve.objects.with_names()))


class Queue(NamedTuple):
    """What waits for a moderator."""

    epreuves: int
    commentaires: int


def moderation_queue() -> Queue:
    reported = Signalement.objects.filter(traite=False)
    return Queue(
        epreuves=Epreuve.objects.filter(statut=Statut.SOUMISE).count(),
        commentaires=reported.aggregate(n=Count("commentaire", distinct=True))["n"],
    )


def interactions_by_day(days: int, *, today: dt.date) -> dict[dt.date, int]:
    """Of so many days, today the last; those without any, too."""
    dates = [today - dt.timedelta(days=days - 1 - n) for n in range(days)]
    since = dt.datetime.combine(dates[0], dt.time(), timezone.get_current_timezone())
    # Half hours are added up here: to truncate each date, SQLite calls Python for each row.
    windows = Interaction.objects.filter(date__gte=since).order_by().values_list("fenetre")
    counts = dict.fromkeys(dates, 0)
    for window, number in windows.annotate(number=Count("pk")):
        counts[date_of(window)] = counts.get(date_of(window), 0) + number
    return counts


def note_distribution(epreuve: Epreuve) -> dict[str, dict[int, int]]:
    """How many evaluations gave each note from 1 to 5, in one query."""
    difficulte = dict.fromkeys(range(1, 6), 0)
    pertinence = dict.fromkeys(range(1, 6), 0)
    notes = Evaluation.objects.counted().filter(epreuve=epreuve).order_by()
    pairs = notes.values_list("note_difficulte", "note_pertinence")
    for note_difficulte, note_pertinence, number in pairs.annotate(number=Count("id")):
        difficulte[note_difficulte] += number
        pertinence[note_pertinence] += number
    return {"difficulte": difficulte, "pertinence": pertinence}


class FacetValue(NamedTuple):
    valeur: str | int | bool
    libelle: str
    nombre: int


_FACETS = {
    "matiere": "matiere_id",
    "filiere": "filiere_id",
    "niveau": "niveau",
    "type_epreuve": "type_epreuve",
    "session": "session",
    "annee": "annee",
    "corrige": "avec_corrige",
}
# Counted together, then added up here: two groupings take half the time of seven. The first is in
# the order of the index `epreuve_facettes`.
_GROUPINGS = (
    ("matiere_id", "filiere_id", "niveau"),
    ("type_epreuve", "session", "annee", "avec_corrige"),
)


def facets(epreuves: EpreuveQuerySet, user: User | AnonymousUser) -> dict[str, list[FacetValue]]:
    """How many of these épreuves each value of each filter keeps for this person; the most first.

    Three queries.
    """
    counts = _count_values(epreuves.with_corrige_flag(user))
    return {
        "matiere": _named(Matiere, counts["matiere"]),
        "filiere": _named(Filiere, counts["filiere"]),
        "niveau": _labelled(Niveau, counts["niveau"]),
        "type_epreuve": _labelled(TypeEpreuve, counts["type_epreuve"]),
        "session": _labelled(Session, counts["session"]),
        "annee": _sorted(FacetValue(annee, str(annee), n) for annee, n in counts["annee"].items()),
        "corrige": _sorted(
            FacetValue(bool(there), "Avec corrigé" if there else "Sans corrigé", n)
            for there, n in counts["corrige"].items()
        ),
    }


def _count_values(epreuves: EpreuveQuerySet) -> dict[str, Counter[Any]]:
    """In one pass over the épreuves; without those that have no such value, which none asks for."""
    counts: dict[str, Counter[Any]] = {name: Counter() for name in _FACETS}
    if epreuves.query.is_empty():
        return counts
    kept, params = epreuves.order_by().values_list(*_FACETS.values()).query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_grouped(kept), params)
        for *values, number in cursor.fetchall():
            for name, value in zip(_FACETS, values, strict=True):
                if value is not None:  # nor is what the row is not grouped by
                    counts[name][value] += number
    return counts


def _grouped(kept: str) -> str:
    """Our own column names around our own query, whose values are bound."""
    names = ", ".join(_FACETS.values())
    if connection.vendor == "sqlite":  # It has no grouping sets.
        selects = (
            f"SELECT {_only(group)}, COUNT(*) "  # noqa: S608
            f"FROM kept GROUP BY {', '.join(group)}"
            for group in _GROUPINGS
        )
        return f"WITH kept AS MATERIALIZED ({kept}) {' UNION ALL '.join(selects)}"
    sets = ", ".join(f"({', '.join(group)})" for group in _GROUPINGS)
    return f"SELECT {names}, COUNT(*) FROM ({kept}) kept GROUP BY GROUPING SETS ({sets})"  # noqa: S608


def _only(group: tuple[str, ...]) -> str:
    return ", ".join(name if name in group else "NULL" for name in _FACETS.values())


def _named(model: type[Matiere | Filiere], counts: Counter[int]) -> list[FacetValue]:
    rows = model._default_manager.in_bulk(counts)
    return _sorted(FacetValue(row.code, row.nom, counts[pk]) for pk, row in rows.items())


def _labelled(choices: type[TextChoices], counts: Counter[str]) -> list[FacetValue]:
    return _sorted(FacetValue(one, choices(one).label, n) for one, n in counts.items())


def _sorted(values: Iterable[FacetValue]) -> list[FacetValue]:
    return sorted((one for one in values if one.nombre), key=lambda one: (-one.nombre, one.libelle))
