from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.recommender.models import ActivationModele, DeclencheurActivation, ModelMetadata
from apps.recommender.services.activation import (
    ActivationRefused,
    FilesGone,
    NothingBefore,
    UnusableFiles,
    activate,
    return_to_previous,
)
from apps.recommender.services.model_files import StorageAway

UNKNOWN, CORRUPT, REFUSED = 2, 3, 4
EXIT_CODES = {NothingBefore: UNKNOWN, FilesGone: CORRUPT, UnusableFiles: CORRUPT}


class Command(BaseCommand):
    help = (
        "Met en service un modèle déjà entraîné ; chaque processus le prend en quelques secondes, "
        "sans redémarrer. Codes de sortie : 0 en service, 2 version inconnue, 3 fichiers "
        "inutilisables, supprimés ou hors d'atteinte, 4 modèle refusé à l'entraînement, ou modèle "
        "actif changé entre-temps. Le modèle actif ne change qu'au code 0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("version", nargs="?", help="nom du modèle")
        which.add_argument(
            "--previous",
            action="store_true",
            help="celui qui servait avant le modèle actif, et n'était pas refusé",
        )
        which.add_argument(
            "--list", action="store_true", help="montrer les modèles, sans rien changer"
        )
        parser.add_argument("--motif", default="", help="pourquoi, pour le journal des activations")
        parser.add_argument(
            "--override",
            action="store_true",
            help="activer un modèle refusé à l'entraînement ; --motif doit dire pourquoi",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            self._list()
            return
        activation: ActivationModele | None
        declencheur, motif = DeclencheurActivation.COMMANDE, options["motif"]
        try:
            if options["previous"]:
                activation = return_to_previous(declencheur=declencheur, motif=motif)
            else:
                model = _model_named(options["version"])
                activation = activate(
                    model, declencheur=declencheur, motif=motif, override=options["override"]
                )
        except StorageAway as error:
            raise CommandError(str(error), returncode=CORRUPT) from None
        except ActivationRefused as error:
            code = EXIT_CODES.get(type(error), REFUSED)
            raise CommandError(str(error), returncode=code) from None
        if activation is None:
            self.stdout.write(f"Le modèle {options['version']} est déjà actif.")
        else:
            before = f", à la place de {activation.precedente}" if activation.precedente else ""
            self.stdout.write(self.style.SUCCESS(f"Modèle {activation.modele} actif{before}."))

    def _list(self) -> None:
        for model in ModelMetadata.objects.all():
            made = timezone.localtime(model.date_creation)
            ndcg = model.metriques["ndcg_at_10"]
            line = f"{model.version:<40} {made:%d/%m/%Y %H:%M}  NDCG@10 {ndcg:.4f}  {_state(model)}"
            self.stdout.write(line.rstrip())


def _state(model: ModelMetadata) -> str:
    if model.est_actif:
        return "actif"
    if model.fichiers_supprimes_le:
        return "fichiers supprimés"
    return "" if model.eligible else "refusé"


def _model_named(version: str) -> ModelMetadata:
    try:
        return ModelMetadata.objects.get(version=version)
    except ModelMetadata.DoesNotExist:
        raise CommandError(
            f"Aucun modèle {version} : activate_model --list les montre.", returncode=UNKNOWN
        ) from None
