"""How much of what can be known does each model find, on banks whose true preferences are known?

    python -m benchmarks.synthetic --sizes 200x150x15000 400x300x30000 --seeds 42 43 44

Students x épreuves x interactions, from the generator of `generate_data`; what a model is given is
what the bank gives: weights, dates, traits of both sides, titles. Cut at a date (80 % training,
10 % validation, 10 % test), the test is looked at once; every model gets the half-life chosen on
validation. The oracle ranks by the true preference: no model does better but by luck. Figures are
means over the seeds, a share is one of means, intervals are the paired bootstrap over the students
of all seeds, at 95 %, of the default's NDCG@10 minus the model's. The table goes to stderr, one
line of JSON to stdout.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import django
import numpy as np
import torch
from django.apps import apps
from tqdm import tqdm

from apps.recommender.labels import MODELS
from apps.recommender.ml import recency, registry
from apps.recommender.ml.config import SEED
from apps.recommender.ml.data_loader import Dataset, Interactions, split_by_date
from apps.recommender.ml.evaluation import Evaluation, evaluate, evaluate_model, paired_bootstrap
from apps.recommender.ml.metadata import Metadata, Traits
from apps.recommender.ml.metrics import Values
from apps.recommender.ml.synthetic import KINDS, Bank, ImpossibleBank, Paper, Person, generate
from benchmarks.quality import DEFAULT, model_options

SIZES = ("200x150x15000", "400x300x30000")
COMPARED = ("popularite", "ease", "ials", DEFAULT)
NDCG = "ndcg_at_10"


def positives(bank: Bank) -> Interactions:
    """Distinct pairs at their first date, weighted and sifted as `apps.core.feedback` says.

    Django must be set up, for its constants stand beside the models.
    """
    from apps.core.feedback import DISLIKED_PERTINENCE, WEIGHT_BY_PERTINENCE, WEIGHTS

    events = bank.events
    worth = np.array([WEIGHTS[kind] for kind in KINDS])[events.kind]
    of_note = np.array([WEIGHT_BY_PERTINENCE.get(note, 0) for note in range(6)])
    notes = events.note_pertinence
    worth = np.where(notes > 0, of_note[notes], worth)
    cells = events.user_idx * len(bank.papers) + events.item_idx
    kept, pair = np.unique(cells, return_inverse=True)
    weights, first = np.zeros(len(kept)), np.full(len(kept), np.iinfo(np.int64).max)
    np.maximum.at(weights, pair, worth)
    np.minimum.at(first, pair, events.timestamps)
    liked = np.ones(len(kept), np.bool_)
    liked[pair[(notes > 0) & (notes <= DISLIKED_PERTINENCE)]] = False
    users, items = np.divmod(kept[liked], len(bank.papers))
    return Interactions(users, items, weights[liked].astype(np.float32), first[liked])


def metadata(bank: Bank) -> Metadata:
    """What the bank knows of students and épreuves, by their place in it."""
    return Metadata(
        dict(enumerate(map(_student_traits, bank.students))),
        dict(enumerate(map(_paper_traits, bank.papers))),
        {place: paper.titre.lower() for place, paper in enumerate(bank.papers)},
    )


def _student_traits(student: Person) -> Traits:
    return {"filiere": (student.filiere,), "niveau": (student.niveau,)}


def _paper_traits(paper: Paper) -> Traits:
    """As `selectors.published_catalogue`: a common épreuve has the empty filière."""
    return {
        "matiere": (paper.course.matiere,),
        "filiere": (paper.course.filiere or "",),
        "niveau": (paper.niveau,),
        "type": (paper.type_epreuve,),
        "session": (paper.session,),
        "annee": (str(paper.annee),),
        "semestre": (str(paper.course.semestre),),
    }


@dataclass(frozen=True)
class Size:
    """Students, épreuves and interactions of a bank."""

    n_users: int
    n_items: int
    n_interactions: int

    @classmethod
    def of(cls, text: str) -> "Size":
        """`200x150x15000`."""
        with suppress(ValueError):
            n_users, n_items, n_interactions = map(int, text.split("x"))
            return cls(n_users, n_items, n_interactions)
        raise argparse.ArgumentTypeError(
            f"{text} : donnez étudiants x épreuves x interactions, par exemple {SIZES[0]}."
        )

    def __str__(self) -> str:
        return f"{self.n_users}x{self.n_items}x{self.n_interactions}"


@dataclass(frozen=True)
class Log:
    """A bank as models get it, and the NDCG@10 of who knows all, per student measured."""

    data: Dataset
    oracle: Values

    @classmethod
    def made(cls, size: Size, seed: int) -> "Log":
        """The half-life is chosen on the validation part. Raises ImpossibleBank."""
        bank = generate(size.n_users, size.n_items, size.n_interactions, seed=seed)
        data = recency.forgetting(split_by_date(positives(bank), metadata(bank)))
        return cls(data, oracle(bank, data).ndcg_by_user)


def oracle(bank: Bank, data: Dataset) -> Evaluation:
    """Ranks by the true preference."""
    truth = bank.preferences[np.ix_(data.user_ids, data.item_ids)].astype(np.float32)
    return evaluate(lambda user_idx: truth[user_idx], data)


@dataclass(frozen=True)
class Figures:
    """NDCG@10 of each student measured, those of one seed after those of another."""

    by_seed: list[Values]
    seconds: list[float]

    @property
    def mean(self) -> float:
        """Over seeds, of the means over students."""
        return float(np.mean([values.mean() for values in self.by_seed]))

    @property
    def by_student(self) -> Values:
        return np.concatenate(self.by_seed)


@dataclass(frozen=True)
class Result:
    """Of one size."""

    oracle: Figures
    models: dict[str, Figures]

    def share(self, name: str) -> float:
        """Of the oracle's NDCG@10."""
        return self.models[name].mean / self.oracle.mean

    def shares(self, name: str) -> list[float]:
        """The same of each seed."""
        pairs = zip(self.models[name].by_seed, self.oracle.by_seed, strict=True)
        return [float(mine.mean() / best.mean()) for mine, best in pairs]

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Of the default's NDCG@10 minus each other model's."""
        if DEFAULT not in self.models:
            return {}
        default = self.models[DEFAULT].by_student
        return {
            name: paired_bootstrap(default, figures.by_student)
            for name, figures in self.models.items()
            if name != DEFAULT
        }

    def as_json(self) -> dict[str, Any]:
        return {
            "oracle": self.oracle.mean,
            "models": {
                name: {
                    "ndcg@10": figures.mean,
                    "share": self.share(name),
                    "shares": self.shares(name),
                    "seconds": float(np.mean(figures.seconds)),
                }
                for name, figures in self.models.items()
            },
            "intervals": self.intervals(),
        }


def measure(size: Size, options: argparse.Namespace, bar: "tqdm[Any]") -> Result:
    """Every model with every seed, on the same banks."""
    found = Result(Figures([], []), {name: Figures([], []) for name in options.models})
    for seed in options.seeds:
        log = Log.made(size, seed)
        found.oracle.by_seed.append(log.oracle)
        for name, figures in found.models.items():
            bar.set_description(f"{size}, {MODELS.get(name, name)}, graine {seed}")
            model = registry.build(
                name, registry.config_of(name, seed=seed, **options.option.get(name, {}))
            )
            started = time.perf_counter()
            model.fit(log.data, np.random.default_rng(seed))
            figures.seconds.append(time.perf_counter() - started)
            figures.by_seed.append(evaluate_model(model, log.data).ndcg_by_user)
            bar.update()
    return found


def table(size: Size, found: Result, seeds: Sequence[int]) -> str:
    """As many lines as models, for people."""
    gaps = found.intervals()
    titles = ["s", "NDCG@10", "part", *(f"part {seed}" for seed in seeds)]
    lines = [
        f"{size!s:<16}{''.join(f'{title:>10}' for title in titles)}"
        f"  {MODELS.get(DEFAULT, DEFAULT)} − modèle, NDCG@10, à 95 %",
        f"{'oracle':<16}{'':>10}{found.oracle.mean:>10.4f}{1:>10.1%}",
    ]
    for name, figures in found.models.items():
        shares = "".join(f"{share:>10.1%}" for share in [found.share(name), *found.shares(name)])
        gap = "  [{:+.4f} ; {:+.4f}]".format(*gaps[name]) if name in gaps else ""
        seconds = np.mean(figures.seconds)
        lines.append(
            f"{MODELS.get(name, name):<16}{seconds:>10.1f}{figures.mean:>10.4f}{shares}{gap}"
        )
    return "\n".join(lines)


def options_of(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.synthetic",
        description="Mesure les modèles sur des banques d'essai, à côté d'un oracle.",
    )
    parser.add_argument(
        "--sizes",
        type=Size.of,
        nargs="+",
        default=[Size.of(text) for text in SIZES],
        metavar="ÉTUDIANTSxÉPREUVESxINTERACTIONS",
        help=f"tailles des banques (défaut : {' '.join(SIZES)})",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="graines")
    parser.add_argument(
        "--models", nargs="+", choices=registry.MODELS, default=COMPARED, help="modèles"
    )
    parser.add_argument(
        "--option",
        nargs="+",
        default=[],
        metavar="MODÈLE.OPTION=VALEUR",
        help="options de train_model pour un modèle : hybrid.epochs=5",
    )
    options = parser.parse_args(argv)
    try:
        options.option = model_options(options.option)
    except ValueError as error:
        parser.error(str(error))
    return options


def main(argv: list[str] | None = None) -> None:
    options = options_of(argv)
    if not apps.ready:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.testing")
        django.setup()
    torch.set_num_threads(1)
    total = len(options.sizes) * len(options.seeds) * len(options.models)
    try:
        with tqdm(total=total, file=sys.stderr) as bar:
            found = {size: measure(size, options, bar) for size in options.sizes}
    except ImpossibleBank as error:
        sys.exit(str(error))
    for size, result in found.items():
        print(f"\n{table(size, result, options.seeds)}", file=sys.stderr)
    sizes = {str(size): result.as_json() for size, result in found.items()}
    answer = {"seeds": options.seeds, "default": DEFAULT, "options": options.option}
    print(json.dumps({"sizes": sizes, **answer}))


if __name__ == "__main__":
    main()
