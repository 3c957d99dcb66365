"""Rows with sensible values; a test names only what it is about."""

import datetime as dt
import hashlib
from typing import Any

import factory
from django.core.files.base import ContentFile
from django.utils import timezone
from factory.django import DjangoModelFactory

from apps.core.models import (
    Commentaire,
    Epreuve,
    Evaluation,
    Filiere,
    Interaction,
    Matiere,
    Role,
    Statut,
    TypeInteraction,
    User,
    fenetre_of,
)

PASSWORD = "un-mot-de-passe-solide"

# The smallest thing that every PDF reader opens; a cross-reference entry ends in " n \n".
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj
xref
0 4
0000000000 65535 f
0000000009 00000 n
0000000054 00000 n
0000000105 00000 n
trailer<</Size 4/Root 1 0 R>>
startxref
170
%%EOF
""".replace(b" n\n", b" n \n").replace(b" f\n", b" f \n")


def pdf(mark: str = "") -> bytes:
    """A PDF whose hash differs with its mark."""
    return PDF + f"% {mark}\n".encode()


class FiliereFactory(DjangoModelFactory[Filiere]):
    class Meta:
        model = Filiere
        django_get_or_create = ("code",)

    code = "MATH"
    nom = factory.LazyAttribute(lambda row: f"Filière {row.code}")


class MatiereFactory(DjangoModelFactory[Matiere]):
    class Meta:
        model = Matiere
        django_get_or_create = ("code",)

    code = "ANALYSE"
    nom = factory.LazyAttribute(lambda row: f"Matière {row.code}")


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"etudiant{n}")
    role = Role.ETUDIANT
    is_staff = factory.LazyAttribute(lambda row: row.role == Role.ADMINISTRATEUR)
    is_superuser = factory.LazyAttribute(lambda row: row.role == Role.ADMINISTRATEUR)
    filiere = factory.SubFactory(FiliereFactory)
    niveau = "L2"
    password = factory.django.Password(PASSWORD)


class EpreuveFactory(DjangoModelFactory[Epreuve]):
    class Meta:
        model = Epreuve

    titre = factory.Sequence(lambda n: f"Épreuve numéro {n}")
    matiere = factory.SubFactory(MatiereFactory)
    filiere = factory.SubFactory(FiliereFactory)
    niveau = "L2"
    annee = 2024
    annee_academique = "2023-2024"
    statut = Statut.PUBLIEE
    date_publication = factory.LazyAttribute(
        lambda row: timezone.now() if row.statut == Statut.PUBLIEE else None
    )


class InteractionFactory(DjangoModelFactory[Interaction]):
    class Meta:
        model = Interaction

    user = factory.SubFactory(UserFactory)
    epreuve = factory.SubFactory(EpreuveFactory)
    type_interaction = TypeInteraction.VUE
    date = factory.LazyFunction(timezone.now)
    fenetre = factory.LazyAttribute(lambda row: fenetre_of(row.date))


class EvaluationFactory(DjangoModelFactory[Evaluation]):
    class Meta:
        model = Evaluation

    user = factory.SubFactory(UserFactory)
    epreuve = factory.SubFactory(EpreuveFactory)
    note_difficulte = 3
    note_pertinence = 4


class CommentaireFactory(DjangoModelFactory[Commentaire]):
    class Meta:
        model = Commentaire

    auteur = factory.SubFactory(UserFactory)
    epreuve = factory.SubFactory(EpreuveFactory)
    contenu = "Très bonne épreuve !"


def with_file(epreuve: Epreuve, content: bytes | None = None) -> Epreuve:
    """Give an épreuve a real PDF on disk."""
    content = content or pdf(str(epreuve.pk))
    epreuve.fichier.save("sujet.pdf", ContentFile(content), save=False)
    epreuve.taille_octets = len(content)
    epreuve.sha256 = hashlib.sha256(content).hexdigest()
    epreuve.nb_pages = 1
    epreuve.save()
    return epreuve


def seen(user: User, *epreuves: Epreuve, days_ago: int = 0, **fields: Any) -> None:
    """Record that `user` met each of `epreuves`, past every rule of the services."""
    date = timezone.now() - dt.timedelta(days=days_ago)
    for epreuve in epreuves:
        InteractionFactory(user=user, epreuve=epreuve, date=date, **fields)
