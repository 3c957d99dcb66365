import datetime as dt

import pytest
from django.utils import timezone

from apps.recommender.charts import training_curves
from apps.recommender.models import ActivationModele, ModelMetadata, TrainingLog

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(client, rachidi):
    client.force_login(rachidi)
    return client


def test_a_run_shows_its_curves_and_its_table(trained, office):
    run = TrainingLog.objects.get()
    page = office.get(f"/admin/recommender/traininglog/{run.pk}/change/").content.decode()
    assert page.count("<polyline") == 3
    assert "popularité" in page
    assert "meilleure epoch" in page


def test_a_model_shows_its_figures(trained, office):
    model = ModelMetadata.objects.get()
    page = office.get(f"/admin/recommender/modelmetadata/{model.pk}/change/").content.decode()
    assert "NDCG@10" in page
    assert model.sha256 in page


@pytest.mark.parametrize("name", ["traininglog", "modelmetadata", "activationmodele"])
def test_lists_are_read_only_and_need_no_query_per_row(
    trained, office, name, django_assert_max_num_queries
):
    with django_assert_max_num_queries(12):
        assert office.get(f"/admin/recommender/{name}/").status_code == 200
    assert office.get(f"/admin/recommender/{name}/add/").status_code == 403


@pytest.mark.parametrize("model", [TrainingLog, ModelMetadata, ActivationModele])
def test_nobody_changes_what_training_wrote(trained, office, model):
    name, row = model._meta.model_name, model.objects.get()
    url = f"/admin/recommender/{name}/{row.pk}"
    assert office.post(f"{url}/change/", {"statut": "annule"}).status_code == 403
    assert office.post(f"{url}/delete/", {"post": "yes"}).status_code == 403


def test_a_failed_run_has_a_page_too(office, db):
    run = TrainingLog.objects.create(statut="echoue", erreur="Aucune interaction")
    page = office.get(f"/admin/recommender/traininglog/{run.pk}/change/").content.decode()
    assert "Aucune interaction" in page


@pytest.mark.parametrize(("seconds", "said"), [(31, True), (20, False)])
def test_a_run_that_no_worker_takes_says_how_to_start_one(office, db, seconds, said):
    asked = timezone.now() - dt.timedelta(seconds=seconds)
    run = TrainingLog.objects.create(statut="en_attente", debut=asked)
    for path in ("", f"{run.pk}/change/"):
        page = office.get(f"/admin/recommender/traininglog/{path}").content.decode()
        assert ("python manage.py db_worker" in page) is said, path


def test_a_run_of_one_epoch_is_drawn(db):
    entry = {
        "epoch": 1,
        "loss_entrainement": 0.5,
        "loss_validation": 0.5,
        "ndcg_validation": 0.0,
        "learning_rate": 0.001,
        "secondes": 0.1,
    }
    assert training_curves([entry], 1).count("<circle") == 3
    assert "<td>mlp</td>" in training_curves([{**entry, "phase": "mlp"}], 1)
