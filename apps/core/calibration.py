"""How hard an épreuve is, whoever happened to rate it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

# A weight is how many notes it takes to count as much as the mean, all that is known without any.
EPREUVE_WEIGHT = 2.0
# Those to choose from. The firmest first: for ties, and for banks too small to choose.
RATER_WEIGHTS = (8.0, 4.0, 2.0, 1.0, 0.5)
FEWEST_TO_CHOOSE = 100
FOLDS = 4
MAX_SWEEPS = 500


class Rating(NamedTuple):
    rater: int
    epreuve: int
    note: int


class Fit(NamedTuple):
    mean: float
    difficulty: dict[int, float]
    severity: dict[int, float]

    def expected(self, rater: int, epreuve: int) -> float:
        return self.mean + self.difficulty.get(epreuve, 0) + self.severity.get(rater, 0)


def difficulties(ratings: Iterable[Rating]) -> dict[int, float]:
    """The note from 1 to 5 that an ordinary rater would give each épreuve.

    note = mean + difficulty[épreuve] + severity[rater] + chance; difficulties and severities are
    estimated together, shrunk towards zero, severities as much as foretells best the notes set
    aside. Where raters agree, or are too few to tell, that leaves about the shrunken mean.
    """
    ratings = list(ratings)
    if not ratings:
        return {}
    fit = _fit(ratings, _rater_weight(ratings))
    return {key: min(5, max(1, fit.mean + value)) for key, value in fit.difficulty.items()}


def _rater_weight(ratings: list[Rating]) -> float:
    """By cross-validation."""
    if len(ratings) < FEWEST_TO_CHOOSE:
        return RATER_WEIGHTS[0]
    return min(RATER_WEIGHTS, key=lambda weight: _held_out_error(ratings, weight))


def _held_out_error(ratings: list[Rating], weight: float) -> float:
    total = 0.0
    for fold in range(FOLDS):
        kept = [one for n, one in enumerate(ratings) if n % FOLDS != fold]
        fit = _fit(kept, weight, tolerance=1e-2)
        total += sum((note - fit.expected(*by)) ** 2 for *by, note in ratings[fold::FOLDS])
    return total


def _fit(ratings: list[Rating], rater_weight: float, *, tolerance: float = 1e-3) -> Fit:
    """The ridge solution, by exact solves of one side and the other in turn.

    That is block Gauss-Seidel on a positive definite system: it converges from anywhere.
    """
    mean = sum(one.note for one in ratings) / len(ratings)
    of_epreuve, of_rater = defaultdict(list), defaultdict(list)
    for rater, epreuve, note in ratings:
        of_epreuve[epreuve].append((rater, note - mean))
        of_rater[rater].append((epreuve, note - mean))
    difficulty = dict.fromkeys(of_epreuve, 0.0)
    for _ in range(MAX_SWEEPS):
        before = difficulty
        severity = _shrunk_means(of_rater, difficulty, rater_weight)
        difficulty = _shrunk_means(of_epreuve, severity, EPREUVE_WEIGHT)
        if all(abs(difficulty[key] - before[key]) < tolerance for key in difficulty):
            break
    return Fit(mean, difficulty, severity)


def _shrunk_means(
    notes: Mapping[int, list[tuple[int, float]]], other: Mapping[int, float], weight: float
) -> dict[int, float]:
    """Of each key, what its notes say once the effect of the other side is taken off them."""
    return {
        key: sum([note - other[by] for by, note in pairs]) / (len(pairs) + weight)
        for key, pairs in notes.items()
    }
