"""How often is a candidate as good as the active model refused, and a worse one let in?

    python -m benchmarks.gate --sizes 200x150x15000 400x300x30000 --seeds 42 43 44 45

On made banks (`benchmarks.synthetic`), the active model learns from all but the newest share of the
log, as a training does: settings on a split, then everything. A candidate then comes with the whole
log: the same recipe with another seed, or one spoilt by design, so that a share of its training
pairs name épreuves at random. Both are compared as the gate does (`ml.comparison`), on what is
newer than the active's data. What chance does is then drawn: `DRAWS` times, as many students as
make about so many interactions, out of those measured. A rule lets a candidate in when a figure of
the difference (its mean, the low or the high end of its interval) is at least minus the margin.

The table goes to stderr, one line of JSON to stdout.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import django
import numpy as np
import torch
from django.apps import apps
from tqdm import tqdm

from apps.recommender.ml import artifact, data_loader, recency, registry
from apps.recommender.ml.comparison import newer_than, predictor_scores
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import BoolArray, Dataset, Interactions
from apps.recommender.ml.evaluation import evaluate
from apps.recommender.ml.metadata import Metadata
from apps.recommender.ml.metrics import Values
from apps.recommender.ml.model import Servable
from apps.recommender.ml.predictor import Predictor
from apps.recommender.ml.synthetic import generate
from benchmarks.synthetic import Size, metadata, positives

SPOILT = (0.0, 0.1, 0.25, 0.5, 1.0)
NEWEST = [0.05, 0.1]
INTERACTIONS = (200, 500, 2000)
MARGINS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05)
DRAWS, RESAMPLINGS = 400, 400
RULES = ("mean", "low", "high")


def active_model(log: Interactions, known: Metadata, config: TrainingConfig, to: Path) -> Predictor:
    """What `train_model` would have left of that log."""
    dataset = recency.forgetting(data_loader.split_by_date(log, known))
    model = fitted(dataset, config)
    everything = data_loader.whole(log, known).with_half_life(dataset.half_life)
    model.fit(everything, np.random.default_rng(config.seed))
    return Predictor.load(artifact.save(to, "active", model, everything, {}).path)


def fitted(dataset: Dataset, config: TrainingConfig) -> Servable:
    model = registry.of_architecture(config)
    model.fit(dataset, np.random.default_rng(config.seed))
    return model


def spoilt(dataset: Dataset, share: float, rng: np.random.Generator) -> Dataset:
    """The same with the épreuves of a share of the training and validation pairs shuffled."""
    parts = {}
    for name in ("train", "validation"):
        pairs = getattr(dataset, name)
        rows = np.flatnonzero(rng.random(len(pairs)) < share)
        items = pairs.item_idx.copy()
        items[rows] = rng.permutation(items[rows])
        cells = pairs.user_idx * dataset.n_items + items
        parts[name] = replace(pairs, item_idx=items).take(np.unique(cells, return_index=True)[1])
    return replace(dataset, **parts)


def taken(log: Interactions, rows: BoolArray) -> Interactions:
    return Interactions(
        log.user_ids[rows], log.item_ids[rows], log.weights[rows], log.timestamps[rows]
    )


def differences(size: Size, seed: int, newest: float, bar: "tqdm[Any]") -> dict[float, Values]:
    """NDCG@10 of each candidate minus the active's, per student, and pairs per student."""
    bank = generate(size.n_users, size.n_items, size.n_interactions, seed=seed)
    log, known = positives(bank), metadata(bank)
    moment = int(np.quantile(log.timestamps, 1 - newest))
    config = TrainingConfig(seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        old = taken(log, log.timestamps <= moment)
        active = active_model(old, known, config, Path(folder))
    split = recency.forgetting(data_loader.split_by_date(log, known))
    trial = newer_than(split, moment)
    theirs = evaluate(predictor_scores(active, trial), trial).ndcg_by_user
    found = {}
    for share in SPOILT:
        dataset = spoilt(split, share, np.random.default_rng(seed + 1000))
        candidate = Predictor.unsaved(fitted(dataset, replace(config, seed=seed + 1)), dataset)
        found[share] = evaluate(predictor_scores(candidate, trial), trial).ndcg_by_user - theirs
        bar.update()
    return found | {-1.0: np.array([len(trial.part("test")), theirs.mean()])}


def figures(values: Values, n: int, rng: np.random.Generator) -> Values:
    """Mean, low and high of `DRAWS` measurements on `n` students drawn, [DRAWS, 3]."""
    rows = []
    for _ in range(DRAWS):
        drawn = values[rng.integers(0, len(values), n)]
        means = drawn[rng.integers(0, n, (RESAMPLINGS, n))].mean(axis=1)
        rows.append((drawn.mean(), *np.percentile(means, [2.5, 97.5])))
    return np.array(rows)


def measure(size: Size, newest: float, seeds: list[int], bar: "tqdm[Any]") -> dict[str, Any]:
    by_seed = [differences(size, seed, newest, bar) for seed in seeds]
    sizes = np.array([one.pop(-1.0) for one in by_seed])
    pairs_per_student = sizes[:, 0].sum() / sum(len(one[0.0]) for one in by_seed)
    rng = np.random.default_rng(0)
    rows = []
    for share in SPOILT:
        means = [float(one[share].mean()) for one in by_seed]
        for interactions in INTERACTIONS:
            n = max(2, round(interactions / pairs_per_student))
            drawn = np.concatenate([figures(one[share], n, rng) for one in by_seed])
            let_in = {
                rule: {m: float((drawn[:, column] >= -m).mean()) for m in MARGINS}
                for column, rule in enumerate(RULES)
            }
            rows.append(
                {
                    "spoilt": share,
                    "interactions": interactions,
                    "students": n,
                    "differences": means,
                    "let_in": let_in,
                }
            )
    return {"active_ndcg": float(sizes[:, 1].mean()), "rows": rows}


def table(name: str, found: dict[str, Any]) -> str:
    lines = [f"{name}: active {found['active_ndcg']:.3f}"]
    for row in found["rows"]:
        mean = float(np.mean(row["differences"]))
        cells = "  ".join(
            f"{rule} " + " ".join(f"{share:5.1%}" for share in row["let_in"][rule].values())
            for rule in RULES
        )
        lines.append(f"{row['spoilt']:4.0%} {row['interactions']:5} {mean:+.4f}  {cells}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gate",
        description="Mesure les refus et les admissions à tort de la barrière d'activation.",
    )
    parser.add_argument("--sizes", type=Size.of, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument(
        "--newest", type=float, nargs="+", default=NEWEST, help="parts que l'actif ignore"
    )
    options = parser.parse_args(argv)
    if not apps.ready:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.testing")
        django.setup()
    torch.set_num_threads(1)
    found = {}
    total = len(options.sizes) * len(options.newest) * len(options.seeds) * len(SPOILT)
    with tqdm(total=total, file=sys.stderr) as bar:
        for size in options.sizes:
            for newest in options.newest:
                name = f"{size}, {newest:.0%}"
                found[name] = measure(size, newest, options.seeds, bar)
                print(f"\n{table(name, found[name])}", file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
