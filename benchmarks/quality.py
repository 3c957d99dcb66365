"""How good is every model of the registry, on public data and by public protocols?

    python -m benchmarks.quality --protocol holdout --data ml-100k.inter --seeds 42 43 44
    python -m benchmarks.quality --protocol holdout --data ml-100k.inter \\
        --items ml-100k.item --users ml-100k.user --held-out-users .1 --clicks 1 3 10
    python -m benchmarks.quality --protocol leave-one-out --data lastfm/ --dataset lastfm

`holdout`: every line is a positive, its `rating` a weight and its `timestamp` a date; of each user
75 % train and 25 % test, drawn by the seed; the candidates are all items minus the user's training
part. `leave-one-out`: ids only, one test item a user among 99 given negatives (He et al. 2017),
*raw* as papers print it and *seen-masked*, without the negatives that are the user's own training
items. Equal scores never favour the positive.

Settings, epochs and half-life are chosen on a tenth of the training pairs, then the model learns
again from all of them; the test is looked at once. Figures are means over the seeds, `map` divides
by the number of relevant items, intervals are the paired bootstrap over users, at 95 %, of the
default's NDCG@10 minus the model's. The table goes to stderr, one line of JSON to stdout.

`--held-out-users`: a share of the students is absent from all that is learnt and chosen, then
ranked for by their history; beside them, the same students with a model that learnt from them too.
`--clicks`: with so few of their training pairs. `--held-out-items`: a share of the items is absent,
placed among the others by traits and words, and ranked alone.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from apps.recommender.labels import METRICS, MODELS
from apps.recommender.ml import recency, registry
from apps.recommender.ml.baselines import Popularity
from apps.recommender.ml.config import SEED, TrainingConfig
from apps.recommender.ml.data_loader import Dataset
from apps.recommender.ml.evaluation import paired_bootstrap
from apps.recommender.ml.model import Model
from benchmarks.newcomers import NewItems, NewStudents, NothingKnown
from benchmarks.protocols import (
    SHOWN,
    K,
    Quality,
    Task,
    holdout,
    leave_one_out,
    with_validation,
)
from benchmarks.public_data import inputs

DEFAULT = TrainingConfig().architecture
POPULARITY, RANDOM = "popularite", "aleatoire"


@dataclass(frozen=True)
class Newcomers:
    """Who and what is held out of training, where it was asked for."""

    students: NewStudents | None
    clicks: tuple[int, ...]
    items: NewItems | None

    @classmethod
    def drawn(cls, task: Task, options: argparse.Namespace, seed: int) -> "Newcomers":
        """By the seed."""
        data = replace(task.train, test=task.test)
        users, items = options.held_out_users, options.held_out_items
        return cls(
            NewStudents.drawn(data, users, seed) if users else None,
            tuple(options.clicks),
            NewItems.drawn(data, items, seed) if items else None,
        )

    def references(self, seed: int) -> dict[str, float]:
        """What popularity gives to new students, and chance to new items."""
        found = {}
        if self.students and self.clicks:
            popularity = Popularity()
            popularity.fit(self.students.train, np.random.default_rng(seed))
            found[POPULARITY] = self.students.ndcg(popularity, self.students.train)
        if self.items:
            found[RANDOM] = self.items.ndcg_at_random()
        return found

    def measured(self, learn: "Learn", model: Model, fitted: Dataset) -> dict[str, float]:
        """Figures by name, of models without them; `model` learnt `fitted`, with them."""
        found = {}
        if self.students:
            without, data = learn(self.students.train)
            found["users"] = self.students.ndcg(without, data)
            found["in_training"] = self.students.ndcg_in_training(model, fitted)
            for n in self.clicks:
                found[f"clicks {n}"] = self.students.ndcg(without, data, n)
        if self.items:
            found["items"], found["items_mean"] = self.items.ndcg(*learn(self.items.train))
        return found


# From a log to a model, and to the log with the half-life that was chosen.
Learn = Callable[[Dataset], tuple[Model, Dataset]]


@dataclass(frozen=True)
class Row:
    """What a model gave with one seed: a Quality per measure, and the seconds of its training."""

    qualities: dict[str, Quality]
    seconds: float
    trials: int
    newcomers: dict[str, float] = field(default_factory=dict)


def learnt(
    name: str, data: Dataset, config: TrainingConfig, bar: "tqdm[Any]"
) -> tuple[Model, Dataset]:
    """Choose on a part of training, learn from all of it."""
    model, seed = registry.build(name, config), config.seed
    tuning = recency.forgetting(with_validation(data, np.random.default_rng(seed)))
    model.fit(
        tuning, np.random.default_rng(seed), lambda entry: bar.set_postfix(epoch=entry["epoch"])
    )
    fitted = data.with_half_life(tuning.half_life)
    model.fit(fitted, np.random.default_rng(seed))
    return model, fitted


def measure(
    name: str, task: Task, config: TrainingConfig, bar: "tqdm[Any]", newcomers: Newcomers
) -> Row:
    """Learn, look at the test once; then learn without newcomers, and look at them."""
    bar.set_description(f"{MODELS.get(name, name)}, graine {config.seed}")
    started = time.perf_counter()
    model, fitted = learnt(name, task.train, config, bar)
    seconds = time.perf_counter() - started
    found = {label: measured(model, fitted) for label, measured in task.measures.items()}
    of_newcomers = {}
    if model.by_history:
        of_newcomers = newcomers.measured(
            lambda data: learnt(name, data, config, bar), model, fitted
        )
    bar.update()
    return Row(found, seconds, model.trials, of_newcomers)


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
    lines[0] = f"{label:<12}{lines[0]}  {MODELS.get(DEFAULT, DEFAULT)} − modèle, NDCG@10, à 95 %"
    return "\n".join(lines)


def of_newcomers(
    rows: dict[str, list[Row]], references: list[dict[str, float]], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """`held_out_users`, `clicks` and `held_out_items`, those that were asked for."""
    floor = _means(references)
    means = {name: _means([row.newcomers for row in of]) for name, of in rows.items()}
    means = {name: found for name, found in means.items() if found}
    result: dict[str, dict[str, Any]] = {}
    if options.held_out_users:
        result["held_out_users"] = {
            name: {
                f"ndcg@{K}": found["users"],
                "in_training": found["in_training"],
                "share": found["users"] / found["in_training"] if found["in_training"] else None,
            }
            for name, found in means.items()
        }
    if options.clicks:
        result["clicks"] = {
            name: {str(n): found[f"clicks {n}"] for n in options.clicks}
            for name, found in means.items()
        } | {POPULARITY: floor[POPULARITY]}
    if options.held_out_items:
        result["held_out_items"] = {
            name: {f"ndcg@{K}": found["items"], "same_for_all": found["items_mean"]}
            for name, found in means.items()
        } | {RANDOM: floor[RANDOM]}
    return result


def _means(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


TITLES = {
    "held_out_users": "NDCG@10 d'étudiants absents de l'entraînement, présents, et leur rapport",
    "clicks": "NDCG@10 des mêmes, par le nombre de leurs clics",
    "held_out_items": "NDCG@10 parmi des items absents, et avec la même liste pour tous",
}


def table_of_newcomers(name: str, found: dict[str, Any]) -> str:
    """One of the results of `of_newcomers`, for people."""
    lines = [TITLES[name]]
    for model, figures in found.items():
        columns = figures if isinstance(figures, dict) else {"": figures}
        cells = "".join(
            f"{title:>14} {'—' if value is None else format(value, '.4f')}"
            for title, value in columns.items()
        )
        lines.append(f"{MODELS.get(model, model):<12}{cells}")
    return "\n".join(lines)


@dataclass(frozen=True)
class Found:
    """Of every model and seed; what was learnt from; the references of each seed."""

    rows: dict[str, list[Row]]
    inputs: list[str]
    references: list[dict[str, float]]


def run(options: argparse.Namespace) -> Found:
    """Every model with every seed."""
    found = Found({name: [] for name in options.models}, [], [])
    with tqdm(total=len(options.models) * len(options.seeds), file=sys.stderr) as bar:
        for seed in options.seeds:
            task = task_of(options, seed)
            newcomers = Newcomers.drawn(task, options, seed)
            found.references.append(newcomers.references(seed))
            found.inputs[:] = inputs(task.train)
            for name in options.models:
                config = registry.config_of(name, seed=seed, **options.option.get(name, {}))
                found.rows[name].append(measure(name, task, config, bar, newcomers))
    return found


def task_of(options: argparse.Namespace, seed: int) -> Task:
    """What the command line asks for."""
    if options.protocol == "leave-one-out":
        return leave_one_out(options.data, options.dataset)
    return holdout(
        options.data,
        np.random.default_rng(seed),
        items=options.items,
        users=options.users,
        ids_only=options.ids_only,
    )


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
        help="rien que les identifiants : ni notes, ni dates (un ordre n'est pas un identifiant), "
        "ni métadonnées, ni titres",
    )
    parser.add_argument("--items", type=Path, help="fichier .item : ce qu'on sait des items")
    parser.add_argument("--users", type=Path, help="fichier .user : ce qu'on sait des étudiants")
    parser.add_argument(
        "--held-out-users", type=share, metavar="PART", help="part d'étudiants tenus à l'écart"
    )
    parser.add_argument(
        "--clicks",
        type=int,
        nargs="+",
        default=[],
        help="ce que reçoivent ces étudiants quand on ne connaît d'eux que tant de clics",
    )
    parser.add_argument(
        "--held-out-items", type=share, metavar="PART", help="part d'items tenus à l'écart"
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
    if complaint := impossible(options):
        parser.error(complaint)
    return options


def share(text: str) -> float:
    """A number between 0 and 1, both excluded."""
    with suppress(ValueError):
        if 0 < (value := float(text)) < 1:
            return value
    raise argparse.ArgumentTypeError(f"{text} : donnez une part entre 0 et 1, par exemple 0.1.")


def impossible(options: argparse.Namespace) -> str | None:
    """What is asked for together and cannot be, with what to do."""
    more = (options.items, options.users, options.held_out_users, options.held_out_items)
    if options.protocol != "holdout" and any(more):
        return (
            "--items, --users, --held-out-users et --held-out-items demandent --protocol holdout."
        )
    if options.clicks and not options.held_out_users:
        return "--clicks demande --held-out-users PART."
    if any(n < 1 for n in options.clicks):
        return "--clicks demande des entiers d'au moins 1."
    if options.held_out_items and (options.ids_only or not options.items):
        return "--held-out-items demande --items FICHIER, sans --ids-only."
    return None


def main(argv: list[str] | None = None) -> None:
    options = options_of(argv)
    torch.set_num_threads(1)
    try:
        found = run(options)
    except NothingKnown as error:
        sys.exit(str(error))
    rows = found.rows
    newcomers = of_newcomers(rows, found.references, options)
    labels = list(next(iter(rows.values()))[0].qualities)
    for label in labels:
        print(f"\n{table(rows, label)}", file=sys.stderr)
    for name, figures in newcomers.items():
        print(f"\n{table_of_newcomers(name, figures)}", file=sys.stderr)
    result = {
        "protocol": options.protocol,
        "dataset": options.dataset or options.data.stem,
        "seeds": options.seeds,
        "ids_only": not found.inputs,
        "inputs": found.inputs,
        "options": options.option,
        "default": DEFAULT,
        "models": summary(rows, labels[0]),
        "intervals": intervals(rows, labels[0]),
        "seconds": {name: float(np.mean([r.seconds for r in of])) for name, of in rows.items()},
        "trials": {name: of_model[0].trials for name, of_model in rows.items()},
        **newcomers,
    }
    if len(labels) > 1:
        result["seen_masked"] = summary(rows, labels[1])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
