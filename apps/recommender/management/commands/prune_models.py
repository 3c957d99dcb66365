from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import filesizeformat

from apps.recommender.services.model_files import StorageAway
from apps.recommender.services.pruning import prune


class Command(BaseCommand):
    help = (
        "Supprime les fichiers des vieux modèles ; jamais ceux du modèle actif, du précédent et "
        "des plus récents. Leur ligne reste, avec leurs chiffres ; ils ne peuvent plus servir. Un "
        "entraînement qui finit le fait aussi. Supprime de plus les modèles que la base ne connaît "
        "pas, un jour après leur écriture. Codes de sortie : 0 fait, 1 des fichiers ont résisté."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--keep", type=_count, help="modèles récents à garder (défaut : MODELES_GARDES)"
        )
        parser.add_argument("--dry-run", action="store_true", help="dire, sans rien supprimer")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = prune(keep=options["keep"], unknown=True, dry_run=options["dry_run"])
        except StorageAway as error:
            raise CommandError(str(error)) from None
        verb = "À supprimer" if options["dry_run"] else "Supprimé"
        for model in found.models:
            self.stdout.write(f"{verb} : {model} ({filesizeformat(model.taille_octets)})")
        for version in found.orphans:
            self.stdout.write(f"{verb} : {version}, que la base ne connaît pas")
        for version in found.young:
            self.stdout.write(f"Gardé : {version}, que la base ne connaît pas, trop récent")
        if not (found.models or found.orphans):
            self.stdout.write("Rien à supprimer.")
        if found.failed:
            names = ", ".join(found.failed)
            raise CommandError(f"Ces modèles ont résisté : {names}. Relancez plus tard.")


def _count(raw: str) -> int:
    if (value := int(raw)) < 0:
        raise ValueError(raw)
    return value
