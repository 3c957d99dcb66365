"""How near a recommendation comes to the floor of a request, over HTTP, on servers of its own.

    python -m benchmarks.serving            gunicorn on PostgreSQL and Redis
    python -m benchmarks.serving --sqlite   gunicorn on the embedded default

One client on one kept connection asks in turn for an empty view, the same recommendations again
(cached) and, where the catalogue has just changed, anew (uncached); so whatever slows the machine
slows all alike. Figures are medians over requests, in ms; `cached_over_empty` is their ratio.
"""

import argparse
import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from tqdm import tqdm

from tests.reliability.servers import (
    DOMAIN,
    HOST,
    Bank,
    Gunicorn,
    Redis,
    embedded,
    folder,
    postgres,
    production,
    running,
)

EMPTY = "/api/mesure/vide/"
SCORING = "/api/mesure/notation/"
PERSONALIZED = "/api/recommendations/personalized/?top_k=10"
# Enough that a student's own history of throttling stays as long as in real use.
STUDENTS = 100
CLIENTS, RUSH_SECONDS = 8, 5.0
TOKENS = f"""
import json
from apps.core.models import User
from apps.comptes.tokens import AccessToken
students = User.objects.filter(role="etudiant").order_by("pk")[:{STUDENTS}]
print(json.dumps([str(AccessToken.for_user(student)) for student in students]))
"""


@dataclass
class Measured(Gunicorn):
    """gunicorn with the views of `serving_urls` beside the product's."""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "DJANGO_SETTINGS_MODULE": "benchmarks.serving_settings"}


@dataclass
class Connection:
    """One kept connection, as a browser or a proxy holds it."""

    port: int
    link: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.link = http.client.HTTPConnection(HOST, self.port, timeout=30)

    def get(self, path: str, token: str, **headers: str) -> tuple[float, bytes, str | None]:
        """Seconds until the last byte, the body, and what X-Queries said; raises unless 200."""
        sent = {"Host": DOMAIN, "X-Forwarded-Proto": "https", "Authorization": f"Bearer {token}"}
        start = time.perf_counter()
        self.link.request("GET", path, headers=sent | headers)
        answer = self.link.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - start
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        return seconds, body, answer.headers["X-Queries"]


@dataclass
class Series:
    """Seconds of each kind of request, in the order asked."""

    empty: list[float] = field(default_factory=list)
    cached: list[float] = field(default_factory=list)
    uncached: list[float] = field(default_factory=list)
    scoring: list[float] = field(default_factory=list)

    def ratio(self, start: int = 0, end: int | None = None) -> float:
        return statistics.median(self.cached[start:end]) / statistics.median(self.empty[start:end])

    def spread(self, blocks: int = 10) -> tuple[float, float]:
        """The least and the greatest ratio of ten stretches of the run."""
        size = max(1, len(self.empty) // blocks)
        ratios = [self.ratio(at, at + size) for at in range(0, len(self.empty) - size + 1, size)]
        return min(ratios), max(ratios)


@contextmanager
def bank(*, sqlite: bool) -> Iterator[Bank]:
    """A demonstration bank with an active model, on servers that end with the block."""
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        if sqlite:
            made = embedded(place)
        else:
            database = stack.enter_context(postgres(place))
            made = stack.enter_context(
                production(place, database, stack.enter_context(running(Redis(place))))
            )
        made.manage("migrate", "--verbosity=0")
        made.manage("generate_data", "--force", "--verbosity=0")
        made.manage("train_model", "--epochs=3", "--verbosity=0")
        yield made


def measure(made: Bank, server: Gunicorn, n: int) -> Series:
    """Interleave `n` empty and cached requests; every tenth round also an uncached one."""
    series, connection, tokens = Series(), Connection(server.port), _tokens(made)
    for token in tokens:
        connection.get(EMPTY, token)
        connection.get(PERSONALIZED, token)
    asked = zip(range(n), cycle(tokens), strict=False)
    for at, token in tqdm(asked, total=n, unit=" tours", disable=not sys.stderr.isatty()):
        connection.get(PERSONALIZED, token)  # it may be a minute old
        # Whoever comes second finds the caches of the processor warm: take turns.
        kinds = [(EMPTY, series.empty), (PERSONALIZED, series.cached)]
        for path, times in kinds if at % 2 else reversed(kinds):
            times.append(connection.get(path, token)[0])
        if at % 10 == 0:
            made.sql("UPDATE recommender_cataloguegeneration SET generation = generation + 1")
            series.uncached.append(connection.get(PERSONALIZED, token)[0])
            series.scoring.append(json.loads(connection.get(SCORING, token)[1])["ms"] / 1e3)
    return series


def queries(made: Bank, server: Gunicorn) -> dict[str, int]:
    connection, token = Connection(server.port), _tokens(made)[-1]

    def count(path: str) -> int:
        return int(connection.get(path, token, **{"X-Queries": "1"})[2] or 0)

    made.sql("UPDATE recommender_cataloguegeneration SET generation = generation + 1")
    return {"uncached": count(PERSONALIZED), "cached": count(PERSONALIZED), "empty": count(EMPTY)}


def rush(made: Bank, server: Gunicorn) -> float:
    """Cached answers per second to clients that ask again as soon as they are answered."""
    tokens, answered = _tokens(made), [0] * CLIENTS
    end = time.monotonic() + RUSH_SECONDS

    def ask(client: int) -> None:
        connection = Connection(server.port)
        for token in cycle(tokens[client::CLIENTS]):
            if time.monotonic() > end:
                return
            connection.get(PERSONALIZED, token)
            answered[client] += 1

    clients = [threading.Thread(target=ask, args=(client,)) for client in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return sum(answered) / RUSH_SECONDS


def _tokens(made: Bank) -> list[str]:
    return list(json.loads(made.python(TOKENS)))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description="Mesure le service des recommandations."
    )
    parser.add_argument("--sqlite", action="store_true", help="sur SQLite et la mémoire locale")
    parser.add_argument(
        "--rounds", type=int, default=2000, help="tours de mesure (défaut : %(default)s)"
    )
    options = parser.parse_args()
    with (
        bank(sqlite=options.sqlite) as made,
        running(Measured(Path(made.folder), bank=made)) as server,
    ):
        series = measure(made, server, options.rounds)
        counted, rps = queries(made, server), rush(made, server)
    low, high = series.spread()
    figures = {
        "cached_over_empty": round(series.ratio(), 3),
        "cached_over_empty_range": [round(low, 3), round(high, 3)],
        **{
            f"{name}_ms": round(1e3 * statistics.median(getattr(series, name)), 3)
            for name in ("empty", "cached", "uncached", "scoring")
        },
        "queries": counted,
        "rps": round(rps),
        "database": "sqlite" if options.sqlite else "postgresql",
        "rounds": options.rounds,
    }
    for name, value in figures.items():
        print(f"{name:<24} {value}", file=sys.stderr)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
