from django.contrib import admin
from django.utils.safestring import SafeString

from apps.recommender.admin_base import ReadOnlyAdmin
from apps.recommender.admin_comparison import ComparisonMixin
from apps.recommender.admin_drift import DriftMixin
from apps.recommender.admin_preview import PreviewMixin
from apps.recommender.charts import quality_table
from apps.recommender.models import ActivationModele, ModelMetadata


@admin.register(ModelMetadata)
class ModelMetadataAdmin(ComparisonMixin, DriftMixin, PreviewMixin, ReadOnlyAdmin):
    actions = ("compare_selected",)
    actions_list = ("comparison_page", "drift_page", "preview_page")
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
        (None, {"fields": ("version", ("est_actif", "eligible"), "motif_refus", "qualite")}),
        (
            "Modèle",
            {
                "fields": (
                    ("architecture", "embedding_dim"),
                    ("nb_utilisateurs", "nb_epreuves"),
                    "training_log",
                    ("date_creation", "active_le"),
                    "active_par",
                )
            },
        ),
        ("Fichiers", {"fields": ("chemin", "taille_octets", "sha256")}),
    )

    @admin.display(description="NDCG@10 (test)")
    def ndcg(self, model: ModelMetadata) -> str:
        return f"{model.metriques['ndcg_at_10']:.4f}" if model.metriques else "–"

    @admin.display(description="qualité sur le test")
    def qualite(self, model: ModelMetadata) -> SafeString:
        return quality_table({model.architecture: model.metriques} | model.training_log.references)


@admin.register(ActivationModele)
class ActivationModeleAdmin(ReadOnlyAdmin):
    list_display = ("active_le", "modele", "precedente", "declencheur", "active_par", "motif")
    list_filter = ("declencheur",)
    list_select_related = ("modele", "precedente", "active_par")
    search_fields = ("modele__version", "motif")
    date_hierarchy = "active_le"
