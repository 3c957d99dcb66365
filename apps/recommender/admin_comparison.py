"""Models side by side: their curves, their figures and, when asked for, their answers."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action

from apps.recommender.charts import quality_table
from apps.recommender.drawing import Interval, bars, figure, intervals, lines
from apps.recommender.labels import decimal, loss_in_words, signed
from apps.recommender.models import ModelMetadata
from apps.recommender.services.comparison import Comparison, Gap, Overlap

AT_LEAST, AT_MOST = 2, 4
# Of the list to choose from.
LATEST = 20


class ChoiceForm(forms.Form):
    """In the address, so that a comparison can be shared: nothing is written."""

    modele = forms.ModelMultipleChoiceField(
        ModelMetadata.objects.none(),
        label="Modèles",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": f"Choisissez de {AT_LEAST} à {AT_MOST} modèles."},
    )
    mesurer = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["modele"].queryset = ModelMetadata.objects.select_related(  # type: ignore[attr-defined]
            "training_log"
        )

    def clean_modele(self) -> "QuerySet[ModelMetadata]":
        models: QuerySet[ModelMetadata] = self.cleaned_data["modele"]
        if not AT_LEAST <= len(models) <= AT_MOST:
            raise forms.ValidationError(f"Choisissez de {AT_LEAST} à {AT_MOST} modèles.")
        # Each is compared with the one that serves.
        return models.order_by("-est_actif", "-date_creation", "-pk")


class ComparisonMixin(ModelAdmin):  # type: ignore[misc]
    @admin.action(description="Comparer", permissions=["view"])
    def compare_selected(
        self, request: HttpRequest, queryset: "QuerySet[ModelMetadata]"
    ) -> HttpResponse | None:
        chosen = list(queryset.values_list("pk", flat=True)[: AT_MOST + 1])
        if not AT_LEAST <= len(chosen) <= AT_MOST:
            said = f"Choisissez de {AT_LEAST} à {AT_MOST} modèles à comparer."
            self.message_user(request, said, messages.WARNING)
            return None
        return HttpResponseRedirect(_page_of(chosen))

    @action(  # type: ignore[untyped-decorator]
        description="Comparer", url_path="comparer", permissions=["view"]
    )
    def comparison_page(self, request: HttpRequest) -> HttpResponse:
        form = ChoiceForm(request.GET or None)
        context = self.admin_site.each_context(request) | {
            "title": "Comparer des modèles",
            "latest": ModelMetadata.objects.all()[:LATEST],
            "form": form,
        }
        if form.is_valid():
            models = list(form.cleaned_data["modele"])
            context |= _side_by_side(models)
            if form.cleaned_data["mesurer"]:
                context |= _measured(Comparison(models))
        return TemplateResponse(request, "admin/recommender/modelmetadata/compare.html", context)


def _page_of(models: list[int]) -> str:
    page = reverse("admin:recommender_modelmetadata_comparison_page")
    return f"{page}?{urlencode({'modele': models}, doseq=True)}"


def _side_by_side(models: list[ModelMetadata]) -> dict[str, Any]:
    """What training kept of each."""
    figures: dict[str, dict[str, Any]] = {model.version: model.metriques for model in models}
    return {
        "models": models,
        "curves": [
            _curves("NDCG@10 sur la validation, par epoch", models, "ndcg_validation"),
            _curves("Perte sur la validation, par epoch", models, "loss_validation"),
        ],
        "figures": quality_table(figures),
        "same_data": _learnt_the_same(models),
        "same_loss": len({loss_in_words(model.architecture) for model in models}) == 1,
    }


def _learnt_the_same(models: Sequence[ModelMetadata]) -> bool:
    return len({model.training_log.empreinte_donnees for model in models}) == 1


def _curves(title: str, models: list[ModelMetadata], key: str) -> SafeString:
    series = {
        model.version: [
            (float(entry["epoch"]), float(entry[key])) for entry in model.training_log.historique
        ]
        for model in models
        if model.training_log.historique
    }
    if not series:
        return SafeString("Aucune epoch terminée.")
    by_epoch = {version: dict(points) for version, points in series.items()}
    epochs = sorted({epoch for points in by_epoch.values() for epoch in points})
    rows = [
        (
            f"{epoch:.0f}",
            *(decimal(points[epoch]) if epoch in points else "–" for points in by_epoch.values()),
        )
        for epoch in epochs
    ]
    return figure(title, lines(title, series), ("epoch", *series), rows)


def _measured(comparison: Comparison) -> dict[str, Any]:
    """Their files are read, and students' recommendations computed anew."""
    gaps = comparison.gaps()
    return {
        "measured": True,
        "unreadable": comparison.unreadable,
        "base": next(iter(comparison.predictors), None),
        "newest": comparison.newest,
        "gaps": _gaps(gaps),
        "reasons": {_why_none(gap, comparison.models) for gap in gaps if gap.reason},
        "overlaps": [_overlap(overlap) for overlap in comparison.overlaps()],
    }


def _why_none(gap: Gap, models: Sequence[ModelMetadata]) -> str:
    if not _learnt_the_same(models):
        return gap.reason
    return (
        "Rien de plus récent que leurs données pour les départager. Mais ces données sont les "
        "mêmes : leurs chiffres sur le test, ci-dessus, se comparent un à un."
    )


def _gaps(gaps: list[Gap]) -> SafeString | None:
    drawn = [
        Interval(gap.model.version, gap.difference.mean, gap.difference.low, gap.difference.high)
        for gap in gaps
        if gap.difference
    ]
    if not drawn:
        return None
    title = "Écart de NDCG@10"
    rows = [
        (
            gap.model.version,
            *(signed(v) for v in (gap.difference.mean, gap.difference.low, gap.difference.high)),
            gap.difference.n_students,
            gap.difference.n_interactions,
        )
        for gap in gaps
        if gap.difference
    ]
    headers = ("modèle", "écart", "de", "à", "étudiants", "interactions")
    return figure(title, intervals(title, drawn), headers, rows)


def _overlap(overlap: Overlap) -> SafeString:
    title = f"Épreuves communes aux dix premières de {overlap.a} et de {overlap.b}"
    counts = {str(common): number for common, number in enumerate(overlap.common)}
    note = (
        f"En hauteur, les étudiants ; de gauche à droite, le nombre d'épreuves communes. "
        f"{overlap.n_students} étudiants tirés au sort ; ressemblance moyenne (Jaccard) : "
        f"{decimal(overlap.jaccard, 2)}, de 0 (rien de commun) à 1 (les mêmes)."
    )
    headers = ("épreuves communes", "étudiants")
    return figure(title, bars(title, counts), headers, counts.items(), note=note)
