"""Make the accounts of a school from its list, each with a password that serves once."""

from __future__ import annotations

import csv
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import transaction

from apps.core.models import Epreuve, Filiere, Niveau, Role, User
from apps.core.services.epreuves import refresh_search_text
from apps.core.services.import_files import (
    Aliases,
    MalformedFile,
    Table,
    gone_if_it_fails,
    one_of,
)
from apps.core.services.imports import nomenclature
from apps.core.text import normalise

Progress = Callable[[int, int], None]
# Without 0, O, 1 and l, which people mistake: 32 signs, so that twelve of them are 60 bits.
_SIGNS = "abcdefghijkmnpqrstuvwxyz23456789"
_UPDATED = ("first_name", "last_name", "email", "niveau", "filiere")

PEOPLE: Aliases = {
    "matricule": ("matricule", "numero"),
    "nom": ("nom", "noms", "nom_complet", "last_name"),
    "prenom": ("prenom", "prenoms", "first_name"),
    "email": ("email", "e-mail", "courriel", "mail"),
    "filiere": ("filiere",),
    "niveau": ("niveau",),
    "role": ("role",),
    "username": ("username", "identifiant"),
}


@dataclass(frozen=True, slots=True)
class Person:
    line: int
    matricule: str
    nom: str
    prenom: str
    email: str
    filiere: str
    niveau: str
    role: str
    username: str


def read_people(path: Path, columns: Mapping[str, str]) -> list[Person]:
    """Every line of the list; a cell or an optional column that is not there reads as empty."""
    table = Table(path, columns, PEOPLE)
    asked = {"prenom", "role", "username"} & columns.keys()
    table.require("matricule", "nom", "email", "filiere", "niveau", *asked, columns=columns)
    empty = dict.fromkeys(PEOPLE, "")
    people = [Person(line=line, **(empty | row)) for line, row in table.rows()]
    if not people:
        raise MalformedFile(f"{path.name} ne contient personne.")
    return people


@dataclass
class AccountsReport:
    read: int = 0
    created: int = 0
    updated: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)


def import_users(
    path: Path,
    *,
    output: Path | None,
    create_missing: bool = False,
    columns: Mapping[str, str],
    on_progress: Progress = lambda done, total: None,
) -> AccountsReport:
    """Write all that is right in one transaction, and nothing at all without an `output`."""
    people = read_people(path, columns)
    report = AccountsReport(read=len(people))
    accounts = _accepted(people, create_missing, report)
    fresh = [account for account in accounts if account.is_new]
    report.created = len(fresh)
    # A password cannot be read again once the account is there: first the file, then the account.
    if output and fresh:
        with _secret_file(output) as file, gone_if_it_fails(output):
            _give_passwords(fresh, file, on_progress)
    # The file stays where the commit itself fails: the accounts may be there all the same.
    with transaction.atomic(), gone_if_it_fails(output if fresh else None):
        _write(accounts, report)
        if output is None:
            transaction.set_rollback(True)
    return report


@dataclass
class _Account:
    user: User
    person: Person

    def __post_init__(self) -> None:
        self.is_new = self.user.pk is None
        self.before = self.facts()
        self.lacks_filiere = False

    def facts(self) -> tuple[object, ...]:
        return tuple(getattr(self.user, name) for name in _UPDATED)

    def fill(self, filiere: Filiere | None) -> None:
        """What the list says; where it says nothing, the account stays as it is."""
        person = self.person
        said = {
            "last_name": person.nom,
            "first_name": person.prenom,
            "email": person.email,
            "niveau": one_of(person.niveau.upper(), Niveau, ""),
            "filiere": filiere,
        }
        for name, value in said.items():
            if value:
                setattr(self.user, name, value)
        try:
            self.user.full_clean(
                exclude={"password", "filiere"}, validate_unique=False, validate_constraints=False
            )
        except ValidationError as error:
            raise ValueError(_in_words(error)) from None
        self.lacks_filiere = bool(person.filiere and not filiere)


def _in_words(error: ValidationError) -> str:
    labels = {field.name: field.verbose_name for field in User._meta.fields}
    said = error.message_dict.items()
    return " ; ".join(f"{labels[name]} : {' '.join(messages)}" for name, messages in said)


def _accepted(people: list[Person], create_missing: bool, report: AccountsReport) -> list[_Account]:
    directory = _Directory(create_missing)
    accepted = []
    for person in people:
        try:
            accepted.append(directory.account(person))
        except ValueError as reason:
            report.refused.append((person.line, str(reason)))
    return accepted


class _Directory:
    """Who holds each matricule, name and address, in the bank and in the lines read so far."""

    def __init__(self, create_missing: bool) -> None:
        self.lines: dict[str, int] = {}
        self.users: dict[str, User] = {}
        self.taken: dict[str, User] = {}
        for user in User.objects.select_related("filiere"):
            self._enter(user)
        self.filieres = {
            name.lower(): row for row in Filiere.objects.all() for name in (row.nom, row.code)
        }
        self.create_missing = create_missing

    def _enter(self, user: User) -> None:
        if user.matricule:
            self.users[user.matricule] = user
        for name in self._names(user):
            self.taken[name] = user

    def _names(self, user: User) -> dict[str, str]:
        """What nobody else may hold, and how to say so."""
        names = {f"username {user.username.lower()}": f"nom d'utilisateur « {user.username} »"}
        if user.email:
            names[f"email {user.email.lower()}"] = f"adresse « {user.email} »"
        return names

    def account(self, person: Person) -> _Account:
        """The account that a line asks for; ValueError where it may not be."""
        if not person.matricule or not person.nom:
            raise ValueError("le matricule et le nom sont obligatoires")
        if (first := self.lines.setdefault(person.matricule, person.line)) != person.line:
            raise ValueError(f"matricule « {person.matricule} » déjà à la ligne {first}")
        if len(person.filiere) > 120:
            raise ValueError("le nom de la filière dépasse 120 caractères")
        filiere = self.filieres.get(person.filiere.lower())
        if person.filiere and not (filiere or self.create_missing):
            raise ValueError(f"filière « {person.filiere} » inconnue (--create-missing la crée)")
        account = _Account(self.users.get(person.matricule) or _newcomer(person), person)
        if account.user.role == Role.ADMINISTRATEUR:
            raise ValueError("un compte d'administrateur ne se change que dans l'administration")
        account.fill(filiere)
        for name, said in self._names(account.user).items():
            if self.taken.get(name, account.user) is not account.user:
                raise ValueError(f"{said} : déjà à un autre compte")
        self._enter(account.user)
        return account


def _newcomer(person: Person) -> User:
    role = person.role.lower() or Role.ETUDIANT
    if role not in {Role.ETUDIANT, Role.ENSEIGNANT}:
        raise ValueError(f"rôle « {person.role} » : etudiant ou enseignant")
    return User(
        username=person.username or _username(person.matricule),
        matricule=person.matricule,
        role=role,
        password=make_password(None),
        mot_de_passe_temporaire=True,
    )


def _username(matricule: str) -> str:
    """`IMSP/24-Éa7` -> `imsp-24-ea7`."""
    return re.sub(r"[^a-z0-9_.@+-]+", "-", normalise(matricule)).strip("-")


def _write(accounts: list[_Account], report: AccountsReport) -> None:
    missing = [account for account in accounts if account.lacks_filiere]
    filieres = nomenclature(Filiere, {account.person.filiere for account in missing})
    for account in missing:
        account.user.filiere = filieres[account.person.filiere]
    User.objects.bulk_create([account.user for account in accounts if account.is_new], 500)
    changed = [
        account.user
        for account in accounts
        if not account.is_new and account.facts() != account.before
    ]
    User.objects.bulk_update(changed, _UPDATED, 500)
    refresh_search_text(Epreuve.objects.filter(enseignant__in=changed))
    report.updated = len(changed)


# --- Passwords ---------------------------------------------------------------------------


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _secret_file(path: Path) -> TextIO:
    """A new file that its owner alone reads."""
    return open(path, "x", encoding="utf-8", newline="", opener=_for_its_owner)


def _to_disk(file: TextIO) -> None:
    """Its content, and its name in the folder."""
    file.flush()
    os.fsync(file.fileno())
    folder = os.open(Path(file.name).parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _give_passwords(accounts: list[_Account], file: TextIO, on_progress: Progress) -> None:
    """On the disk when it returns; hashing takes some 20 ms each, so it shows how far it is."""
    lines = csv.writer(file)
    lines.writerow(["username", "mot_de_passe"])
    for done, account in enumerate(accounts, start=1):
        password = one_time_password()
        account.user.password = make_password(password)
        lines.writerow([account.user.username, password])
        on_progress(done, len(accounts))
    _to_disk(file)


def one_time_password() -> str:
    return "-".join("".join(secrets.choice(_SIGNS) for _ in range(4)) for _ in range(3))
