"""The home of the administration: how the recommender is doing, and what waits for somebody."""

from typing import Any

from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.safestring import SafeString

from apps.recommender.drawing import bars, figure
from apps.recommender.labels import SOURCES
from apps.recommender.services.health import Health, health


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Called by unfold, whose settings name it."""
    now = health()
    return context | {
        "title": "Accueil",
        "health": now,
        # French puts a space before a colon, where no line may end.
        "warnings": [warning.replace(" :", "\N{NO-BREAK SPACE}:") for warning in now.warnings()],
        "by_day": _by_day(now),
        "sources": _by_source(now),
        "p50": now.served.milliseconds(0.5) if now.served else None,
        "p95": now.served.milliseconds(0.95) if now.served else None,
    }


def _by_day(now: Health) -> SafeString:
    title = f"Interactions par jour, {len(now.by_day)} derniers jours"
    counts = {date_format(day, "j/m"): number for day, number in now.by_day.items()}
    return figure(title, bars(title, counts), ("jour", "interactions"), counts.items())


def _by_source(now: Health) -> list[tuple[str, int]]:
    if now.served is None or not now.served.requests:
        return []
    return [
        (SOURCES.get(source, source), round(100 * number / now.served.requests))
        for source, number in now.served.by_source.most_common()
    ]
