"""What does `diversite` cost, and what does it give?

    python -m benchmarks.variety --data ml-100k.inter --items ml-100k.item --users ml-100k.user \\
        --seeds 42 43 44 --picture docs/images/diversite.svg

The default model on the hold-out split of `benchmarks.quality`, its ten recommendations chosen with
each `diversite`. Per value: NDCG@10 and P@10 on test; the share of the catalogue that is in any of
the lists; and how unlike the ten are, two by two, as the model sees it (1 - the likeness that
`varied` goes by) and, with --items, as their traits say (1 - shared values over all values), which
nothing was optimised for. Means over users, then seeds. The table goes to stderr, one line of JSON
to stdout.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from apps.recommender.charts import Curve, panel
from apps.recommender.labels import METRICS
from apps.recommender.ml import recency, registry
from apps.recommender.ml.config import SEED, TrainingConfig
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray
from apps.recommender.ml.metadata import fields_of
from apps.recommender.ml.metrics import Outcome, ndcg, precision
from apps.recommender.ml.variety import POOL, varied
from benchmarks.protocols import K, Task, holdout, with_validation

VALUES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NDCG, PRECISION = f"ndcg@{K}", f"precision@{K}"
COVERAGE, UNLIKE, UNLIKE_TRAITS = "couverture", "ecart_modele", "ecart_metadonnees"
TITLES = {
    NDCG: METRICS["ndcg_at_10"],
    PRECISION: METRICS["precision_at_10"],
    COVERAGE: "couverture",
    UNLIKE: "écart, modèle",
    UNLIKE_TRAITS: "écart, métadonnées",
}
CURVES = (
    Curve(NDCG, "NDCG@10 gardé", "#dc2626"),
    Curve(UNLIKE, "écart entre elles", "#2563eb"),
    Curve(COVERAGE, "couverture", "#059669"),
)


def lists(task: Task, seed: int) -> tuple[Dataset, dict[float, IntArray], FloatArray]:
    """What was learnt from, with the test; per value, int64[U, K] by score; likeness [N, N]."""
    model = registry.of_architecture(TrainingConfig(seed=seed))
    tuning = recency.forgetting(with_validation(task.train, np.random.default_rng(seed)))
    model.fit(tuning, np.random.default_rng(seed))
    log = task.train.with_half_life(tuning.half_life)
    model.fit(log, np.random.default_rng(seed))
    profiles = model.profiles()
    chosen: dict[float, list[IntArray]] = {value: [] for value in VALUES}
    for user in tqdm(np.unique(task.test.user_idx).tolist(), file=sys.stderr, desc=str(seed)):
        items, weights = log.history(user)
        scores = model.scores(items, weights, user, log.traits(user))
        scores[items] = -np.inf
        best = np.argsort(-scores, kind="stable")[:POOL]
        best = best[np.isfinite(scores[best])]
        for value in VALUES:
            chosen[value].append(best[varied(scores[best], profiles[best], value, K)])
    by_value = {value: np.stack(rows) for value, rows in chosen.items()}
    return log, by_value, np.clip(profiles @ profiles.T, 0, 1)


def figures(
    task: Task, items: IntArray, likeness: FloatArray, traits: FloatArray | None
) -> dict[str, float]:
    """Of the lists int64[U, K] of the users of the test, in the order of their rows."""
    users = np.unique(task.test.user_idx)
    wanted = task.train.matrix(task.test)[users].toarray() > 0
    hits = np.take_along_axis(wanted, items, axis=1)
    outcome = Outcome(items, hits, wanted.sum(axis=1), task.train.n_items)
    found = {
        NDCG: float(ndcg(outcome).mean()),
        PRECISION: float(precision(outcome).mean()),
        COVERAGE: len(np.unique(items)) / task.train.n_items,
        UNLIKE: _unlike(items, likeness),
    }
    if traits is not None:
        found[UNLIKE_TRAITS] = _unlike(items, traits)
    return found


def _unlike(items: IntArray, likeness: FloatArray) -> float:
    """1 - likeness, over the pairs of a list, then the lists."""
    pairs = np.triu_indices(items.shape[1], 1)
    return float(1 - likeness[items[:, pairs[0]], items[:, pairs[1]]].mean())


def shared_traits(log: Dataset) -> FloatArray | None:
    """Jaccard's likeness of the items' values [N, N]; None where nothing is known of them."""
    fields = fields_of(log.item_traits)
    if not fields:
        return None
    has = np.hstack([field.matrix(log.item_traits).toarray() > 0 for field in fields])
    shared = has.astype(np.float32) @ has.T.astype(np.float32)
    sizes = has.sum(axis=1)
    jaccard: FloatArray = shared / np.maximum(sizes[:, None] + sizes - shared, 1)
    return jaccard


def table(found: dict[float, dict[str, float]]) -> str:
    names = list(next(iter(found.values())))
    lines = ["diversité " + "".join(f"{TITLES[name]:>20}" for name in names)]
    for value, row in found.items():
        lines.append(f"{value:<10g}" + "".join(f"{row[name]:>20.4f}" for name in names))
    return "\n".join(lines)


def picture(found: dict[float, dict[str, float]]) -> str:
    """The curves as a file of SVG; NDCG@10 as a share of what it is without variety."""
    whole = found[0.0][NDCG] or 1.0
    rows = [
        {"diversité (%)": round(100 * value), **row, NDCG: row[NDCG] / whole}
        for value, row in found.items()
    ]
    title = "Ce que coûte et donne la diversité"
    return str(panel(title, CURVES, rows, None, "diversité (%)")) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.variety",
        description="Mesure ce que coûte et donne le paramètre diversite.",
    )
    parser.add_argument("--data", type=Path, required=True, help="fichier .inter")
    parser.add_argument("--items", type=Path, help="fichier .item : ce qu'on sait des items")
    parser.add_argument("--users", type=Path, help="fichier .user : ce qu'on sait des étudiants")
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="graines")
    parser.add_argument("--picture", type=Path, help="fichier .svg à écrire")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    by_seed = []
    for seed in options.seeds:
        rng = np.random.default_rng(seed)
        task = holdout(options.data, rng, items=options.items, users=options.users)
        log, chosen, likeness = lists(task, seed)
        traits = shared_traits(log)
        by_seed.append(
            {value: figures(task, items, likeness, traits) for value, items in chosen.items()}
        )
    found = {
        value: {
            name: float(np.mean([one[value][name] for one in by_seed]))
            for name in by_seed[0][value]
        }
        for value in VALUES
    }
    print(table(found), file=sys.stderr)
    if options.picture:
        options.picture.write_text(picture(found), encoding="utf-8")
    result = {"dataset": options.data.stem, "seeds": options.seeds, "diversite": found}
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
