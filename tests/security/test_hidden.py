"""Promise 4: what is hidden appears nowhere, whoever asks."""

import datetime as dt
from collections.abc import Callable
from itertools import chain

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.core.models import Epreuve, Statut, User
from apps.core.services.files import Link, signed_token
from tests.factories import CommentaireFactory, EpreuveFactory, FavoriFactory, seen, with_file

pytestmark = pytest.mark.django_db

MARK = "Zeppelin"
HIDDEN = [statut for statut in Statut if statut != Statut.PUBLIEE]
# Lists and questions that could let it out; its id is put in where one is asked for.
PLACES = (
    "epreuves/?page_size=100",
    f"epreuves/?search={MARK}",
    f"epreuves/?search={MARK}&ordering=pertinence",
    "epreuves/?ordering=-nb_vues",
    "epreuves/?champs=id,titre,statut",
    "epreuves/facettes/?matiere=SECRET",
    "epreuves/populaires/?limite=50",
    "epreuves/recentes/?limite=50",
    "epreuves/{pk}/",
    "epreuves/{pk}/vignette/x/",
    "commentaires/?epreuve={pk}",
    "recommendations/personalized/?top_k=100&exclude_seen=false",
    "recommendations/personalized/?top_k=100&diversite=1",
    "recommendations/similar/?epreuve_id={pk}",
    "recommendations/similar/?epreuve_id={other}&top_k=100",
    "moi/favoris/",
    "moi/historique/",
    "paquets/?budget_octets=100000000",
)


@pytest.fixture(params=HIDDEN)
def hidden(request: pytest.FixtureRequest, mme_dossou: User, awa: User, m_zinsou: User) -> Epreuve:
    """It was used, liked and discussed while it could be seen."""
    epreuve = with_file(
        EpreuveFactory(
            titre=f"{MARK} {request.param}",
            statut=request.param,
            depose_par=mme_dossou,
            matiere__code="SECRET",
        )
    )
    for person in (awa, m_zinsou):
        seen(person, epreuve)
        FavoriFactory(user=person, epreuve=epreuve)
    CommentaireFactory(epreuve=epreuve, auteur=m_zinsou, contenu=f"{MARK} !")
    return epreuve


@pytest.mark.parametrize("who", ["anonyme", "awa", "m_zinsou"])
def test_a_hidden_epreuve_is_nowhere(
    hidden: Epreuve, api: Callable[..., APIClient], request: pytest.FixtureRequest, who: str
) -> None:
    other = with_file(EpreuveFactory())
    client = api(None if who == "anonyme" else request.getfixturevalue(who))
    for place in PLACES:
        answer = client.get("/api/" + place.format(pk=hidden.pk, other=other.pk))
        assert answer.status_code in {200, 401, 404}, (place, answer.content)
        if place != f"epreuves/?search={MARK}":  # which an answer may repeat in its links
            assert MARK not in answer.content.decode(), place
        shown = answer.json()
        assert not [row for row in shown.get("results", []) if row.get("id") == hidden.pk], place
        if "facettes" in place:
            assert not list(chain.from_iterable(shown.values())), place
    for method, path in (("post", "view"), ("post", "download"), ("put", "favori")):
        answer = getattr(client, method)(f"/api/epreuves/{hidden.pk}/{path}/")
        assert answer.status_code in {401, 404}, path


def test_its_author_sees_it_unless_it_is_archived_and_administrators_always(
    hidden: Epreuve, api: Callable[..., APIClient], mme_dossou: User, rachidi: User
) -> None:
    path = f"/api/epreuves/{hidden.pk}/"
    expected = 404 if hidden.statut == Statut.ARCHIVEE else 200
    assert api(mme_dossou).get(path).status_code == expected
    assert api(rachidi).get(path).status_code == 200


def test_a_link_signed_while_it_was_published_gives_nothing(
    hidden: Epreuve, anyone: APIClient, awa: User
) -> None:
    token = signed_token(Link(hidden.pk, "sujet", awa.pk))
    assert anyone.get(f"/api/fichiers/{token}/").status_code == 404


@pytest.mark.parametrize("who", ["anonyme", "awa", "m_zinsou"])
def test_a_corrige_under_embargo_is_nowhere(
    api: Callable[..., APIClient],
    mme_dossou: User,
    request: pytest.FixtureRequest,
    who: str,
) -> None:
    epreuve = with_file(EpreuveFactory(depose_par=mme_dossou))
    Epreuve.objects.filter(pk=epreuve.pk).update(
        fichier_corrige=epreuve.fichier.name,
        taille_corrige_octets=4321,
        sha256_corrige="c" * 64,
        corrige_visible_le=timezone.now() + dt.timedelta(hours=1),
    )
    client = api(None if who == "anonyme" else request.getfixturevalue(who))
    detail = client.get(f"/api/epreuves/{epreuve.pk}/").json()
    assert detail["corrige_disponible"] is False
    assert "c" * 64 not in str(detail)
    assert client.get("/api/epreuves/?corrige=true").json()["count"] == 0
    if who != "anonyme":
        asked = client.post(f"/api/epreuves/{epreuve.pk}/download/", {"document": "corrige"})
        assert asked.status_code == 404
        answer = client.get("/api/paquets/?budget_octets=100000000&corriges=true")
        assert "c" * 64 not in answer.content.decode()
