"""What one more student, épreuve or interaction costs: on disk, in the cache, in memory, in time.

    python -m benchmarks.scale [--picture docs/images/echelle.svg]

Rows: banks of `generate_data` of two sizes on a PostgreSQL and a Redis of this run's own; then the
larger one's interactions copied to other dates, up to --interactions, to see the popularity query
grow. Models: `hybrid` trained for two epochs on banks of `ml.synthetic`, written, then loaded by a
process of its own, which says what it grew by, and answers a student's top 10 thirty times.

Every cost is a slope between two sizes measured in the same run. Bytes, MB (1e6 bytes); seconds and
milliseconds, of processor for models, on one thread, of waiting for the query. One line of JSON on
stdout.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.recommender.charts import Curve, panel
from tests.reliability.servers import Bank, Redis, folder, postgres, production, running

# (students, épreuves), and as many interactions a student.
BANKS, PER_STUDENT = ((100, 100), (200, 200)), 75
MODELS, TAKEN = ((500, 500), (500, 1000), (500, 2000), (1000, 500)), 30
ANSWERS = 30
CURVES = (
    ("entrainement_s", "entraînement", "#dc2626"),
    ("memoire_mo", "mémoire", "#2563eb"),
    ("fichiers_mo", "fichiers", "#d97706"),
    ("reponse_ms", "réponse", "#059669"),
)
TABLES = """
    select relname, n_live_tup, pg_table_size(relid), pg_indexes_size(relid)
    from pg_stat_user_tables where n_live_tup > 0 order by relname
"""
# Of the last year, one more of each: the same pairs, so the catalogue keeps its popularity.
COPY = """
    insert into core_interaction (user_id, epreuve_id, type_interaction, contexte, date, fenetre)
    select user_id, epreuve_id, type_interaction, contexte, date - n * interval '7 minutes',
           -(id * 100000 + n)
    from core_interaction, generate_series({first}, {last}) n
    where id <= {until}
"""
POPULARITY = """
import statistics, time
from apps.core.selectors import popularity
def once():
    start = time.perf_counter(); popularity(); return time.perf_counter() - start
once(); print(statistics.median(once() for _ in range(3)))
"""
ASK = """
from django.conf import settings
from rest_framework.test import APIClient
from apps.core.models import User
from django.core.cache import cache
client, sent = APIClient(), {"Host": settings.ALLOWED_HOSTS[0], "X-Forwarded-Proto": "https"}
redis = cache.client.get_client()
students = list(User.objects.filter(role="etudiant").order_by("pk")[:60])
def ask(student):
    client.force_authenticate(student)
    answer = client.get("/api/recommendations/personalized/", headers=sent)
    assert answer.status_code == 200, answer.content
used = lambda: redis.info("memory")["used_memory"]
for student in students[:10]: ask(student)
before = used()
for student in students[10:]: ask(student)
print((used() - before) / 50)
"""


# --- Rows --------------------------------------------------------------------------------------


def sizes_of(bank: Bank) -> dict[str, tuple[int, int, int]]:
    """Of each table: rows, bytes of the rows, bytes of their indexes."""
    with bank.postgres.connect(bank.variables["DB_NAME"]) as connection:  # type: ignore[union-attr]
        connection.execute("vacuum full analyze")
    return {name: (rows, table, index) for name, rows, table, index in bank.sql(TABLES)}


@contextmanager
def servers() -> Iterator[Any]:
    with folder() as place, postgres(place) as database, running(Redis(place)) as redis:
        yield lambda here: production(here, database, redis)


def rows(most: int) -> dict[str, Any]:
    measured = []
    with servers() as bank_on:
        for students, epreuves in BANKS:
            with folder() as here, bank_on(here) as bank:
                bank.manage("migrate", "--verbosity=0", timeout=600)
                wanted = f"--interactions={students * PER_STUDENT}"
                size = (f"--users={students}", f"--epreuves={epreuves}", wanted)
                bank.manage("generate_data", *size, "--force", "-v0", timeout=600)
                measured.append(sizes_of(bank))
                if (students, epreuves) == BANKS[-1]:
                    bank.manage("train_model", "--epochs=2", "-v0", timeout=600)
                    cached = float(bank.python(ASK, timeout=600))
                    growth = popularity_of(bank, most)
    return {
        "octets_par_ligne": {
            name: slopes(*pair) for name, pair in paired(*measured).items() if pair[1][0] >= 100
        },
        "octets_redis_par_etudiant": round(cached),
        "popularite_s": growth,
    }


def paired(small: dict[str, Any], large: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (small.get(name, (0, 0, 0)), one) for name, one in large.items()}


def slopes(small: tuple[int, int, int], large: tuple[int, int, int]) -> dict[str, float]:
    more = max(1, large[0] - small[0])
    found = ((large[at] - small[at]) / more for at in (1, 2))
    return dict(zip(("table", "index"), (round(one) for one in found), strict=True))


def popularity_of(bank: Bank, most: int) -> dict[int, float]:
    """Seconds of the query that the cache spares all but one request a minute, by interactions."""
    ((until, count),) = bank.sql("select max(id), count(*) from core_interaction")
    found = {count: round(float(bank.python(POPULARITY, timeout=600)), 3)}
    done = 0
    for total in (most // 4, most):
        copies = round(total / count) - 1
        bank.sql(COPY.format(first=done + 1, last=copies, until=until))
        bank.sql("vacuum analyze core_interaction")
        found[count * (copies + 1)] = round(float(bank.python(POPULARITY, timeout=600)), 3)
        done = copies
    return found


# --- Models ------------------------------------------------------------------------------------


def models() -> list[dict[str, float]]:
    found = []
    for students, epreuves in MODELS:
        with tempfile.TemporaryDirectory() as place:
            size = f"{students}x{epreuves}"
            trained = child("train", size, place)
            found.append(trained | child("serve", size, place))
    return found


def child(step: str, size: str, place: str) -> dict[str, float]:
    argv = [sys.executable, "-m", "benchmarks.scale", f"--{step}={size}", f"--folder={place}"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=900, env=env)
    return dict(json.loads(done.stdout))


def train(students: int, epreuves: int, place: Path) -> dict[str, float]:
    """Seconds and bytes of a model of these sizes, which is left in `place`."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.testing")
    django.setup()
    import numpy as np

    from apps.recommender.ml import artifact, data_loader, synthetic
    from apps.recommender.ml.config import TrainingConfig
    from apps.recommender.ml.registry import of_architecture
    from benchmarks.synthetic import metadata, positives

    bank = synthetic.generate(students, epreuves, students * 2 * TAKEN)
    data = data_loader.split_by_date(positives(bank), metadata(bank))
    model = of_architecture(TrainingConfig(epochs=2))
    start = time.process_time()
    model.fit(data, np.random.default_rng(0))
    seconds = time.process_time() - start
    info = artifact.save(place, "v1", model, data, {})
    return {
        "etudiants": data.n_users,
        "epreuves": data.n_items,
        "paires": len(data.train),
        "entrainement_s": round(seconds, 1),
        "fichiers_mo": round(info.size / 1e6, 2),
    }


def serve(place: Path) -> dict[str, float]:
    """What a process grows by when it loads the model, and the time of an answer's scores."""
    import numpy as np

    from apps.recommender.ml.predictor import Past, Predictor

    before = resident()
    predictor = Predictor.load(place / "v1")
    predictor.warm_up()
    grown = resident() - before
    rng = np.random.default_rng(0)
    spent = []
    for user_id in range(ANSWERS + 1):
        taken = rng.choice(predictor.n_items, TAKEN, replace=False)
        past = Past(taken, np.ones(TAKEN, np.float32), np.arange(TAKEN), {})
        start = time.process_time()
        _, scores = predictor.user_scores(user_id, past)
        np.argsort(-scores)[:10]
        spent.append(time.process_time() - start)
    return {
        "memoire_mo": round(grown / 1e6, 1),
        "reponse_ms": round(1000 * statistics.median(spent[1:]), 2),
    }


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def per_row(found: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """The slopes between the sizes that differ in épreuves alone, and in students alone."""
    base, *_, more_epreuves, more_students = found
    return {
        f"par_1000_{what}": {
            name: round(1000 * (other[name] - base[name]) / (other[what] - base[what]), 2)
            for name, *_ in CURVES
        }
        for what, other in (("epreuves", more_epreuves), ("etudiants", more_students))
    }


def picture(found: list[dict[str, float]]) -> str:
    """What grows with the catalogue, as a file of SVG: 1 is the smallest of the sizes."""
    sizes = found[:-1]
    rows = [
        {"épreuves": one["epreuves"], **{name: one[name] / sizes[0][name] for name, *_ in CURVES}}
        for one in sizes
    ]
    curves = [Curve(*one) for one in CURVES]
    title = "Ce qui grandit avec le catalogue"
    return str(panel(title, curves, rows, None, "épreuves")) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parts", nargs="+", choices=("rows", "models"), default=["models", "rows"]
    )
    parser.add_argument("--interactions", type=int, default=1_000_000, help="as many rows at most")
    parser.add_argument("--picture", type=Path, help="an SVG to draw")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.train:
        students, epreuves = map(int, options.train.split("x"))
        print(json.dumps(train(students, epreuves, options.folder)))
    elif options.serve:
        print(json.dumps(serve(options.folder)))
    else:
        result: dict[str, Any] = {}
        if "models" in options.parts:
            found = models()
            result |= {"modeles": found, "pentes": per_row(found)}
            if options.picture:
                options.picture.write_text(picture(found), encoding="utf-8")
        if "rows" in options.parts:
            result |= rows(options.interactions)
        print(json.dumps(result))


if __name__ == "__main__":
    main()
