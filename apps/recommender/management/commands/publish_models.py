from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.recommender.services.model_files import StorageAway, publish_all


class Command(BaseCommand):
    help = (
        "Porte dans le seau (S3_BUCKET) les modèles que cette machine avait avant lui. Sans effet "
        "s'il n'y en a pas. Codes de sortie : 0 tout y est, 1 le seau fait défaut."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            for version in publish_all():
                self.stdout.write(f"Modèle {version} publié.")
        except StorageAway as error:
            raise CommandError(str(error)) from None
