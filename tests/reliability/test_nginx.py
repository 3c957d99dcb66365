"""deploy/nginx.conf in front of gunicorn, with its own TLS, as production has them."""

import gzip
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import brotli
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from tests.factories import PASSWORD, pdf
from tests.reliability.servers import (
    DOMAIN,
    HOST,
    Answer,
    Bank,
    Client,
    Gunicorn,
    Nginx,
    running,
    under_load,
    wait_until,
)

pytestmark = pytest.mark.requires("servers", "nginx")

CONTENT = pdf("nginx")


@pytest.fixture(scope="module")
def awa(nginx: Nginx) -> Client:
    return nginx.client.signed_in("etudiant0", PASSWORD)


@pytest.fixture(scope="module")
def epreuve(bank: Bank) -> int:
    """One with a file, as the suite makes it."""
    return int(
        bank.python(
            "from tests.factories import EpreuveFactory, pdf, with_file\n"
            "print(with_file(EpreuveFactory(), pdf('nginx')).pk)"
        )
    )


@pytest.fixture
def link(awa: Client, epreuve: int) -> str:
    url = awa.post(f"/api/epreuves/{epreuve}/download/").json["url"]
    assert url.startswith(f"https://{DOMAIN}/api/fichiers/")
    return urlsplit(url).path


def test_the_configuration_is_accepted_without_a_warning(nginx: Nginx) -> None:
    checked = subprocess.run(
        [*nginx.argv(), "-t"], capture_output=True, text=True, timeout=30, check=True
    )
    assert "test is successful" in checked.stderr
    assert "[warn]" not in checked.stderr


def test_http_is_sent_to_https(nginx: Nginx) -> None:
    answer = Client(nginx.plain_port).get("/api/epreuves/?page=2")
    assert answer.status == 301
    assert answer.headers["Location"] == f"https://{DOMAIN}/api/epreuves/?page=2"


def test_a_pdf_is_whole_and_named_and_keeps_the_headers_of_the_application(
    nginx: Nginx, link: str
) -> None:
    answer = nginx.client.get(link)
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert answer.headers["Cache-Control"] == "private, max-age=0"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Strict-Transport-Security"]
    assert nginx.logged(answer)["chemin"] == "/api/fichiers/***/"
    assert "X-Accel-Redirect" not in answer.headers
    assert nginx.client.call("HEAD", link).headers["Content-Length"] == str(len(CONTENT))


def test_a_download_is_resumed_and_not_mixed_with_another_file(nginx: Nginx, link: str) -> None:
    etag = nginx.client.get(link).headers["ETag"]
    assert etag == f'"{sha256(CONTENT).hexdigest()}"'
    part = nginx.client.get(link, Range="bytes=10-19", If_Range=etag)
    assert (part.status, part.body) == (206, CONTENT[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(CONTENT)}"
    changed = nginx.client.get(link, Range="bytes=10-19", If_Range='"another"')
    assert (changed.status, changed.body) == (200, CONTENT)
    assert nginx.client.get(link, Range="bytes=-5").body == CONTENT[-5:]
    several = nginx.client.get(link, Range="bytes=0-1,4-5")
    assert (several.status, several.body) == (200, CONTENT)
    assert several.headers.get_all("Accept-Ranges") == ["bytes"]
    assert several.headers.get_all("ETag") == [etag]


def test_conditions_and_impossible_ranges_are_judged_by_the_application(
    nginx: Nginx, link: str
) -> None:
    etag = nginx.client.get(link).headers["ETag"]
    known = nginx.client.get(link, If_None_Match=etag)
    assert (known.status, known.body, known.headers["ETag"]) == (304, b"", etag)
    past = nginx.client.get(link, Range=f"bytes={len(CONTENT)}-")
    assert (past.status, past.json["errors"][0]["code"]) == (416, "intervalle_impossible")
    assert past.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


LARGE = 15_000_000


class Large(NamedTuple):
    link: str
    sha256: str


@pytest.fixture(scope="module")
def large_epreuve(bank: Bank) -> int:
    """Its file takes a while: what follows the end of a PDF is nobody's concern."""
    made = bank.python(
        "from tests.factories import EpreuveFactory, pdf, with_file\n"
        "import random\n"
        f"noise = random.Random(7).randbytes({LARGE})\n"
        "print(with_file(EpreuveFactory(), pdf('grand') + noise).pk)"
    )
    return int(made)


@pytest.fixture(params=["sujet", "paquet"])
def large(awa: Client, large_epreuve: int, request: pytest.FixtureRequest) -> Large:
    if request.param == "sujet":
        answer = awa.post(f"/api/epreuves/{large_epreuve}/download/").json
    else:
        answer = awa.post("/api/paquets/", {"budget_octets": 2 * LARGE, "deja": True}).json
    assert answer["taille_octets"] > LARGE
    return Large(urlsplit(answer["url"]).path, answer["sha256"])


@pytest.mark.parametrize("way", ["nginx", "gunicorn"])
def test_curl_resumes_a_broken_download_byte_for_byte(
    nginx: Nginx, bank: Bank, large: Large, tmp_path: Path, way: str
) -> None:
    """Broken twice, by the end of curl in the middle of the file."""
    with ExitStack() as stack:
        if way == "nginx":
            base = f"https://{DOMAIN}:{nginx.port}"
            to = ["--resolve", f"{DOMAIN}:{nginx.port}:{HOST}"]
            to += ["--cacert", str(nginx.folder / "certificat.pem")]
        else:
            own = replace(bank, variables=bank.variables | {"ACCEL_PREFIXE": ""})
            alone = stack.enter_context(running(Gunicorn(tmp_path, bank=own)))
            base = f"http://{HOST}:{alone.port}"
            to = ["-H", f"Host: {DOMAIN}", "-H", "X-Forwarded-Proto: https"]
        target = tmp_path / "grand.pdf"
        curl = ["curl", "--silent", "--show-error", "--fail", *to, "-C", "-", "-o", str(target)]
        target.touch()
        sizes = [0]
        for _ in range(2):
            slow = subprocess.Popen([*curl, "--limit-rate", "1M", base + large.link])
            wait_until(lambda: target.stat().st_size > sizes[-1], "bytes of the download")
            slow.kill()
            slow.wait()
            sizes.append(target.stat().st_size)
        subprocess.run([*curl, base + large.link], timeout=60, check=True)
    assert sizes[0] < sizes[1] < sizes[2] < LARGE
    assert sha256(target.read_bytes()).hexdigest() == large.sha256


def test_a_paquet_that_came_whole_is_received(nginx: Nginx, bank: Bank, epreuve: int) -> None:
    koffi = nginx.client.signed_in("etudiant1", PASSWORD)
    asked = {"budget_octets": 1_000_000}
    paquet = koffi.post("/api/paquets/", asked).json
    answer = nginx.client.get(urlsplit(paquet["url"]).path)
    assert (answer.status, sha256(answer.body).hexdigest()) == (200, paquet["sha256"])
    assert CONTENT in answer.body
    assert answer.headers["Content-Type"] == "application/zip"
    assert nginx.logged(answer)["chemin"] == "/api/fichiers/***/"
    again = koffi.post("/api/paquets/", asked)
    assert (again.status, again.json["errors"][0]["code"]) == (409, "rien_de_nouveau")


def test_files_leave_by_a_signed_link_only(
    nginx: Nginx, bank: Bank, epreuve: int, link: str
) -> None:
    ((name,),) = bank.sql(f"select fichier from core_epreuve where id = {epreuve}")
    assert (bank.folder / "media" / name).read_bytes() == CONTENT
    for path in (
        f"/fichiers-internes/{name}",
        f"/media/{name}",
        f"/api/../fichiers-internes/{name}",
    ):
        assert nginx.client.get(path).status == 404
    asked = nginx.client.get("/api/epreuves/", X_Accel_Redirect=f"/fichiers-internes/{name}")
    assert asked.json["count"] > 20
    altered = link[:-3] + ("AA/" if link[-3:] != "AA/" else "BB/")
    assert nginx.client.get(altered).status == 403


def test_nginx_sends_a_vignette_under_the_etag_of_the_application(
    nginx: Nginx, bank: Bank, epreuve: int
) -> None:
    drawn = "from apps.core.services.vignettes import draw_vignette\nprint(draw_vignette({}))"
    assert bank.python(drawn.format(epreuve)).strip() == "True"
    url = urlsplit(nginx.client.get(f"/api/epreuves/{epreuve}/").json["vignette"]).path
    answer = nginx.client.get(url, Accept="image/webp")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/webp")
    assert answer.body[8:12] == b"WEBP"
    assert answer.headers["ETag"] == f'"{url.split("/")[-2]}"'
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert nginx.client.get(url, If_None_Match=answer.headers["ETag"]).status == 304


def send_in_chunks(client: Client, content: bytes) -> Answer:
    """A deposit that does not say how long it is."""
    fields = {"titre": "Sans longueur", "matiere": "ANALYSE"}
    fields |= {"fichier": SimpleUploadedFile("sujet.pdf", content)}
    body = encode_multipart(BOUNDARY, fields)
    sent = {"Host": DOMAIN, "X-Forwarded-Proto": "https", "Content-Type": MULTIPART_CONTENT}
    sent["Authorization"] = f"Bearer {client.token}"
    pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    with closing(client.connection()) as connection:
        connection.request("POST", "/api/epreuves/", pieces, sent, encode_chunked=True)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())


def test_a_deposit_without_a_length_is_taken_and_measured(nginx: Nginx, web: Gunicorn) -> None:
    admin = nginx.client.signed_in("rachidi", PASSWORD)
    taken = send_in_chunks(admin, pdf("sans longueur"))
    assert (taken.status, taken.json["nb_pages"]) == (201, 1)
    refused = send_in_chunks(admin, pdf("trop") + bytes(25 * 1024 * 1024))
    assert (refused.status, refused.json["errors"][0]["code"]) == (413, "trop_volumineux")
    # Past nginx, which gives a length to what has none, there is nothing to read.
    alone = web.client.with_token(admin.token)
    assert send_in_chunks(alone, pdf("autre")).status == 400


def test_what_a_client_says_of_its_way_does_not_count(nginx: Nginx, bank: Bank) -> None:
    forged = {"X_Forwarded_For": "203.0.113.7", "X_Request_ID": "forged-request-id"}
    wrong = {"username": "etudiant1", "password": "pas-le-bon"}
    answer = nginx.client.post("/api/token/", wrong, **forged)
    assert answer.status == 401
    assert answer.headers["X-Request-ID"] == answer.json["request_id"] != "forged-request-id"
    assert nginx.logged(answer)["adresse"] == HOST
    tried = "select distinct ip_address from axes_accessattempt where username = 'etudiant1'"
    assert [str(address) for (address,) in bank.sql(tried)] == [HOST]


def test_the_access_log_keeps_neither_links_nor_what_was_asked(nginx: Nginx, link: str) -> None:
    nginx.client.get(link)
    nginx.client.get(link.replace("fichiers", "%66ichiers"))
    nginx.client.get("/mot-de-passe/MQ/abcdef-0123456789abcdef/")
    asked = nginx.logged(nginx.client.get("/api/epreuves/?search=secret-question"))
    assert (asked["chemin"], asked["statut"], asked["methode"]) == ("/api/epreuves/", 200, "GET")
    text = (nginx.folder / "banque.log").read_text("utf-8")
    assert link.split("/")[3] not in text
    assert "secret-question" not in text
    assert "abcdef-0123456789abcdef" not in text


def test_metrics_are_not_public(nginx: Nginx) -> None:
    for path in ("/metrics", "/metrics/"):
        assert nginx.client.get(path).status == 404


def test_an_answer_is_compressed(nginx: Nginx) -> None:
    plain = nginx.client.get("/api/epreuves/")
    for encoding, decoded in (("br", brotli.decompress), ("gzip", gzip.decompress)):
        answer = nginx.client.get("/api/epreuves/", Accept_Encoding=encoding)
        assert answer.headers["Content-Encoding"] == encoding
        assert decoded(answer.body) == plain.body
        etag = answer.headers["ETag"]
        assert etag == plain.headers["ETag"]
        known = nginx.client.get("/api/epreuves/", Accept_Encoding=encoding, If_None_Match=etag)
        assert (known.status, known.body) == (304, b"")


def test_a_token_is_compressed_by_nobody(nginx: Nginx) -> None:
    body = {"username": "etudiant2", "password": PASSWORD}
    answer = nginx.client.post("/api/token/", body, Accept_Encoding="br, gzip")
    assert (answer.status, answer.headers["Content-Encoding"]) == (200, None)
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_deposit_and_an_import_may_be_large_and_nothing_else(awa: Client) -> None:
    large = b"x" * (5 * 1024 * 1024)
    assert awa.post("/api/epreuves/", large).status == 403
    refused = awa.post("/api/evaluations/", large)
    assert refused.status == 413
    assert refused.json["errors"][0]["code"] == "trop_volumineux"
    assert refused.json["request_id"] == refused.headers["X-Request-ID"]
    assert awa.post("/api/epreuves/", b"x" * (42 * 1024 * 1024)).status == 413
    # The ZIP of an import; nobody's, it is not read.
    assert awa.post("/admin/core/epreuve/importer/", b"x" * (100 * 1024 * 1024)).status == 302
    assert awa.post("/admin/core/epreuve/importer/", b"x" * (122 * 1024 * 1024)).status == 413


def test_a_refusal_reaches_who_sent_a_body_that_nobody_read(nginx: Nginx, awa: Client) -> None:
    body = b"x" * 500_000
    for _ in range(10):
        assert nginx.client.post("/api/epreuves/", body, Authorization="Bearer x").status == 401
        assert nginx.client.call("PUT", "/api/epreuves/", body).status in {401, 405}
        assert nginx.client.post("/api/nulle-part/", body).status == 404
        assert awa.post("/api/epreuves/", body).status == 403


def test_without_gunicorn_the_answer_is_a_503_in_the_form_of_the_api(
    nginx: Nginx, web: Gunicorn, link: str
) -> None:
    web.stop()
    try:
        answer = nginx.client.get(link)
    finally:
        web.start()
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json["errors"][0]["code"] == "serveur_indisponible"
    assert nginx.logged(answer)["amont_statut"] == "502"
    token = link.split("/")[3]
    for log in nginx.folder.glob("*.log"):
        assert token not in log.read_text("utf-8"), log


@pytest.fixture
def slow_clients(nginx: Nginx) -> Iterator[list[socket.socket]]:
    """Many more than gunicorn has threads, each in the middle of what it sends."""
    started = (
        b"POST /api/token/ HTTP/1.1\r\nHost: banque.test\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000\r\n\r\n{",
        b"GET /api/epreuves/ HTTP/1.1\r\nHost: banque.test\r\nX-Slow: ",
    )
    tls = nginx.client.tls
    assert tls is not None
    with ExitStack() as stack:
        sockets = []
        for rank in range(48):
            plain = socket.create_connection((HOST, nginx.port), 10)
            wrapped = stack.enter_context(tls.wrap_socket(plain, server_hostname=HOST))
            wrapped.sendall(started[rank % 2])
            sockets.append(wrapped)
        yield sockets


def test_slow_clients_hold_no_thread_of_gunicorn(
    nginx: Nginx, web: Gunicorn, slow_clients: list[socket.socket]
) -> None:
    time.sleep(0.5)
    begun = time.monotonic()
    for _ in range(20):
        assert nginx.client.get("/api/epreuves/").status == 200
    assert time.monotonic() - begun < 4, "gunicorn waits 5 s for the rest of a request"
    assert web.is_running


def test_a_reload_of_gunicorn_loses_no_request(
    nginx: Nginx, web: Gunicorn, awa: Client, epreuve: int
) -> None:
    def view() -> int:
        # Nginx would ask a lost GET again, and hide it.
        return awa.post(f"/api/epreuves/{epreuve}/view/").status

    before = set(web.workers)
    with under_load([view] * 4) as statuses:
        wait_until(lambda: len(statuses) > 20, "answers of the old workers")
        web.send(signal.SIGHUP)
        wait_until(lambda: not before & set(web.workers) and web.is_ready(), "new workers", 60)
        seen = len(statuses)
        wait_until(lambda: len(statuses) > seen + 20, "answers of the new workers")
    assert set(statuses) <= {200, 201}
