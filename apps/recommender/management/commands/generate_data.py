import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from apps.core.models import TypeInteraction
from apps.recommender.services.demo_bank import (
    ADMIN,
    PASSWORD,
    DemoBankRefused,
    DemoBankReport,
    create_demo_bank,
)


class Command(BaseCommand):
    help = (
        "Remplit une banque vide de données de démonstration : étudiants, enseignants, épreuves\n"
        "avec leurs PDF, interactions, évaluations et commentaires. La même graine donne les\n"
        "mêmes données.\n\n"
        f"Tous les comptes ont le mot de passe public « {PASSWORD} » : hors DEBUG, la commande\n"
        "refuse sans --force. Elle refuse aussi une banque non vide sans --reset.\n\n"
        "--reset ne supprime que ce que generate_data a créé (comptes dont le matricule commence\n"
        "par DEMO-, épreuves dont la référence commence par SYN-). Si la banque contient d'autres\n"
        "comptes ou épreuves, il refuse sans --force, et les garde avec --force.\n\n"
        "Exemple :\n"
        "  manage.py generate_data --users 200 --epreuves 150 --interactions 15000"
    )

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        for name, default, meaning in (
            ("users", 200, "étudiants"),
            ("epreuves", 150, "épreuves, d'au moins 30"),
            ("interactions", 15000, "interactions, de 20 à 400 par étudiant"),
            ("seed", 42, "graine du tirage"),
        ):
            parser.add_argument(
                f"--{name}",
                type=int,
                default=default,
                metavar="N",
                help=f"{meaning} (défaut : %(default)s)",
            )
        parser.add_argument(
            "--reset", action="store_true", help="remplace les données de démonstration"
        )
        parser.add_argument(
            "--force",
            action="store_true",
            help="permet la commande hors DEBUG, et à côté de données réelles avec --reset",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not (settings.DEBUG or options["force"]):
            raise CommandError(
                "DEBUG est désactivé et les comptes de démonstration ont un mot de passe public. "
                "Ajoutez --force si personne d'autre que vous n'atteint ce serveur."
            )
        quiet = options["verbosity"] == 0
        try:
            report = create_demo_bank(
                users=options["users"],
                epreuves=options["epreuves"],
                interactions=options["interactions"],
                seed=options["seed"],
                reset=options["reset"],
                beside_real=options["force"],
                track=partial(tqdm, desc="Épreuves", unit=" PDF", file=sys.stderr, disable=quiet),
            )
        except DemoBankRefused as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"Écriture des PDF impossible, rien n'a changé : {error}") from None
        if not quiet:
            self._report(report)
        if not settings.DEBUG:
            self.stderr.write(
                self.style.WARNING(
                    f"Attention : le mot de passe « {PASSWORD} » est public. N'exposez pas ce "
                    "serveur, ou désactivez ces comptes."
                )
            )

    def _report(self, report: DemoBankReport) -> None:
        kinds = ", ".join(
            f"{count} {TypeInteraction(kind).label.lower()}s"
            for kind, count in report.par_type.items()
        )
        admin = "1 administrateur" if report.admin_created else f"le compte {ADMIN} gardé tel quel"
        self.stdout.write(
            f"{report.etudiants} étudiants, {report.enseignants} enseignants, {admin}.\n"
            f"{report.epreuves} épreuves publiées avec leur PDF, {report.corriges} corrigés.\n"
            f"{report.interactions} interactions : {kinds}.\n"
            f"Graine {report.seed}. Comptes : etudiant1, enseignant1, {ADMIN}… ; mot de passe : "
            f"{PASSWORD}"
        )
        self.stdout.write(
            self.style.SUCCESS("Pour la suite : python manage.py train_model --epochs 50")
        )
