"""What is answered costs few bytes, none where nothing changed, and reaches nobody else."""

import datetime as dt
import gzip
import json

import brotli
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.services.vignettes import draw_vignette
from tests.factories import (
    PASSWORD,
    EpreuveFactory,
    FavoriFactory,
    FiliereFactory,
    MatiereFactory,
    seen,
    with_file,
)

pytestmark = pytest.mark.django_db

CATALOGUE = ("", "populaires/", "recentes/", "facettes/", "{pk}/")
PERSONAL = ("moi/", "moi/favoris/", "moi/historique/", "evaluations/", "commentaires/")


def vary(answer):
    return {name.strip() for name in answer["Vary"].split(",")}


def again(client, url, answer, **headers):
    return client.get(url, headers={"If-None-Match": answer["ETag"]} | headers)


@pytest.fixture
def epreuve(awa):
    """One that Awa has met."""
    epreuve = with_file(EpreuveFactory())
    seen(awa, epreuve)
    FavoriFactory(user=awa, epreuve=epreuve)
    return epreuve


# --- Not twice ---------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["awa", None])
@pytest.mark.parametrize("path", CATALOGUE)
def test_the_catalogue_is_a_304_while_it_stays_the_same(api, awa, epreuve, path, who):
    _is_a_304_while_it_stays_the_same(
        api(awa if who else None), "/api/epreuves/" + path.format(pk=epreuve.pk)
    )


@pytest.mark.parametrize("path", PERSONAL)
def test_what_is_mine_is_a_304_while_it_stays_the_same(api, awa, epreuve, path):
    _is_a_304_while_it_stays_the_same(api(awa), f"/api/{path}")


def _is_a_304_while_it_stays_the_same(client, url):
    first = client.get(url)
    assert first.status_code == 200
    known = again(client, url, first)
    assert (known.status_code, known.content) == (304, b"")
    assert "Content-Length" not in known
    for name in ("ETag", "Cache-Control", "Vary"):
        assert known[name] == first[name], name
    head = client.head(url)
    for name in ("ETag", "Cache-Control", "Vary", "Content-Length"):
        assert head[name] == first[name], name
    assert client.head(url, headers={"If-None-Match": first["ETag"]}).status_code == 304


def test_a_view_counts_in_the_very_next_answer_of_who_asks_whether_it_changed(api, awa, epreuve):
    client, url = api(awa), f"/api/epreuves/{EpreuveFactory().pk}/"
    first = client.get(url)
    client.post(url + "view/")
    second = again(client, url, first)
    assert (second.status_code, second.json()["nb_vues"]) == (200, 1)
    assert second["ETag"] != first["ETag"]


def test_an_archived_epreuve_is_a_404_to_who_has_it_already(api, awa, mme_dossou):
    url = f"/api/epreuves/{EpreuveFactory(depose_par=mme_dossou).pk}/"
    first = api(awa).get(url)
    api(mme_dossou).delete(url)
    assert again(api(awa), url, first).status_code == 404


@pytest.mark.parametrize(
    ("header", "status"),
    [("*", 304), ('"other"', 200), ('"other", {etag}', 304), ("no etag", 200), ("", 200)],
)
def test_an_etag_is_looked_for_among_those_named(anyone, epreuve, header, status):
    url = "/api/epreuves/"
    etag = anyone.get(url)["ETag"]
    named = header.format(etag=etag)
    assert anyone.get(url, headers={"If-None-Match": named}).status_code == status


def test_if_match_of_another_answer_is_a_412_in_the_one_form(api, awa, epreuve):
    link = api(awa).post(f"/api/epreuves/{epreuve.pk}/download/").json()["url"]
    for url in ("/api/epreuves/", link):
        answer = api(awa).get(url, headers={"If-Match": '"other"'})
        assert (answer.status_code, answer["Cache-Control"]) == (412, "no-store")
        assert answer.json()["errors"][0]["code"] == "precondition"
        assert answer.json()["request_id"] == answer["X-Request-ID"]


def test_what_differs_between_people_has_another_etag(api, awa, koffi, epreuve):
    url = f"/api/epreuves/{epreuve.pk}/"
    etags = {api(who).get(url)["ETag"] for who in (awa, koffi, None)}
    assert len(etags) == 3
    assert again(api(koffi), url, api(awa).get(url)).json()["favori"] is False


# --- Who keeps it ------------------------------------------------------------------------


@pytest.mark.parametrize("path", CATALOGUE)
def test_a_proxy_may_keep_the_catalogue_of_nobody_in_particular(api, awa, epreuve, path):
    url = "/api/epreuves/" + path.format(pk=epreuve.pk)
    public = api(None).get(url)
    assert public["Cache-Control"] == "public, max-age=60, stale-while-revalidate=300"
    mine = api(awa).get(url)
    assert mine["Cache-Control"] == "private, no-cache"
    for answer in (public, mine):
        assert {"Authorization", "Accept-Encoding"} <= vary(answer)


def test_how_long_the_catalogue_is_kept_is_a_setting(anyone, settings):
    settings.CATALOGUE_CACHE_SECONDES = 0
    kept = anyone.get("/api/epreuves/")["Cache-Control"]
    assert kept == "public, max-age=0, stale-while-revalidate=0"


@pytest.mark.parametrize("path", PERSONAL)
def test_what_is_mine_is_for_my_browser_alone(api, awa, path):
    answer = api(awa).get(f"/api/{path}")
    assert answer["Cache-Control"] == "private, no-cache"
    assert "Authorization" in vary(answer)


def test_all_that_is_held_of_me_is_kept_by_nobody(api, awa):
    assert api(awa).get("/api/moi/export/")["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/api/epreuves/?nivau=L2", 400),
        ("/api/epreuves/?page=9", 404),
        ("/api/epreuves/999/", 404),
        ("/api/moi/", 401),
        ("/api/nulle-part/", 404),
        ("/api/token/", 405),
    ],
)
def test_a_failure_is_kept_by_nobody(anyone, url, status):
    answer = anyone.get(url)
    assert (answer.status_code, answer["Cache-Control"]) == (status, "no-store")
    assert "ETag" not in answer


def test_a_closed_catalogue_is_kept_by_nobody(anyone, settings):
    settings.CATALOGUE_PUBLIC = False
    answer = anyone.get("/api/epreuves/")
    assert (answer.status_code, answer["Cache-Control"]) == (401, "no-store")


def test_a_vignette_stays_private(anyone, epreuve):
    """Its own rule, which the one of the catalogue does not replace."""
    assert draw_vignette(epreuve.pk)
    answer = anyone.get(anyone.get(f"/api/epreuves/{epreuve.pk}/").json()["vignette"])
    assert b"".join(answer.streaming_content)
    assert answer["Cache-Control"].startswith("private, ")


# --- Its bytes ---------------------------------------------------------------------------


DECODERS = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("br;q=0.1", "br"),
        ("br;q=x", None),
        ("br;q*=zlib''%41, gzip", "gzip"),
        ("BR; q=1.0", "br"),
        ("br;q=0.000", None),
        ("identity", None),
        (";;,,=", None),
        ("", None),
    ],
)
def test_what_is_read_is_compressed_as_the_client_takes_it(anyone, accepted, encoding):
    EpreuveFactory.create_batch(5)
    plain = anyone.get("/api/epreuves/")
    answer = anyone.get("/api/epreuves/", headers={"Accept-Encoding": accepted})
    assert answer.get("Content-Encoding") == encoding
    assert DECODERS[encoding](answer.content) == plain.content
    assert answer["Content-Length"] == str(len(answer.content))
    assert (answer["ETag"], vary(answer)) == (plain["ETag"], vary(plain))
    known = again(anyone, "/api/epreuves/", plain, **{"Accept-Encoding": accepted})
    assert (known.status_code, known.content) == (304, b"")
    assert "Content-Encoding" not in known


def test_what_is_short_is_not_compressed(anyone):
    answer = anyone.get("/api/epreuves/", headers={"Accept-Encoding": "br"})
    assert (answer.json()["count"], answer.get("Content-Encoding")) == (0, None)


def test_tokens_are_neither_compressed_nor_kept(anyone, awa):
    body = {"username": "awa", "password": PASSWORD}
    answer = anyone.post("/api/token/", body, headers={"Accept-Encoding": "gzip, br"})
    assert len(answer.content) > 256
    assert answer["Cache-Control"] == "no-store"
    assert not {"Content-Encoding", "ETag"} & set(answer.headers)


def test_a_pdf_is_sent_as_it_is(api, awa, epreuve):
    link = api(awa).post(f"/api/epreuves/{epreuve.pk}/download/")
    answer = api(None).get(link.json()["url"], headers={"Accept-Encoding": "gzip, br"})
    assert answer.get("Content-Encoding") is None
    assert b"".join(answer.streaming_content).startswith(b"%PDF-")


def test_the_pages_of_the_administration_are_compressed_too(client, rachidi):
    client.force_login(rachidi)
    answer = client.get("/admin/", headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"
    assert b"</html>" in gzip.decompress(answer.content)


TITLES = (
    "Examen final de probabilités et statistique inférentielle",
    "Équations différentielles ordinaires : devoir surveillé n° 2",
    "Analyse numérique matricielle",
    "Concours d'entrée, épreuve de mathématiques générales",
    "Mécanique quantique : travaux dirigés 2018-2019",
    "Topologie et calcul différentiel : examen de rattrapage 2021-2022",
    "Électromagnétisme",
    "Algèbre linéaire et bilinéaire, partiel du premier semestre",
    "Physique statistique : examen 2022-2023",
    "Théorie de la mesure et de l'intégration de Lebesgue",
)


@pytest.fixture
def page_of_a_busy_bank():
    """Twenty cards that lack nothing, of many counters, with the longest codes of the demo."""
    matieres = ("EQUATIONS-DIFFERENTIELLES", "ELECTROMAGNETISME", "ANALYSE", "PHYSIQUE-STATISTIQUE")
    return [
        EpreuveFactory(
            titre=TITLES[n % 10],
            matiere=MatiereFactory(code=matieres[n % 4]),
            filiere=FiliereFactory(code="STAT"),
            niveau="PREPA",
            type_epreuve="concours",
            session="rattrapage",
            taille_octets=1_234_567 + 7919 * n,
            nb_pages=10 + n % 7,
            nb_vues=10_000 + 37 * n,
            nb_telechargements=2_000 + 13 * n,
            nb_evaluations=97,
            somme_difficulte=300 + n,
            somme_pertinence=350 + n,
            enseignant_nom="M. Houngbédji",
        )
        for n in range(20)
    ]


def test_a_card_takes_at_most_400_bytes_and_a_page_10_kb_or_3_compressed(
    anyone, page_of_a_busy_bank
):
    page = anyone.get("/api/epreuves/", {"ordering": "-nb_vues"})
    cards = page.json()["results"]
    assert len(cards) == 20
    sizes = [
        len(json.dumps(card, ensure_ascii=False, separators=(",", ":")).encode()) for card in cards
    ]
    assert max(sizes) <= 400
    assert sum(sizes) < len(page.content) <= 10_000
    for encoding in ("br", "gzip"):
        answer = anyone.get("/api/epreuves/", headers={"Accept-Encoding": encoding})
        assert answer["Content-Encoding"] == encoding
        assert len(answer.content) <= 3_000


# --- Champs ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "populaires/", "recentes/"])
def test_a_list_has_only_the_fields_asked_for(anyone, epreuve, path):
    answer = anyone.get(f"/api/epreuves/{path}", {"champs": "id,titre,matiere_nom"})
    card = {"id": epreuve.pk, "titre": epreuve.titre, "matiere_nom": "Matière ANALYSE"}
    assert answer.json()["results"] == [card]


def test_my_lists_have_only_the_fields_asked_for(api, awa, epreuve):
    favoris = api(awa).get("/api/moi/favoris/", {"champs": "titre"}).json()["results"]
    assert favoris == [{"titre": epreuve.titre}]
    (done,) = api(awa).get("/api/moi/historique/", {"champs": "titre"}).json()["results"]
    assert done["epreuve"] == {"titre": epreuve.titre}


def test_a_detail_costs_the_queries_of_the_fields_asked_for(api, awa, epreuve):
    url = f"/api/epreuves/{epreuve.pk}/"
    with CaptureQueriesContext(connection) as whole:
        api(awa).get(url)
    with CaptureQueriesContext(connection) as part:
        answer = api(awa).get(url, {"champs": "titre,favori"})
    assert answer.json() == {"titre": epreuve.titre, "favori": True}
    assert len(part) == 2 < len(whole)


@pytest.mark.parametrize("champs", ["titre,mot_de_passe", "", "titre,", "titre, id", "description"])
@pytest.mark.parametrize("path", ["", "recentes/"])
def test_an_unknown_field_is_refused_and_says_which_there_are(anyone, path, champs):
    answer = anyone.get(f"/api/epreuves/{path}", {"champs": champs})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["attr"]) == (400, "champs")
    if champs:
        assert "id, titre, matiere, filiere" in error["detail"]


def test_the_detail_names_its_own_fields(anyone, epreuve):
    url = f"/api/epreuves/{epreuve.pk}/"
    assert anyone.get(url, {"champs": "description"}).json() == {"description": ""}
    refused = anyone.get(url, {"champs": "sha256"})
    assert (refused.status_code, "description" in refused.json()["errors"][0]["detail"]) == (
        400,
        True,
    )
    assert anyone.get(url, {"champ": "titre"}).status_code == 400


def test_the_size_of_a_corrige_is_said_to_who_may_have_it(api, anyone, rachidi):
    tomorrow = timezone.now() + dt.timedelta(days=1)
    epreuve = EpreuveFactory(
        fichier_corrige="epreuves/x.pdf", taille_corrige_octets=321, corrige_visible_le=tomorrow
    )
    url = f"/api/epreuves/{epreuve.pk}/"
    assert anyone.get(url).json()["taille_corrige_octets"] is None
    assert api(rachidi).get(url).json()["taille_corrige_octets"] == 321
