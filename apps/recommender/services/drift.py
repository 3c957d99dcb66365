"""Whether students do now what the active model learnt from, week by week."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F
from django.utils import timezone

from apps.core.models import (
    FENETRE_SECONDES,
    Contexte,
    Epreuve,
    Filiere,
    Interaction,
    Niveau,
    Role,
    TypeInteraction,
    User,
    fenetre_of,
)
from apps.recommender.models import ModelMetadata
from apps.recommender.services.activation import active_model

WEEKS = 12
_WINDOWS_A_WEEK = 7 * 86_400 // FENETRE_SECONDES
# Usual thresholds of the index, from credit scoring, where it comes from.
STABLE, DRIFTED = 0.1, 0.25
# A value that is absent from one side counts as this share of it.
FLOOR = 1e-4
# On as many gestures chance alone moves an index of eight values to 0.07, once in twenty times.
ENOUGH = 200

Mix = Counter[str]
_PARTS = {
    "type": ("type_interaction", dict(TypeInteraction.choices)),
    "contexte": ("contexte", dict(Contexte.choices)),
    "filière": ("user__filiere__code", {}),
    "niveau": ("user__niveau", dict(Niveau.choices)),
}


def stability_index(before: Mapping[str, int], now: Mapping[str, int]) -> float:
    """Population stability index: Σ (q - p) ln(q / p) over values, p their shares before, q now.

    0 for the same mix; the same whichever of the two came first.
    """
    total, new = sum(before.values()), sum(now.values())
    shares = (
        (max(before.get(value, 0) / total, FLOOR), max(now.get(value, 0) / new, FLOOR))
        for value in before.keys() | now.keys()
    )
    return math.fsum((q - p) * math.log(q / p) for p, q in shares)


@dataclass(frozen=True)
class Part:
    """One way to sort interactions: what they were when the model learnt, and each week since."""

    name: str
    learnt: Mix
    by_week: dict[dt.date, Mix]

    def index(self, week: dt.date) -> float | None:
        """None where there is too little to say."""
        if self.learnt.total() < ENOUGH or self.by_week[week].total() < ENOUGH:
            return None
        return stability_index(self.learnt, self.by_week[week])

    @property
    def last(self) -> float | None:
        """Of the last whole week."""
        return self.index(list(self.by_week)[-2])


@dataclass(frozen=True)
class Drift:
    """new_…: how many came, by week. The last week is the one that goes on."""

    model: ModelMetadata | None
    parts: list[Part]
    new_students: dict[dt.date, int]
    new_epreuves: dict[dt.date, int]


def drift() -> Drift:
    """Against all that the active model could learn from, or without one, all there is."""
    model = active_model()
    weeks = _weeks(timezone.localdate())
    students = User.objects.filter(role=Role.ETUDIANT, date_joined__gte=_midnight(weeks[0]))
    epreuves = Epreuve.objects.published().filter(date_publication__gte=_midnight(weeks[0]))
    return Drift(
        model=model,
        parts=_parts(weeks, model.learnt_until if model else timezone.now()),
        new_students=_per_week(weeks, students.values_list("date_joined", flat=True)),
        new_epreuves=_per_week(
            weeks, epreuves.order_by().values_list("date_publication", flat=True)
        ),
    )


def _weeks(today: dt.date) -> list[dt.date]:
    """Mondays, the last one that of this week."""
    monday = today - dt.timedelta(days=today.weekday())
    return [monday - dt.timedelta(weeks=WEEKS - 1 - n) for n in range(WEEKS)]


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), timezone.get_current_timezone())


def _per_week(weeks: list[dt.date], dates: Any) -> dict[dt.date, int]:
    counts = dict.fromkeys(weeks, 0)
    for date in dates:
        day = timezone.localdate(date)
        counts[day - dt.timedelta(days=day.weekday())] += 1
    return counts


def _parts(weeks: list[dt.date], until: dt.datetime) -> list[Part]:
    """In two queries, which sort all ways at once."""
    fields = [field for field, _ in _PARTS.values()]
    students = Interaction.objects.filter(
        user__role=Role.ETUDIANT, user__is_active=True, user__personnalisation=True
    ).order_by()
    first = fenetre_of(_midnight(weeks[0]))
    recent = students.filter(date__gte=_midnight(weeks[0])).annotate(
        week=(F("fenetre") - first) / _WINDOWS_A_WEEK
    )
    names = dict(Filiere.objects.values_list("code", "nom"))
    learnt = list(students.filter(date__lte=until).values_list(*fields).annotate(n=Count("pk")))
    later = list(recent.values_list("week", *fields).annotate(n=Count("pk")))
    parts = []
    for place, (name, (field, labels)) in enumerate(_PARTS.items()):
        said = names if field == "user__filiere__code" else labels
        by_week: dict[dt.date, Mix] = {week: Counter() for week in weeks}
        before: Mix = Counter()
        for *values, number in learnt:
            before[_label(values[place], said)] += number
        for number_of_week, *values, number in later:
            if 0 <= number_of_week < WEEKS:
                by_week[weeks[number_of_week]][_label(values[place], said)] += number
        parts.append(Part(name, before, by_week))
    return parts


def _label(value: str | None, labels: Mapping[str, str]) -> str:
    return labels.get(value or "", value or "sans")
