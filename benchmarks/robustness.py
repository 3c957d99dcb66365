"""Can a value of the asked-for options make a model that serves and is worse than popularity?

    python -m benchmarks.robustness --data ml-100k.inter --items ml-100k.item --users ml-100k.user

The default model on the hold-out split of `benchmarks.quality`, with the least and the greatest
value that each option must bear, the others as they are: epochs 1 and 500, batch 16 and 65,536,
dimension 8 and 256, learning rate 1e-5 and 1e-1; and trained on, without early stopping, for four
times as many epochs as its best one (MIN_LONG at least). Per training: NDCG@10 on test, as a share
of the default's too, the interval of the difference with popularity (paired bootstrap over users,
95 %), the epoch kept, and how much of the best NDCG@10 on validation was left after the last one.
`--jobs` trainings at once. The table goes to stderr, one line of JSON to stdout; exit code 1 where
a training gave less than popularity, or the long one less than 98 % of the default.
"""

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from tqdm import tqdm

from apps.recommender.ml import fusion, recency
from apps.recommender.ml.baselines import Popularity
from apps.recommender.ml.config import SEED, TrainingConfig
from apps.recommender.ml.data_loader import Dataset
from apps.recommender.ml.evaluation import evaluate_model, paired_bootstrap
from apps.recommender.ml.hybrid import Hybrid
from apps.recommender.ml.metrics import Values
from apps.recommender.ml.model import Model
from benchmarks.protocols import Task, holdout, with_validation

DEFAULT, LONG = "défaut", "quatre fois plus long"
EXTREMES: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "epochs 1": {"epochs": 1},
    "epochs 500": {"epochs": 500},
    "batch-size 16": {"batch_size": 16},
    "batch-size 65536": {"batch_size": 65_536},
    "embedding-dim 8": {"embedding_dim": 8},
    "embedding-dim 256": {"embedding_dim": 256},
    "learning-rate 1e-5": {"learning_rate": 1e-5},
    "learning-rate 0,1": {"learning_rate": 1e-1},
}
MIN_LONG = 20
LEAST_SHARE = 0.98


@dataclass(frozen=True)
class Result:
    """NDCG@10 on test, the share of the best on validation that the last epoch had, …"""

    ndcg: float
    over_popularity: tuple[float, float]
    best_epoch: int
    epochs: int
    left_at_the_end: float


def trained(read: Callable[[], Task], options: dict[str, Any], *, stops: bool = True) -> Result:
    """Learn with those options and look at the test; without `stops`, all epochs are run."""
    torch.set_num_threads(1)
    task, config = read(), TrainingConfig(**options)
    model = Hybrid(config)
    tuning = recency.forgetting(with_validation(task.train, np.random.default_rng(SEED)))
    # Nothing but a benchmark may train on: this is no option.
    with mock.patch.object(fusion, "PATIENCE", fusion.PATIENCE if stops else 10**9):
        model.fit(tuning, np.random.default_rng(SEED))
    log = task.train.with_half_life(tuning.half_life)
    model.fit(log, np.random.default_rng(SEED))
    ours, popular = (_test_ndcg(one, log, task) for one in (model, _popularity(log)))
    curve = [entry["ndcg_validation"] for entry in model.history]
    return Result(
        float(ours.mean()),
        paired_bootstrap(ours, popular),
        model.best_epoch,
        len(curve) - 1,
        curve[-1] / max(curve),
    )


def _popularity(log: Dataset) -> Popularity:
    model = Popularity()
    model.fit(log, np.random.default_rng(SEED))
    return model


def _test_ndcg(model: Model, log: Dataset, task: Task) -> Values:
    return evaluate_model(model, replace(log, test=task.test)).ndcg_by_user


def run(read: Callable[[], Task], jobs: int) -> dict[str, Result]:
    """Every extreme, then the long one, which must know when the default was at its best."""
    with ProcessPoolExecutor(jobs) as pool, tqdm(total=len(EXTREMES) + 1, file=sys.stderr) as bar:

        def started(options: dict[str, Any], *, stops: bool = True) -> Future[Result]:
            future = pool.submit(trained, read, options, stops=stops)
            future.add_done_callback(lambda _: bar.update())
            return future

        running = {name: started(options) for name, options in EXTREMES.items()}
        epochs = max(MIN_LONG, 4 * running[DEFAULT].result().best_epoch)
        running[LONG] = started({"epochs": epochs}, stops=False)
        return {name: future.result() for name, future in running.items()}


def complaints(found: dict[str, Result]) -> list[str]:
    """What the promise does not allow."""
    worse = [name for name, one in found.items() if one.over_popularity[0] <= 0]
    lines = [f"{name} : pas mieux que la popularité" for name in worse]
    share = found[LONG].ndcg / found[DEFAULT].ndcg
    if share < LEAST_SHARE:
        lines.append(f"{LONG} : {share:.1%} du NDCG@10 du défaut")
    return lines


def table(found: dict[str, Result]) -> str:
    whole = found[DEFAULT].ndcg
    lines = [
        f"{'':<24}{'NDCG@10':>9}{'part':>8}{'epoch':>7}{'sur':>5}{'à la fin':>10}"
        "  moins la popularité, à 95 %"
    ]
    for name, one in found.items():
        low, high = one.over_popularity
        lines.append(
            f"{name:<24}{one.ndcg:>9.4f}{one.ndcg / whole:>8.1%}{one.best_epoch:>7}{one.epochs:>5}"
            f"{one.left_at_the_end:>10.1%}  [{low:+.4f} ; {high:+.4f}]"
        )
    return "\n".join(lines)


def read_task(options: argparse.Namespace) -> Task:
    rng = np.random.default_rng(options.seed)
    return holdout(options.data, rng, items=options.items, users=options.users)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.robustness",
        description="Essaie les valeurs extrêmes des options d'entraînement.",
    )
    parser.add_argument("--data", type=Path, required=True, help="fichier .inter")
    parser.add_argument("--items", type=Path, help="fichier .item : ce qu'on sait des items")
    parser.add_argument("--users", type=Path, help="fichier .user : ce qu'on sait des étudiants")
    parser.add_argument("--seed", type=int, default=SEED, help="graine de la coupure")
    parser.add_argument("--jobs", type=int, default=1, help="entraînements à la fois")
    options = parser.parse_args(argv)
    found = run(partial(read_task, options), options.jobs)
    print(table(found), file=sys.stderr)
    result = {"dataset": options.data.stem, "seed": options.seed}
    result["trainings"] = {name: asdict(one) for name, one in found.items()}
    print(json.dumps(result, ensure_ascii=False))
    if wrong := complaints(found):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
