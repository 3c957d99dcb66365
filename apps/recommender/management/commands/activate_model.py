from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.recommender.ml.errors import CorruptArtifact
from apps.recommender.models import DeclencheurActivation, ModelMetadata
from apps.recommender.services.activation import ModelRefused, activate, previous_model
from apps.recommender.services.model_files import StorageAway

UNKNOWN, CORRUPT, REFUSED = 2, 3, 4


class Command(BaseCommand):
    help = (
        "Met en service un modèle déjà entraîné ; chaque processus le prend en quelques secondes, "
        "sans redémarrer. Codes de sortie : 0 en service, 2 version inconnue, 3 fichiers "
        "inutilisables ou hors d'atteinte, 4 modèle refusé à l'entraînement. Le modèle actif ne "
        "change qu'au code 0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("version", nargs="?", help="nom du modèle")
        which.add_argument(
            "--previous", action="store_true", help="celui qui servait avant le modèle actif"
        )
        which.add_argument(
            "--list", action="store_true", help="montrer les modèles, sans rien changer"
        )
        parser.add_argument("--motif", default="", help="pourquoi, pour le journal des activations")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            self._list()
            return
        model = previous_model() if options["previous"] else _model_named(options["version"])
        if model is None:
            raise CommandError(
                "Le journal ne connaît pas de modèle qui servait avant : nommez une version "
                "(activate_model --list).",
                returncode=UNKNOWN,
            )
        try:
            activation = activate(
                model, declencheur=DeclencheurActivation.COMMANDE, motif=options["motif"]
            )
        except (CorruptArtifact, StorageAway) as error:
            raise CommandError(str(error), returncode=CORRUPT) from None
        except ModelRefused as error:
            raise CommandError(str(error), returncode=REFUSED) from None
        if activation is None:
            self.stdout.write(f"Le modèle {model} est déjà actif.")
        else:
            before = f", à la place de {activation.precedente}" if activation.precedente else ""
            self.stdout.write(self.style.SUCCESS(f"Modèle {model} actif{before}."))

    def _list(self) -> None:
        for model in ModelMetadata.objects.all():
            made = timezone.localtime(model.date_creation)
            ndcg = model.metriques["ndcg_at_10"]
            state = "actif" if model.est_actif else "" if model.eligible else "refusé"
            line = f"{model.version:<40} {made:%d/%m/%Y %H:%M}  NDCG@10 {ndcg:.4f}  {state}"
            self.stdout.write(line.rstrip())


def _model_named(version: str) -> ModelMetadata:
    try:
        return ModelMetadata.objects.get(version=version)
    except ModelMetadata.DoesNotExist:
        raise CommandError(
            f"Aucun modèle {version} : activate_model --list les montre.", returncode=UNKNOWN
        ) from None
