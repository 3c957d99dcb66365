from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.core.management.progress import progress
from apps.core.services.subject_texts import extract_texts


class Command(BaseCommand):
    help = (
        "Lit le texte des sujets (PDF) qui attendent de l'être, pour que la recherche les trouve. "
        "Un dépôt le demande de lui-même : ceci est pour ce qui était là avant, et pour ce qu'un "
        "travailleur tué n'a pas fini."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--all", action="store_true", help="relit aussi ceux qui l'ont été")

    def handle(self, *args: Any, **options: Any) -> None:
        with progress("Sujets", "sujets", verbosity=options["verbosity"]) as show:
            read, without = extract_texts(everything=options["all"], on_progress=show)
        self.stdout.write(f"Sujets lus : {read}, dont sans texte : {without}.")
