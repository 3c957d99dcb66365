"""The life of an épreuve, over the API, with real tokens and a real model."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from apps.core.models import User
from apps.recommender import model_store
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.services import training
from apps.recommender.services.demo_bank import PASSWORD, create_demo_bank
from tests.factories import pdf

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _new_process():
    model_store.reset()
    yield
    model_store.reset()


def signed_in(username: str) -> APIClient:
    client = APIClient()
    tokens = client.post("/api/token/", {"username": username, "password": PASSWORD})
    assert tokens.status_code == 200
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.data['access']}")
    return client


def test_a_paper_is_deposited_published_found_used_and_learnt(client):
    create_demo_bank(users=40, epreuves=60, interactions=2400, seed=42, reset=False)
    teacher, student = signed_in("enseignant1"), signed_in("etudiant1")

    deposited = teacher.post(
        "/api/epreuves/",
        {
            "titre": "Équations différentielles : examen blanc",
            "matiere": "EQUATIONS-DIFFERENTIELLES",
            "niveau": "L3",
            "annee_academique": "2025-2026",
            "fichier": SimpleUploadedFile("sujet.pdf", pdf("journey"), "application/pdf"),
        },
        format="multipart",
    )
    assert deposited.status_code == 201, deposited.data
    epreuve = f"/api/epreuves/{deposited.data['id']}/"
    assert deposited.data["statut"] == "soumise"
    assert student.get(epreuve).status_code == 404

    client.force_login(User.objects.get(username="admin"))
    action = {"action": "publish", "_selected_action": [deposited.data["id"]]}
    assert client.post("/admin/core/epreuve/", action).status_code == 302

    found = student.get("/api/epreuves/", {"search": "EQUATIONS differentielles blanc"})
    assert [row["id"] for row in found.data["results"]] == [deposited.data["id"]]
    similar = student.get(
        "/api/recommendations/similar/", {"epreuve_id": deposited.data["id"], "top_k": 3}
    )
    assert similar.data["source"] == "contenu"
    assert similar.data["recommendations"][0]["epreuve"]["matiere"] == ("EQUATIONS-DIFFERENTIELLES")

    assert student.post(f"{epreuve}view/").status_code == 201
    link = student.post(f"{epreuve}download/").data
    answer = APIClient().get(link["url"])
    assert b"".join(answer.streaming_content) == pdf("journey")
    note = {"epreuve": deposited.data["id"], "note_difficulte": 4, "note_pertinence": 5}
    assert student.post("/api/evaluations/", note).status_code == 201
    comment = {"epreuve": deposited.data["id"], "contenu": "Très bonne épreuve!"}
    assert student.post("/api/commentaires/", comment).status_code == 201
    detail = student.get(epreuve).data
    assert (detail["nb_vues"], detail["nb_telechargements"], detail["nb_evaluations"]) == (1, 1, 1)
    assert detail["deja_vue"] is True

    outcome = training.train(
        TrainingConfig(epochs=12, batch_size=64, embedding_dim=16, learning_rate=0.005)
    )
    assert outcome.model.est_actif
    recommended = student.get("/api/recommendations/personalized/").data
    assert (recommended["source"], recommended["count"]) == ("ncf", 10)
    ids = [row["epreuve"]["id"] for row in recommended["recommendations"]]
    assert deposited.data["id"] not in ids
    assert student.get("/api/recommendations/status/").data["nb_epreuves"] == 61
