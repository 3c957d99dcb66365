"""How good is every model of the registry, on public data and by public protocols?

    python -m benchmarks.quality --protocol holdout --data ml-100k.inter --seeds 42 43 44
    python -m benchmarks.quality --protocol leave-one-out --data lastfm/ --dataset lastfm

`holdout`: every line is a positive; of each user 75 % train and 25 % test, drawn by the seed; the
candidates are all items minus the user's training part. `leave-one-out`: one test item a user
among 99 given negatives (He et al. 2017), *raw* as papers print it and *seen-masked*, without the
negatives that are the user's own training items. Equal scores never favour the positive.

Settings and epochs are chosen on a tenth of the training pairs, then the model learns again from
all of them; the test is looked at once. Figures are means over the seeds, `map` divides by the
number of relevant items, intervals are the paired bootstrap over users, at 95 %, of the default's
NDCG@10 minus the model's. The table goes to stderr, one line of JSON to stdout.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from apps.recommender.labels import METRICS, MODELS
from apps.recommender.ml import registry
from apps.recommender.ml.config import SEED, TrainingConfig
from apps.recommender.ml.data_loader import BoolArray, Dataset, IntArray, Pairs
from apps.recommender.ml.evaluation import evaluate_model, paired_bootstrap
from apps.recommender.ml.metrics import (
    Outcome,
    Values,
    average_precision,
    hit_rate,
    ndcg,
    precision,
    recall,
)
from apps.recommender.ml.model import Model

K = 10
TEST, VALIDATION = 0.25, 0.1
SHOWN = ("ndcg", "precision", "recall", "map", "hr")
DEFAULT = TrainingConfig().architecture
NOTHING = Pairs(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True)
class Quality:
    """metrics: `ndcg@10`… -> mean over users. ndcg: float64[U], of the users measured."""

    metrics: dict[str, float]
    ndcg: Values


# What a protocol measures, by name: one table each.
Measures = dict[str, Callable[[Model], Quality]]


@dataclass(frozen=True)
class Task:
    """A log of which `train` may be learnt, and how what was learnt is measured."""

    train: Dataset
    measures: Measures

    def with_validation(self, rng: np.random.Generator) -> Dataset:
        """The same with a tenth of the training pairs, drawn at random, for validation."""
        pairs = self.train.train
        drawn = rng.random(len(pairs)) < VALIDATION
        return replace(self.train, train=_of(pairs, ~drawn), validation=_of(pairs, drawn))


def holdout(file: Path, rng: np.random.Generator) -> Task:
    """A tab-separated file with `user_id` and `item_id` in its header (RecBole's `.inter`)."""
    log = pd.read_csv(file, sep="\t", dtype=str).rename(columns=lambda name: name.split(":")[0])
    log = log[["user_id", "item_id"]].drop_duplicates()
    (users, user_ids), (items, item_ids) = (pd.factorize(log[name]) for name in log)
    tested = _share_of_each_user(users, TEST, rng)
    pairs = Pairs(users.astype(np.int64), items.astype(np.int64))
    rows = np.arange(len(user_ids)), np.arange(len(item_ids))
    dataset = Dataset(*rows, _of(pairs, ~tested), NOTHING, _of(pairs, tested))

    def measured(model: Model) -> Quality:
        found = evaluate_model(model, dataset)
        names = {f"{name}@{K}": found.metrics[f"{name}_at_{K}"] for name in SHOWN}
        return Quality(names, found.ndcg_by_user)

    return Task(replace(dataset, test=NOTHING), {"": measured})


def leave_one_out(folder: Path, name: str) -> Task:
    """`NAME.train.rating`, `.test.rating` and `.test.negative` of the NCF paper."""
    train, test = (_ratings(folder / f"{name}.{part}.rating") for part in ("train", "test"))
    negatives = list(_negatives(folder / f"{name}.test.negative"))
    n_users = max(train.user_idx.max(), test.user_idx.max()) + 1
    n_items = max(train.item_idx.max(), test.item_idx.max(), *(max(row) for row in negatives)) + 1
    dataset = Dataset(np.arange(n_users), np.arange(n_items), train, NOTHING, NOTHING)
    seen = dataset.train_matrix.toarray() > 0

    def measured(model: Model, *, masked: bool) -> Quality:
        ranks = _ranks(model, dataset, test, negatives, seen if masked else np.zeros_like(seen))
        return _quality_of_ranks(ranks, int(n_items))

    return Task(
        dataset,
        {
            "raw": lambda model: measured(model, masked=False),
            "seen-masked": lambda model: measured(model, masked=True),
        },
    )


def _ranks(
    model: Model, data: Dataset, test: Pairs, negatives: list[list[int]], hidden: BoolArray
) -> IntArray:
    """How many of the negatives stand before each positive: all that do not score lower."""
    ranks = []
    for user, item, given in zip(
        test.user_idx.tolist(), test.item_idx.tolist(), negatives, strict=True
    ):
        others = np.setdiff1d(given, [item])
        others = others[~hidden[user, others]]
        scores = model.scores(*data.history(user), user)
        ranks.append(np.sum(~(scores[others] < scores[item])))
    return np.array(ranks, dtype=np.int64)


def _quality_of_ranks(ranks: IntArray, n_items: int) -> Quality:
    hits = ranks[:, None] == np.arange(K)
    outcome = Outcome(np.full(hits.shape, -1), hits, np.ones(len(ranks), np.int64), n_items)
    formulas = (ndcg, precision, recall, average_precision, hit_rate)
    means = [float(formula(outcome).mean()) for formula in formulas]
    names = (f"{name}@{K}" for name in SHOWN)
    return Quality(dict(zip(names, means, strict=True)), ndcg(outcome))


def _share_of_each_user(users: IntArray, share: float, rng: np.random.Generator) -> BoolArray:
    """bool[n]: `share` of each user's rows, to the nearest, at random."""
    shuffled = rng.permutation(len(users))
    by_user = shuffled[np.argsort(users[shuffled], kind="stable")]
    n = np.bincount(users)
    position = np.arange(len(users)) - np.repeat(np.cumsum(n) - n, n)
    drawn = np.empty(len(users), dtype=np.bool_)
    drawn[by_user] = position < np.floor(n * share + 0.5)[users[by_user]]
    return drawn


def _of(pairs: Pairs, kept: BoolArray) -> Pairs:
    return Pairs(pairs.user_idx[kept], pairs.item_idx[kept])


def _ratings(file: Path) -> Pairs:
    columns = pd.read_csv(file, sep="\t", header=None, usecols=[0, 1]).drop_duplicates()
    return Pairs(*(columns[place].to_numpy(np.int64) for place in (0, 1)))


def _negatives(file: Path) -> Iterator[list[int]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        yield [int(item) for item in line.split("\t")[1:] if item]


@dataclass(frozen=True)
class Row:
    """What a model gave with one seed: a Quality per measure, and the seconds of its training."""

    qualities: dict[str, Quality]
    seconds: float
    trials: int


def measure(name: str, task: Task, config: TrainingConfig, bar: "tqdm[Any]") -> Row:
    """Choose on a part of training, learn from all of it, look at the test once."""
    model, seed = registry.build(name, config), config.seed
    bar.set_description(f"{MODELS.get(name, name)}, graine {seed}")
    started = time.perf_counter()
    tuning = task.with_validation(np.random.default_rng(seed))
    model.fit(
        tuning, np.random.default_rng(seed), lambda entry: bar.set_postfix(epoch=entry["epoch"])
    )
    model.fit(task.train, np.random.default_rng(seed))
    seconds = time.perf_counter() - started
    found = {label: measured(model) for label, measured in task.measures.items()}
    bar.update()
    return Row(found, seconds, model.trials)


def summary(rows: dict[str, list[Row]], label: str) -> dict[str, dict[str, float]]:
    """The means over the seeds, of one measure."""
    return {
        name: {
            metric: float(np.mean([row.qualities[label].metrics[metric] for row in of_model]))
            for metric in of_model[0].qualities[label].metrics
        }
        for name, of_model in rows.items()
    }


def intervals(rows: dict[str, list[Row]], label: str) -> dict[str, tuple[float, float]]:
    """Of the default's NDCG@10 minus each other model's, a user's figure being their mean."""
    by_user = {
        name: np.mean([row.qualities[label].ndcg for row in of_model], axis=0)
        for name, of_model in rows.items()
    }
    return {
        name: paired_bootstrap(by_user[DEFAULT], other)
        for name, other in by_user.items()
        if name != DEFAULT and DEFAULT in by_user
    }


def table(rows: dict[str, list[Row]], label: str) -> str:
    """As many lines as models, for people."""
    means, gaps = summary(rows, label), intervals(rows, label)
    titles = [METRICS[f"{name}_at_{K}"] for name in SHOWN]
    lines = ["".join(f"{title:>9}" for title in ("s", "essais", *titles))]
    for name, of_model in rows.items():
        seconds = np.mean([row.seconds for row in of_model])
        figures = f"{seconds:>9.1f}{of_model[0].trials:>9}"
        figures += "".join(f"{value:>9.4f}" for value in means[name].values())
        gap = "  [{:+.4f} ; {:+.4f}]".format(*gaps[name]) if name in gaps else ""
        lines.append(f"{MODELS.get(name, name):<12}{figures}{gap}")
    lines[0] = f"{label:<12}{lines[0]}  {MODELS[DEFAULT]} − modèle, NDCG@10, à 95 %"
    return "\n".join(lines)


def run(options: argparse.Namespace) -> dict[str, list[Row]]:
    """Every model with every seed."""
    rows: dict[str, list[Row]] = {name: [] for name in options.models}
    with tqdm(total=len(options.models) * len(options.seeds), file=sys.stderr) as bar:
        for seed in options.seeds:
            if options.protocol == "holdout":
                task = holdout(options.data, np.random.default_rng(seed))
            else:
                task = leave_one_out(options.data, options.dataset)
            for name in options.models:
                config = TrainingConfig(seed=seed, **options.option.get(name, {}))
                rows[name].append(measure(name, task, config, bar))
    return rows


def model_options(given: list[str]) -> dict[str, dict[str, Any]]:
    """`neumf.batch_size=4096` -> {"neumf": {"batch_size": 4096}}; raises ValueError."""
    defaults = asdict(TrainingConfig())
    read: dict[str, dict[str, Any]] = {}
    for text in given:
        place, _, value = text.partition("=")
        name, _, option = place.partition(".")
        if name not in registry.MODELS or option not in defaults:
            raise ValueError(f"{text} : donnez MODÈLE.OPTION=VALEUR, d'un modèle et d'une option.")
        default = defaults[option]
        is_flag = isinstance(default, bool)
        read.setdefault(name, {})[option] = value == "true" if is_flag else type(default)(value)
    return read


def options_of(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description="Mesure tous les modèles sur des données publiques.",
    )
    parser.add_argument("--protocol", choices=("holdout", "leave-one-out"), required=True)
    parser.add_argument(
        "--data", type=Path, required=True, help="fichier .inter (holdout) ou dossier"
    )
    parser.add_argument("--dataset", help="nom des fichiers du dossier (leave-one-out)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="graines")
    parser.add_argument(
        "--models", nargs="+", choices=registry.MODELS, default=registry.MODELS, help="modèles"
    )
    parser.add_argument(
        "--ids-only",
        action="store_true",
        help="sans notes ni métadonnées, ce que font déjà tous les modèles d'aujourd'hui",
    )
    parser.add_argument(
        "--option",
        nargs="+",
        default=[],
        metavar="MODÈLE.OPTION=VALEUR",
        help="options de train_model pour un modèle : neumf.batch_size=4096 neumf.pretraining=true",
    )
    options = parser.parse_args(argv)
    try:
        options.option = model_options(options.option)
    except ValueError as error:
        parser.error(str(error))
    if options.protocol == "leave-one-out" and not options.dataset:
        parser.error("--protocol leave-one-out demande --dataset NOM")
    return options


def main(argv: list[str] | None = None) -> None:
    options = options_of(argv)
    torch.set_num_threads(1)
    rows = run(options)
    labels = list(next(iter(rows.values()))[0].qualities)
    for label in labels:
        print(f"\n{table(rows, label)}", file=sys.stderr)
    result = {
        "protocol": options.protocol,
        "dataset": options.dataset or options.data.stem,
        "seeds": options.seeds,
        "ids_only": True,
        "options": options.option,
        "default": DEFAULT,
        "models": summary(rows, labels[0]),
        "intervals": intervals(rows, labels[0]),
        "seconds": {name: float(np.mean([r.seconds for r in of])) for name, of in rows.items()},
        "trials": {name: of_model[0].trials for name, of_model in rows.items()},
    }
    if len(labels) > 1:
        result["seen_masked"] = summary(rows, labels[1])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
