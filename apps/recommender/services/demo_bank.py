"""Fill a bank with people, épreuves and behaviour that never existed.

What belongs to the demonstration is told by its keys alone: accounts whose matricule starts with
DEMO-, épreuves whose reference starts with SYN-. Nobody can give oneself a matricule, so a real
person is never taken for a demonstration account, and nothing else is ever deleted.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
from django.contrib.auth.hashers import make_password
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.fields.files import FieldFile
from django.db.models.functions import Lower

from apps.core.models import (
    Commentaire,
    Epreuve,
    Evaluation,
    Filiere,
    Interaction,
    Matiere,
    Role,
    Statut,
    User,
    fenetre_of,
)
from apps.core.services.counters import recount
from apps.core.services.search_index import index_epreuves
from apps.core.signals import catalogue_changed
from apps.recommender.ml import synthetic
from apps.recommender.ml.curriculum import FILIERES, MATIERES
from apps.recommender.ml.synthetic import Bank, Events, Ints, Paper, Person
from apps.recommender.services import demo_pdf

PASSWORD = "password123"  # noqa: S105  public on purpose: generate_data warns of it
ADMIN = "admin"
DEMO_MATRICULE = "DEMO-"
DEMO_REFERENCE = "SYN-"
OPENING = datetime(2024, 9, 1, tzinfo=UTC)
# One épreuve in two has its answers beside it.
CORRIGE_EVERY = 2
BATCH = 2000

Row = TypeVar("Row", Matiere, Filiere)
Track = Callable[[Sequence[Paper]], Iterable[Paper]]


class DemoBankRefused(Exception):
    """The bank cannot be filled as asked; the message says why and what would work."""


@dataclass(frozen=True)
class DemoBankReport:
    """What was written; `admin_created` is False where the bank already had an `admin`."""

    etudiants: int
    enseignants: int
    admin_created: bool
    epreuves: int
    corriges: int
    interactions: int
    par_type: dict[str, int]
    seed: int


def create_demo_bank(
    *,
    users: int,
    epreuves: int,
    interactions: int,
    seed: int,
    reset: bool,
    beside_real: bool = False,
    track: Track = iter,
) -> DemoBankReport:
    """All or nothing, files included. `reset` replaces an earlier demonstration.

    Real accounts and épreuves make it refuse, unless `beside_real`: then they stay as they are.
    """
    try:
        bank = synthetic.generate(users, epreuves, interactions, seed=seed)
    except synthetic.ImpossibleBank as error:
        raise DemoBankRefused(str(error)) from error
    with _files_of_a_failure_removed() as files, transaction.atomic():
        _make_room(bank, reset=reset, beside_real=beside_real)
        admin_created = not User.objects.filter(username__iexact=ADMIN).exists()
        students, teachers = _create_people(bank, with_admin=admin_created)
        papers = _create_epreuves(bank, teachers, seed, track, files)
        _create_events(bank.events, students, papers)
        catalogue_changed.send(sender=Epreuve)
    return DemoBankReport(
        etudiants=len(students),
        enseignants=len(teachers),
        admin_created=admin_created,
        epreuves=len(papers),
        corriges=sum(bool(paper.fichier_corrige) for paper in papers),
        interactions=len(bank.events.kind),
        par_type=dict(
            zip(synthetic.KINDS, _counts(bank.events.kind, len(synthetic.KINDS)), strict=True)
        ),
        seed=seed,
    )


# --- Room ------------------------------------------------------------------------------------


def _make_room(bank: Bank, *, reset: bool, beside_real: bool) -> None:
    """Refuse, or delete the earlier demonstration and nothing else."""
    demo_people = User.objects.filter(matricule__startswith=DEMO_MATRICULE)
    demo_epreuves = Epreuve.objects.filter(reference_externe__startswith=DEMO_REFERENCE)
    # Superusers do not fill a bank: the first one exists before its first épreuve.
    real_people = User.objects.filter(is_superuser=False).exclude(pk__in=demo_people)
    real_epreuves = Epreuve.objects.exclude(pk__in=demo_epreuves)
    if not (reset and beside_real):
        _refuse_real(real_people.count(), real_epreuves.count())
    if not reset:
        _refuse_filled(demo_people.count(), demo_epreuves.count())
    _delete_epreuves(demo_epreuves)
    touched = list(
        Epreuve.objects.filter(
            Q(interactions__user__in=demo_people) | Q(evaluations__user__in=demo_people)
        ).values_list("pk", flat=True)
    )
    demo_people.delete()
    recount(touched)
    _refuse_taken_names(bank)


def _refuse_real(n_people: int, n_epreuves: int) -> None:
    if n_people or n_epreuves:
        raise DemoBankRefused(
            f"La banque contient des données réelles (comptes : {n_people}, épreuves : "
            f"{n_epreuves}). Choisissez une base vide (SQLITE_PATH ou DB_NAME), ou ajoutez --reset "
            "--force : seule la démonstration sera remplacée, avec ce que ses comptes ont fait et "
            "ce qui a été dit de ses épreuves ; tout le reste sera gardé."
        )


def _refuse_filled(n_people: int, n_epreuves: int) -> None:
    if n_people or n_epreuves:
        raise DemoBankRefused(
            f"La banque contient déjà une démonstration (comptes : {n_people}, épreuves : "
            f"{n_epreuves}, interactions : {Interaction.objects.count()}). Ajoutez --reset pour la "
            "remplacer, ou choisissez une base vide (SQLITE_PATH ou DB_NAME)."
        )


def _refuse_taken_names(bank: Bank) -> None:
    names = [person.username for person in (*bank.students, *bank.teachers)]
    taken = User.objects.annotate(lower=Lower("username")).filter(lower__in=names)
    if names := list(taken.values_list("username", flat=True)[:3]):
        raise DemoBankRefused(
            f"Des comptes réels portent déjà les noms de la démonstration ({', '.join(names)}…). "
            "Renommez-les, ou choisissez une base vide (SQLITE_PATH ou DB_NAME)."
        )


def _delete_epreuves(epreuves: QuerySet[Epreuve]) -> None:
    """Their files go only once the deletion can no longer be undone."""
    files = epreuves.values_list("fichier", "fichier_corrige", "vignette")
    names = [name for row in files for name in row if name]
    transaction.on_commit(lambda: _delete_files(names))
    epreuves.delete()


def _delete_files(names: Iterable[str]) -> None:
    for name in names:
        default_storage.delete(name)


@contextmanager
def _files_of_a_failure_removed() -> Iterator[list[str]]:
    """Yields a list for the names of the files written, to be removed if the block fails."""
    names: list[str] = []
    try:
        yield names
    except BaseException:
        _delete_files(names)
        raise


# --- Rows ------------------------------------------------------------------------------------


def _create_people(bank: Bank, *, with_admin: bool) -> tuple[list[User], list[User]]:
    # One hash for all: argon2 is slow on purpose, 211 times over.
    password = make_password(PASSWORD)
    filieres = _nomenclature(Filiere, FILIERES)
    students = [_user(person, Role.ETUDIANT, password, filieres) for person in bank.students]
    teachers = [_user(person, Role.ENSEIGNANT, password, filieres) for person in bank.teachers]
    admin = _user(Person(ADMIN, "", ""), Role.ADMINISTRATEUR, password, filieres)
    User.objects.bulk_create([*students, *teachers, *([admin] if with_admin else [])])
    return students, teachers


def _user(person: Person, role: Role, password: str, filieres: dict[str, Filiere]) -> User:
    return User(
        username=person.username,
        first_name=person.prenom,
        last_name=person.nom,
        password=password,
        role=role,
        is_staff=role == Role.ADMINISTRATEUR,
        is_superuser=role == Role.ADMINISTRATEUR,
        matricule=f"{DEMO_MATRICULE}{person.username}",
        filiere=filieres.get(person.filiere),
        niveau=person.niveau,
        date_joined=OPENING,
    )


def _nomenclature(model: type[Row], names: dict[str, str]) -> dict[str, Row]:
    """The rows of these codes, made where missing, never renamed."""
    rows = [model(code=code, nom=nom) for code, nom in names.items()]
    model._default_manager.bulk_create(rows, ignore_conflicts=True)
    return model._default_manager.in_bulk(names, field_name="code")


def _create_epreuves(
    bank: Bank, teachers: list[User], seed: int, track: Track, files: list[str]
) -> list[Epreuve]:
    filieres = _nomenclature(Filiere, FILIERES)
    matieres = _nomenclature(Matiere, MATIERES)
    epreuves = []
    for number, paper in enumerate(track(bank.papers)):
        epreuve = _epreuve(paper, matieres, filieres, teachers[paper.teacher_idx])
        _attach_sujet(epreuve, demo_pdf.sujet(paper, seed=seed), files)
        if number % CORRIGE_EVERY == 0:
            _attach_corrige(epreuve, demo_pdf.corrige(paper, seed=seed), files)
        epreuves.append(epreuve)
    _set_counters(epreuves, bank.events)
    index_epreuves(Epreuve.objects.bulk_create(epreuves))
    written = Epreuve.objects.filter(reference_externe__startswith=DEMO_REFERENCE)
    written.update(date_modification=F("date_publication"))
    return epreuves


def _epreuve(
    paper: Paper, matieres: dict[str, Matiere], filieres: dict[str, Filiere], teacher: User
) -> Epreuve:
    course, publication = paper.course, _date(paper.publication)
    epreuve = Epreuve(
        titre=paper.titre,
        description=f"{paper.annee_academique}, semestre {course.semestre}. Cours : {course.nom}.",
        matiere=matieres[course.matiere],
        filiere=filieres[course.filiere] if course.filiere else None,
        reference_externe=paper.reference,
        niveau=paper.niveau,
        type_epreuve=paper.type_epreuve,
        session=paper.session,
        semestre=course.semestre,
        annee_academique=paper.annee_academique,
        annee=paper.annee,
        enseignant=teacher,
        depose_par=teacher,
        statut=Statut.PUBLIEE,
        date_creation=publication,
        date_publication=publication,
        nb_pages=1,
    )
    epreuve.texte_recherche = epreuve.searchable_text()
    return epreuve


def _attach_sujet(epreuve: Epreuve, content: bytes, files: list[str]) -> None:
    _store(epreuve.fichier, content, files)
    epreuve.taille_octets = len(content)
    epreuve.sha256 = hashlib.sha256(content).hexdigest()


def _attach_corrige(epreuve: Epreuve, content: bytes, files: list[str]) -> None:
    _store(epreuve.fichier_corrige, content, files)
    epreuve.taille_corrige_octets = len(content)
    epreuve.sha256_corrige = hashlib.sha256(content).hexdigest()


def _store(file: FieldFile, content: bytes, files: list[str]) -> None:
    """Named before it is written, so that a half-written file is removed as well."""
    file.name = file.field.generate_filename(file.instance, "epreuve.pdf")
    files.append(file.name)
    default_storage.save(file.name, ContentFile(content))


def _set_counters(epreuves: list[Epreuve], events: Events) -> None:
    n = len(epreuves)
    views = _counts(events.item_idx[events.kind == synthetic.VUE], n)
    downloads = _counts(events.item_idx[events.kind == synthetic.TELECHARGEMENT], n)
    evaluations = _counts(events.item_idx[events.kind == synthetic.EVALUATION], n)
    difficulte = _counts(events.item_idx, n, events.note_difficulte)
    pertinence = _counts(events.item_idx, n, events.note_pertinence)
    for idx, epreuve in enumerate(epreuves):
        epreuve.nb_vues = views[idx]
        epreuve.nb_telechargements = downloads[idx]
        epreuve.nb_evaluations = evaluations[idx]
        epreuve.somme_difficulte = difficulte[idx]
        epreuve.somme_pertinence = pertinence[idx]


def _counts(rows: Ints, n: int, values: Ints | None = None) -> list[int]:
    return [int(total) for total in np.bincount(rows, values, minlength=n)]


def _create_events(events: Events, students: list[User], papers: list[Epreuve]) -> None:
    interactions, evaluations, commentaires = [], [], []
    for idx, kind in enumerate(events.kind):
        user, epreuve = students[events.user_idx[idx]], papers[events.item_idx[idx]]
        date = _date(int(events.timestamps[idx]))
        interactions.append(
            Interaction(
                user=user,
                epreuve=epreuve,
                type_interaction=synthetic.KINDS[kind],
                date=date,
                fenetre=fenetre_of(date),
            )
        )
        if kind == synthetic.EVALUATION:
            evaluations.append(
                Evaluation(
                    user=user,
                    epreuve=epreuve,
                    note_difficulte=int(events.note_difficulte[idx]),
                    note_pertinence=int(events.note_pertinence[idx]),
                    date_creation=date,
                )
            )
        elif kind == synthetic.COMMENTAIRE:
            commentaires.append(
                Commentaire(
                    auteur=user, epreuve=epreuve, contenu=events.texts[idx], date_creation=date
                )
            )
    Interaction.objects.bulk_create(interactions, batch_size=BATCH)
    Evaluation.objects.bulk_create(evaluations, batch_size=BATCH)
    Commentaire.objects.bulk_create(commentaires, batch_size=BATCH)
    Evaluation.objects.filter(epreuve__in=papers).update(date_modification=F("date_creation"))
    Commentaire.objects.filter(epreuve__in=papers).update(date_modification=F("date_creation"))


def _date(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
