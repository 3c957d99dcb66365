"""Promises 2 and 3: nobody writes or reads another's; protected fields are not assigned."""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import models
from rest_framework.test import APIClient

from apps.core.models import Commentaire, Epreuve, Evaluation, Statut, User
from tests.factories import (
    PASSWORD,
    CommentaireFactory,
    EpreuveFactory,
    EvaluationFactory,
    FavoriFactory,
    seen,
    with_file,
)

pytestmark = pytest.mark.django_db

MARK = "Zeppelin"
# Who somebody is, what was counted, what was decided: never taken from a body.
FORGED: dict[str, Any] = {
    "id": 999_999,
    "pk": 999_999,
    "user": 999_999,
    "auteur": 999_999,
    "depose_par": 999_999,
    "role": "administrateur",
    "is_staff": True,
    "is_superuser": True,
    "is_active": False,
    "username": "forge",
    "password": "forge",
    "matricule": "FORGE",
    "token_version": 999,
    "version_historique": 999,
    "groups": [1],
    "user_permissions": [1],
    "date_joined": "2001-01-01T00:00:00Z",
    "last_login": "2001-01-01T00:00:00Z",
}
OTHERS = ("anyone", "koffi", "m_zinsou")
# Of Awa, but for the last ones, which are Mme Dossou's.
HERS = (
    "evaluations/{evaluation}/",
    "commentaires/{commentaire}/",
    "evaluations/?user={awa}",
    "moi/?user={awa}",
    "moi/export/?user={awa}",
    "moi/historique/?user={awa}",
    "moi/favoris/?user={awa}",
    "epreuves/{brouillon}/",
    "epreuves/{brouillon}/soumettre/",
    "epreuves/{brouillon}/download/",
)
BODY = {"contenu": "Forgé", "titre": "Forgé", "note_difficulte": 1, "note_pertinence": 1} | FORGED


def every_row() -> dict[str, list[dict[str, Any]]]:
    """All that the bank holds, but for what every request may leave behind."""
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for model in apps.get_models()
        if model._meta.app_label in {"core", "recommender", "paquets"}
    }


@pytest.fixture
def hers(awa: User, mme_dossou: User) -> dict[str, int]:
    epreuve = EpreuveFactory()
    seen(awa, epreuve)
    FavoriFactory(user=awa, epreuve=epreuve)
    return {
        "awa": awa.pk,
        "evaluation": EvaluationFactory(user=awa, epreuve=epreuve).pk,
        "commentaire": CommentaireFactory(auteur=awa, epreuve=epreuve, contenu=MARK).pk,
        "brouillon": with_file(
            EpreuveFactory(titre=MARK, depose_par=mme_dossou, statut=Statut.BROUILLON)
        ).pk,
    }


@pytest.mark.parametrize("who", OTHERS)
def test_nobody_writes_or_reads_what_is_anothers(
    hers: dict[str, int],
    api: Callable[..., APIClient],
    anyone: APIClient,
    request: pytest.FixtureRequest,
    who: str,
) -> None:
    intruder = anyone if who == "anyone" else api(request.getfixturevalue(who))
    before, tries = every_row(), 0
    for route in HERS:
        for method in ("get", "post", "put", "patch", "delete"):
            path = "/api/" + route.format(**hers)
            if path.startswith("/api/moi/?") and method in {"patch", "delete"}:
                continue  # one's own profile, which takes no parameter: tried below
            answer = getattr(intruder, method)(path, BODY if method != "get" else None)
            own = {200} if path.startswith("/api/moi/") and method == "get" else set()
            assert answer.status_code in {400, 401, 403, 404, 405} | own, (method, path)
            assert MARK not in answer.content.decode(), (method, path)
            assert "awa" not in answer.content.decode(), (method, path)
            tries += 1
    assert every_row() == before
    assert tries * len(OTHERS) >= 60


def columns(row: models.Model) -> dict[str, Any]:
    fresh = type(row)._default_manager.get(pk=row.pk)
    return {field.attname: getattr(fresh, field.attname) for field in fresh._meta.concrete_fields}


def changed(before: dict[str, Any], row: models.Model) -> set[str]:
    after = columns(row)
    return {name for name, value in before.items() if after[name] != value}


def every_field(model: type[models.Model], *but: str) -> dict[str, Any]:
    """Something for each field of the model, and for all that is ever protected."""
    forged = {
        field.name: 7 if isinstance(field, models.IntegerField | models.ForeignKey) else "forge"
        for field in model._meta.concrete_fields
    }
    return {name: value for name, value in (forged | FORGED).items() if name not in but}


def test_a_profile_takes_its_four_fields_and_no_other(
    awa: User, api: Callable[..., APIClient]
) -> None:
    before = columns(awa)
    hostile = every_field(User, "filiere", "niveau", "personnalisation")
    answer = api(awa).patch("/api/moi/", hostile | {"prenom": "Awa B."}, format="json")
    assert answer.status_code in {200, 400}
    assert changed(before, awa) <= {"first_name"}


def test_registering_makes_a_student_whatever_is_sent(anyone: APIClient, settings: Any) -> None:
    settings.INSCRIPTION_OUVERTE = True
    body = FORGED | {"username": "nouvelle", "password": PASSWORD, "niveau": "L1"}
    answer = anyone.post("/api/inscription/", body, format="json")
    if answer.status_code == 201:
        row = User.objects.get(username="nouvelle")
        assert (row.role, row.is_staff, row.is_superuser) == ("etudiant", False, False)
        assert row.pk != FORGED["id"]
        assert row.is_active
        assert row.matricule is None
    else:
        assert not User.objects.exists()


def test_an_evaluation_is_ones_own_and_of_its_epreuve(
    awa: User, koffi: User, api: Callable[..., APIClient]
) -> None:
    row = EvaluationFactory(user=awa)
    before = columns(row)
    hostile = every_field(Evaluation, "note_difficulte", "note_pertinence") | {"user": koffi.pk}
    answer = api(awa).patch(
        f"/api/evaluations/{row.pk}/", hostile | {"note_difficulte": 5}, format="json"
    )
    assert answer.status_code in {200, 400}
    assert changed(before, row) <= {"note_difficulte", "date_modification"}


def test_a_comment_keeps_its_author_place_and_state(
    awa: User, api: Callable[..., APIClient]
) -> None:
    row = CommentaireFactory(auteur=awa)
    before = columns(row)
    hostile = every_field(Commentaire, "contenu") | {"contenu": "Mieux"}
    answer = api(awa).patch(f"/api/commentaires/{row.pk}/", hostile, format="json")
    assert answer.status_code in {200, 400}
    assert changed(before, row) <= {"contenu", "date_modification"}


def test_an_epreuve_keeps_what_the_bank_decides(
    mme_dossou: User, api: Callable[..., APIClient]
) -> None:
    row = with_file(EpreuveFactory(depose_par=mme_dossou, statut=Statut.SOUMISE))
    before = columns(row)
    free = ("titre", "description", "matiere", "filiere", "niveau", "type_epreuve", "session")
    free += ("semestre", "annee_academique", "annee", "enseignant", "enseignant_nom")
    free += ("fichier", "fichier_corrige", "corrige_visible_le")
    answer = api(mme_dossou).patch(
        f"/api/epreuves/{row.pk}/", every_field(Epreuve, *free), format="json"
    )
    assert answer.status_code in {200, 400}
    assert changed(before, row) <= {"date_modification"}
