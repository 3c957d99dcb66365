from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextareaWidget

from apps.core.models import MOTIF_MAX, User
from apps.recommender.admin_base import ReadOnlyAdmin
from apps.recommender.admin_comparison import ComparisonMixin
from apps.recommender.admin_drift import DriftMixin
from apps.recommender.admin_fiche import fiche_page
from apps.recommender.admin_preview import PreviewMixin
from apps.recommender.charts import quality_table
from apps.recommender.labels import decimal
from apps.recommender.models import ActivationModele, DeclencheurActivation, ModelMetadata
from apps.recommender.services.activation import (
    ActivationRefused,
    MotiveMissing,
    activate,
    active_model,
    previous_model,
    return_to_previous,
)
from apps.recommender.services.model_files import StorageAway


class ActivationForm(forms.Form):
    """`actif` is the version that the page showed as serving; the page itself renews it."""

    motif = forms.CharField(
        label="Motif",
        max_length=MOTIF_MAX,
        required=False,
        help_text="Pour le journal des activations.",
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
    )
    actif = forms.CharField(max_length=64, required=False)


@admin.register(ModelMetadata)
class ModelMetadataAdmin(ComparisonMixin, DriftMixin, PreviewMixin, ReadOnlyAdmin):
    actions = ("compare_selected",)
    actions_list = ("comparison_page", "drift_page", "preview_page")
    actions_detail = ("activate_page",)
    list_before_template = "admin/recommender/modelmetadata/return.html"
    list_display = (
        "version",
        "est_actif",
        "eligible",
        "architecture",
        "ndcg",
        "nb_utilisateurs",
        "nb_epreuves",
        "date_creation",
        "active_le",
    )
    list_filter = ("est_actif", "eligible", "architecture")
    list_select_related = ("training_log", "active_par")
    search_fields = ("version", "sha256")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "version",
                    ("est_actif", "eligible"),
                    "motif_refus",
                    "derogation",
                    "qualite",
                )
            },
        ),
        ("Fiche", {"fields": ("fiche_lisible",)}),
        (
            "Modèle",
            {
                "fields": (
                    ("architecture", "embedding_dim"),
                    ("nb_utilisateurs", "nb_epreuves"),
                    "training_log",
                    ("date_creation", "derniere_interaction"),
                    ("active_le", "active_par"),
                )
            },
        ),
        (
            "Fichiers",
            {"fields": ("chemin", ("taille_octets", "fichiers_supprimes_le"), "sha256")},
        ),
    )

    @admin.display(description="NDCG@10 (test)")
    def ndcg(self, model: ModelMetadata) -> str:
        return decimal(model.metriques["ndcg_at_10"]) if model.metriques else "–"

    @admin.display(description="qualité sur le test")
    def qualite(self, model: ModelMetadata) -> SafeString:
        return quality_table({model.architecture: model.metriques} | model.training_log.references)

    @admin.display(description="fiche de modèle")
    def fiche_lisible(self, model: ModelMetadata) -> SafeString | str:
        return fiche_page(model.fiche) if model.fiche else "Ce modèle date d'avant les fiches."

    def has_activate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("recommender.change_modelmetadata"))

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[UnfoldAction]:
        """None on the page of the one that serves."""
        if ModelMetadata.objects.filter(pk=object_id, est_actif=True).exists():
            return []
        return cast(list[UnfoldAction], super().get_actions_detail(request, object_id))

    def get_urls(self) -> list[URLPattern]:
        back = path(
            "revenir/",
            self.admin_site.admin_view(require_POST(self.return_view)),
            name="recommender_modelmetadata_return",
        )
        return [back, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = dict(extra_context or {})
        if self.has_activate_permission(request):
            context |= {"active": active_model(), "previous": previous_model()}
        return cast(HttpResponse, super().changelist_view(request, context))

    def return_view(self, request: HttpRequest) -> HttpResponse:
        """One click, of a page that says which model it saw serving."""
        if not self.has_activate_permission(request):
            raise PermissionDenied
        try:
            activation = return_to_previous(
                declencheur=DeclencheurActivation.ADMIN,
                par=cast(User, request.user),
                instead_of=request.POST.get("actif"),
            )
        except (ActivationRefused, StorageAway) as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self._tell(request, activation)
        return HttpResponseRedirect(reverse("admin:recommender_modelmetadata_changelist"))

    @action(  # type: ignore[untyped-decorator]
        description="Activer", url_path="activer", permissions=["activate"]
    )
    def activate_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks first; a refused model takes a reason in writing."""
        model = cast(ModelMetadata | None, self.get_object(request, object_id))
        if model is None:
            raise Http404
        form = ActivationForm(request.POST or None)
        if form.is_valid() and self._activated(request, model, form):
            page = reverse("admin:recommender_modelmetadata_change", args=[object_id])
            return HttpResponseRedirect(page)
        context = self.admin_site.each_context(request) | {
            "title": f"Activer {model}",
            "opts": self.opts,
            "original": model,
            "active": active_model(),
            "form": form,
        }
        return TemplateResponse(request, "admin/recommender/modelmetadata/activate.html", context)

    def _activated(self, request: HttpRequest, model: ModelMetadata, form: ActivationForm) -> bool:
        try:
            activation = activate(
                model,
                declencheur=DeclencheurActivation.ADMIN,
                par=cast(User, request.user),
                motif=form.cleaned_data["motif"],
                override=not model.eligible,
                instead_of=form.cleaned_data["actif"],
            )
        except (ActivationRefused, StorageAway) as error:
            field = "motif" if isinstance(error, MotiveMissing) else None
            form.add_error(field, str(error))
            return False
        if activation:
            self._tell(request, activation)
        else:
            self.message_user(request, f"Le modèle {model} sert déjà.")
        return True

    def _tell(self, request: HttpRequest, activation: ActivationModele) -> None:
        before = f", à la place de {activation.precedente}" if activation.precedente else ""
        self.log_change(request, activation.modele, f"Mis en service{before}.")
        self.message_user(request, f"Le modèle {activation.modele} sert{before}.", messages.SUCCESS)


@admin.register(ActivationModele)
class ActivationModeleAdmin(ReadOnlyAdmin):
    list_display = (
        "active_le",
        "modele",
        "precedente",
        "declencheur",
        "active_par",
        "par_derogation",
        "motif",
    )
    list_filter = ("declencheur", "derogation")
    list_select_related = ("modele", "precedente", "active_par")
    search_fields = ("modele__version", "motif")
    date_hierarchy = "active_le"

    @admin.display(description="dérogation", empty_value="", ordering="derogation")
    def par_derogation(self, activation: ActivationModele) -> str:
        return "par dérogation" if activation.derogation else ""
