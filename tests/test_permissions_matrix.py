"""Who may do what: every URL of the API, every method, every kind of person.

A URL that the table does not know fails the test: add its line, and decide.
"""

import datetime as dt
from collections.abc import Callable, Iterator

import pytest
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from rest_framework.test import APIClient

from apps.core.models import Epreuve, Statut, User
from apps.core.services.evaluations import rate_epreuve
from apps.core.services.files import Link, signed_token
from apps.paquets.models import Paquet
from apps.paquets.services import paquets
from tests.factories import (
    PASSWORD,
    CommentaireFactory,
    EpreuveFactory,
    MatiereFactory,
    ModelMetadataFactory,
    TrainingLogFactory,
    pdf,
    with_file,
)

pytestmark = pytest.mark.django_db

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# The author is Mme Dossou: hers are the épreuves, the evaluation and the comment below.
PEOPLE = ("anonyme", "étudiant", "auteur", "autre enseignant", "administrateur")

OPEN = (200,) * 5
SIGNED_IN = (401, 200, 200, 200, 200)
STAFF = (401, 403, 403, 403, 200)
CREATES = (401, 201, 201, 201, 201)
DONE = (401, 204, 204, 204, 204)

# Route -> method -> what each of PEOPLE gets. An absent method is 405, to who has come in.
MATRIX: dict[str, dict[str, tuple[int, ...]]] = {
    # Wrong credentials and garbage tokens: the door answers everybody alike.
    "token/": {"POST": (401,) * 5},
    "token/refresh/": {"POST": (401,) * 5},
    "token/verify/": {"POST": (401,) * 5},
    "token/blacklist/": {"POST": (401,) * 5},
    "mot-de-passe/": {"POST": (401,) * 5},
    "mot-de-passe/oubli/": {"POST": (202,) * 5},
    "mot-de-passe/nouveau/": {"POST": (403,) * 5},
    # Closed, as it is unless a setting opens it.
    "inscription/": dict.fromkeys(METHODS, (403,) * 5),
    "moi/": {"GET": SIGNED_IN, "PATCH": SIGNED_IN, "DELETE": (401, 204, 204, 204, 409)},
    "moi/export/": {"GET": SIGNED_IN},
    "moi/favoris/": {"GET": SIGNED_IN},
    "moi/historique/": {"GET": SIGNED_IN},
    "epreuves/": {"GET": OPEN, "POST": (401, 403, 201, 201, 201)},
    "epreuves/populaires/": {"GET": OPEN},
    "epreuves/recentes/": {"GET": OPEN},
    "epreuves/facettes/": {"GET": OPEN},
    "epreuves/<publiee>/": {
        "GET": OPEN,
        "PATCH": (401, 403, 200, 403, 200),
        "DELETE": (401, 403, 204, 403, 204),
    },
    "epreuves/<soumise>/": {
        "GET": (404, 404, 200, 404, 200),
        "PATCH": (401, 404, 200, 404, 200),
        "DELETE": (401, 404, 204, 404, 204),
    },
    "epreuves/<archivee>/": {
        "GET": (404, 404, 404, 404, 200),
        "PATCH": (401, 404, 404, 404, 200),
        "DELETE": (401, 404, 404, 404, 409),
    },
    "epreuves/<publiee>/soumettre/": {"POST": (401, 403, 409, 403, 403)},
    "epreuves/<publiee>/publier/": {"POST": (401, 403, 403, 403, 409)},
    "epreuves/<publiee>/rejeter/": {"POST": (401, 403, 403, 403, 409)},
    "epreuves/<publiee>/restaurer/": {"POST": (401, 403, 403, 403, 409)},
    "epreuves/<brouillon>/soumettre/": {"POST": (401, 404, 200, 404, 403)},
    "epreuves/<soumise>/publier/": {"POST": (401, 404, 403, 404, 200)},
    "epreuves/<soumise>/rejeter/": {"POST": (401, 404, 403, 404, 200)},
    "epreuves/<archivee>/restaurer/": {"POST": (401, 404, 404, 404, 200)},
    "epreuves/<publiee>/favori/": {"PUT": DONE, "DELETE": DONE},
    "epreuves/<soumise>/favori/": {
        "PUT": (401, 404, 404, 404, 404),
        "DELETE": (401, 404, 204, 404, 204),
    },
    "epreuves/<publiee>/view/": {"POST": CREATES},
    "epreuves/<soumise>/view/": {"POST": (401, 404, 404, 404, 404)},
    "epreuves/<archivee>/view/": {"POST": (401, 404, 404, 404, 404)},
    "epreuves/<publiee>/download/": {"POST": SIGNED_IN},
    "epreuves/<soumise>/download/": {"POST": (401, 404, 200, 404, 200)},
    "epreuves/<archivee>/download/": {"POST": (401, 404, 404, 404, 200)},
    "epreuves/<publiee>/vignette/<vignette_publiee>/": {"GET": OPEN},
    "epreuves/<soumise>/vignette/<vignette_soumise>/": {"GET": (404, 404, 200, 404, 200)},
    "epreuves/<archivee>/vignette/<vignette_archivee>/": {"GET": (404, 404, 404, 404, 200)},
    "epreuves/<publiee>/vignette/<vignette_autre>/": {"GET": (404,) * 5},
    "fichiers/<bon>/": {"GET": OPEN},
    "fichiers/<corrigé sous embargo>/": {"GET": (404,) * 5},
    "fichiers/<corrigé de l'auteur>/": {"GET": OPEN},
    "fichiers/<faux>/": {"GET": (403,) * 5},
    # All that there is to send is the author's, who has it.
    "paquets/?budget_octets=1000000": {"GET": SIGNED_IN, "POST": (401, 201, 409, 201, 201)},
    "paquets/fichiers/<paquet>/": {"GET": OPEN},
    "paquets/fichiers/<paquet d'une épreuve archivée>/": {"GET": (410,) * 5},
    "paquets/fichiers/<faux>/": {"GET": (403,) * 5},
    "evaluations/": {"GET": SIGNED_IN, "POST": (401, 201, 200, 201, 201)},
    "evaluations/<evaluation>/": {
        "GET": (401, 404, 200, 404, 404),
        "PATCH": (401, 404, 200, 404, 404),
        "DELETE": (401, 404, 204, 404, 404),
    },
    "commentaires/": {"GET": SIGNED_IN, "POST": CREATES},
    "commentaires/<commentaire>/": {
        "PATCH": (401, 403, 200, 403, 403),
        "DELETE": (401, 403, 204, 403, 204),
    },
    "commentaires/<commentaire>/signaler/": {"POST": (401, 204, 409, 204, 204)},
    "recommendations/personalized/": {"GET": SIGNED_IN},
    "recommendations/similar/?epreuve_id=<publiee>": {"GET": SIGNED_IN},
    "recommendations/similar/?epreuve_id=<archivee>": {"GET": (401, 404, 404, 404, 200)},
    "recommendations/status/": {"GET": SIGNED_IN},
    "recommendations/stats/": {"GET": SIGNED_IN},
    "recommendations/entrainements/": {
        "GET": (401, 403, 403, 403, 200),
        "POST": (401, 403, 403, 403, 202),
    },
    "recommendations/entrainements/<entrainement>/": {"GET": (401, 403, 403, 403, 200)},
    "recommendations/entrainements/<entrainement>/annuler/": {"POST": (401, 403, 403, 403, 409)},
    "recommendations/entrainements/<entrainement>/reprendre/": {"POST": (401, 403, 403, 403, 409)},
    "recommendations/modeles/": {"GET": STAFF},
    "recommendations/modeles/<modele>/": {"GET": STAFF},
    "recommendations/modeles/<modele>/activer/": {"POST": (401, 403, 403, 403, 409)},
    # No model served before.
    "recommendations/modeles/revenir/": {"POST": (401, 403, 403, 403, 409)},
    "recommendations/activations/": {"GET": STAFF},
    "sante/live/": {"GET": OPEN},
    "sante/ready/": {"GET": OPEN},
    "schema/": {"GET": OPEN},
    "docs/": {"GET": OPEN},
}
# Here everybody has come in.
DOORS = ("token/", "mot-de-passe/", "fichiers/", "paquets/fichiers/", "sante/", "schema/", "docs/")

# Here nobody but administrators comes in, whatever they ask.
OFFICE = tuple(f"recommendations/{name}/" for name in ("activations", "entrainements", "modeles"))


@pytest.fixture
def world(mme_dossou: User, awa: User) -> dict[str, object]:
    """What stands behind the names in the routes."""
    MatiereFactory()
    rows = {
        statut.value: with_file(EpreuveFactory(statut=statut, depose_par=mme_dossou))
        for statut in Statut
    }
    publiee = rows["publiee"]
    for row in rows.values():
        row.vignette.save("", ContentFile(b"webp"))
    Epreuve.objects.filter(pk=publiee.pk).update(
        fichier_corrige=publiee.fichier.name,
        corrige_visible_le=timezone.now() + dt.timedelta(days=1),
    )
    pictures = {f"vignette_{name}": row.vignette_version for name, row in rows.items()}
    pictures["vignette_autre"] = "autre"
    return (
        {name: row.pk for name, row in rows.items()}
        | pictures
        | {
            "evaluation": rate_epreuve(
                user=mme_dossou, epreuve=publiee, note_difficulte=3, note_pertinence=3
            )[0].pk,
            "commentaire": CommentaireFactory(auteur=mme_dossou, epreuve=publiee).pk,
            "entrainement": TrainingLogFactory(fin=timezone.now()).pk,
            "bon": signed_token(Link(publiee.pk, "sujet", mme_dossou.pk)),
            "corrigé sous embargo": signed_token(Link(publiee.pk, "corrige", awa.pk)),
            "corrigé de l'auteur": signed_token(Link(publiee.pk, "corrige", mme_dossou.pk)),
            "modele": ModelMetadataFactory(motif_refus="NDCG trop bas.").version,
            "faux": "a:b:c",
            "paquet": paquets.signed_token(paquet_with(publiee, mme_dossou)),
            "paquet d'une épreuve archivée": paquets.signed_token(
                paquet_with(rows["archivee"], mme_dossou)
            ),
        }
    )


def paquet_with(epreuve: Epreuve, user: User) -> Paquet:
    document = paquets.document_of(epreuve, "sujet")
    return paquets.prepare(user, paquets.Composition((document,)))[0]


@pytest.fixture
def person(
    api: Callable[[User | None], APIClient], request: pytest.FixtureRequest
) -> Callable[[str], APIClient]:
    names = ("awa", "mme_dossou", "m_zinsou", "rachidi")
    fixtures = dict(zip(PEOPLE[1:], names, strict=True))

    def client_of(who: str) -> APIClient:
        return api(request.getfixturevalue(fixtures[who]) if who in fixtures else None)

    return client_of


def body_for(method: str, route: str, world: dict[str, object]) -> dict[str, object]:
    """A body that is right where one is asked for, so that only permission can refuse."""
    if (method, route) == ("DELETE", "moi/"):
        return {"password": PASSWORD}
    if route.endswith("/rejeter/"):
        return {"motif": "Illisible."}
    return {
        "token/": {"username": "personne", "password": "x"},
        "token/refresh/": {"refresh": "x"},
        "token/verify/": {"token": "x"},
        "token/blacklist/": {"refresh": "x"},
        "mot-de-passe/": {
            "username": "personne",
            "mot_de_passe": "x",
            "nouveau_mot_de_passe": "y",
        },
        "mot-de-passe/oubli/": {"email": "personne@imsp.test"},
        "mot-de-passe/nouveau/": {"uid": "x", "jeton": "x", "nouveau_mot_de_passe": "y"},
        "paquets/?budget_octets=1000000": {"budget_octets": 1_000_000},
        "evaluations/": {"epreuve": world["publiee"], "note_difficulte": 3, "note_pertinence": 3},
        "commentaires/": {"epreuve": world["publiee"], "contenu": "Merci"},
        "commentaires/<commentaire>/": {"contenu": "Mieux"},
        "commentaires/<commentaire>/signaler/": {"motif": "Hors sujet."},
    }.get(route, {})


def ask(client: APIClient, method: str, route: str, world: dict[str, object]) -> int:
    url = "/api/" + route
    for name, value in world.items():
        url = url.replace(f"<{name}>", str(value))
    if (method, route) == ("POST", "epreuves/"):
        fichier = SimpleUploadedFile("x.pdf", pdf("neuf"))
        data = {"titre": "Neuve", "matiere": "ANALYSE", "fichier": fichier}
        return client.post(url, data, format="multipart").status_code
    if method == "GET":
        answer = client.get(url)
        b"".join(answer)  # To its end, which closes the file behind it.
        return answer.status_code
    return client.generic(
        method, url, client._encode_data(body_for(method, route, world))[0], "application/json"
    ).status_code


def decided(method: str, route: str) -> tuple[int, ...]:
    absent = 405 if route.startswith(DOORS) else 401
    others = 403 if route.startswith(OFFICE) else 405
    return MATRIX[route].get(method, (absent, others, others, others, 405))


def tried(client: APIClient, method: str, route: str, world: dict[str, object]) -> int:
    """The status of one attempt, whose effects are taken back."""
    with transaction.atomic():
        status = ask(client, method, route, world)
        transaction.set_rollback(True)
    return status


@pytest.mark.parametrize("route", MATRIX)
def test_everybody_gets_what_was_decided(person, world, route):
    clients = [person(who) for who in PEOPLE]
    for method in METHODS:
        got = tuple(tried(client, method, route, world) for client in clients)
        assert dict(zip(PEOPLE, got, strict=True)) == dict(
            zip(PEOPLE, decided(method, route), strict=True)
        ), f"{method} {route}"


def test_every_url_of_the_api_is_in_the_table():
    known = {shape(route.partition("?")[0]) for route in MATRIX}
    assert {shape(route) for route in api_routes()} == known


def shape(route: str) -> str:
    """`epreuves/<int:pk>/` and `epreuves/<publiee>/` are one route."""
    return "/".join("<>" if part.startswith("<") else part for part in route.split("/"))


def api_routes() -> Iterator[str]:
    for route in _routes(get_resolver().url_patterns):
        if route.startswith("api/"):
            yield route.removeprefix("api/")


def _routes(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for entry in patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _routes(entry.url_patterns, route)
        else:
            yield route
