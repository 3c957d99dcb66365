from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core.management.progress import progress
from apps.core.models import TypeInteraction
from apps.core.services.import_files import LINES_SHOWN, ImportOptions, MalformedFile
from apps.core.services.imports import ImportReport, import_interactions

COLUMNS = {
    "user": "l'identifiant de la personne",
    "epreuve": "la référence de l'épreuve",
    "date": "la date (secondes Unix ou ISO 8601)",
    "type": "le type d'interaction",
    "titre": "le titre, dans le fichier des épreuves",
    "annee": "l'année, dans le fichier des épreuves",
    "matiere": "la matière, dans le fichier des épreuves",
}


class Command(BaseCommand):
    help = (
        "Importe un journal d'interactions réel (CSV ou TSV avec en-tête, UTF-8 ou\n"
        "Windows-1252).\n\n"
        "Tout est écrit en une transaction : un fichier mal formé ne change rien. Les lignes qui\n"
        "nomment une personne ou une épreuve inconnue sont refusées, avec leur numéro, sauf avec\n"
        "--create-missing. Une interaction du même type, de la même personne, sur la même épreuve\n"
        "et dans la même demi-heure compte une fois.\n\n"
        "Exemple :\n"
        "  manage.py import_interactions ml-100k.inter --epreuves ml-100k.item \\\n"
        "      --user-prefix ml- --create-missing"
    )

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="journal à importer")
        parser.add_argument(
            "--epreuves", type=Path, metavar="FILE", help="titres, années et matières des épreuves"
        )
        parser.add_argument(
            "--type",
            choices=[t for t in TypeInteraction.values if t != TypeInteraction.EVALUATION],
            default=TypeInteraction.VUE.value,
            help="type des lignes qui n'en disent rien (défaut : %(default)s)",
        )
        parser.add_argument(
            "--user-prefix", default="", metavar="TEXT", help="préfixe des noms d'utilisateur"
        )
        parser.add_argument(
            "--create-missing",
            action="store_true",
            help="crée les personnes (sans mot de passe utilisable) et les épreuves (publiées, "
            "sans fichier) inconnues",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="fait tout, rend compte, n'écrit rien"
        )
        for role, meaning in COLUMNS.items():
            parser.add_argument(
                f"--{role}-column", metavar="NAME", help=f"colonne qui porte {meaning}"
            )

    def handle(self, *args: Any, **options: Any) -> None:
        with progress("Interactions", "lignes", verbosity=options["verbosity"]) as show:
            try:
                report = import_interactions(
                    options["file"],
                    catalogue_path=options["epreuves"],
                    options=ImportOptions(
                        default_type=options["type"],
                        user_prefix=options["user_prefix"],
                        create_missing=options["create_missing"],
                        dry_run=options["dry_run"],
                        columns={
                            role: name for role in COLUMNS if (name := options[f"{role}_column"])
                        },
                    ),
                    on_progress=show,
                )
            except MalformedFile as error:
                raise CommandError(str(error)) from None
        self._report(report, dry_run=options["dry_run"])

    def _report(self, report: ImportReport, *, dry_run: bool) -> None:
        for line, reason in report.refused[:LINES_SHOWN]:
            self.stderr.write(f"ligne {line} refusée : {reason}")
        if (more := len(report.refused) - LINES_SHOWN) > 0:
            self.stderr.write(f"… et {more} autres lignes refusées")
        self.stdout.write(
            f"{report.read} lues, {report.imported} importées, {report.folded} repliées, "
            f"{len(report.refused)} refusées ; {report.users_created} personnes et "
            f"{report.epreuves_created} épreuves créées ; {report.evaluations} évaluations."
        )
        if len(report.refused) == report.read:
            raise CommandError("Aucune ligne n'a pu être importée.")
        if dry_run:
            self.stdout.write("Essai à blanc : rien n'a été écrit.")
