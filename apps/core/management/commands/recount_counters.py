from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core.management.progress import progress
from apps.core.models import Epreuve
from apps.core.services.counters import recount


class Command(BaseCommand):
    help = (
        "Compare les compteurs de chaque épreuve (vues, téléchargements, évaluations et sommes des "
        "notes) à ce que dit l'historique, sans les administrateurs ni l'auteur, et corrige ceux "
        "qui diffèrent. Se lance pendant que la banque sert."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="ne corrige rien ; code de sortie 1 si un compteur diffère",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        ids = list(Epreuve.objects.values_list("pk", flat=True))
        with progress("Épreuves", "épreuves", verbosity=options["verbosity"]) as show:
            found = recount(ids, repair=not options["dry_run"], on_progress=show)
        for epreuve, counter, stored, counted in found:
            self.stdout.write(f"épreuve {epreuve} : {counter} vaut {stored}, compté {counted}")
        if found and options["dry_run"]:
            raise CommandError(f"{len(found)} compteurs diffèrent : relancez sans --dry-run.")
        if options["verbosity"]:
            self.stdout.write(f"{len(ids)} épreuves, {len(found)} compteurs corrigés.")
