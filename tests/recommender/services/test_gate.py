"""Which candidates the gate lets in: trained for real, on a bank that has what it takes."""

import dataclasses
import datetime as dt

import numpy as np
import pytest
from django.conf import settings
from django.utils import timezone

from apps.core.models import Interaction
from apps.recommender.ml import data_loader
from apps.recommender.ml.comparison import Difference
from apps.recommender.ml.hybrid import Hybrid
from apps.recommender.models import ActivationModele, ModelMetadata, TrainingLog
from apps.recommender.services import gate, training
from apps.recommender.services.activation import activate
from apps.recommender.services.demo_bank import create_demo_bank
from apps.recommender.services.gate import Comparison
from tests.recommender.conftest import CONFIG

pytestmark = pytest.mark.django_db

BEATS = {"intervalle_gain_ndcg_at_10": [0.01, 0.2]}


def active():
    return ModelMetadata.objects.get(est_actif=True).version


def mix_up(monkeypatch, share):
    """From now on what is fitted gives that share of the épreuves the scores of others."""
    fit, scores_of = Hybrid.fit, Hybrid.scores_of

    def fit_mixed_up(self, data, *args, **options):
        fit(self, data, *args, **options)
        rng = np.random.default_rng(0)
        mixed = np.flatnonzero(rng.random(data.n_items) < share)
        self.place = np.arange(data.n_items)
        self.place[mixed] = rng.permutation(mixed)

    def mixed_up(self, students):
        scores = scores_of(self, students)
        return scores[:, self.place] if hasattr(self, "place") else scores

    monkeypatch.setattr(Hybrid, "fit", fit_mixed_up)
    monkeypatch.setattr(Hybrid, "scores_of", mixed_up)


@pytest.mark.parametrize(("low", "refused"), [(0.0001, False), (0.0, True), (-0.01, True)])
def test_a_gain_over_popularity_must_be_established(low, refused):
    said = gate._beside_popularity({"intervalle_gain_ndcg_at_10": [low, 0.2]})
    assert bool(said) is refused


@pytest.mark.parametrize(
    ("mean", "high", "refused"),
    [(0.1, 0.2, False), (-0.02, 0.01, False), (-0.09, -0.02, False), (-0.09, -0.04, True)],
)
def test_only_what_is_surely_worse_than_the_margin_is_refused(mean, high, refused, settings):
    settings.MODELE_MARGE_NDCG = 0.03
    difference = Difference(mean, 2 * mean - high, high, 100, 300)
    said = gate._beside_active(Comparison("v1", difference))
    assert bool(said) is refused
    if refused:
        assert "v1" in said
        assert "300 interactions" in said
        assert "MODELE_MARGE_NDCG" in said


@pytest.fixture
def demo(db):
    """A made bank whose active model knows all but the newest tenth: about 300 pairs."""
    create_demo_bank(users=100, epreuves=100, interactions=6000, seed=42, reset=False)
    dates = Interaction.objects.order_by("date").values_list("date", flat=True)
    newest = dates[int(len(dates) * 0.9)]
    late = Interaction.objects.filter(date__gt=newest)
    held = list(late.values())
    late.delete()
    config = dataclasses.replace(CONFIG, epochs=2, embedding_dim=16)
    training.train(config, version="v1")
    Interaction.objects.bulk_create(Interaction(**row) for row in held)
    return config


def test_a_shuffled_model_is_refused_with_its_reason(demo, monkeypatch):
    mix_up(monkeypatch, share=1)
    model = training.train(demo, version="v2").model
    assert (model.eligible, model.est_actif, active()) == (False, False, "v1")
    assert "Rien n'établit qu'il fait mieux que la popularité" in model.motif_refus
    assert (settings.ML_MODELS_DIR / "v2").is_dir()


def test_only_who_is_as_good_takes_the_place_of_the_active_one(demo, monkeypatch):
    with monkeypatch.context() as half:
        mix_up(half, share=0.2)
        model = training.train(demo, version="v2").model
    told = model.fiche["comparaison"]
    assert (told["version"], told["interactions"] >= 200) == ("v1", True)
    assert model.metriques["intervalle_gain_ndcg_at_10"][0] > 0  # better than popularity
    assert "Moins bon que le modèle actif v1" in model.motif_refus
    assert (model.eligible, active()) == (False, "v1")
    honest = training.train(demo, version="v3").model
    assert honest.fiche["comparaison"]["version"] == "v1"
    assert (honest.motif_refus, active()) == ("", "v3")


def test_on_the_same_data_both_are_compared_as_they_were_measured(demo, monkeypatch):
    good = training.train(demo, version="v2").model
    assert good.est_actif
    with monkeypatch.context() as half:
        mix_up(half, share=0.2)
        worse = training.train(demo, version="v3").model
    told = worse.fiche["comparaison"]
    assert (told["version"], told["meme_test"]) == ("v2", True)
    gap = worse.metriques["ndcg_at_10"] - good.metriques["ndcg_at_10"]
    assert told["difference"] == pytest.approx(gap, abs=1e-5)
    assert worse.metriques["intervalle_gain_ndcg_at_10"][0] > 0  # better than popularity
    assert "Moins bon que le modèle actif v2" in worse.motif_refus
    assert "les mêmes pour les deux" in worse.motif_refus
    assert (worse.eligible, active()) == (False, "v2")
    same = training.train(demo, version="v4").model
    assert (same.fiche["comparaison"]["difference"], active()) == (0, "v4")


def test_a_model_of_before_its_measures_were_kept_is_not_compared_with(trained):
    ModelMetadata.objects.update(ndcg_par_etudiant=[])
    model = training.train(CONFIG, version="v2").model
    assert "n'ont pas été gardées" in model.fiche["comparaison"]["raison"]
    assert active() == "v2"


def test_too_few_interactions_leave_the_popularity_rule_alone(trained):
    model = training.train(CONFIG, version="v2").model
    assert model.fiche["comparaison"]["raison"].startswith("mêmes données, mais")
    assert "difference" not in model.fiche["comparaison"]
    assert any("Pas comparé au modèle actif v1" in limit for limit in model.fiche["limites"])
    assert active() == "v2"


def test_an_active_model_whose_files_are_corrupt_is_not_compared_with(trained, monkeypatch):
    monkeypatch.setattr(gate, "MIN_INTERACTIONS", 1)
    old = timezone.now() - dt.timedelta(days=300)
    ModelMetadata.objects.update(derniere_interaction=old)
    TrainingLog.objects.update(empreinte_donnees="d'un autre jour")
    (settings.ML_MODELS_DIR / "v1" / "weights.safetensors").write_bytes(b"")
    model = training.train(CONFIG, version="v2").model
    assert "inutilisable" in model.fiche["comparaison"]["raison"]
    assert active() == "v2"


def test_a_model_of_before_says_no_more_than_when_its_training_began(trained):
    ModelMetadata.objects.update(derniere_interaction=None)
    model = ModelMetadata.objects.get()
    assert model.learnt_until == model.training_log.debut


def test_a_verdict_holds_only_beside_the_model_it_was_said_of(trained, monkeypatch):
    """Somebody goes back to another one while the last weeks are being learnt."""
    training.train(CONFIG, version="v2")
    whole = data_loader.whole

    def meanwhile(*args):
        activate(ModelMetadata.objects.get(version="v1"), declencheur="admin")
        return whole(*args)

    monkeypatch.setattr(data_loader, "whole", meanwhile)
    model = training.train(CONFIG, version="v3").model
    assert active() == "v1"
    assert "v1 sert, et non plus v2" in model.motif_refus
    assert ActivationModele.objects.count() == 3
