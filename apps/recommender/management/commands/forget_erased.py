from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.recommender.services.forgetting import forget_erased


class Command(BaseCommand):
    help = (
        "Fait oublier aux modèles enregistrés les comptes qui n'existent plus. Effacer un compte "
        "le fait déjà ; cette commande reprend ce qu'une panne a laissé. Sans effet s'il n'y a "
        "rien à faire. Codes de sortie : 0 tout est oublié, 1 un modèle, ou leur stockage, fait "
        "défaut."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if failed := forget_erased():
            raise CommandError(
                f"Illisibles : {', '.join(failed)}. Restaurez leur dossier ou supprimez-le, puis "
                "relancez."
            )
