import re
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models.functions import Lower

from apps.comptes.services.erasure import erase_account
from apps.core.exceptions import Conflict
from apps.core.models import User

_LINE = re.compile(r"Compte effacé : ([0-9a-f]{16})\b")


class Command(BaseCommand):
    help = (
        "Efface des comptes et tout ce qui est à eux, comme le fait DELETE /api/moi/. Avec "
        "--journal, efface de nouveau ceux qu'une sauvegarde restaurée a ramenés."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", nargs="*", help="noms des comptes à effacer")
        parser.add_argument(
            "--journal",
            metavar="FICHIER",
            help="journal de l'application, où lire les « Compte effacé » ; - : l'entrée standard",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="nommer les comptes, sans rien effacer"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        names = {name.lower() for name in options["username"]}
        found: list[User] = list(
            User.objects.alias(lower=Lower("username")).filter(lower__in=names)
        )
        if unknown := names - {user.username.lower() for user in found}:
            raise CommandError(f"Inconnus : {', '.join(sorted(unknown))}. Rien n'est effacé.")
        if journal := options["journal"]:
            text = sys.stdin.read() if journal == "-" else Path(journal).read_text("utf-8")
            erased = set(_LINE.findall(text))
            found += [user for user in User.objects.iterator() if user.empreinte in erased]
        for user in found:
            self._erase(user, options["dry_run"])
        self.stdout.write(f"{len(found)} compte(s).")

    def _erase(self, user: User, dry_run: bool) -> None:
        if not dry_run:
            try:
                erase_account(user)
            except Conflict as refusal:
                raise CommandError(f"{user} : {refusal.detail}") from None
        self.stdout.write(f"{user} : {'à effacer' if dry_run else 'effacé'}.")
