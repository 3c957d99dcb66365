import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from apps.core.models import Epreuve, Role, Statut, User
from tests.factories import EpreuveFactory, EvaluationFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_createsuperuser_makes_an_administrator():
    user = User.objects.create_superuser("chef", password="x")
    assert (user.role, user.is_staff) == (Role.ADMINISTRATEUR, True)


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (UserFactory, {"username": "AWA"}),
        (UserFactory, {"username": "kofﬁ"}),
        (UserFactory, {"username": "hélène"}),
        (UserFactory, {"username": "koffi\n"}),
        (UserFactory, {"username": ""}),
        (UserFactory, {"email": "AWA@imsp.test"}),
        (UserFactory, {"is_staff": True}),
        (UserFactory, {"role": Role.ADMINISTRATEUR, "is_staff": False}),
        (UserFactory, {"role": "recteur"}),
        (EpreuveFactory, {"statut": Statut.PUBLIEE, "date_publication": None}),
        (EvaluationFactory, {"note_difficulte": 6}),
        (EvaluationFactory, {"note_pertinence": 0}),
    ],
)
def test_the_database_refuses(awa, make, values):
    with pytest.raises(IntegrityError), transaction.atomic():
        make(**values)


def test_two_people_may_have_no_email():
    UserFactory(email="")
    UserFactory(email="")
    assert User.objects.filter(email="").count() == 2


def test_the_same_file_may_stand_in_the_bank_again_once_archived():
    EpreuveFactory(sha256="a" * 64, statut=Statut.ARCHIVEE)
    EpreuveFactory(sha256="a" * 64)
    with pytest.raises(IntegrityError), transaction.atomic():
        EpreuveFactory(sha256="a" * 64)


@pytest.mark.parametrize("annee", ["2023-2024\n", "２０２３-２０２４", "2023-2025", "2023"])
def test_a_year_is_written_as_two_that_follow(annee):
    with pytest.raises(ValidationError, match="2023-2024"):
        Epreuve(annee_academique=annee).clean_fields(exclude={"titre", "matiere", "date_creation"})
