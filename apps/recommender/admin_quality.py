"""« Qualité en ligne » : what people open of what is recommended to them, in sums."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.core.models import Contexte
from apps.recommender.admin_base import ReadOnlyAdmin
from apps.recommender.drawing import Interval, bars, figure, intervals, table
from apps.recommender.labels import SOURCES, decimal
from apps.recommender.models import ModelMetadata, ReponseServie
from apps.recommender.services.online_quality import CONCLUSIVE, OnlineQuality, Rate

DAYS = 30
# Further down a list, next to nobody looks.
RANKS = 20
GENRES = {Contexte.PERSONNALISEE: "personnalisée", Contexte.SIMILAIRE: "similaire"}
HEADERS = ("montrées", "ouvertes", "taux", "intervalle à 95 %")


class Day(UnfoldAdminTextInputWidget):  # type: ignore[misc]
    input_type = "date"


# Years that any time zone has.
POSSIBLE = (MinValueValidator(dt.date(2000, 1, 1)), MaxValueValidator(dt.date(2100, 1, 1)))


class PeriodForm(forms.Form):
    du = forms.DateField(label="Du", widget=Day, validators=POSSIBLE)
    au = forms.DateField(label="Au", widget=Day, validators=POSSIBLE)

    def clean(self) -> dict[str, Any]:
        period = super().clean() or {}
        if "du" in period and "au" in period and period["au"] < period["du"]:
            raise forms.ValidationError("La période finit avant de commencer : échangez ses dates.")
        return period

    def quality(self) -> OnlineQuality:
        first, last = self.cleaned_data["du"], self.cleaned_data["au"]
        return OnlineQuality(_midnight(first), _midnight(last + dt.timedelta(days=1)))


def _midnight(day: dt.date) -> dt.datetime:
    return timezone.make_aware(dt.datetime.combine(day, dt.time()))


@admin.register(ReponseServie)
class ReponseServieAdmin(ReadOnlyAdmin):
    """This page, and none of a row: who was shown what is their own business."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="recommender_reponseservie_changelist")]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        today = timezone.localdate()
        month = {"du": today - dt.timedelta(days=DAYS - 1), "au": today}
        form = PeriodForm(month | request.GET.dict())
        context = self.admin_site.each_context(request) | {
            "title": "Qualité en ligne",
            "opts": self.opts,
            "form": form,
        }
        if form.is_valid():
            context |= shown(form.quality())
        return TemplateResponse(request, "admin/recommender/qualite.html", context)


def shown(quality: OnlineQuality) -> dict[str, Any]:
    """What the page says of a period."""
    total = Rate(quality.shown.total(), quality.clicked.total())
    return {
        "total": total,
        "warning": _too_few(total),
        "pictures": [
            *(_by_source(quality, genre) for genre, _ in ReponseServie.GENRES),
            _by_version(quality),
            _by_rank(quality),
        ],
        "verdicts": verdicts(_versions(quality)),
        "details": _details(quality),
    }


def _too_few(total: Rate) -> str:
    if not total.montrees:
        return "Rien n'a été montré sur cette période."
    if total.is_conclusive:
        return ""
    return (
        f"{total.montrees} épreuves montrées : on ne peut rien en conclure. "
        f"Attendez-en {CONCLUSIVE} au moins, ou élargissez la période."
    )


def _by_source(quality: OnlineQuality, genre: str) -> SafeString | None:
    rates = {
        SOURCES[source]: rate
        for (kind, source), rate in quality.by("genre", "source").items()
        if kind == genre
    }
    return _picture(f"{Contexte(genre).label} : ouvertures par source", "source", rates)


def _versions(quality: OnlineQuality) -> dict[str, Rate]:
    """Of personalised answers, all their sources together: what each version led to."""
    return {
        version or "sans modèle": rate
        for (genre, version), rate in quality.by("genre", "version").items()
        if genre == Contexte.PERSONNALISEE
    }


def _by_version(quality: OnlineQuality) -> SafeString | None:
    title = "Recommandation personnalisée : ouvertures par version"
    return _picture(title, "version", _versions(quality))


def _by_rank(quality: OnlineQuality) -> SafeString | None:
    rates = {
        rang: rate
        for (genre, rang), rate in quality.by("genre", "rang").items()
        if genre == Contexte.PERSONNALISEE and rang <= RANKS
    }
    if not rates:
        return None
    title = "Recommandation personnalisée : ouvertures par rang, en %"
    picture = bars(title, {str(rang): 100 * (rate.taux or 0.0) for rang, rate in rates.items()})
    rows = [(rang, *_cells(rate)) for rang, rate in rates.items()]
    return figure(title, picture, ("rang", *HEADERS), rows)


def _picture(title: str, what: str, rates: Mapping[str, Rate]) -> SafeString | None:
    if not rates:
        return None
    rows = [
        Interval(f"{name} : {_percent(rate.taux)}", rate.taux, *rate.intervalle)
        for name, rate in rates.items()
        if rate.taux is not None and rate.intervalle
    ]
    cells = [(name, *_cells(rate)) for name, rate in rates.items()]
    return figure(title, intervals(title, rows), (what, *HEADERS), cells)


def _details(quality: OnlineQuality) -> SafeString:
    rows = [
        (version or "sans modèle", SOURCES[source], GENRES[genre], *_cells(rate))
        for (version, source, genre), rate in quality.by("version", "source", "genre").items()
    ]
    return table(("version", "source", "genre", *HEADERS), rows, "Par version et par source")


def _cells(rate: Rate) -> tuple[object, ...]:
    low, high = rate.intervalle or (None, None)
    return rate.montrees, rate.cliquees, _percent(rate.taux), f"{_percent(low)} à {_percent(high)}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{decimal(100 * share, 1)} %"


def verdicts(rates: Mapping[str, Rate]) -> list[str]:
    """The version that serves, or the last one that did, against each of the others."""
    if len(rates) < 2:
        return []
    active = ModelMetadata.objects.filter(est_actif=True, version__in=rates).first()
    name = active.version if active else max(rates)
    return [_verdict(name, rates[name], other, rates[other]) for other in rates if other != name]


def _verdict(name: str, rate: Rate, other: str, its: Rate) -> str:
    if few := [one for one, of in ((name, rate), (other, its)) if not of.is_conclusive]:
        return f"{name} et {other} : trop peu d'épreuves montrées pour conclure ({', '.join(few)})."
    if rate.beats(its):
        return f"{name} est mieux suivie que {other} : leurs intervalles ne se touchent pas."
    if its.beats(rate):
        return f"{name} est moins suivie que {other} : leurs intervalles ne se touchent pas."
    return f"Rien ne départage {name} et {other} : leurs intervalles se recouvrent."
