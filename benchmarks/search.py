"""What a bank a hundred times as large costs whoever searches it.

    python -m benchmarks.search     SQLite, or PostgreSQL where DB_HOST names one

Two banks of synthetic épreuves, of 1,000 and 100,000, stand in scratch databases, which go with the
run. The same requests are put to both in turn, in this process, through all of Django: whatever
slows the machine slows both alike. Figures are medians in ms, `ratio` is the large bank's over the
small one's, `queries` the number of SQL queries, which must be the same in both.
"""

import argparse
import json
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from tqdm import tqdm

SEARCH = "/api/epreuves/?search="
REQUESTS = {
    "recherche": SEARCH + "equations+differentielles",
    "faute": SEARCH + "equatoins+diferentielles",
    "absente": SEARCH + "introuvable",
    "filtres": "/api/epreuves/?matiere=M3&annee_min=2015",
    "facettes": "/api/epreuves/facettes/?search=equations+differentielles",
    "facettes_sans_filtre": "/api/epreuves/facettes/",
    "liste": "/api/epreuves/",
}
BATCH = 2000
MATIERES, FILIERES, WORDS = 20, 6, 30_000
TOPICS = (
    """
équations différentielles|algèbre linéaire|calcul intégral|topologie générale|variables aléatoires
théorie des groupes|analyse complexe|espaces vectoriels normés|séries de Fourier|géométrie affine
mécanique du point|électromagnétisme|optique ondulatoire|thermodynamique|mécanique quantique
structures de données|systèmes d'exploitation|bases de données|réseaux informatiques|compilation
programmation en C++|théorie des langages|intelligence artificielle|statistique inférentielle
processus stochastiques|optimisation convexe|analyse numérique|arithmétique|logique mathématique
théorie de la mesure|analyse fonctionnelle|distributions|géométrie différentielle|anneaux et modules
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


@dataclass
class Figures:
    """Seconds of each request, by its name."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in REQUESTS})
    queries: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)

    def p50(self, name: str) -> float:
        return 1e3 * statistics.median(self.seconds[name])


@contextmanager
def scratch(size: int) -> Iterator[Any]:
    """A database with the migrations and `size` épreuves, which goes with the block."""
    from django.db import connections

    alias = f"banque_{size}"
    connections["default"] = connection = connections[alias]
    name = connection.settings_dict["NAME"]
    try:
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        fill(size)
        with connection.cursor() as cursor:
            # What autovacuum would have done by the next day.
            cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
        yield connection
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def fill(size: int) -> None:
    """The same shares of topics, words and filters, whatever the size; seeded."""
    from apps.core.models import Epreuve, EtatTexte, Filiere, Matiere, TexteEpreuve
    from apps.core.services.search_index import learn_words, text_of

    rng = random.Random(size)  # noqa: S311  # a bank, not a secret
    matieres = [Matiere(code=f"M{n}", nom=f"Matière {n}") for n in range(MATIERES)]
    filieres = [Filiere(code=f"F{n}", nom=f"Filière {n}") for n in range(FILIERES)]
    Matiere.objects.bulk_create(matieres)
    Filiere.objects.bulk_create(filieres)
    vocabulary = _vocabulary(rng)
    batches = range(0, size, BATCH)
    for start in tqdm(batches, desc=f"{size} épreuves", disable=not sys.stderr.isatty()):
        numbers = range(start, min(size, start + BATCH))
        epreuves = [_epreuve(n, rng, matieres, filieres, vocabulary) for n in numbers]
        Epreuve.objects.bulk_create(epreuves)
        texts = [text_of(epreuve) for epreuve in epreuves]
        for text in texts:
            text.etat, text.sujet = EtatTexte.FAIT, _sujet(rng, vocabulary)
        TexteEpreuve.objects.bulk_create(texts)
        learn_words(texts)


def _vocabulary(rng: random.Random) -> list[str]:
    starts, ends = "bcdfglmnprstv", "aeiou"
    syllables = [start + end for start in starts for end in ends]
    return ["".join(rng.choices(syllables, k=rng.randint(2, 5))) for _ in range(WORDS)]


def _some(rng: random.Random, vocabulary: list[str], number: int) -> list[str]:
    """As words come in texts: the n-th word about n times less often than the first."""
    return [vocabulary[int(len(vocabulary) ** rng.random()) - 1] for _ in range(number)]


def _sujet(rng: random.Random, vocabulary: list[str]) -> list[str]:
    from apps.core.text import words

    text = " ".join([*_some(rng, vocabulary, 300), rng.choice(TOPICS)])
    return words(text)


def _epreuve(
    number: int,
    rng: random.Random,
    matieres: list[Any],
    filieres: list[Any],
    vocabulary: list[str],
) -> Any:
    from django.utils import timezone

    from apps.core.models import Epreuve, Niveau, Session, Statut, TypeEpreuve

    epreuve = Epreuve(
        titre=f"{rng.choice(TOPICS).capitalize()} : sujet {number}",
        description=" ".join(_some(rng, vocabulary, 15)),
        matiere=rng.choice(matieres),
        filiere=rng.choice([*filieres, None]),
        niveau=rng.choice(Niveau.values),
        type_epreuve=rng.choice(TypeEpreuve.values),
        session=rng.choice(Session.values),
        annee=rng.randint(2000, 2024),
        fichier_corrige=rng.choice(["", "", "x.pdf"]),
        statut=Statut.PUBLIEE if rng.random() < 0.95 else Statut.SOUMISE,
        date_publication=timezone.now(),
    )
    epreuve.texte_recherche = epreuve.searchable_text()
    return epreuve


def measure(banks: dict[int, Any], rounds: int) -> dict[int, Figures]:
    """Each request to each bank in turn, the large and the small one taking turns to be first."""
    figures = {size: Figures() for size in banks}
    for size, connection in banks.items():
        _look_once(connection, figures[size])
    for at in tqdm(range(rounds), desc="tours", disable=not sys.stderr.isatty()):
        for name in REQUESTS:
            for size in sorted(banks, reverse=bool(at % 2)):
                figures[size].seconds[name].append(_ask(banks[size], name)[0])
    return figures


def _look_once(connection: Any, figures: Figures) -> None:
    from django.test.utils import CaptureQueriesContext

    for name in REQUESTS:
        _ask(connection, name)
        with CaptureQueriesContext(connection) as captured:
            answer = _ask(connection, name)[1]
        figures.queries[name] = len(captured)
        figures.found[name] = answer.get("count") or sum(
            value["nombre"] for value in answer.get("session", [])
        )


def _ask(connection: Any, name: str) -> tuple[float, Any]:
    from django.db import connections
    from django.test import Client

    connections["default"] = connection
    client = Client()
    start = time.perf_counter()
    answer = client.get(REQUESTS[name])
    seconds = time.perf_counter() - start
    if answer.status_code != 200:
        raise RuntimeError(f"{name}: {answer.status_code} {answer.content[:300]!r}")
    return seconds, answer.json()


def configure(sizes: list[int], folder: Path) -> None:
    """Before Django starts: the settings of the suite, and one database a bank."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.testing"
    base = settings.DATABASES["default"]
    for size in sizes:
        name = f"banque_mesure_{os.getpid()}_{size}"
        test = {"NAME": name if settings.DB_HOST else str(folder / f"{name}.sqlite3")}
        settings.DATABASES[f"banque_{size}"] = {**base, "TEST": test}
    django.setup()
    logging.disable(logging.WARNING)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search", description="Mesure la recherche et les facettes."
    )
    parser.add_argument(
        "--sizes", type=int, nargs=2, default=[1_000, 100_000], metavar=("PETITE", "GRANDE")
    )
    parser.add_argument(
        "--rounds", type=int, default=60, help="tours de mesure (défaut : %(default)s)"
    )
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="banque-mesure-")))
        configure(options.sizes, folder)
        banks = {size: stack.enter_context(scratch(size)) for size in options.sizes}
        figures = measure(banks, options.rounds)
    report(figures, options.rounds)


def report(figures: dict[int, Figures], rounds: int) -> None:
    small, large = figures.values()
    sizes = list(figures)
    title = f"{'':<22}{sizes[0]:>10} ms{sizes[1]:>10} ms   ratio  requêtes SQL   trouvées"
    print(title, file=sys.stderr)
    for name in REQUESTS:
        ratio = large.p50(name) / small.p50(name)
        print(
            f"{name:<22}{small.p50(name):>13.1f}{large.p50(name):>13.1f}{ratio:>8.2f}"
            f"{small.queries[name]:>8} → {large.queries[name]:<3}"
            f"{small.found[name]:>8} → {large.found[name]}",
            file=sys.stderr,
        )
    ratios = {name: round(large.p50(name) / small.p50(name), 2) for name in REQUESTS}
    print(
        json.dumps(
            {
                "database": "postgresql" if settings.DB_HOST else "sqlite",
                "sizes": sizes,
                "rounds": rounds,
                "p50_ms": {
                    str(size): {name: round(one.p50(name), 2) for name in REQUESTS}
                    for size, one in figures.items()
                },
                "ratio": ratios,
                "ratio_max": max(ratios.values()),
                "queries": {str(size): one.queries for size, one in figures.items()},
                "found": {str(size): one.found for size, one in figures.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
