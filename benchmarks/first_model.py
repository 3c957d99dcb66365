"""From how many interactions on is training worthwhile?

    python -m benchmarks.first_model ml-100k.inter --epreuves ml-100k.item

For each size, a new bank on SQLite gets that many interactions of a real log: its oldest ones, as
a bank has them that opened lately (few students, each with much to tell), or with --spread ones
drawn over all of it with seed 42 (many students, each with little). `train_model` then runs with
its defaults: the 10 % most recent pairs are the test, looked at once, with
the whole catalogue as candidates; seed 42. The interval is the paired bootstrap, over students, of
NDCG@10 minus popularity's, at 95 %.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.reliability.servers import ROOT, Bank, embedded, folder

SIZES = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
ENDED = """
import json
from apps.recommender.models import TrainingLog
run = TrainingLog.objects.select_related("modele").get()
model = getattr(run, "modele", None)
print(json.dumps({
    "students": run.nb_utilisateurs, "epreuves": run.nb_epreuves, "pairs": run.nb_interactions,
    "metrics": run.metriques, "references": run.references, "error": run.erreur,
    "active": bool(model and model.est_actif),
}))
"""


def take(log: Path, n: int, target: Path, *, spread: bool) -> None:
    """Write `n` events of a tab-separated log whose last column is its date."""
    with log.open(encoding="utf-8", newline="") as source:
        header, *rows = csv.reader(source, delimiter="\t", quoting=csv.QUOTE_NONE)
    rows.sort(key=lambda row: float(row[-1]))
    if spread:
        random.Random(42).shuffle(rows)  # noqa: S311
    lines = ("\t".join(row) for row in (header, *rows[:n]))
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def fill(bank: Bank, log: Path, epreuves: Path | None) -> None:
    catalogue = [f"--epreuves={epreuves}"] if epreuves else []
    bank.manage("import_interactions", str(log), *catalogue, "--create-missing", "--verbosity=0")


def train(bank: Bank) -> dict[str, Any]:
    """What the run left, and its seconds; a bank too small for it is a result, not a failure."""
    start = time.monotonic()
    subprocess.run(
        [sys.executable, "manage.py", "train_model", "--verbosity=0"],
        cwd=ROOT,
        env=bank.environment,
        capture_output=True,
        timeout=1800,
        check=False,
    )
    return {**json.loads(bank.python(ENDED)), "seconds": round(time.monotonic() - start, 1)}


def row_of(n: int, ended: dict[str, Any]) -> dict[str, Any]:
    metrics, references = ended["metrics"], ended["references"]
    return {
        "interactions": n,
        **{name: ended[name] for name in ("students", "pairs", "seconds", "active", "error")},
        "ndcg_at_10": metrics.get("ndcg_at_10"),
        **{name: figures["ndcg_at_10"] for name, figures in references.items()},
        "interval": metrics.get("intervalle_gain_ndcg_at_10"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.first_model",
        description="Mesure à partir de combien d'interactions un modèle bat la popularité.",
    )
    parser.add_argument("log", type=Path, help="journal réel, séparé par des tabulations")
    parser.add_argument("--epreuves", type=Path, help="titres des épreuves de ce journal")
    parser.add_argument("--spread", action="store_true", help="tirer au sort plutôt qu'au début")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, help="nombres d'interactions"
    )
    options = parser.parse_args()
    rows = []
    for n in options.sizes:
        with folder() as place:
            bank = embedded(place)
            part = place / "part.inter"
            take(options.log, n, part, spread=options.spread)
            fill(bank, part, options.epreuves)
            rows.append(row_of(n, train(bank)))
        print(rows[-1], file=sys.stderr, flush=True)
    print(json.dumps({"log": options.log.name, "spread": options.spread, "rows": rows}))


if __name__ == "__main__":
    main()
