"""A cache that many people share keeps what is everybody's, and nothing that is somebody's."""

import gzip
from collections.abc import Iterator
from dataclasses import replace

import brotli
import pytest

from tests.factories import PASSWORD
from tests.reliability import servers
from tests.reliability.servers import Bank, Client, Gunicorn, SharedProxy, running

pytestmark = pytest.mark.requires("servers", "nginx")

CATALOGUE = (
    "/api/epreuves/",
    "/api/epreuves/?champs=id,titre",
    "/api/epreuves/populaires/",
    "/api/epreuves/recentes/",
    "/api/epreuves/facettes/",
)
PERSONAL = (
    "/api/moi/",
    "/api/moi/favoris/",
    "/api/moi/historique/",
    "/api/evaluations/",
    "/api/recommendations/personalized/",
)


@pytest.fixture
def proxy(web: Gunicorn) -> Iterator[SharedProxy]:
    """Of one test: it holds what that test has read."""
    with servers.folder() as folder, running(SharedProxy(folder, web=web)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def people(web: Gunicorn) -> list[Client]:
    """Two students and an administrator, who sees drafts, and what each of them alone is told."""
    names = ("etudiant3", "etudiant4", "rachidi")
    return [web.client.signed_in(name, PASSWORD) for name in names]


@pytest.fixture(scope="module")
def drafts(bank: Bank) -> None:
    bank.python(
        "from tests.factories import EpreuveFactory\n"
        "EpreuveFactory.create_batch(3, statut='soumise', titre='Confidentielle')"
    )


@pytest.mark.parametrize("path", CATALOGUE)
def test_the_catalogue_of_nobody_in_particular_is_asked_for_once(
    proxy: SharedProxy, web: Gunicorn, path: str
) -> None:
    first, second = (proxy.client.get(path) for _ in range(2))
    assert [answer.headers["X-Cache"] for answer in (first, second)] == ["MISS", "HIT"]
    assert first.json["count" if "results" in first.json else "matiere"]
    assert first.body == second.body
    known = proxy.client.get(path, If_None_Match=first.headers["ETag"])
    assert (known.status, known.body, known.headers["X-Cache"]) == (304, b"", "HIT")


@pytest.mark.usefixtures("drafts")
@pytest.mark.parametrize("path", [*CATALOGUE, *PERSONAL])
def test_nobody_gets_the_answer_of_another(
    proxy: SharedProxy, web: Gunicorn, people: list[Client], path: str
) -> None:
    """Each asks twice, in turn, last without a token: always what the bank tells them itself."""
    for _ in range(2):
        for client in [*people, web.client]:
            alone, through = client.get(path), replace(client, port=proxy.port).get(path)
            assert through.status == alone.status
            assert through.headers["ETag"] == alone.headers["ETag"]
            assert through.status == 200 or not client.token
            assert not client.token or through.headers["X-Cache"] == "MISS"


@pytest.mark.usefixtures("drafts")
def test_a_draft_that_an_administrator_lists_reaches_nobody(
    proxy: SharedProxy, people: list[Client]
) -> None:
    path = "/api/epreuves/?search=confidentielle"
    *students, admin = (replace(one, port=proxy.port) for one in people)
    assert admin.get(path).json["count"] == 3
    for client in (*students, proxy.client):
        assert client.get(path).json["count"] == 0


def test_each_client_gets_an_encoding_it_takes(proxy: SharedProxy) -> None:
    decoders = {"br": brotli.decompress, "gzip": gzip.decompress, "": bytes}
    plain = proxy.client.get("/api/epreuves/").body
    for _ in range(2):
        for encoding, decoded in decoders.items():
            answer = proxy.client.get("/api/epreuves/", Accept_Encoding=encoding)
            assert (answer.headers["Content-Encoding"] or "") == encoding
            assert decoded(answer.body) == plain


@pytest.mark.parametrize("path", ["/api/epreuves/999999/", "/api/epreuves/?x=1", "/api/moi/"])
def test_a_failure_is_asked_for_again(proxy: SharedProxy, path: str) -> None:
    for _ in range(2):
        answer = proxy.client.get(path)
        assert answer.status >= 400
        assert answer.headers["X-Cache"] == "MISS"
