from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core.catalogue_file import write_catalogue
from apps.core.models import Epreuve, Statut
from apps.core.services.import_files import gone_if_it_fails


class Command(BaseCommand):
    help = (
        "Écrit le catalogue dans un CSV qu'un tableur français ouvre d'un double clic, et que "
        "import_epreuves relit (avec --pdfs media pour une autre banque)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="fichier neuf à écrire")
        parser.add_argument(
            "--statut", choices=Statut.values, help="seulement celles-là (défaut : toutes)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        epreuves = Epreuve.objects.order_by("pk")
        if options["statut"]:
            epreuves = epreuves.filter(statut=options["statut"])
        path: Path = options["file"]
        try:
            with path.open("xb") as file, gone_if_it_fails(path):
                written = sum(file.write(line) > 0 for line in write_catalogue(epreuves))
        except FileExistsError:
            raise CommandError(f"{path} existe déjà : donnez un autre nom.") from None
        except OSError as error:
            raise CommandError(f"{path} : {error.strerror}.") from None
        self.stdout.write(f"{written - 1} épreuves écrites dans {path}.")
