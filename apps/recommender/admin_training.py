from collections.abc import Callable
from functools import partial
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.views.decorators.http import require_POST
from unfold.decorators import action
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from apps.core.models import User
from apps.recommender.admin_base import ReadOnlyAdmin
from apps.recommender.charts import quality_table, training_curves
from apps.recommender.labels import decimal, gain_in_words
from apps.recommender.models import (
    Declencheur,
    ModelMetadata,
    StatutEntrainement,
    TrainingLog,
)
from apps.recommender.options import OPTIONS, Option, OptionRefused, training_config
from apps.recommender.services import training_requests, training_runs
from apps.recommender.services.training_runs import (
    NotResumable,
    NotStoppable,
    TrainingInProgress,
)

LIFE = "admin/recommender/traininglog/life.html"
PROGRESS = "admin/recommender/traininglog/progress.html"
QUALITY = "admin/recommender/traininglog/quality.html"


def _json_lines(values: dict[str, Any]) -> str:
    return "\n".join(f"{key} : {localize(value)}" for key, value in values.items())


def _field_of(option: Option) -> forms.Field:
    common = {
        "label": option.label,
        "help_text": f"{capfirst(option.help)}.",
        "initial": option.default,
    }
    if option.choices:
        choices = [(choice, choice) for choice in option.choices]
        return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget, **common)
    if isinstance(option.default, bool):
        return forms.BooleanField(required=False, widget=UnfoldBooleanWidget, **common)
    if option.bounds is None:
        return forms.FloatField(
            localize=True,  # a French keyboard types 0,002
            widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
            **common,
        )
    least, most = option.bounds
    return forms.IntegerField(
        min_value=least, max_value=most, widget=UnfoldAdminIntegerFieldWidget, **common
    )


class TrainingForm(forms.Form):
    """The options of `train_model`, with its bounds and its defaults."""

    version = forms.CharField(
        label="Nom du modèle",
        help_text="Vide : la date et l'architecture.",
        required=False,
        max_length=64,
        widget=UnfoldAdminTextInputWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields = {option.name: _field_of(option) for option in OPTIONS} | self.fields

    def clean(self) -> None:
        if not self.errors:
            try:
                self.config = training_config(self.cleaned_data)
            except OptionRefused as error:
                self.add_error(error.option, str(error))


@admin.register(TrainingLog)
class TrainingLogAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "etat",
        "version",
        "debut",
        "duree",
        "ndcg",
        "lance_par",
    )
    actions_list = ("train_page",)
    change_form_outer_before_template = LIFE
    list_filter = ("statut", "declencheur")
    list_select_related = ("lance_par", "modele")
    search_fields = ("empreinte_donnees", "erreur", "version")
    date_hierarchy = "debut"
    fieldsets = (
        (None, {"fields": (("etat", "version"), "devenir", "erreur", "courbes", "qualite")}),
        (
            "Déroulement",
            {
                "fields": (
                    ("debut", "fin"),
                    ("duree", "battement"),
                    "meilleure_epoch",
                    ("declencheur", "lance_par"),
                    ("reprises", "arret_demande_par"),
                    ("hote", "pid"),
                )
            },
        ),
        (
            "Données et réglages",
            {
                "fields": (
                    "reglages",
                    "empreinte_donnees",
                )
            },
        ),
    )

    def has_train_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("recommender.add_traininglog")

    def get_urls(self) -> list[URLPattern]:
        views = {
            "avancement": self.progress_view,
            "annuler": require_POST(self.stop_view),
            "reprendre": require_POST(self.resume_view),
        }
        own = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(view),
                name=f"recommender_traininglog_{name}",
            )
            for name, view in views.items()
        ]
        return [*own, *super().get_urls()]

    # --- Asking for a run ---

    @action(  # type: ignore[untyped-decorator]
        description="Ré-entraîner",
        url_path="entrainer",
        permissions=["train"],
        icon="model_training",
    )
    def train_page(self, request: HttpRequest) -> HttpResponse:
        """Its options, then the page of the run, which somebody else does."""
        form = TrainingForm(request.POST or None)
        if form.is_valid() and (run := self._requested(request, form)):
            self.log_addition(request, run, "Entraînement demandé.")
            return self._page_of(run)
        context = self.admin_site.each_context(request) | {
            "title": "Ré-entraîner",
            "model_admin": self,  # unfold's header has a title beside it, and none beside `opts`
            "form": form,
        }
        return TemplateResponse(request, "admin/recommender/traininglog/train.html", context)

    def _requested(self, request: HttpRequest, form: TrainingForm) -> TrainingLog | None:
        try:
            return training_requests.request_training(
                form.config,
                version=form.cleaned_data["version"],
                declencheur=Declencheur.ADMIN,
                lance_par=cast(User, request.user),
            )
        except OptionRefused as error:
            form.add_error(error.option, str(error))
        except TrainingInProgress as error:
            form.add_error(None, _with_the_way(error))
        return None

    # --- The page of a run ---

    def stop_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        stop = partial(training_runs.ask_to_stop, par=cast(User, request.user))
        return self._moved(request, pk, stop, "Arrêt demandé.")

    def resume_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._moved(request, pk, training_requests.request_resume, "Reprise demandée.")

    def _moved(
        self, request: HttpRequest, pk: int, move: Callable[[TrainingLog], None], said: str
    ) -> HttpResponse:
        if not self.has_train_permission(request):
            raise PermissionDenied
        run = get_object_or_404(TrainingLog, pk=pk)
        try:
            move(run)
        except TrainingInProgress as error:
            self.message_user(request, _with_the_way(error), messages.ERROR)
        except (NotStoppable, NotResumable) as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.log_change(request, run, said)
            self.message_user(request, said, messages.SUCCESS)
        return self._page_of(run)

    def _page_of(self, run: TrainingLog) -> HttpResponse:
        return HttpResponseRedirect(_url_of(run))

    def progress_view(self, request: HttpRequest, pk: int) -> JsonResponse:
        """What the page shows anew every two seconds while the run lives."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = get_object_or_404(TrainingLog, pk=pk)
        return JsonResponse(
            {
                "etat": _state_of(run),
                "avancement": render_to_string(PROGRESS, _progress_of(run)),
                "courbes": _curves_of(run),
            }
        )

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        *args: Any,
        obj: TrainingLog,
        **kwargs: Any,
    ) -> HttpResponse:
        self._tell_if_forgotten(request, obj)
        may = self.has_train_permission(request)
        context |= _progress_of(obj) | {
            "may_stop": may and obj.fin is None,
            "may_resume": may and training_runs.is_resumable(obj),
        }
        return cast(
            HttpResponse, super().render_change_form(request, context, *args, obj=obj, **kwargs)
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        for run in TrainingLog.objects.filter(statut=StatutEntrainement.EN_ATTENTE):
            self._tell_if_forgotten(request, run)
        return cast(HttpResponse, super().changelist_view(request, extra_context))

    def _tell_if_forgotten(self, request: HttpRequest, run: TrainingLog) -> None:
        if run.is_forgotten:
            said = f"Cet entraînement n'a pas commencé : {training_requests.what_to_do(run)}"
            self.message_user(request, said, messages.WARNING)

    @admin.display(description="état", ordering="statut")
    def etat(self, run: TrainingLog) -> str:
        model = _model_of(run)
        return f"{run.etat}, {_fate(model)}" if model else run.etat

    @admin.display(description="ce qu'il a donné")
    def devenir(self, run: TrainingLog) -> SafeString | str:
        model = _model_of(run)
        if model is None:
            return "Rien encore." if _lives(run) else "Aucun modèle."
        page = reverse("admin:recommender_modelmetadata_change", args=[model.pk])
        why = f" : {model.motif_refus}" if model.motif_refus else "."
        return format_html(
            '<a class="underline" href="{}">Modèle {}</a>, {}{}', page, model, _fate(model), why
        )

    @admin.display(description="durée")
    def duree(self, run: TrainingLog) -> str:
        return f"{decimal((run.fin - run.debut).total_seconds(), 1)} s" if run.fin else "–"

    @admin.display(description="NDCG@10 (test)")
    def ndcg(self, run: TrainingLog) -> str:
        value = run.metriques.get("ndcg_at_10")
        return "–" if value is None else decimal(value)

    @admin.display(description="courbes")
    def courbes(self, run: TrainingLog) -> SafeString:
        drawn = _curves_of(run)
        return format_html(
            '<div id="courbes">{}</div><p class="mt-2">Une epoch est un passage sur toutes les '
            "paires d'apprentissage ; la meilleure est celle qui classe le mieux sur validation."
            "</p>",
            drawn,
        )

    @admin.display(description="qualité sur le test")
    def qualite(self, run: TrainingLog) -> SafeString | str:
        if not run.metriques:
            return "Non mesurée."
        name = str(run.hyperparametres.get("architecture", "modèle"))
        table = quality_table({name: run.metriques} | run.references)
        gain = gain_in_words(run.metriques, run.references)
        return render_to_string(QUALITY, {"table": table, "gain": gain})

    @admin.display(description="hyper-paramètres")
    def reglages(self, run: TrainingLog) -> str:
        return _json_lines(run.hyperparametres)


def _url_of(run: TrainingLog) -> str:
    return reverse("admin:recommender_traininglog_change", args=[run.pk])


def _with_the_way(error: TrainingInProgress) -> str:
    """To the run that holds the place."""
    if error.run is None:
        return str(error)
    return format_html(
        '{} <a class="underline" href="{}">Ouvrir sa page</a>', error, _url_of(error.run)
    )


def _model_of(run: TrainingLog) -> ModelMetadata | None:
    return getattr(run, "modele", None)


def _fate(model: ModelMetadata) -> str:
    """What became of it."""
    if model.est_actif:
        return "actif" if model.eligible else "actif par dérogation"
    if not model.eligible:
        return "refusé"
    return "activé, puis remplacé" if model.active_le else "pas activé"


def _lives(run: TrainingLog) -> bool:
    return run.fin is None and not run.is_dead


def _state_of(run: TrainingLog) -> str:
    """What the whole page is drawn for."""
    return "mort" if run.is_dead else run.statut


def _curves_of(run: TrainingLog) -> SafeString:
    architecture = str(run.hyperparametres.get("architecture", ""))
    return training_curves(run.historique, run.meilleure_epoch, architecture)


def _progress_of(run: TrainingLog) -> dict[str, Any]:
    elapsed = int(((run.fin or timezone.now()) - run.debut).total_seconds())
    return {
        "run": run,
        "state": _state_of(run),
        "lives": _lives(run),
        "is_dead": run.is_dead,
        "elapsed": f"{elapsed // 60} min {elapsed % 60:02} s",
    }
