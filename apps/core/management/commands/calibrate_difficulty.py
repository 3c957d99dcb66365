from typing import Any

from django.core.management.base import BaseCommand

from apps.core.services.difficulty import calibrate_difficulty


class Command(BaseCommand):
    help = (
        "Estime la difficulté de chaque épreuve, la sévérité de chaque personne retirée, d'après "
        "toutes les évaluations. À lancer chaque nuit ; relancée, elle ne change rien de plus."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        evaluations, epreuves, changed = calibrate_difficulty()
        if options["verbosity"]:
            self.stdout.write(
                f"{evaluations} évaluations, {epreuves} épreuves calibrées, {changed} changées."
            )
