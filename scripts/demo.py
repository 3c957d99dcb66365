#!/usr/bin/env python
"""Ce que fait « make demo » : une banque d'exemple, un modèle, dix recommandations."""

import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "data" / "demo"
USERNAME, PASSWORD = "etudiant1", "password123"
START_SECONDS = 60


class StepFailed(Exception):
    """One sentence that says which step failed and what to look at."""


def title(text: str) -> None:
    print(f"\n=== {text}", flush=True)


def manage(*argv: str) -> None:
    """A session of its own: Ctrl-C reaches it through us only, once, and we wait for its end."""
    child = subprocess.Popen([sys.executable, "manage.py", *argv], cwd=ROOT, start_new_session=True)
    try:
        code = child.wait()
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    if code:
        raise StepFailed(
            f"« manage.py {argv[0]} » a échoué (code {code}) ; la raison est écrite ci-dessus."
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def alone() -> Iterator[None]:
    """Two at once would pull the bank from under each other."""
    with (FOLDER / "verrou").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StepFailed("une autre « make demo » est en cours ; attendez sa fin.") from None
        yield


@contextmanager
def running_server() -> Iterator[str]:
    """The real server on a free loopback port; ended whatever happens inside."""
    base_url, log = f"http://127.0.0.1:{free_port()}", FOLDER / "serveur.log"
    argv = ["gunicorn", "config.wsgi:application", "--bind", base_url.removeprefix("http://")]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *argv],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(base_url, server, log)
        yield base_url
    finally:
        stop(server)


def wait_for(base_url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            call(f"{base_url}/api/schema/")
            return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise StepFailed(f"le serveur n'a pas démarré en {START_SECONDS} s ; lisez {log}.")


def stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(timeout=15)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def call(url: str, token: str = "", body: dict[str, str] | None = None) -> bytes:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, headers)
    try:
        with urlopen(request, timeout=START_SECONDS) as response:
            return bytes(response.read())
    except HTTPError as error:
        detail = error.read()[:300].decode(errors="replace")
        raise StepFailed(f"{url} a répondu {error.code} : {detail}") from None


def recommendations(base_url: str) -> dict[str, Any]:
    token = json.loads(
        call(f"{base_url}/api/token/", body={"username": USERNAME, "password": PASSWORD})
    )["access"]
    asked = "personalized/?top_k=10&champs=titre,matiere_nom,niveau"
    answer = call(f"{base_url}/api/recommendations/{asked}", token)
    return dict(json.loads(answer))


COLUMNS = ("rang", "score", "titre", "matière", "niveau", "source")


def show(answer: dict[str, Any]) -> None:
    rows = [COLUMNS, *map(_cells, answer["recommendations"])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(f"Modèle {answer['version_modele']}, source {answer['source']}.\n")
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    epreuve = row["epreuve"]
    names = (epreuve["titre"], epreuve["matiere_nom"], epreuve["niveau"])
    return (f"{row['rang']:>4}", f"{row['score']:.3f}", *names, row["source"])


def demo() -> None:
    title("1/4 Banque d'exemple, dans data/demo/")
    manage("migrate", "--verbosity", "0")
    manage("generate_data", "--reset")
    title("2/4 Entraînement")
    start = time.monotonic()
    manage("train_model")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"{time.monotonic() - start:.0f} s, {peak} Mio de mémoire au plus.")
    title(f"3/4 Le vrai serveur recommande dix épreuves à {USERNAME}")
    with running_server() as base_url:
        show(recommendations(base_url))
    title("4/4 Pour continuer")
    print(
        "make demo-run   sert cette banque d'exemple : http://localhost:8000/api/docs/ et /admin/\n"
        "make run        sert votre banque, réglée dans .env\n"
        f"Comptes : {USERNAME} (étudiant), admin (administration) ; mot de passe {PASSWORD}."
    )


def _end(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    # `finally` must run for a polite end too, or the server would outlive us.
    signal.signal(signal.SIGTERM, _end)
    os.chdir(ROOT)
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        with alone():
            demo()
    except StepFailed as failure:
        sys.exit(f"\nDémonstration arrêtée : {failure}")
    except KeyboardInterrupt:
        print("\nDémonstration interrompue.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
