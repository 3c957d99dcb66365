"""What students do now beside what the model learnt from, and what it shows of the bank."""

import datetime as dt
from itertools import pairwise

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action

from apps.recommender.drawing import bars, figure, stacked
from apps.recommender.labels import decimal
from apps.recommender.services.coverage import STUDENTS, Coverage, known_coverage, measure_coverage
from apps.recommender.services.drift import DRIFTED, STABLE, Drift, Mix, Part, drift

LEARNT = "appris"


class DriftMixin(ModelAdmin):  # type: ignore[misc]
    @action(  # type: ignore[untyped-decorator]
        description="Dérive", url_path="derive", permissions=["view"]
    )
    def drift_page(self, request: HttpRequest) -> HttpResponse:
        now = drift()
        coverage = measure_coverage() if "mesurer" in request.GET else known_coverage()
        context = self.admin_site.each_context(request) | {
            "title": "Dérive et couverture",
            "model": now.model,
            "stable": STABLE,
            "drifted": DRIFTED,
            "verdicts": [(part.name, _said(part.last), _verdict(part.last)) for part in now.parts],
            "mixes": [_mix(part) for part in now.parts],
            "arrivals": _arrivals(now),
            "coverage": coverage,
            "drawn": STUDENTS,
            "asked": "mesurer" in request.GET,
            "pictures": _coverage(coverage) if coverage else [],
        }
        return TemplateResponse(request, "admin/recommender/modelmetadata/drift.html", context)


def _said(index: float | None) -> str:
    return "–" if index is None else decimal(index, 3)


def _verdict(index: float | None) -> str:
    if index is None:
        return "trop peu d'interactions pour le dire"
    if index < STABLE:
        return "stable"
    return "à surveiller" if index < DRIFTED else "a dérivé : ré-entraînez"


def _week(day: dt.date) -> str:
    return date_format(day, "j/m")


def _mix(part: Part) -> SafeString:
    title = f"Interactions par {part.name}, semaine par semaine"
    mixes = {LEARNT: part.learnt} | {_week(day): mix for day, mix in part.by_week.items()}
    values = [value for value, _ in sum(mixes.values(), Mix()).most_common()]
    columns = {name: _shares(mix, values) for name, mix in mixes.items()}
    indexes = ["–", *(_said(part.index(day)) for day in part.by_week)]
    rows = [
        (
            name,
            mixes[name].total(),
            *(f"{share:.0%}".replace("%", " %") for share in shares.values()),
            index,
        )
        for (name, shares), index in zip(columns.items(), indexes, strict=True)
    ]
    headers = ("semaine du", "interactions", *values, "indice")
    return figure(title, stacked(title, columns), headers, rows)


def _shares(mix: Mix, values: list[str]) -> dict[str, float]:
    """Nought, not nothing, for a week without any."""
    total = mix.total() or 1
    return {value: mix[value] / total for value in values}


def _arrivals(now: Drift) -> list[SafeString]:
    pictures = []
    for title, counts in (
        ("Nouveaux étudiants, par semaine", now.new_students),
        ("Nouvelles épreuves publiées, par semaine", now.new_epreuves),
    ):
        named = {_week(day): number for day, number in counts.items()}
        pictures.append(
            figure(title, bars(title, named), ("semaine du", "arrivées"), named.items())
        )
    return pictures


def _coverage(coverage: Coverage) -> list[SafeString]:
    n, total = len(coverage.shown), sum(coverage.shown)
    bounds = [n * tenth // 10 for tenth in range(11)]
    tenths = {
        f"{tenth + 1}": round(100 * sum(coverage.shown[start:end]) / total, 1)
        for tenth, (start, end) in enumerate(pairwise(bounds))
    }
    title = "Places tenues par chaque dixième de la banque, du plus au moins recommandé (%)"
    filieres = {name: round(100 * share, 1) for name, share in coverage.by_filiere.items()}
    theirs = "Part de la banque que voit chaque filière (%)"
    return [
        figure(title, bars(title, tenths), ("dixième", "% des places"), tenths.items()),
        figure(theirs, bars(theirs, filieres), ("filière", "% de la banque"), filieres.items()),
    ]
