#!/usr/bin/env python
"""Appelle chaque point d'entrée demandé sur un serveur lancé, une ligne par vérification.

Sauf avec --lecture-seule, il laisse une vue, une note et un commentaire sur une épreuve.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin
from urllib.request import Request, urlopen

# Loopback servers answer in milliseconds; the first call may have to load the model.
TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes

    @property
    def data(self) -> Any:
        """The JSON body, an empty object where there is none."""
        try:
            return json.loads(self.content)
        except ValueError:
            return {}

    @property
    def error_code(self) -> str:
        errors = self.data.get("errors") if isinstance(self.data, dict) else None
        return errors[0]["code"] if errors else ""


@dataclass
class Server:
    base_url: str
    token: str = ""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        headers = {"Accept": "*/*"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        url = urljoin(self.base_url, path)
        request = Request(url, data, headers, method=method)
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                return Answer(response.status, response.read())
        except HTTPError as error:
            return Answer(error.code, error.read())


@dataclass
class Report:
    failures: int = 0
    show: Callable[[str], None] = field(default=print)

    def check(self, name: str, holds: bool, answer: Answer, note: str = "") -> bool:
        """One line; a failed one shows what the server answered."""
        self.failures += not holds
        self.show(f"{'✓' if holds else '✗'} {name} : {answer.status}{note and f', {note}'}")
        if not holds:
            self.show(f"    {answer.content[:300].decode(errors='replace')}")
        return holds


def log_in(server: Server, report: Report, username: str, password: str) -> bool:
    answer = server.call("POST", "/api/token/", {"username": username, "password": password})
    if report.check("POST /api/token/", answer.status == 200, answer):
        server.token = answer.data["access"]
    return bool(server.token)


def check_catalogue(server: Server, report: Report) -> dict[str, Any] | None:
    """Return an épreuve to go on with, one that has a file if there is one."""
    epreuves: list[dict[str, Any]] = []
    for path in ("/api/epreuves/populaires/", "/api/epreuves/recentes/", "/api/epreuves/"):
        answer = server.call("GET", path)
        epreuves = answer.data.get("results", [])
        report.check(f"GET {path}", answer.status == 200, answer, f"{len(epreuves)} épreuves")
    answer = server.call("GET", "/api/epreuves/facettes/")
    report.check("GET /api/epreuves/facettes/", answer.status == 200, answer)
    if not epreuves:
        return None
    epreuve = next((row for row in epreuves if row["taille_octets"]), epreuves[0])
    path = f"/api/epreuves/{epreuve['id']}/"
    answer = server.call("GET", path)
    same = answer.status == 200 and answer.data["id"] == epreuve["id"]
    report.check(f"GET {path}", same, answer, epreuve["titre"])
    return epreuve


def check_use(server: Server, report: Report, epreuve: dict[str, Any]) -> None:
    number, path = epreuve["id"], f"/api/epreuves/{epreuve['id']}"
    answer = server.call("POST", f"{path}/view/")
    report.check(f"POST {path}/view/", answer.status in {200, 201}, answer)
    check_download(server, report, f"{path}/download/", has_file=bool(epreuve["taille_octets"]))
    notes = {"epreuve": number, "note_difficulte": 4, "note_pertinence": 5}
    answer = server.call("POST", "/api/evaluations/", notes)
    report.check("POST /api/evaluations/", answer.status in {200, 201}, answer)
    comment = {"epreuve": number, "contenu": "Très bonne épreuve!"}
    answer = server.call("POST", "/api/commentaires/", comment)
    report.check("POST /api/commentaires/", answer.status in {200, 201}, answer)


def check_download(server: Server, report: Report, path: str, *, has_file: bool) -> None:
    answer = server.call("POST", path)
    if not has_file:
        absent = answer.status == 404 and answer.error_code == "fichier_absent"
        report.check(f"POST {path}", absent, answer, "épreuve importée sans fichier")
        return
    if report.check(f"POST {path}", answer.status == 200, answer):
        signed = Server(server.base_url).call("GET", answer.data["url"])
        real = signed.status == 200 and signed.content.startswith(b"%PDF-")
        size = f"PDF de {len(signed.content)} octets"
        report.check("GET du lien signé, sans jeton", real, signed, size)


def check_similar(server: Server, report: Report, epreuve: dict[str, Any]) -> None:
    path = f"/api/recommendations/similar/?epreuve_id={epreuve['id']}&top_k=10"
    answer = server.call("GET", path)
    found = _recommended(answer)
    holds = answer.status == 200 and len(found) <= 10 and epreuve["id"] not in found
    report.check(f"GET {path}", holds, answer, _summary(answer))


def check_recommendations(server: Server, report: Report, viewed: int | None) -> None:
    path = "/api/recommendations/personalized/?top_k=10"
    answer = server.call("GET", path)
    found = _recommended(answer)
    holds = answer.status == 200 and len(found) <= 10 and len(set(found)) == len(found)
    report.check(f"GET {path}", holds, answer, _summary(answer))
    if viewed is not None:
        holds = answer.status == 200 and viewed not in found
        report.check("L'épreuve consultée n'est plus recommandée", holds, answer)
    for name, key in (("status", "statut"), ("stats", "interactions_par_type")):
        path = f"/api/recommendations/{name}/"
        answer = server.call("GET", path)
        report.check(f"GET {path}", answer.status == 200 and key in answer.data, answer)


def _recommended(answer: Answer) -> list[int]:
    return [row["epreuve"]["id"] for row in answer.data.get("recommendations", [])]


def _summary(answer: Answer) -> str:
    return f"{answer.data.get('count')} épreuves, source {answer.data.get('source')}"


def check_docs(server: Server, report: Report) -> None:
    for path in ("/api/docs/", "/api/schema/"):
        answer = server.call("GET", path)
        report.check(f"GET {path}", answer.status == 200, answer)


def exercise(server: Server, report: Report, *, read_only: bool) -> None:
    epreuve = check_catalogue(server, report)
    if epreuve:
        check_similar(server, report, epreuve)
    elif not read_only:
        report.failures += 1
        report.show("✗ La banque est vide : lancez python manage.py generate_data.")
    viewed = None
    if epreuve and not read_only:
        check_use(server, report, epreuve)
        viewed = epreuve["id"]
    check_recommendations(server, report, viewed)
    check_docs(server, report)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", default="http://localhost:8000")
    parser.add_argument("--username", default="etudiant1")
    parser.add_argument("--password", default="password123")
    parser.add_argument(
        "--lecture-seule", action="store_true", help="ne rien écrire ; une banque vide convient"
    )
    options = parser.parse_args()
    server, report = Server(options.base_url), Report()
    try:
        if log_in(server, report, options.username, options.password):
            exercise(server, report, read_only=options.lecture_seule)
    except (URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        sys.exit(
            f"Aucun serveur ne répond à {options.base_url} ({reason}) : "
            "vérifiez l'adresse, ou lancez python manage.py runserver dans un autre terminal."
        )
    if report.failures:
        sys.exit(f"{report.failures} vérification(s) en échec.")
    print("Tout répond comme demandé.")


if __name__ == "__main__":
    main()
