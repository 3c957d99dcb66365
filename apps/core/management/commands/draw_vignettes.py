from typing import Any

from django.core.management.base import BaseCommand

from apps.core.models import Epreuve
from apps.core.services.vignettes import draw_vignette


class Command(BaseCommand):
    help = (
        "Dessine les vignettes qui manquent : épreuves déposées avant elles, ou pendant qu'aucun "
        "travailleur ne tournait."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        wanting = Epreuve.objects.filter(vignette="").exclude(fichier="").order_by("pk")
        drawn = [draw_vignette(pk) for pk in list(wanting.values_list("pk", flat=True))]
        self.stdout.write(f"{sum(drawn)} vignettes dessinées, {drawn.count(False)} impossibles.")
