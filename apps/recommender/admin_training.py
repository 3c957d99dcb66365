from typing import Any, cast

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.recommender.admin_base import ReadOnlyAdmin
from apps.recommender.charts import quality_table, training_curves
from apps.recommender.labels import gain_in_words
from apps.recommender.models import StatutEntrainement, TrainingLog


def _json_lines(values: dict[str, Any]) -> str:
    return "\n".join(f"{key} : {value}" for key, value in values.items())


@admin.register(TrainingLog)
class TrainingLogAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "statut",
        "version",
        "debut",
        "duree",
        "meilleure_epoch",
        "ndcg",
        "declencheur",
        "lance_par",
    )
    list_filter = ("statut", "declencheur")
    list_select_related = ("lance_par",)
    search_fields = ("empreinte_donnees", "erreur", "version")
    date_hierarchy = "debut"
    fieldsets = (
        (None, {"fields": (("statut", "version"), "erreur", "courbes", "qualite")}),
        (
            "Déroulement",
            {
                "fields": (
                    ("debut", "fin"),
                    ("duree", "battement"),
                    ("epoch_courante", "meilleure_epoch"),
                    ("declencheur", "lance_par"),
                    ("hote", "pid"),
                )
            },
        ),
        (
            "Données et réglages",
            {
                "fields": (
                    ("nb_utilisateurs", "nb_epreuves"),
                    "nb_interactions",
                    "reglages",
                    "empreinte_donnees",
                )
            },
        ),
    )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        for run in TrainingLog.objects.filter(statut=StatutEntrainement.EN_ATTENTE):
            self._tell_if_forgotten(request, run)
        return cast(HttpResponse, super().changelist_view(request, extra_context))

    def render_change_form(
        self, request: HttpRequest, *args: Any, obj: TrainingLog, **kwargs: Any
    ) -> HttpResponse:
        self._tell_if_forgotten(request, obj)
        return cast(HttpResponse, super().render_change_form(request, *args, obj=obj, **kwargs))

    def _tell_if_forgotten(self, request: HttpRequest, run: TrainingLog) -> None:
        if run.is_forgotten:
            self.message_user(
                request,
                "Aucun travailleur n'a pris cet entraînement : lancez "
                "`python manage.py db_worker`.",
                messages.WARNING,
            )

    @admin.display(description="durée")
    def duree(self, run: TrainingLog) -> str:
        return f"{(run.fin - run.debut).total_seconds():.1f} s" if run.fin else "–"

    @admin.display(description="NDCG@10 (test)")
    def ndcg(self, run: TrainingLog) -> str:
        value = run.metriques.get("ndcg_at_10")
        return "–" if value is None else f"{value:.4f}"

    @admin.display(description="courbes")
    def courbes(self, run: TrainingLog) -> SafeString:
        return training_curves(run.historique, run.meilleure_epoch)

    @admin.display(description="qualité sur le test")
    def qualite(self, run: TrainingLog) -> SafeString | str:
        if not run.metriques:
            return "Non mesurée."
        name = str(run.hyperparametres.get("architecture", "modèle"))
        table = quality_table({name: run.metriques} | run.references)
        return format_html("{}<p>{}</p>", table, gain_in_words(run.metriques, run.references))

    @admin.display(description="hyper-paramètres")
    def reglages(self, run: TrainingLog) -> str:
        return _json_lines(run.hyperparametres)
