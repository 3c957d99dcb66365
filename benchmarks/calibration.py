"""How much nearer to the truth does calibration bring the difficulty of an épreuve?

    python -m benchmarks.calibration --seeds 42 43 44 45 46

Difficulties and severities are planted, notes follow (difficulty + severity + chance, rounded into
1 to 5), and each case decides who rates what: `biaise`, the severe meet some épreuves more than
others; `rare`, the same with two to five notes a person; `hasard`, no bias; `accord`, nobody is
severe; `bruit`, few notes, little severity and much chance, where calibrating has little to go by.
Per case, the mean over the seeds of Spearman's rank correlation with the truth, of the plain mean
and of the calibrated difficulty, over the épreuves that were rated, and the least gain of a seed;
`secondes` is what 100,000 notes take. The table goes to stderr, one line of JSON to stdout.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import spearmanr

from apps.core.calibration import Rating, difficulties


@dataclass(frozen=True)
class Case:
    raters: int = 200
    epreuves: int = 150
    fewest: int = 3
    most: int = 12
    # How much likelier an épreuve that draws the severe is to be rated by one of them.
    bias: float = 1.5
    severity: float = 0.8
    difficulty: float = 0.7
    noise: float = 0.7


CASES = {
    "biaise": Case(),
    "rare": Case(fewest=2, most=5),
    "hasard": Case(bias=0),
    "accord": Case(bias=0, severity=0),
    "bruit": Case(fewest=2, most=5, bias=0, severity=0.3, noise=1.2),
}
LARGE = Case(raters=2000, epreuves=1500, fewest=25, most=75)


@dataclass(frozen=True)
class Planted:
    truth: list[float]
    ratings: list[Rating]


@dataclass(frozen=True)
class Found:
    """Rank correlations with the truth."""

    mean: float
    calibrated: float


def planted(case: Case, seed: int) -> Planted:
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, case.difficulty, case.epreuves)
    leaning = rng.normal(0, 1, case.raters)
    # Whom an épreuve draws says nothing of how hard it is.
    drawn = rng.normal(0, 1, case.epreuves)
    ratings = []
    for rater in range(case.raters):
        chances = np.exp(case.bias * leaning[rater] * drawn)
        size = int(rng.integers(case.fewest, case.most + 1))
        chosen = rng.choice(case.epreuves, size, replace=False, p=chances / chances.sum())
        exact = 3 + truth[chosen] + case.severity * leaning[rater] + rng.normal(0, case.noise, size)
        notes = np.clip(np.rint(exact), 1, 5).astype(int)
        ratings += [
            Rating(rater, *pair) for pair in zip(chosen.tolist(), notes.tolist(), strict=True)
        ]
    return Planted(truth.tolist(), ratings)


def plain_means(ratings: list[Rating]) -> dict[int, float]:
    notes = defaultdict(list)
    for one in ratings:
        notes[one.epreuve].append(one.note)
    return {epreuve: sum(given) / len(given) for epreuve, given in notes.items()}


def compare(bank: Planted) -> Found:
    means, calibrated = plain_means(bank.ratings), difficulties(bank.ratings)
    rated = sorted(means)
    truth = [bank.truth[one] for one in rated]

    def agreement(estimate: dict[int, float]) -> float:
        return float(spearmanr([estimate[one] for one in rated], truth).statistic)

    return Found(agreement(means), agreement(calibrated))


def seconds(case: Case, seed: int) -> float:
    bank = planted(case, seed)
    start = time.perf_counter()
    difficulties(bank.ratings)
    return (time.perf_counter() - start) * 100_000 / len(bank.ratings)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    parser.add_argument("--small", action="store_true", help="time a bank ten times smaller")
    options = parser.parse_args(argv)
    figures: dict[str, object] = {}
    for name, case in CASES.items():
        found = [compare(planted(case, seed)) for seed in options.seeds]
        mean = float(np.mean([one.mean for one in found]))
        calibrated = float(np.mean([one.calibrated for one in found]))
        least = min(one.calibrated - one.mean for one in found)
        figures[name] = {
            "moyenne": round(mean, 3),
            "calibree": round(calibrated, 3),
            "gain_minimal": round(least, 3),
        }
        print(
            f"{name:8} {mean:.3f} -> {calibrated:.3f}, au moins {least:+.3f}",
            file=sys.stderr,
        )
    large = replace(LARGE, raters=LARGE.raters // 10) if options.small else LARGE
    figures["secondes"] = round(seconds(large, options.seeds[0]), 1)
    print(json.dumps({"seeds": options.seeds, **figures}))


if __name__ == "__main__":
    main()
