from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core.catalogue_file import COLUMNS
from apps.core.exceptions import Conflict
from apps.core.management.progress import progress
from apps.core.models import Role, User
from apps.core.services.import_epreuves import (
    CatalogueOptions,
    Existing,
    documents_under,
    import_epreuves,
)
from apps.core.services.import_files import MalformedFile


class Command(BaseCommand):
    help = (
        "Ajoute les épreuves d'un catalogue (CSV avec en-tête, à virgules, points-virgules ou\n"
        "tabulations ; UTF-8 ou Windows-1252) et leurs PDF, pris dans un dossier. Colonnes :\n"
        f"{', '.join(COLUMNS[:8])},\n{', '.join(COLUMNS[8:])}.\n"
        "Seules titre, matiere et fichier doivent être là ; une case vide ne dit rien.\n\n"
        "Tout est vérifié comme un dépôt, et toutes les erreurs sont dites d'un coup, par ligne\n"
        "et par colonne ; une seule, et rien n'est écrit (code de sortie 1). Une épreuve est déjà\n"
        "dans la banque par sa référence externe, par le nom de son fichier dans un export, ou\n"
        "par son PDF lui-même.\n\n"
        "Exemple :\n"
        "  manage.py import_epreuves catalogue.csv --pdfs pdfs/ --dry-run"
    )

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="catalogue à importer")
        parser.add_argument("--pdfs", type=Path, metavar="FOLDER", help="dossier des PDF")
        parser.add_argument(
            "--dry-run", action="store_true", help="fait tout, rend compte, n'écrit rien"
        )
        parser.add_argument(
            "--publish", action="store_true", help="publie ce qui est ajouté (sinon : soumise)"
        )
        parser.add_argument(
            "--create-missing", action="store_true", help="crée les matières et filières inconnues"
        )
        parser.add_argument(
            "--existing",
            choices=Existing.values,
            default=Existing.REFUSE.value,
            help="que faire d'une épreuve que la banque a déjà (défaut : %(default)s)",
        )
        parser.add_argument(
            "--author",
            metavar="USERNAME",
            help="l'administrateur au nom de qui déposer (défaut : le seul, s'il n'y en a qu'un)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        author = self._author(options["author"])
        wanted = CatalogueOptions(
            existing=Existing(options["existing"]),
            publish=options["publish"],
            create_missing=options["create_missing"],
            dry_run=options["dry_run"],
        )
        try:
            with progress("Épreuves", "lignes", verbosity=options["verbosity"]) as show:
                report = import_epreuves(
                    options["file"],
                    documents=documents_under(options["pdfs"]) if options["pdfs"] else {},
                    par=author,
                    options=wanted,
                    on_progress=show,
                )
        except MalformedFile as error:
            raise CommandError(str(error)) from None
        except Conflict as conflict:
            raise CommandError(str(conflict.detail)) from None
        for fault in report.first_faults():
            self.stderr.write(fault)
        self.stdout.write(str(report))
        if report.faults:
            raise CommandError("Rien n'a été écrit : corrigez ces lignes, puis relancez.")
        if wanted.dry_run:
            self.stdout.write("Essai à blanc : rien n'a été écrit.")

    def _author(self, username: str | None) -> User:
        administrators = User.objects.filter(role=Role.ADMINISTRATEUR, is_active=True)
        if username:
            administrators = administrators.filter(username__iexact=username)
        if len(found := list(administrators[:2])) != 1:
            raise CommandError("Nommez un administrateur par --author.")
        return found[0]
