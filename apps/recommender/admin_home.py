"""The home of the administration: how the recommender is doing, and what waits for somebody."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.safestring import SafeString

from apps.recommender.drawing import bars, figure
from apps.recommender.labels import FALLBACKS, SOURCES
from apps.recommender.services.health import Health, health
from apps.recommender.telemetry import Served


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Called by unfold, whose settings name it."""
    now = health()
    served = now.served or Served()
    return context | {
        "title": "Accueil",
        "health": now,
        # French puts a space before a colon, where no line may end.
        "warnings": [warning.replace(" :", "\N{NO-BREAK SPACE}:") for warning in now.warnings()],
        "counted_together": bool(settings.REDIS_URL),
        "by_day": _by_day(now),
        "sources": _shares(served.by_source, SOURCES, served.requests),
        "reasons": _shares(served.by_reason, FALLBACKS, served.requests),
        "p50": served.milliseconds(0.5),
        "p95": served.milliseconds(0.95),
    }


def _by_day(now: Health) -> SafeString:
    title = f"Interactions par jour, {len(now.by_day)} derniers jours"
    counts = {date_format(day, "j/m"): number for day, number in now.by_day.items()}
    return figure(title, bars(title, counts), ("jour", "interactions"), counts.items())


def _shares(counts: Counter[str], labels: Mapping[str, str], whole: int) -> list[tuple[str, int]]:
    """In percent of all answers, the most frequent first."""
    return [(labels[key], round(100 * number / whole)) for key, number in counts.most_common()]
