"""Rows with sensible values; a test names only what it is about."""

import datetime as dt
import hashlib
from io import BytesIO
from typing import Any

import factory
from django.core.files.base import ContentFile
from django.utils import timezone
from factory.django import DjangoModelFactory
from fpdf import FPDF
from pypdf import PdfWriter

from apps.core.models import (
    Commentaire,
    Epreuve,
    Evaluation,
    Favori,
    Filiere,
    Interaction,
    Matiere,
    Role,
    Signalement,
    Statut,
    TypeInteraction,
    User,
    fenetre_of,
)
from apps.core.review import Action
from apps.core.services.epreuves import move_epreuve
from apps.core.services.search_index import index_epreuves
from apps.recommender.models import ModelMetadata, TrainingLog

PASSWORD = "un-mot-de-passe-solide"


def pdf(mark: str = "") -> bytes:
    """A one-page PDF whose hash differs with its mark."""
    writer = PdfWriter()
    writer.add_blank_page(595, 842)
    writer.add_metadata({"/Title": mark})
    stream = BytesIO()
    writer.write(stream)
    return stream.getvalue()


def text_pdf(*pages: str) -> bytes:
    """A PDF whose pages say that."""
    document = FPDF()
    document.set_font("helvetica")
    for page in pages:
        document.add_page()
        document.multi_cell(0, text=page)
    return bytes(document.output())


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

    class Params:
        # For a list that might ask once a row: none of them shares what it names.
        apart = factory.Trait(
            matiere=factory.SubFactory(MatiereFactory, code=factory.Sequence("M{}".format)),
            filiere=factory.SubFactory(FiliereFactory, code=factory.Sequence("F{}".format)),
            enseignant=factory.SubFactory(UserFactory, role=Role.ENSEIGNANT),
        )

    titre = factory.Sequence(lambda n: f"Épreuve numéro {n}")
    matiere = factory.SubFactory(MatiereFactory)
    filiere = factory.SubFactory(FiliereFactory)
    niveau = "L2"
    annee = 2024
    annee_academique = "2023-2024"
    statut = Statut.PUBLIEE
    motif_rejet = factory.LazyAttribute(
        lambda row: "Page 2 illisible." if row.statut == Statut.REJETEE else ""
    )
    date_publication = factory.LazyAttribute(
        lambda row: timezone.now() if row.statut == Statut.PUBLIEE else None
    )

    @classmethod
    def _create(cls, *args: Any, **kwargs: Any) -> Epreuve:
        epreuve = super()._create(*args, **kwargs)
        index_epreuves([epreuve])
        return epreuve


class InteractionFactory(DjangoModelFactory[Interaction]):
    class Meta:
        model = Interaction

    user = factory.SubFactory(UserFactory)
    epreuve = factory.SubFactory(EpreuveFactory)
    type_interaction = TypeInteraction.VUE
    date = factory.LazyFunction(timezone.now)
    fenetre = factory.LazyAttribute(lambda row: fenetre_of(row.date))


class FavoriFactory(DjangoModelFactory[Favori]):
    class Meta:
        model = Favori

    user = factory.SubFactory(UserFactory)
    epreuve = factory.SubFactory(EpreuveFactory)


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


class SignalementFactory(DjangoModelFactory[Signalement]):
    class Meta:
        model = Signalement

    commentaire = factory.SubFactory(CommentaireFactory)
    user = factory.SubFactory(UserFactory)
    motif = "Hors sujet."


class TrainingLogFactory(DjangoModelFactory[TrainingLog]):
    class Meta:
        model = TrainingLog

    statut = "termine"


class ModelMetadataFactory(DjangoModelFactory[ModelMetadata]):
    """A row alone: no file goes with it."""

    class Meta:
        model = ModelMetadata

    version = "v1"
    architecture = "hybrid"
    embedding_dim = 8
    nb_utilisateurs = 1
    nb_epreuves = 1
    taille_octets = 1
    training_log = factory.SubFactory(TrainingLogFactory)


def moved(epreuve: Epreuve, action: Action, **more: Any) -> Epreuve:
    """By an administrator."""
    return move_epreuve(epreuve, action, par=UserFactory(role=Role.ADMINISTRATEUR), **more)


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
