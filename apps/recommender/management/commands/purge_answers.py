from typing import Any

from django.core.management.base import BaseCommand

from apps.recommender.services.answers import purge_answers


class Command(BaseCommand):
    help = (
        "Efface les réponses servies de plus de JOURNAL_REPONSES_JOURS jours. À lancer chaque "
        "nuit, pendant que la banque sert ; interrompue, elle reprend au lancement suivant."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        purged = purge_answers()
        if options["verbosity"]:
            self.stdout.write(f"{purged} réponses servies effacées.")
