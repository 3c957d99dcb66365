"""What the second stage learns from and is judged on: the first stage's best candidates.

Legend: L lists (a student as one fold knows them), C candidates, P positives, F columns.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from scipy.sparse import csr_matrix

from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray, Pairs
from apps.recommender.ml.first_stage import CANDIDATES, FirstStage, Table, blocks
from apps.recommender.ml.signals import Settings, Students, fit_all

FOLDS = 5
# Beyond so many students a fold, a sample is enough to learn from.
MAX_STUDENTS = 4000
# So many of a fold's students come a second time, with at most so long a history.
SHORT_SHARE, SHORT_MOST = 0.3, 10


@dataclass(frozen=True)
class Shortlists:
    """Arrays; q is shared by the lists of a fold, and the positives are no candidates.

    q float32[K, N, D], fold int64[L], p float32[L, D], items int64[L, C], best first, of which the
    first n_valid int64[L] count; signals float32[L, C, F], base float32[L, C]. Of each positive:
    of_list int64[P], item int64[P], positive_signals float32[P, F], positive_base float32[P], and
    its weight float32[P].
    """

    q: FloatArray
    fold: IntArray
    p: FloatArray
    items: IntArray
    n_valid: IntArray
    signals: FloatArray
    base: FloatArray
    of_list: IntArray
    item: IntArray
    positive_signals: FloatArray
    positive_base: FloatArray
    weight: FloatArray

    @classmethod
    def joined(cls, folds: Iterable[Iterable[Self]]) -> Self:
        """One after the other; the lists of a fold share its q."""
        folds = [list(fold) for fold in folds]
        parts = [replace(part, fold=part.fold + k) for k, fold in enumerate(folds) for part in fold]
        starts = np.cumsum([0, *(len(part.fold) for part in parts)])
        moved = [
            replace(part, of_list=part.of_list + start)
            for part, start in zip(parts, starts[:-1], strict=True)
        ]
        arrays = {
            field.name: np.concatenate([getattr(one, field.name) for one in moved])
            for field in fields(cls)
            if field.name != "q"
        }
        return cls(q=np.concatenate([fold[0].q for fold in folds]), **arrays)


def of_validation(stage: FirstStage, data: Dataset) -> tuple[Shortlists, FloatArray]:
    """The lists of the validation's users, and the base of every item for each, [L, N]."""
    held_out = data.part("validation")
    users = np.unique(held_out.user_idx)
    lists, bases = [], []
    for part in blocks(users, data.n_items):
        table = stage.table(Students.of(data, part))
        lists.append(_listed(stage, table, data.train_matrix[part], part, held_out, data))
        bases.append(table.base)
    return Shortlists.joined([lists]), np.concatenate(bases)


def out_of_fold(
    data: Dataset, stage: FirstStage, settings: Settings, rng: np.random.Generator
) -> Shortlists:
    """Each training pair as a first stage ranks it that was learnt without it.

    The folds' factors are rotated onto those of `stage`, so that a product means the same in all.
    """
    fold = rng.permutation(len(data.train)) % FOLDS
    lists = []
    for k in range(FOLDS):
        known = replace(data, train=data.train.take(fold != k))
        held_out = data.train.take(fold == k)
        of_fold = FirstStage(fit_all(known, settings), stage.weights)
        of_fold = of_fold.aligned(stage.factors.q)
        lists.append(list(_of_fold(of_fold, known, held_out, data, rng)))
    return Shortlists.joined(lists)


def _of_fold(
    stage: FirstStage,
    known: Dataset,
    held_out: Pairs,
    data: Dataset,
    rng: np.random.Generator,
) -> Iterator[Shortlists]:
    users = rng.permutation(np.unique(held_out.user_idx))[:MAX_STUDENTS]
    for part in blocks(np.sort(users), data.n_items):
        students = Students.of(known, part)
        yield _listed(stage, stage.table(students), students.histories, part, held_out, data)
    short = np.sort(users[: round(SHORT_SHARE * len(users))])
    for part in blocks(short, data.n_items):
        students, forgotten = _shortened(known, part, rng)
        yield _listed(
            stage, stage.table(students), students.histories, part, held_out + forgotten, data
        )


def _shortened(
    known: Dataset, users: IntArray, rng: np.random.Generator
) -> tuple[Students, Pairs]:
    """The users with 0 to SHORT_MOST of their épreuves, and the pairs left out."""
    students = Students.of(known, users)
    histories = students.histories.tocoo()
    order = np.lexsort((rng.random(histories.nnz), histories.row))
    row, column, data = histories.row[order], histories.col[order], histories.data[order]
    starts = np.searchsorted(row, np.arange(len(users)))
    kept = np.arange(len(row)) - starts[row] < rng.integers(0, SHORT_MOST + 1, len(users))[row]
    shape = histories.shape
    short = csr_matrix((data[kept], (row[kept], column[kept])), shape=shape)
    left = Pairs(users[row[~kept]], column[~kept].astype(np.int64))
    return replace(students, histories=short), left


def _listed(
    stage: FirstStage,
    table: Table,
    histories: csr_matrix,
    users: IntArray,
    positives: Pairs,
    data: Dataset,
) -> Shortlists:
    """The best candidates of each user, apart from what they did and from `positives`."""
    positives = positives.of_users(users)
    row = np.searchsorted(users, positives.user_idx)
    open_to = table.base.copy()
    open_to[histories.nonzero()] = -np.inf
    open_to[row, positives.item_idx] = -np.inf
    width = min(CANDIDATES, data.n_items)
    best = np.argpartition(-open_to, width - 1, axis=1)[:, :width]
    order = np.argsort(-np.take_along_axis(open_to, best, axis=1), axis=1, kind="stable")
    items = np.take_along_axis(best, order, axis=1)
    n_valid = np.isfinite(np.take_along_axis(open_to, items, axis=1)).sum(axis=1)
    signals, base = table.at(np.arange(len(users))[:, None], items)
    useful = n_valid[row] > 0
    row, item = row[useful], positives.item_idx[useful]
    positive_signals, positive_base = table.at(row, item)
    return Shortlists(
        q=stage.factors.q[None],
        fold=np.zeros(len(users), np.int64),
        p=table.p,
        items=items,
        n_valid=n_valid,
        signals=signals,
        base=base,
        of_list=row,
        item=item,
        positive_signals=positive_signals,
        positive_base=positive_base,
        weight=_weights(positives.take(useful), row, len(users), data),
    )


def _weights(positives: Pairs, row: IntArray, n_lists: int, data: Dataset) -> FloatArray:
    """Confidence / √(sum of the list's): who did twice as much counts √2 times as much."""
    known = data.confidence.of(positives.weights, positives.timestamps, len(positives))
    totals = np.bincount(row, known, minlength=n_lists)
    weights: FloatArray = (known / np.sqrt(totals[row])).astype(np.float32)
    return weights
