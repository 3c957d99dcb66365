import dataclasses
import threading

import pytest
from django.db import connection

from apps.recommender import model_store
from apps.recommender.ml.errors import CorruptArtifact
from apps.recommender.models import ActivationModele, ModelMetadata
from apps.recommender.selectors import past_of
from apps.recommender.services import training
from apps.recommender.services.activation import ModelRefused, activate, previous_model
from tests.recommender.conftest import CONFIG

pytestmark = pytest.mark.django_db


@pytest.fixture
def models(trained):
    """v1 served, v2 serves."""
    training.train(CONFIG, version="v2")
    return {model.version: model for model in ModelMetadata.objects.all()}


def active():
    return ModelMetadata.objects.get(est_actif=True).version


def journal():
    rows = ActivationModele.objects.order_by("pk")
    return [
        (row.modele.version, row.precedente and row.precedente.version, row.declencheur)
        for row in rows
    ]


def test_what_training_activates_is_in_the_journal(models):
    assert journal() == [("v1", None, "entrainement"), ("v2", "v1", "entrainement")]


def test_an_activation_says_who_why_and_instead_of_what(models, rachidi):
    row = activate(models["v1"], declencheur="admin", par=rachidi, motif="v2 se répète")
    assert (row.modele, row.precedente) == (models["v1"], models["v2"])
    assert (row.active_par, row.motif, row.declencheur) == (rachidi, "v2 se répète", "admin")
    models["v1"].refresh_from_db()
    assert (models["v1"].active_le, models["v1"].active_par) == (row.active_le, rachidi)
    assert active() == "v1"


def test_the_active_model_is_not_activated_again(models):
    assert activate(models["v2"], declencheur="commande") is None
    assert len(journal()) == 2


def test_previous_goes_back_and_forth(models):
    assert previous_model() == models["v1"]
    activate(models["v1"], declencheur="commande")
    assert previous_model() == models["v2"]


def test_a_refused_model_does_not_serve(models):
    ModelMetadata.objects.filter(version="v1").update(eligible=False, motif_refus="NDCG trop bas.")
    models["v1"].refresh_from_db()
    with pytest.raises(ModelRefused, match="NDCG trop bas"):
        activate(models["v1"], declencheur="commande")
    assert active() == "v2"


def test_a_model_whose_files_changed_does_not_serve(models, settings):
    (settings.ML_MODELS_DIR / "v1" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CorruptArtifact):
        activate(models["v1"], declencheur="commande")
    assert (active(), len(journal())) == ("v2", 2)


def test_a_rollback_gives_every_student_the_same_scores_bit_for_bit(trained, bank):

    def scores():
        model_store.reset()  # as a process that never saw the model
        predictor = model_store.active_model().predictor
        return [
            [part.tobytes() for part in predictor.user_scores(student.pk, past_of(student))]
            for student in bank.students["MATH"]
        ]

    before = scores()
    training.train(dataclasses.replace(CONFIG, seed=7), version="v2")
    assert scores() != before
    activate(ModelMetadata.objects.get(version="v1"), declencheur="commande")
    assert scores() == before


@pytest.mark.django_db(transaction=True)
def test_activations_at_once_leave_one_active_model_and_a_chain_in_the_journal(models):
    faults = []

    def switch(version):
        try:
            for _ in range(5):
                activate(ModelMetadata.objects.get(version=version), declencheur="commande")
        except Exception as fault:
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=switch, args=(name,)) for name in ("v1", "v2") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    chain = journal()
    assert [before for _, before, _ in chain[1:]] == [version for version, _, _ in chain[:-1]]
    assert chain[-1][0] == active()
