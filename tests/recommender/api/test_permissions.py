"""The administration and the API let the same people see, train and put in service."""

import pytest
from django.contrib.auth.models import Permission

from apps.core.models import User
from tests.factories import ModelMetadataFactory, TrainingLogFactory, UserFactory

pytestmark = pytest.mark.django_db

ADMIN, API = "/admin/recommender", "/api/recommendations"
SEE_RUNS, TRAIN, STOP, SEE_MODELS, ACTIVATE, BACK, JOURNAL = ACTS = (
    "see the runs",
    "train",
    "stop",
    "see the models",
    "activate",
    "go back",
    "see the journal",
)
SEES = {"view_traininglog": SEE_RUNS, "view_modelmetadata": SEE_MODELS}
ALL = ("view_activationmodele", "add_traininglog", "change_modelmetadata", *SEES)


def person(role, *rights):
    user = UserFactory(role=role, is_superuser=False)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    assert user.user_permissions.count() == len(rights)
    return User.objects.get(pk=user.pk)


@pytest.fixture
def run(db):
    return TrainingLogFactory(version="v1")


@pytest.fixture
def model(run):
    return ModelMetadataFactory(chemin="v1", training_log=run)


def is_let_in(answer):
    """Whether or not what it asks for is possible."""
    to_the_door = answer.status_code == 302 and answer["Location"].startswith("/admin/login/")
    return answer.status_code not in (401, 403) and not to_the_door


@pytest.fixture
def asked(client, api, run, model):
    """Both answers to each act; none has an effect, allowed or not."""

    def answers_to(user):
        client.force_login(user)
        of_api, models, runs = api(user), f"{ADMIN}/modelmetadata/", f"{ADMIN}/traininglog/"
        trainings = f"{API}/entrainements/"
        return {
            SEE_RUNS: (client.get(runs), of_api.get(trainings)),
            TRAIN: (
                client.post(f"{runs}entrainer/", {"epochs": 0}),
                of_api.post(trainings, {"epochs": 0}),
            ),
            STOP: (
                client.post(f"{runs}{run.pk}/annuler/"),
                of_api.post(f"{trainings}{run.pk}/annuler/"),
            ),
            SEE_MODELS: (client.get(models), of_api.get(f"{API}/modeles/")),
            ACTIVATE: (
                client.post(f"{models}{model.pk}/activer/"),
                of_api.post(f"{API}/modeles/v1/activer/"),
            ),
            BACK: (client.post(f"{models}revenir/"), of_api.post(f"{API}/modeles/revenir/")),
            JOURNAL: (client.get(f"{ADMIN}/activationmodele/"), of_api.get(f"{API}/activations/")),
        }

    return answers_to


@pytest.mark.parametrize(
    ("role", "rights", "acts"),
    [
        ("administrateur", ALL, ACTS),
        ("administrateur", (), ()),
        ("administrateur", SEES, tuple(SEES.values())),
        ("administrateur", ("add_traininglog",), (TRAIN, STOP)),
        # As everywhere in Django's administration, who may change a thing may see it.
        ("administrateur", ("change_modelmetadata",), (SEE_MODELS, ACTIVATE, BACK)),
        ("administrateur", ("view_activationmodele",), (JOURNAL,)),
        ("enseignant", ALL, ()),
        ("etudiant", ALL, ()),
    ],
)
def test_a_right_opens_the_same_in_the_administration_and_in_the_api(asked, role, rights, acts):
    answers = asked(person(role, *rights))
    for which in (0, 1):
        assert {act for act in ACTS if is_let_in(answers[act][which])} == set(acts)


def test_who_has_every_right_by_role_does_it_all_in_both(asked, rachidi):
    assert all(is_let_in(one) for both in asked(rachidi).values() for one in both)
