import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError, OperationalError

from apps.comptes.services.import_users import PEOPLE, AccountsReport, import_users
from apps.core.management.progress import progress
from apps.core.services.import_files import LINES_SHOWN, MalformedFile


class Command(BaseCommand):
    help = (
        "Crée les comptes d'une liste de personnes (CSV ou TSV avec en-tête, UTF-8 ou\n"
        "Windows-1252) : matricule, nom, prenom, email, filiere, niveau ; au besoin role\n"
        "(etudiant, enseignant) et username (défaut : le matricule en minuscules). « prenom »\n"
        "peut manquer si « nom » dit tout.\n\n"
        "Chaque compte reçoit un mot de passe qui sert une fois, à en choisir un autre ; ils sont\n"
        "écrits dans --output, un fichier neuf que seul son propriétaire lit. Un matricule déjà\n"
        "connu garde son nom d'utilisateur, son rôle et son mot de passe ; son nom, son adresse,\n"
        "sa filière et son niveau sont mis à jour, et une case vide n'y change rien. Relancer la\n"
        "même liste ne change donc rien. Les lignes impossibles sont refusées, avec leur numéro ;\n"
        "les autres sont écrites en une transaction. Comptez une minute pour 2 000 comptes.\n\n"
        "Exemple :\n"
        "  manage.py import_users rentree.csv --output mots-de-passe.csv"
    )

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="liste à importer")
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="fichier neuf pour les mots de passe"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="fait tout, rend compte, n'écrit rien"
        )
        parser.add_argument(
            "--create-missing", action="store_true", help="crée les filières inconnues"
        )
        for role in PEOPLE:
            parser.add_argument(
                f"--{role}-column", metavar="NAME", help=f"colonne qui porte « {role} »"
            )

    def handle(self, *args: Any, **options: Any) -> None:
        output = None if options["dry_run"] else options["output"]
        if not (output or options["dry_run"]):
            raise CommandError("Donnez --output, un fichier neuf pour les mots de passe.")
        with progress("Comptes", "comptes", verbosity=options["verbosity"]) as show:
            try:
                report = import_users(
                    options["file"],
                    output=output,
                    create_missing=options["create_missing"],
                    columns={role: name for role in PEOPLE if (name := options[f"{role}_column"])},
                    on_progress=show,
                )
            except MalformedFile as error:
                raise CommandError(str(error)) from None
            except FileExistsError as error:
                raise CommandError(f"{error.filename} existe déjà : donnez un autre nom.") from None
            except OSError as error:
                raise CommandError(f"{error.filename} : {error.strerror}.") from None
            except IntegrityError:
                raise CommandError(
                    "La banque a changé pendant l'import, rien n'a été écrit : relancez-le."
                ) from None
            except OperationalError as error:
                raise CommandError(
                    f"La base n'a pas confirmé l'import ({error}). Gardez {output}, s'il existe : "
                    "si la même liste, avec un autre --output, ne crée personne, ses mots de "
                    "passe sont les bons.",
                    returncode=os.EX_UNAVAILABLE,
                ) from None
        self._report(report, output)

    def _report(self, report: AccountsReport, output: Path | None) -> None:
        for line, reason in report.refused[:LINES_SHOWN]:
            self.stderr.write(f"ligne {line} refusée : {reason}")
        if (more := len(report.refused) - LINES_SHOWN) > 0:
            self.stderr.write(f"… et {more} autres lignes refusées")
        unchanged = report.read - report.created - report.updated - len(report.refused)
        self.stdout.write(
            f"{report.read} lues, {report.created} comptes créés, {report.updated} mis à jour, "
            f"{unchanged} inchangés, {len(report.refused)} lignes refusées."
        )
        if len(report.refused) == report.read:
            raise CommandError("Aucune ligne n'a pu être importée.")
        if output is None:
            self.stdout.write("Essai à blanc : rien n'a été écrit.")
        elif report.created:
            self.stdout.write(f"Mots de passe, à remettre puis à effacer : {output}")
