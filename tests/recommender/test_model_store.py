import threading

import pytest
from django.db import OperationalError, connection

from apps.recommender import model_store
from apps.recommender.ml.predictor import Predictor
from apps.recommender.models import ModelMetadata
from apps.recommender.services import training
from apps.recommender.services.activation import activate
from tests.recommender.conftest import CONFIG

pytestmark = pytest.mark.django_db


@pytest.fixture
def loads(monkeypatch):
    """The folders that this process loads models from, in order."""
    seen, load = [], Predictor.load

    def loading(path, **options):
        seen.append(path.name)
        return load(path, **options)

    monkeypatch.setattr(Predictor, "load", loading)
    return seen


def test_a_process_asks_for_the_active_version_once_a_period(
    trained, settings, django_assert_num_queries
):
    settings.MODELE_VERIFICATION_SECONDES = 60
    with django_assert_num_queries(1):
        assert {model_store.active_model().version for _ in range(5)} == {"v1"}


def test_another_version_serves_from_the_next_look_on(trained):
    assert model_store.active_model().version == "v1"
    training.train(CONFIG, version="v2")
    assert model_store.active_model().version == "v2"
    activate(ModelMetadata.objects.get(version="v1"), declencheur="commande")
    assert model_store.active_model().version == "v1"


@pytest.mark.django_db(transaction=True)
def test_threads_that_arrive_together_wait_for_one_load_and_one_look(
    trained, settings, loads, monkeypatch
):
    settings.MODELE_VERIFICATION_SECONDES = 60
    together, served, looks, look = threading.Barrier(8), [], [], model_store._refresh
    monkeypatch.setattr(model_store, "_refresh", lambda: (looks.append(1), look()))

    def serve():
        together.wait()
        served.append(model_store.active_model())
        connection.close()

    threads = [threading.Thread(target=serve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (loads, len(looks)) == (["v1"], 1)
    assert {id(serving) for serving in served} == {id(model_store.active_model())}


@pytest.mark.django_db(transaction=True)
def test_while_a_version_loads_the_old_one_serves(trained, monkeypatch):
    assert model_store.active_model().version == "v1"
    training.train(CONFIG, version="v2")
    loading, go_on = threading.Event(), threading.Event()
    load = Predictor.load

    def slow(path, **options):
        loading.set()
        assert go_on.wait(30)
        return load(path, **options)

    monkeypatch.setattr(Predictor, "load", slow)

    def refresh():
        model_store.active_model()
        connection.close()

    thread = threading.Thread(target=refresh)
    thread.start()
    assert loading.wait(30)
    assert model_store.active_model().version == "v1"
    go_on.set()
    thread.join()
    assert model_store.active_model().version == "v2"


def test_a_warm_process_has_its_model(trained, settings, django_assert_num_queries):
    settings.MODELE_VERIFICATION_SECONDES = 60
    model_store.warm_up()
    with django_assert_num_queries(0):
        assert model_store.active_model().version == "v1"


def test_warming_up_without_a_model_is_nothing(db):
    model_store.warm_up()
    assert model_store.active_model().predictor is None


def test_a_database_that_is_away_leaves_the_loading_to_the_first_request(
    trained, monkeypatch, caplog
):
    def away():
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "ensure_connection", away)
        patch.setattr(connection, "cursor", away)
        model_store.warm_up()
    assert "première requête" in caplog.text
    assert model_store.active_model().version == "v1"
