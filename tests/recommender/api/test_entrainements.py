import dataclasses
import os

import pytest
import torch
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from apps.recommender.ml.config import TrainingConfig
from apps.recommender.models import TrainingLog
from apps.recommender.services import training, training_runs
from tests.recommender.conftest import CONFIG

pytestmark = pytest.mark.django_db

URL = "/api/recommendations/entrainements/"


@pytest.fixture
def office(api, rachidi):
    return api(rachidi)


@pytest.fixture
def living(db):
    """A run of another process of this machine."""
    return TrainingLog.objects.create(hote=os.uname().nodename, pid=os.getpid())


@pytest.fixture
def broken(bank):
    def full(entry):
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        training.train(CONFIG, version="v1", on_epoch=full)
    return TrainingLog.objects.get()


def detail_of(answer):
    (error,) = answer.json()["errors"]
    return error["attr"], error["detail"]


def test_a_training_is_asked_for_and_says_where_to_follow_it(queue, office, rachidi):
    answer = office.post(URL, {"architecture": "neumf", "epochs": 3, "version": "v1"})
    run = TrainingLog.objects.get()
    assert answer.status_code == 202
    assert answer.json() == {"id": run.pk, "statut": "en_attente", "version": "v1"}
    assert answer["Location"] == f"{URL}{run.pk}/"
    assert run.hyperparametres == dataclasses.asdict(TrainingConfig("neumf", epochs=3))
    assert (run.declencheur, run.lance_par) == ("api", rachidi)
    assert DBTaskResult.objects.count() == 1


without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@pytest.mark.parametrize(
    ("body", "attr", "said"),
    [
        ({"epochs": 0}, "epochs", "supérieure ou égale à"),
        ({"learning_rate": 2}, "learning_rate", "donnez un nombre plus grand que 0"),
        ({"learning_rate": True}, "learning_rate", "Un nombre valide est requis"),
        ({"architecture": "magie"}, "architecture", "n'est pas un choix valide"),
        ({"pretraining": True}, "pretraining", "ne vaut que pour neumf"),
        ({"epoch": 3}, "epoch", "Option inconnue : choisissez parmi architecture, epochs"),
        ({"version": "../x"}, "version", "ne peut nommer un modèle"),
        pytest.param({"device": "cuda"}, "device", "l'appareil cpu", marks=without_cuda),
    ],
)
def test_an_option_that_makes_no_sense_is_named_and_starts_nothing(office, body, attr, said):
    answer = office.post(URL, body)
    assert answer.status_code == 400
    named, detail = detail_of(answer)
    assert named == attr
    assert said in detail
    assert not TrainingLog.objects.exists()


def test_a_second_training_is_refused_while_one_lives_or_waits(queue, office, living):
    answer = office.post(URL, {})
    assert answer.status_code == 409
    assert "attendez sa fin" in detail_of(answer)[1]
    TrainingLog.objects.update(statut="termine", fin=timezone.now())
    assert office.post(URL, {}).status_code == 202
    assert office.post(URL, {}).status_code == 409


def test_a_training_shows_its_epochs_and_a_list_does_not(office, trained):
    run = office.get(f"{URL}{trained.run.pk}/").json()
    assert run["statut"] == "termine"
    assert len(run["historique"]) == run["epoch_courante"] + 1
    assert run["metriques"]["ndcg_at_10"] > 0
    (line,) = office.get(URL).json()["results"]
    assert "historique" not in line
    assert line["hyperparametres"]["epochs"] == CONFIG.epochs


def test_a_list_needs_no_query_per_run(office, rachidi, django_assert_num_queries):
    for _ in range(5):
        TrainingLog.objects.create(
            statut="annule", fin=timezone.now(), lance_par=rachidi, arret_demande_par=rachidi
        )
    office.get(URL)
    with django_assert_num_queries(2):
        (first, *others) = office.get(URL).json()["results"]
    assert (first["lance_par"], first["arret_demande_par"], len(others)) == ("rachidi",) * 2 + (4,)


def test_a_training_that_lives_is_asked_to_stop(office, rachidi, living):
    answer = office.post(f"{URL}{living.pk}/annuler/")
    assert (answer.status_code, answer.json()["statut"]) == (202, "en_cours")
    living.refresh_from_db()
    assert living.arret_demande_par == rachidi


def test_a_training_that_waits_is_stopped(queue, office):
    pk = office.post(URL, {}).json()["id"]
    assert office.post(f"{URL}{pk}/annuler/").json()["statut"] == "annule"
    assert office.post(f"{URL}{pk}/annuler/").status_code == 409


def test_a_training_that_stopped_is_resumed_once(queue, office, broken):
    assert office.get(f"{URL}{broken.pk}/").json()["peut_reprendre"] is True
    answer = office.post(f"{URL}{broken.pk}/reprendre/")
    assert (answer.status_code, answer.json()["statut"]) == (202, "en_attente")
    assert answer["Location"] == f"{URL}{broken.pk}/"
    assert office.post(f"{URL}{broken.pk}/reprendre/").status_code == 409
    assert office.get(f"{URL}{broken.pk}/").json()["reprises"] == 1


def test_a_training_whose_data_are_gone_says_why_it_cannot_be_resumed(office, broken):
    training_runs.discard(broken)
    answer = office.post(f"{URL}{broken.pk}/reprendre/")
    assert answer.status_code == 409
    assert "Lancez-en un autre" in detail_of(answer)[1]


def test_a_training_that_is_not_there_is_404(office):
    assert office.get(f"{URL}77/").status_code == 404
    assert office.post(f"{URL}77/annuler/").status_code == 404
