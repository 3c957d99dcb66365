"""What the model does not know, or knows and is no more: each is a 200, and never a ghost."""

import shutil
from collections.abc import Callable

import pytest
from django.conf import settings

from apps.core.models import Epreuve, Interaction, Role, Statut, User
from apps.core.review import Action
from apps.core.signals import catalogue_changed
from apps.recommender import model_store
from apps.recommender.models import ActivationModele, ModelMetadata
from tests.factories import EpreuveFactory, FiliereFactory, UserFactory, moved, seen

pytestmark = pytest.mark.django_db

PERSONALIZED = "/api/recommendations/personalized/"
SIMILAR = "/api/recommendations/similar/"


def newer_students(bank) -> list[User]:
    active = UserFactory(filiere=FiliereFactory(code="MATH"))
    seen(active, *bank.epreuves["PHYS"][:4])
    return [UserFactory(), active]


def newer_epreuves(bank) -> list[User]:
    fresh = [EpreuveFactory(), moved(EpreuveFactory(statut=Statut.SOUMISE), Action.PUBLIER)]
    seen(bank.students["MATH"][0], *fresh)
    return bank.students["MATH"][:2]


def a_newer_student_of_newer_epreuves_alone(bank) -> list[User]:
    student = UserFactory()
    seen(student, *EpreuveFactory.create_batch(3))
    return [student]


def deleted_epreuves(bank) -> list[User]:
    gone = [epreuve.pk for epreuve in bank.epreuves["MATH"][7:]]
    Interaction.objects.filter(epreuve__in=gone).delete()
    Epreuve.objects.filter(pk__in=gone).delete()
    catalogue_changed.send(sender=Epreuve)
    return bank.students["MATH"][:2]


def hidden_epreuves(bank) -> list[User]:
    for epreuve in bank.epreuves["MATH"][7:]:
        moved(epreuve, Action.ARCHIVER)
    return bank.students["MATH"][:2]


def deleted_students(bank) -> list[User]:
    first, *others = bank.students["MATH"]
    for student in others:
        student.delete()
    return [first]


def an_emptied_catalogue(bank) -> list[User]:
    Interaction.objects.all().delete()
    Epreuve.objects.all().delete()
    catalogue_changed.send(sender=Epreuve)
    return bank.students["MATH"][:2]


def a_model_without_files(bank) -> list[User]:
    shutil.rmtree(settings.ML_MODELS_DIR)
    model_store.reset()
    return bank.students["MATH"][:2]


def no_model(bank) -> list[User]:
    ActivationModele.objects.all().delete()
    ModelMetadata.objects.all().delete()
    return bank.students["MATH"][:2]


@pytest.mark.parametrize(
    "happens",
    [
        newer_students,
        newer_epreuves,
        a_newer_student_of_newer_epreuves_alone,
        deleted_epreuves,
        hidden_epreuves,
        deleted_students,
        an_emptied_catalogue,
        a_model_without_files,
        no_model,
    ],
)
def test_what_came_or_went_since_the_training_is_answered_without_a_ghost(
    trained, bank, api, happens: Callable[..., list[User]]
):
    # Once before, for what is kept of an answer to be there.
    for student in (*bank.students["MATH"][:2], *bank.students["PHYS"][:2]):
        assert api(student).get(PERSONALIZED, {"top_k": 100}).status_code == 200
    people = [*happens(bank), *(UserFactory(role=role) for role in Role.values)]
    published = set(Epreuve.objects.published().values_list("pk", flat=True))
    for person in people:
        personal = shown_to(api(person), PERSONALIZED)
        seen_ids = Interaction.objects.filter(user=person).values_list("epreuve", flat=True)
        assert personal == published - set(seen_ids)
        for pk in sorted(published)[::10]:
            assert shown_to(api(person), SIMILAR, epreuve_id=pk) <= published - {pk}


def shown_to(client, path: str, **query: int) -> set[int]:
    answer = client.get(path, {"top_k": 100} | query)
    assert answer.status_code == 200, answer.content
    shown = [one["epreuve"]["id"] for one in answer.data["recommendations"]]
    assert len(shown) == len(set(shown))
    return set(shown)


def test_a_bank_with_nothing_in_it_answers_everyone(db, api):
    for role in Role.values:
        answer = api(UserFactory(role=role)).get(PERSONALIZED)
        assert (answer.status_code, answer.data["count"], answer.data["source"]) == (200, 0, None)
