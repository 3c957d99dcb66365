"""A paper's way through the bank, over HTTPS: nginx, gunicorn, PostgreSQL, Redis, a worker."""

import datetime as dt
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from fpdf import FPDF

from tests.factories import PASSWORD
from tests.reliability.servers import Bank, Client, Nginx, running, wait_until
from tests.reliability.test_background import Worker

pytestmark = pytest.mark.requires("servers", "nginx")

CAST = """
from tests.factories import MatiereFactory, UserFactory
UserFactory(username="mme_dossou", role="enseignant", filiere=None, niveau="")
for name in ("awa", "koffi"):
    UserFactory(username=name)
MatiereFactory(code="TOPO", nom="Topologie")
"""


def paper(*lines: str) -> bytes:
    """As a text processor exports it, with enough of it to be cut in two."""
    document = FPDF()
    for line in (*lines, *(f"Question {n} : montrer que la suite converge." for n in range(400))):
        if document.page_no() == 0 or document.get_y() > 250:
            document.add_page()
        document.set_font("Helvetica", size=12)
        document.cell(text=line, new_x="LMARGIN", new_y="NEXT")
    return bytes(document.output())


SUJET = paper("Énoncer le théorème de Hausdorff sur les compacts.")
CORRIGE = paper("Corrigé : un espace séparé est un espace de Hausdorff.")


@pytest.fixture(scope="module")
def worker(bank: Bank, nginx: Nginx) -> Iterator[Worker]:
    bank.python(CAST)
    with running(Worker(bank.folder, bank=bank)) as worker:
        yield worker


def deposit(client: Client, **fields: Any) -> dict[str, Any]:
    answer = client.call(
        "POST",
        "/api/epreuves/",
        encode_multipart(BOUNDARY, fields),
        Content_Type=MULTIPART_CONTENT,
    )
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    return found


def found_by(client: Client, words: str) -> list[int]:
    answer = client.get(f"/api/epreuves/?search={words}")
    assert answer.status == 200, answer.body
    return [row["id"] for row in answer.json["results"]]


def test_a_paper_is_deposited_reviewed_found_fetched_rated_discussed_and_left(
    nginx: Nginx, worker: Worker, bank: Bank
) -> None:
    teacher, admin, awa, koffi = (
        nginx.client.signed_in(name, PASSWORD) for name in ("mme_dossou", "rachidi", "awa", "koffi")
    )

    # A teacher deposits a paper, its corrigé under embargo.
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    row = deposit(
        teacher,
        titre="Partiel",
        matiere="TOPO",
        corrige_visible_le=tomorrow.isoformat(),
        fichier=SimpleUploadedFile("sujet.pdf", SUJET),
        fichier_corrige=SimpleUploadedFile("corrige.pdf", CORRIGE),
    )
    path = f"/api/epreuves/{row['id']}/"
    assert row["statut"] == "soumise"
    assert awa.get(path).status == 404

    # An administrator rejects it, with a reason, then publishes it.
    assert admin.post(f"{path}rejeter/").status == 400
    assert admin.post(f"{path}rejeter/", {"motif": "Ajoutez le barème."}).status == 200
    assert teacher.get(path).json["motif_rejet"] == "Ajoutez le barème."
    assert teacher.post(f"{path}soumettre/").status == 200
    assert admin.post(f"{path}publier/").json["statut"] == "publiee"
    assert admin.post(f"{path}publier/").status == 409

    # A student finds it by a word of its text, written without accents.
    wait_until(lambda: found_by(awa, "theoreme%20hausdorff") == [row["id"]], "le texte du sujet")
    wait_until(lambda: "vignette" in awa.get(path).json, "la vignette")
    assert found_by(awa, "separe%20hausdorff") == []  # a word of the corrigé
    detail = awa.get(path).json
    assert detail["corrige_disponible"] is False
    assert awa.post(f"{path}download/", {"document": "corrige"}).status == 404
    assert teacher.post(f"{path}download/", {"document": "corrige"}).status == 200

    # Fetched in two pieces, the line broken in between.
    given = awa.post(f"{path}download/").json
    link = urlsplit(given["url"]).path
    half = len(SUJET) // 2
    first = nginx.client.get(link, Range=f"bytes=0-{half - 1}")
    rest = nginx.client.get(link, Range=f"bytes={half}-", If_Range=first.headers["ETag"])
    assert (first.status, rest.status) == (206, 206)
    assert sha256(first.body + rest.body).hexdigest() == given["sha256"]

    # Rated, commented, reported.
    notes = {"epreuve": row["id"], "note_difficulte": 4, "note_pertinence": 5}
    assert awa.post("/api/evaluations/", notes).status == 201
    said = koffi.post("/api/commentaires/", {"epreuve": row["id"], "contenu": "<b>Nul</b>"}).json
    mine = awa.post("/api/commentaires/", {"epreuve": row["id"], "contenu": "Bel énoncé."}).json
    assert awa.post(f"/api/commentaires/{said['id']}/signaler/", {"motif": "Injure"}).status == 204
    detail = awa.get(path).json
    assert (detail["nb_evaluations"], detail["nb_telechargements"]) == (1, 1)
    assert detail["mon_evaluation"]["note_pertinence"] == 5

    # Everything of hers, then nothing.
    export = awa.get("/api/moi/export/")
    assert export.status == 200
    for trace in ("awa", "Bel énoncé.", "Injure"):
        assert trace in export.body.decode()
    assert "Nul" not in export.body.decode()
    wrong = awa.call("DELETE", "/api/moi/", {"password": "pas le bon"})
    assert wrong.status in {400, 401, 403}
    assert awa.call("DELETE", "/api/moi/", {"password": PASSWORD}).status == 204
    assert awa.get("/api/moi/").status == 401
    detail = koffi.get(path).json
    assert detail["nb_evaluations"] == 0
    left = koffi.get(f"/api/commentaires/?epreuve={row['id']}").json["results"]
    assert mine["auteur"] not in [one["auteur"] for one in left]
    assert [one["id"] for one in left if one["auteur"]] == [said["id"]]
    assert bank.sql("SELECT count(*) FROM core_user WHERE username = 'awa'") == [(0,)]
