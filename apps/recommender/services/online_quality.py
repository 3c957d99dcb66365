"""Of what was shown, how much was opened: by kind of answer, version, source and rank."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count
from django.utils import timezone

from apps.recommender.ml.proportion import wilson
from apps.recommender.models import ReponseServie

DECIMALS = 4
# With fewer épreuves shown, an interval is wider than any difference between two models.
CONCLUSIVE = 200


class Cell(NamedTuple):
    genre: str
    version: str
    source: str
    rang: int


@dataclass(frozen=True)
class Rate:
    """Of so many épreuves shown, those opened; an épreuve shown twice was shown twice."""

    montrees: int
    cliquees: int

    @property
    def taux(self) -> float | None:
        return round(self.cliquees / self.montrees, DECIMALS) if self.montrees else None

    @cached_property
    def intervalle(self) -> tuple[float, float] | None:
        if not self.montrees:
            return None
        low, high = wilson(self.cliquees, self.montrees)
        return round(low, DECIMALS), round(high, DECIMALS)

    @property
    def is_conclusive(self) -> bool:
        return self.montrees >= CONCLUSIVE

    def beats(self, other: Rate) -> bool:
        """Only where the intervals say so."""
        if not (self.intervalle and other.intervalle):
            return False
        sure = self.is_conclusive and other.is_conclusive
        return sure and self.intervalle[0] > other.intervalle[1]


class OnlineQuality:
    """Of a period; what administrators were shown and opened is left out."""

    def __init__(self, since: dt.datetime, until: dt.datetime | None = None) -> None:
        self.shown: Counter[Cell] = Counter()
        self.clicked: Counter[Cell] = Counter()
        answers = ReponseServie.objects.filter(date__gte=since, user__is_staff=False)
        if until:
            answers = answers.filter(date__lt=until)
        # Answers that are alike are counted by the database: some hundreds of lines are left.
        alike = answers.order_by().values_list("genre", "version_modele", "sources", "clics")
        for genre, version, sources, clics, count in alike.annotate(Count("pk")):
            cells = [
                Cell(genre, version, source, rang)
                for rang, source in enumerate(sources.split(), start=1)
            ]
            for cell in cells:
                self.shown[cell] += count
            for rang in map(int, clics.split()):
                self.clicked[cells[rang - 1]] += count

    def by(self, *names: str) -> dict[tuple[Any, ...], Rate]:
        """Summed over all that is not named, in the order of the names."""
        shown: Counter[tuple[Any, ...]] = Counter()
        clicked: Counter[tuple[Any, ...]] = Counter()
        for cell, count in self.shown.items():
            key = tuple(getattr(cell, name) for name in names)
            shown[key] += count
            clicked[key] += self.clicked[cell]
        return {key: Rate(shown[key], clicked[key]) for key in sorted(shown)}


def last_days(days: int) -> dict[str, list[dict[str, Any]]]:
    """For the statistics that anybody may read: counted once a minute."""
    days = min(days, settings.JOURNAL_REPONSES_JOURS)
    key = f"reco:clics:1:{days}:{time.time() // 60:.0f}"
    tables: dict[str, list[dict[str, Any]]] | None = cache.get(key)
    if tables is None:
        quality = OnlineQuality(timezone.now() - dt.timedelta(days=days))
        tables = {
            "par_source": lines(quality, ["genre", "source"]),
            "par_rang": lines(quality, ["genre", "rang"]),
            "par_version": lines(quality, ["genre", "version", "source"]),
        }
        cache.set(key, tables, 60)
    return tables


def lines(quality: OnlineQuality, names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        dict(zip(names, key, strict=True))
        | {
            "montrees": rate.montrees,
            "cliquees": rate.cliquees,
            "taux": rate.taux,
            "intervalle": rate.intervalle,
        }
        for key, rate in quality.by(*names).items()
    ]
