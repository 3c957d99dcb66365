import socket
import subprocess
import sys

import pytest
from django.conf import settings

from apps.core.models import TypeInteraction
from apps.recommender import telemetry
from apps.recommender.models import TrainingLog
from apps.recommender.services.recommendations import REPLIS
from tests.factories import (
    CommentaireFactory,
    EpreuveFactory,
    EvaluationFactory,
    UserFactory,
    seen,
)

pytestmark = pytest.mark.django_db

PERSONALIZED = "/api/recommendations/personalized/"
SIMILAR = "/api/recommendations/similar/"
STATUS, STATS = "/api/recommendations/status/", "/api/recommendations/stats/"


def test_without_a_model_the_status_says_so(api, awa):
    data = api(awa).get(STATUS).data
    assert (data["statut"], data["version_modele"], data["metriques"]) == ("aucun_modele", None, {})
    assert data["entrainement_en_cours"] is False


def test_the_status_describes_the_model_that_serves(trained, bank, api, awa):
    data = api(awa).get(STATUS).data
    assert (data["statut"], data["version_modele"], data["architecture"]) == (
        "pret",
        "v1",
        "hybrid",
    )
    assert (data["nb_utilisateurs"], data["nb_epreuves"], data["appareil"]) == (16, 20, "cpu")
    assert {"rmse", "precision_at_10", "recall_at_10", "ndcg_at_10"} <= set(data["metriques"])
    assert data["cache"]["disponible"] is True
    assert data["cache"]["type"] == ("redis" if settings.REDIS_URL else "memoire")


def test_a_model_whose_files_are_gone_is_said_to_be_degraded(trained, api, awa, settings):
    (settings.ML_MODELS_DIR / "v1" / "manifest.json").unlink()
    data = api(awa).get(STATUS).data
    assert (data["statut"], data["version_modele"]) == ("degrade", None)


def test_a_running_training_shows(api, awa):
    TrainingLog.objects.create(hote="elsewhere", pid=1)
    assert api(awa).get(STATUS).data["entrainement_en_cours"] is True


def test_a_killed_training_does_not(api, awa):
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    TrainingLog.objects.create(hote=socket.gethostname(), pid=child.pid)
    assert api(awa).get(STATUS).data["entrainement_en_cours"] is False


def test_statistics_equal_what_the_cast_did(api, awa, koffi, mme_dossou):
    first, second, *_ = EpreuveFactory.create_batch(4)
    EpreuveFactory(statut="archivee")
    seen(awa, first, second)
    seen(awa, first, type_interaction=TypeInteraction.TELECHARGEMENT)
    seen(koffi, first)
    seen(koffi, second, days_ago=40)
    seen(mme_dossou, second)
    EvaluationFactory(user=awa, epreuve=first)
    CommentaireFactory(auteur=awa, epreuve=first)
    CommentaireFactory(auteur=koffi, epreuve=first, statut="masque")

    assert api(awa).get(STATS).data == {
        "jours": 30,
        "totaux": {
            "etudiants": 2,
            "epreuves": 4,
            "interactions": 6,
            "evaluations": 1,
            "commentaires": 1,
        },
        "interactions_par_type": {
            "vue": 4,
            "telechargement": 1,
            "favori": 0,
            "evaluation": 0,
            "commentaire": 0,
        },
        # Awa and Koffi met two épreuves each, of the 2 x 4 there are.
        "densite": 0.5,
        "couverture_catalogue": None,
        "taux_cache": None,
        "requetes_par_source": dict.fromkeys(
            ("ncf", "historique", "contenu", "profil", "populaires", "recentes", "aucune"), 0
        ),
        "replis": dict.fromkeys(REPLIS, 0),
        "latence_ms": {"p50": None, "p95": None},
        "telemetrie_disponible": True,
        "clics": {"par_source": [], "par_rang": []},
    }


def test_a_longer_period_counts_older_interactions(api, awa):
    seen(awa, EpreuveFactory(), days_ago=40)
    assert api(awa).get(STATS).data["interactions_par_type"]["vue"] == 0
    assert api(awa).get(STATS, {"jours": 50}).data["interactions_par_type"]["vue"] == 1


def test_administrators_see_every_version(trained, api, rachidi, awa):
    assert "modeles" not in api(awa).get(STATS).data
    data = api(rachidi).get(STATS).data
    assert [model["version"] for model in data["modeles"]] == ["v1"]
    assert 0 < data["couverture_catalogue"] <= 1


def test_statistics_tell_what_was_served_from_where_and_how_fast(trained, bank, api, rachidi):
    student, newcomer = bank.students["MATH"][0], UserFactory()
    for _ in range(4):
        api(student).get(PERSONALIZED)
    api(newcomer).get(PERSONALIZED)
    api(newcomer).get(SIMILAR, {"epreuve_id": bank.epreuves["MATH"][0].pk})
    api(newcomer).get(SIMILAR, {"epreuve_id": EpreuveFactory().pk})
    data = api(rachidi).get(STATS).data
    counted = data["requetes_par_source"]
    assert sum(counted.values()) == 7
    assert (counted["ncf"], counted["contenu"]) == (5, 1)
    assert data["taux_cache"] == round(3 / 7, 4)
    assert 0 < data["latence_ms"]["p50"] <= data["latence_ms"]["p95"] < 60_000
    assert data["telemetrie_disponible"] is True
    assert data["modeles"][0]["requetes"] == 7


def test_statistics_tell_why_the_model_did_not_answer_alone(trained, bank, api, rachidi):
    """Each reason once, the cached answers of one question too."""
    student, newcomer, shy = bank.students["MATH"][0], UserFactory(), UserFactory()
    shy.personnalisation = False
    api(student).get(PERSONALIZED, {"top_k": 3})  # The model alone: no reason.
    for _ in range(2):
        api(newcomer).get(PERSONALIZED)
    api(shy).get(PERSONALIZED)
    fresh = EpreuveFactory(matiere=bank.epreuves["MATH"][0].matiere)
    api(student).get(SIMILAR, {"epreuve_id": fresh.pk})
    counted = api(rachidi).get(STATS).data["replis"]
    assert counted == dict.fromkeys(REPLIS, 0) | {
        "sans_historique": 2,
        "personnalisation_refusee": 1,
        "epreuve_inconnue": 1,
    }


@pytest.mark.parametrize(("asked", "reason"), [({"niveau": "M2"}, "filtres"), ({}, None)])
def test_filters_that_leave_the_model_nothing_are_a_reason(trained, bank, api, awa, asked, reason):
    student = bank.students["MATH"][0]
    api(student).get(PERSONALIZED, {"top_k": 5} | asked)
    counted = api(awa).get(STATS).data["replis"]
    assert [name for name, count in counted.items() if count] == [reason] * bool(reason)


def test_without_a_model_each_answer_says_so(api, awa):
    EpreuveFactory()
    api(awa).get(PERSONALIZED)
    assert api(awa).get(STATS).data["replis"]["aucun_modele"] == 1


def test_a_model_that_cannot_be_loaded_is_another_reason(trained, bank, api, settings):
    (settings.ML_MODELS_DIR / "v1" / "manifest.json").unlink()
    client = api(bank.students["MATH"][0])
    client.get(PERSONALIZED)
    assert client.get(STATS).data["replis"]["modele_degrade"] == 1


def test_an_answer_without_a_recommendation_has_no_source(api, awa):
    api(awa).get(PERSONALIZED)
    assert api(awa).get(STATS).data["requetes_par_source"]["aucune"] == 1


def test_a_refused_request_is_not_counted(api, awa):
    api(awa).get(PERSONALIZED, {"top_k": 0})
    api(awa).get(SIMILAR, {"epreuve_id": 1})
    assert sum(api(awa).get(STATS).data["requetes_par_source"].values()) == 0


def test_without_redis_statistics_say_that_they_do_not_know(api, awa, monkeypatch):
    monkeypatch.setattr(telemetry, "served", lambda days: None)
    data = api(awa).get(STATS).data
    assert data["telemetrie_disponible"] is False
    assert (data["taux_cache"], data["latence_ms"]["p95"]) == (None, None)


@pytest.mark.parametrize("days", ["0", "3651", "x"])
def test_a_period_that_makes_no_sense_is_a_400(api, awa, days):
    assert api(awa).get(STATS, {"jours": days}).status_code == 400


def test_the_number_of_queries_does_not_grow(api, awa, django_assert_max_num_queries):
    seen(awa, *EpreuveFactory.create_batch(8))
    UserFactory.create_batch(4)
    with django_assert_max_num_queries(12):
        api(awa).get(STATS)


@pytest.mark.parametrize("url", [STATUS, STATS])
def test_both_need_a_token(anyone, db, url):
    assert anyone.get(url).status_code == 401


def test_the_status_takes_no_parameter(api, awa):
    assert api(awa).get(STATUS, {"jours": 3}).status_code == 400
