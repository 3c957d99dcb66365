from typing import Any

from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandParser

from apps.core.services.stored_files import orphans


class Command(BaseCommand):
    help = (
        "Efface de MEDIA_ROOT les PDF et vignettes d'aucune épreuve, vieux d'un jour au moins : ce "
        "que laisse un processus tué au milieu d'un dépôt."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="les nommer sans les effacer")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        names = orphans()
        for name in names:
            self.stdout.write(name)
            if not dry_run:
                default_storage.delete(name)
        what = "à effacer" if dry_run else "effacés"
        self.stdout.write(f"{len(names)} fichiers orphelins {what}.")
