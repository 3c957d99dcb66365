"""Does a recommender that learns from the clicks it caused feed on itself, and which rule stops it?

    python -m benchmarks.feedback_loop --models ease hybrid --seeds 1 2 3 \\
        --picture docs/images/boucle.svg

Students of the made bank of `generate_data`, whose true preferences are known, month after month.
The model learns from all there is, and shows each student ten unseen épreuves. A student who looks
at them examines the one of rank r with probability EXAMINED^(r-1), and opens it out of curiosity
(--curious) or, else, as it suits them; whatever they open they download as it suits them. They
also find some by themselves, the more easily the more others took it. Some leave, others come.

Each rule says which of the pairs (student, épreuve) born from a recommendation are learnt from:

    tout            all of them, like any other
    moitie          each with probability 1/2
    rang            the more, the lower it was shown (inverse propensity, at most 1)
    gestes          those that were downloaded; a view of what was shown is no evidence
    gestes_appris   the same, but the view still tells whom the model speaks to: a student is all
                    that they opened
    rien            none of them
    telechargements no view at all, found or shown: is it the loop, or are views bad evidence?

Per rule, over the last three months: `part`, the discounted suitability of what is shown, in the
order it is shown, over that of the best there is, Σ suit(i_r)/log2(r + 1); the share of the
catalogue shown to anybody; the Gini index of how often each épreuve is shown. Suitability is the
preference, squared and scaled so that a student's 20th best is 1/2. Means over seeds, with the
bootstrap interval over seeds and students of the difference of `part` to `tout`. The table goes to
stderr, one line of JSON to stdout.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from apps.recommender.charts import Curve, panel
from apps.recommender.labels import MODELS
from apps.recommender.ml import registry
from apps.recommender.ml.config import SEED, TrainingConfig
from apps.recommender.ml.data_loader import (
    Dataset,
    FloatArray,
    IntArray,
    Interactions,
    split_by_date,
    whole,
)
from apps.recommender.ml.evaluation import paired_bootstrap
from apps.recommender.ml.metadata import Metadata
from apps.recommender.ml.metrics import Values
from apps.recommender.ml.model import Model
from apps.recommender.ml.synthetic import Bank, generate
from benchmarks.synthetic import metadata

K = 10
MONTH = 30 * 24 * 3600
EXAMINED = 0.85  # of rank r, by those who examined rank r - 1
SUITS_HALF = 20  # the rank, by preference, of what suits by one half
LOOKS = 0.7  # of the students, each month, at what is recommended
FOUND = 1.5  # épreuves a month that a student finds without us, on average
FOUND_FIRST = 6  # before there was any recommendation
LEAVE = 0.08  # of the students, each month
VIEWED, DOWNLOADED = 1.0, 3.0  # as in apps.core.feedback
MEASURED = 3  # the last months


@dataclass(frozen=True)
class Rule:
    """Of what was shown at rank r (from 0) and opened, and of what was found: is it learnt from?"""

    shown: Callable[[int, bool], float]  # (r, downloaded) -> probability
    found: Callable[[bool], float] = lambda downloaded: 1.0
    remembered: bool = False  # what is not learnt from is still the student's history


RULES = {
    "tout": Rule(lambda rank, downloaded: 1.0),
    "moitie": Rule(lambda rank, downloaded: 0.5),
    "rang": Rule(lambda rank, downloaded: EXAMINED ** (K - 1 - rank)),
    "gestes": Rule(lambda rank, downloaded: float(downloaded)),
    "gestes_appris": Rule(lambda rank, downloaded: float(downloaded), remembered=True),
    "rien": Rule(lambda rank, downloaded: 0.0),
    "telechargements": Rule(lambda rank, downloaded: float(downloaded), float),
}
COLOURS = ("#dc2626", "#d97706", "#7c3aed", "#059669", "#0891b2", "#6b7280", "#2563eb")


@dataclass
class School:
    """The students of the moment, what each took, and what the model may learn of it.

    suits: float64[U, I]. person: the id of who sits at each of the U places.
    """

    bank: Bank
    rule: Rule
    rng: np.random.Generator
    suits: Values = field(init=False)
    log: list[list[float]] = field(default_factory=list)  # person, épreuve, worth, second, learnt

    def __post_init__(self) -> None:
        squared = self.bank.preferences**2
        self.suits = squared / (squared + np.sort(squared, axis=1)[:, -SUITS_HALF, None])
        n_users, n_items = squared.shape
        self.person = np.arange(n_users)
        self.place_of = list(range(n_users))
        self.unseen = np.ones(squared.shape, np.bool_)
        self.taken = np.zeros(n_items)
        self.visible = self.rng.lognormal(sigma=0.5, size=n_items)

    def find(self, place: int, n: int, month: int) -> None:
        """`n` épreuves without us; an open book now and then that suits little."""
        for _ in range(n):
            draw = (self.suits[place] + 0.02) * self.visible * np.sqrt(1 + self.taken)
            draw *= self.unseen[place]
            self._open(place, int(self.rng.choice(len(draw), p=draw / draw.sum())), month, None)

    def look(self, place: int, shown: list[int], month: int, curious: float) -> None:
        """At what is recommended, from the top."""
        for rank, item in enumerate(shown):
            opens = curious + (1 - curious) * self.suits[place, item]
            if self.rng.random() < EXAMINED**rank * opens:
                self._open(place, item, month, rank)

    def renew(self, month: int) -> None:
        """Some leave; who takes their place begins with two épreuves."""
        for place in np.nonzero(self.rng.random(len(self.person)) < LEAVE)[0].tolist():
            self.person[place] = len(self.place_of)
            self.place_of.append(place)
            self.unseen[place] = True
            self.find(place, 2, month)

    def interactions(self) -> Interactions:
        """What is learnt from."""
        users, items, worth, seconds, _ = np.array([row for row in self.log if row[-1]]).T
        users, items, seconds = (column.astype(np.int64) for column in (users, items, seconds))
        return Interactions(users, items, worth.astype(np.float32), seconds)

    def histories(self, data: Dataset) -> list[tuple[IntArray, FloatArray]]:
        """Who each place is to the model: rows of `data` and confidences, as `Model.scores`."""
        log = np.array([row for row in self.log if row[-1] or self.rule.remembered])
        log = log[np.isin(log[:, 1], data.item_ids)]
        own = [log[log[:, 0] == person] for person in self.person]
        return [
            (
                np.searchsorted(data.item_ids, rows[:, 1].astype(np.int64)),
                data.confidence.of(
                    rows[:, 2].astype(np.float32), rows[:, 3].astype(np.int64), len(rows)
                ),
            )
            for rows in own
        ]

    def metadata(self) -> Metadata:
        known = metadata(self.bank)
        users = {person: known.users[place] for person, place in enumerate(self.place_of)}
        return Metadata(users, known.items, known.texts)

    def _open(self, place: int, item: int, month: int, rank: int | None) -> None:
        self.unseen[place, item] = False
        self.taken[item] += 1
        downloaded = bool(self.rng.random() < self.suits[place, item])
        kept = self.rule.found(downloaded) if rank is None else self.rule.shown(rank, downloaded)
        second = month * MONTH + int(self.rng.integers(MONTH))
        worth, learnt = DOWNLOADED if downloaded else VIEWED, self.rng.random() < kept
        self.log.append([int(self.person[place]), item, worth, second, learnt])


def shown_by(model: Model, school: School, config: TrainingConfig) -> "np.ndarray[Any, Any]":
    """Learn as `train_model` does, and list ten unseen épreuves for each place, int64[U, K]."""
    interactions, known = school.interactions(), school.metadata()
    model.fit(split_by_date(interactions, known), np.random.default_rng(config.seed))
    data = whole(interactions, known)
    model.fit(data, np.random.default_rng(config.seed))
    row_of = {person: row for row, person in enumerate(data.user_ids.tolist())}
    lists = []
    places = zip(school.person.tolist(), school.histories(data), strict=True)
    for place, (person, history) in enumerate(places):
        scores = np.full(len(school.taken), -np.inf, np.float32)
        traits = known.users[person]
        scores[data.item_ids] = model.scores(*history, row_of.get(person), traits)
        scores[~school.unseen[place]] = -np.inf
        lists.append(np.argsort(-scores, kind="stable")[:K])
    return np.stack(lists)


def discounted(school: School, lists: "np.ndarray[Any, Any]") -> Values:
    """Of each place, the share that the list has of the best list there is, float64[U]."""
    discounts = 1 / np.log2(np.arange(K) + 2)
    best = np.sort(np.where(school.unseen, school.suits, 0), axis=1)[:, ::-1][:, :K]
    share: Values = (np.take_along_axis(school.suits, lists, axis=1) @ discounts) / (
        best @ discounts
    )
    return share


def gini(counts: "np.ndarray[Any, Any]") -> float:
    """0 where every item is shown as often, near 1 where a few are shown to all."""
    n, ordered = len(counts), np.sort(counts)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


@dataclass
class Course:
    """What one rule led to, month by month."""

    parts: list[Values] = field(default_factory=list)  # [U] each
    coverage: list[float] = field(default_factory=list)
    gini: list[float] = field(default_factory=list)


def live(name: str, rule: Rule, options: argparse.Namespace, seed: int, bar: Any) -> Course:
    """All the months of one school."""
    bank = generate(options.students, options.epreuves, 40 * options.students, seed=seed)
    school = School(bank, rule, np.random.default_rng(seed))
    config = TrainingConfig(seed=seed, epochs=8, batch_size=512, embedding_dim=32)
    course = Course()
    for place in range(options.students):
        school.find(place, FOUND_FIRST, 0)
    for month in range(1, options.months + 1):
        lists = shown_by(registry.build(name, config), school, config)
        counts = np.bincount(lists.ravel(), minlength=options.epreuves)
        course.parts.append(discounted(school, lists))
        course.coverage.append(float((counts > 0).mean()))
        course.gini.append(gini(counts))
        for place in school.rng.permutation(options.students).tolist():
            if school.rng.random() < LOOKS:
                school.look(place, lists[place].tolist(), month, options.curious)
            school.find(place, int(school.rng.poisson(FOUND)), month)
        school.renew(month)
        bar.update()
    return course


@dataclass
class Result:
    """One rule's courses, a seed each."""

    courses: list[Course] = field(default_factory=list)

    @property
    def by_student(self) -> Values:
        """Of each place of each seed, the mean of the last months."""
        ends = [np.mean(course.parts[-MEASURED:], axis=0) for course in self.courses]
        return np.concatenate(ends)

    @property
    def by_month(self) -> list[float]:
        parts = [[part.mean() for part in course.parts] for course in self.courses]
        return [float(value) for value in np.mean(parts, axis=0)]

    def as_json(self, reference: "Result") -> dict[str, Any]:
        ends = [
            (np.mean(one.coverage[-MEASURED:]), np.mean(one.gini[-MEASURED:]))
            for one in self.courses
        ]
        coverage, index = np.mean(ends, axis=0)
        return {
            "part": float(self.by_student.mean()),
            "couverture": float(coverage),
            "gini": float(index),
            "ecart_a_tout": paired_bootstrap(self.by_student, reference.by_student),
            "par_mois": self.by_month,
        }


def table(found: dict[str, Any]) -> str:
    titles = ("part", "couverture", "Gini", "1er mois", "dernier")
    lines = [f"{'règle':<18}{''.join(f'{title:>12}' for title in titles)}  part − tout, à 95 %"]
    for name, row in found.items():
        months = row["par_mois"]
        values = (row["part"], row["couverture"], row["gini"], months[0], months[-1])
        low, high = row["ecart_a_tout"]
        lines.append(
            f"{name:<18}{''.join(f'{value:>12.4f}' for value in values)}"
            f"  [{low:+.4f} ; {high:+.4f}]"
        )
    return "\n".join(lines)


def picture(model: str, found: dict[str, Any]) -> str:
    """Month by month, a curve a rule."""
    curves = [Curve(name, name, colour) for name, colour in zip(found, COLOURS, strict=False)]
    months = range(len(next(iter(found.values()))["par_mois"]))
    rows = [
        {"mois": month + 1} | {name: row["par_mois"][month] for name, row in found.items()}
        for month in months
    ]
    title = f"Ce que valent les recommandations ({MODELS.get(model, model)})"
    return str(panel(title, curves, rows, None, "mois")) + "\n"


def options_of(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.feedback_loop",
        description="Simule des mois de recommandations apprises de leurs propres clics.",
    )
    parser.add_argument("--models", nargs="+", choices=registry.MODELS, default=["ease"])
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="graines")
    parser.add_argument("--students", type=int, default=200, help="étudiants")
    parser.add_argument("--epreuves", type=int, default=200, help="épreuves")
    parser.add_argument("--months", type=int, default=10, help="mois")
    parser.add_argument(
        "--curious", type=float, default=0.2, help="part des ouvertures par curiosité"
    )
    parser.add_argument("--picture", type=Path, help="fichier .svg à écrire (dernier modèle)")
    options = parser.parse_args(argv)
    if "tout" not in options.rules:
        parser.error("--rules : la règle « tout » est celle à laquelle les autres se comparent.")
    return options


def main(argv: list[str] | None = None) -> None:
    options = options_of(argv)
    torch.set_num_threads(1)
    answer: dict[str, Any] = {}
    total = len(options.models) * len(options.rules) * len(options.seeds) * options.months
    with tqdm(total=total, unit=" mois", file=sys.stderr) as bar:
        for model in options.models:
            results = {name: Result() for name in options.rules}
            for seed in options.seeds:
                for name, result in results.items():
                    bar.set_description(f"{MODELS.get(model, model)}, {name}, graine {seed}")
                    result.courses.append(live(model, RULES[name], options, seed, bar))
            answer[model] = {name: one.as_json(results["tout"]) for name, one in results.items()}
            tqdm.write(f"\n{MODELS.get(model, model)}\n{table(answer[model])}", file=sys.stderr)
    if options.picture:
        options.picture.write_text(picture(options.models[-1], answer[options.models[-1]]), "utf-8")
    said = {"seeds": options.seeds, "curious": options.curious, "models": answer}
    print(json.dumps(said, ensure_ascii=False))


if __name__ == "__main__":
    main()
