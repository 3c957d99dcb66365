"""The first stage of the default model: every signal, in closed form, and a ranking by two of them.

Legend: B students, N items, C candidates, D dimensions, F columns of the signals.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from apps.recommender.ml import pulse
from apps.recommender.ml.data_loader import BoolArray, Dataset, FloatArray, IntArray
from apps.recommender.ml.evaluation import Scores, evaluate
from apps.recommender.ml.signals import Factors, Settings, Shallow, Signal, Students

# The second stage ranks the best RANKED again. It learns from CANDIDATES: of what lies beyond those
# it knows nothing, and near their end little.
RANKED = 100
IALS_GRID = (0.1, 0.2, 0.4)
EASE_GRID = (10.0, 30.0, 100.0, 200.0, 400.0, 1000.0)

ROUNDING = 1e-5  # of a row's largest score

_CELLS_AT_ONCE = 2**21


@dataclass(frozen=True)
class Table:
    """What is said of B students: columns float32[F, B, N], base float32[B, N], p float32[B, D]."""

    columns: FloatArray
    base: FloatArray
    p: FloatArray

    def at(self, rows: IntArray, items: IntArray) -> tuple[FloatArray, FloatArray]:
        """Signals [..., F] and base [...] of pairs."""
        signals = np.moveaxis(self.columns[:, rows, items], 0, -1)
        return np.ascontiguousarray(signals), self.base[rows, items]


@dataclass(frozen=True)
class FirstStage:
    """Fitted signals. Its own ranking, `base`, is iALS + EASE, each in standard deviations."""

    signals: list[Signal]

    @property
    def factors(self) -> Factors:
        """The GMF half's."""
        return next(one for one in self.signals if isinstance(one, Factors))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the F columns."""
        return tuple(name for one in self.signals for name in one.columns)

    def aligned(self, reference: FloatArray) -> Self:
        """With the factors rotated onto `reference` [N, D]: same scores, comparable products."""
        turned = [
            one.aligned(reference) if isinstance(one, Factors) else one for one in self.signals
        ]
        return replace(self, signals=turned)

    def table(self, students: Students) -> Table:
        """Every signal of every item for these students."""
        unseen = students.histories.toarray() == 0
        columns = []
        base = np.zeros(unseen.shape, np.float32)
        for one in self.signals:
            scores = one.scores(students)
            if one.standardised:
                scores = np.stack([_standardised(column, unseen) for column in scores])
            if isinstance(one, Factors | Shallow):
                base += scores[0]
            columns.append(scores)
        return Table(np.concatenate(columns), base, self.factors.p(students))


def _standardised(scores: FloatArray, unseen: BoolArray) -> FloatArray:
    """Each row minus its mean over the unseen, over their deviation; 0 where all are alike.

    Where the unseen alone are alike, the deviation is that of all: float32's last digits are no
    taste, and nothing to divide by.
    """
    count = np.maximum(1, unseen.sum(axis=1, keepdims=True))
    mean = np.where(unseen, scores, 0).sum(axis=1, keepdims=True) / count
    centred = scores - mean
    rounding = ROUNDING * np.abs(scores).max(axis=1, keepdims=True)
    variance = np.where(unseen, centred**2, 0).sum(axis=1, keepdims=True) / count
    deviation = np.sqrt(variance)
    alike = (deviation <= rounding)[:, 0]
    deviation[alike] = np.sqrt((centred[alike] ** 2).mean(axis=1, keepdims=True))
    flat = deviation <= rounding
    standard: FloatArray = np.where(flat, 0, centred / np.where(flat, 1, deviation))
    return standard.astype(np.float32)


def tuned(data: Dataset, settings: Settings) -> Settings:
    """With the penalties under which each linear model, alone, ranks the validation part best."""
    settings = _best(Factors, [replace(settings, ials=value) for value in IALS_GRID], data)
    return _best(Shallow, [replace(settings, ease=value) for value in EASE_GRID], data)


def _best(cls: type[Signal], trials: Sequence[Settings], data: Dataset) -> Settings:
    """The trial whose signal, alone, ranks the validation part best."""

    def ndcg(trial: Settings) -> float:
        fitted = cls.fit(data, trial)
        if fitted is None:
            return 0.0
        users = np.unique(data.part("validation").user_idx)
        rows = [fitted.scores(Students.of(data, part))[0] for part in blocks(users, data.n_items)]
        return validation_ndcg(np.concatenate(rows), data)

    return max(trials, key=ndcg)


def validation_ndcg(rows: FloatArray, data: Dataset) -> float:
    """NDCG@10 of scores float32[B, N] of the validation's users, in the order of their rows."""
    return evaluate(scores_of(rows, data), data, part="validation").metrics["ndcg_at_10"]


def scores_of(rows: FloatArray, data: Dataset) -> Scores:
    """The same as `evaluate` wants them."""
    users = np.unique(data.part("validation").user_idx)
    return lambda user_idx: rows[np.searchsorted(users, user_idx)]


def blocks(users: IntArray, n_items: int) -> Iterator[IntArray]:
    """`users` a part at a time, so that a column of a table keeps to a cache's size."""
    size = max(1, _CELLS_AT_ONCE // n_items)
    for start in range(0, len(users), size):
        pulse.beat()
        yield users[start : start + size]
