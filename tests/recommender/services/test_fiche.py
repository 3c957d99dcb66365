import json

import pytest
from django.conf import settings

from apps.recommender.models import ModelMetadata
from apps.recommender.services import training
from tests.factories import UserFactory
from tests.recommender.conftest import CONFIG

pytestmark = pytest.mark.django_db


@pytest.fixture
def fiche(trained):
    return ModelMetadata.objects.get().fiche


def test_the_row_and_the_manifest_hold_the_same_fiche(fiche):
    manifest = json.loads((settings.ML_MODELS_DIR / "v1" / "manifest.json").read_bytes())
    assert manifest["metadata"]["fiche"] == fiche


def test_it_says_what_was_learnt_from(fiche, trained):
    data = fiche["donnees"]
    assert data["empreinte"] == trained.run.empreinte_donnees
    assert (data["etudiants"], data["epreuves"], data["paires"]) == (16, 20, 112)
    assert data["entrainement"] + data["validation"] + data["test"] == 112
    assert data["debut"] < data["fin"]


def test_it_says_what_was_left_out(bank):
    UserFactory(is_active=False)
    UserFactory.create_batch(2, personnalisation=False)
    fiche = training.train(CONFIG).model.fiche
    assert fiche["donnees"]["ecartes"] == {
        "comptes_inactifs": 1,
        "personnalisation_refusee": 2,
        "epreuves_non_publiees": 0,
        "paires_mal_notees": 0,
    }
    assert any("2 comptes ont refusé" in limit for limit in fiche["limites"])


def test_every_figure_stands_with_its_interval(fiche, trained):
    for row in fiche["metriques"]:
        assert row["valeur"] == trained.run.metriques[row["nom"]]
        if row["nom"] not in {"couverture", "rmse"}:
            low, high = row["intervalle"]
            assert low <= row["valeur"] <= high
    assert {row["nom"] for row in fiche["references"]} == set(trained.run.references)
    for row in fiche["references"]:
        low, high = row["intervalle"]
        assert low <= row["gain"] <= high


def test_eleven_students_are_no_two_groups(fiche):
    """Of mathematics or of physics: neither is shown alone."""
    assert fiche["protocole"]["etudiants_mesures"] == 11
    assert {row["groupe"] for row in fiche["tranches"]} <= {"epreuves"}


def test_it_tells_its_limits_in_words(fiche):
    assert any("étudiants seulement" in limit for limit in fiche["limites"])
    assert fiche["comparaison"] is None


def test_nobody_is_named(fiche, bank):
    told = json.dumps(fiche)
    for students in bank.students.values():
        for student in students:
            assert student.username not in told
