import dataclasses
import json

import pytest
from django.conf import settings

from apps.core.models import Interaction
from apps.recommender.ml import fusion, snapshot
from apps.recommender.ml.errors import TooFewInteractions, TrainingDiverged, VersionExists
from apps.recommender.models import ModelMetadata, StatutEntrainement, TrainingLog
from apps.recommender.services import training, training_runs
from tests.factories import (
    EpreuveFactory,
    EvaluationFactory,
    UserFactory,
    seen,
)
from tests.recommender.conftest import CONFIG

pytestmark = pytest.mark.django_db


def test_a_run_says_all_that_happened(trained):
    run = TrainingLog.objects.get()
    assert run.statut == StatutEntrainement.TERMINE
    assert (run.nb_utilisateurs, run.nb_epreuves, run.nb_interactions) == (16, 20, 112)
    assert run.hyperparametres == dataclasses.asdict(CONFIG)
    assert len(run.empreinte_donnees) == 64
    # Epoch 0 is the first stage alone, before the network learns.
    assert [entry["epoch"] for entry in run.historique] == [*range(run.epoch_courante + 1)]
    assert run.epoch_courante >= 1
    assert 0 <= run.meilleure_epoch <= run.epoch_courante <= run.epoch_totale == CONFIG.epochs
    assert run.fin >= run.debut
    assert set(run.references) == {"aleatoire", "popularite", "knn", "ease", "ials"}
    assert set(run.metriques) == {
        "rmse",
        "precision_at_10",
        "recall_at_10",
        "hr_at_10",
        "ndcg_at_10",
        "map_at_10",
        "couverture",
        "intervalle_gain_ndcg_at_10",
    }


def test_a_better_model_than_popularity_serves_with_its_files(trained):
    model = ModelMetadata.objects.get()
    assert (model.version, model.est_actif, model.eligible) == ("v1", True, True)
    names = {path.name for path in (settings.ML_MODELS_DIR / "v1").iterdir()}
    assert {"manifest.json", "users.json", "weights.safetensors"} <= names
    assert model.taille_octets > 0


def test_a_second_model_takes_the_place_of_the_first(trained):
    training.train(CONFIG, version="v2")
    assert list(ModelMetadata.objects.filter(est_actif=True).values_list("version", flat=True)) == [
        "v2"
    ]


def test_same_data_and_seed_give_the_same_weights(trained):
    training.train(CONFIG, version="v2")
    first, second = (
        (settings.ML_MODELS_DIR / version / "weights.safetensors").read_bytes()
        for version in ("v1", "v2")
    )
    assert first == second


def test_progress_is_told_and_written(bank):
    epochs, steps, rows = [], [], []

    def on_epoch(entry):
        epochs.append(entry["epoch"])
        rows.append(TrainingLog.objects.get().epoch_courante)

    training.train(CONFIG, on_epoch=on_epoch, on_step=lambda done, total: steps.append(done))
    assert epochs == rows == list(range(len(epochs)))
    assert len(epochs) > 1
    assert steps


def test_what_a_run_learns_from_is_on_the_disk_as_long_as_it_lives(bank):
    there = set()

    def look(*progress):
        run = TrainingLog.objects.get()
        there.update(path.name for path in training_runs.folders())
        read, _ = snapshot.read(training_runs.folder_of(run))
        assert read.fingerprint() == run.empreinte_donnees

    training.train(CONFIG, on_step=look)
    assert len(there) == 1
    assert training_runs.folders() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, TrainingDiverged])
def test_a_run_that_ends_badly_leaves_nothing_of_what_it_read(bank, error):
    def stop(*progress):
        assert training_runs.folders()
        raise error

    with pytest.raises(error):
        training.train(CONFIG, on_step=stop)
    assert training_runs.folders() == []


# --- Banks that nothing can be learnt from --------------------------------------------------


def one_student():
    seen(UserFactory(), *EpreuveFactory.create_batch(5), days_ago=9)


def one_epreuve():
    epreuve = EpreuveFactory()
    for n, student in enumerate(UserFactory.create_batch(5)):
        seen(student, epreuve, days_ago=n)


def one_epreuve_each():
    for n in range(12):
        seen(UserFactory(), EpreuveFactory(), days_ago=n)


def all_alike():
    """Everybody took everything in the same order: there is no taste to learn."""
    students, epreuves = UserFactory.create_batch(2), EpreuveFactory.create_batch(12)
    for day, epreuve in enumerate(epreuves):
        for student in students:
            seen(student, epreuve, days_ago=60 - 5 * day)


def all_disliked():
    for student in UserFactory.create_batch(4):
        for n, epreuve in enumerate(EpreuveFactory.create_batch(4)):
            seen(student, epreuve, days_ago=n)
            EvaluationFactory(user=student, epreuve=epreuve, note_pertinence=1)


def all_declined():
    for student in UserFactory.create_batch(4, personnalisation=False):
        for n, epreuve in enumerate(EpreuveFactory.create_batch(4)):
            seen(student, epreuve, days_ago=n)


@pytest.mark.parametrize(
    "fill",
    [
        lambda: None,
        one_student,
        one_epreuve,
        one_epreuve_each,
        all_disliked,
        all_declined,
    ],
)
def test_a_bank_with_nothing_to_learn_is_a_clear_error_and_a_failed_run(db, fill):
    fill()
    with pytest.raises(TooFewInteractions) as refusal:
        training.train(CONFIG)
    run = TrainingLog.objects.get()
    assert (run.statut, run.erreur) == (StatutEntrainement.ECHOUE, str(refusal.value))
    assert len(run.erreur) > 40
    assert not ModelMetadata.objects.exists()
    assert not settings.ML_MODELS_DIR.exists()


def test_a_diverging_run_leaves_the_active_model_serving(trained, monkeypatch):
    monkeypatch.setattr(fusion, "WEIGHT_DECAY", 1e30)
    with pytest.raises(TrainingDiverged):
        training.train(CONFIG, version="v2")
    assert TrainingLog.objects.first().statut == StatutEntrainement.ECHOUE
    assert ModelMetadata.objects.get(est_actif=True).version == "v1"
    assert not (settings.ML_MODELS_DIR / "v2").exists()


def test_a_disk_that_refuses_the_files_leaves_the_active_model_serving(trained, settings, tmp_path):
    settings.ML_MODELS_DIR = tmp_path / "a file, not a folder"
    settings.ML_MODELS_DIR.write_text("")
    with pytest.raises(OSError, match="a file, not a folder"):
        training.train(CONFIG, version="v2")
    assert "a file, not a folder" in TrainingLog.objects.first().erreur
    assert ModelMetadata.objects.get(est_actif=True).version == "v1"


def test_a_model_no_better_than_popularity_is_kept_but_refused(db):
    all_alike()
    outcome = training.train(CONFIG, version="v1")
    ours = outcome.run.metriques["ndcg_at_10"]
    popular = outcome.run.references["popularite"]["ndcg_at_10"]
    assert ours <= popular
    assert (outcome.model.est_actif, outcome.model.eligible) == (False, False)
    assert "popularité" in outcome.model.motif_refus
    assert (settings.ML_MODELS_DIR / "v1").is_dir()


def test_a_cancelled_run_says_so(bank):
    def cancel(entry):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(CONFIG, on_epoch=cancel)
    assert TrainingLog.objects.get().statut == StatutEntrainement.ANNULE
    assert not ModelMetadata.objects.exists()


def test_a_version_is_never_written_twice(trained):
    with pytest.raises(VersionExists):
        training.train(CONFIG, version="v1")
    assert TrainingLog.objects.count() == 1


def test_a_model_says_how_far_its_data_go(trained):
    newest = Interaction.objects.latest("date").date.replace(microsecond=0)
    assert ModelMetadata.objects.get().derniere_interaction == newest
    manifest = json.loads((settings.ML_MODELS_DIR / "v1" / "manifest.json").read_bytes())
    assert manifest["metadata"]["derniere_interaction"] == newest.timestamp()
