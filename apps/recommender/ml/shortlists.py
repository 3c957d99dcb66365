"""What the second stage learns from, and is judged on: the first stage's best candidates.

Legend: L lists (a student as one fold knows them), C candidates, P positives, F columns.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from scipy.sparse import csr_matrix

from apps.recommender.ml.config import CANDIDATES
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray, Pairs
from apps.recommender.ml.first_stage import RANKED, FirstStage, Table, blocks
from apps.recommender.ml.signals import Settings, Students, fit_all

FOLDS = 5
# Beyond so many students a fold, a sample is enough to learn from.
MAX_STUDENTS = 4000
# So many of a fold's students come a second time, with at most so long a history.
SHORT_SHARE, SHORT_MOST = 0.3, 10


@dataclass(frozen=True)
class Shortlists:
    """Arrays; the lists of a fold share its q. In a list to learn from, no candidate is a positive.

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
        whole = [list(fold) for fold in folds]
        parts = [replace(part, fold=part.fold + k) for k, fold in enumerate(whole) for part in fold]
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
        return cls(q=np.concatenate([fold[0].q for fold in whole]), **arrays)


def of_validation(stage: FirstStage, data: Dataset) -> tuple[Shortlists, FloatArray]:
    """The RANKED best of the validation's users, and the base of every item for each, [L, N]."""
    held_out = data.part("validation")
    users = np.unique(held_out.user_idx)
    lists, bases = [], []
    for part in blocks(users, data.n_items):
        students = Students.of(data, part)
        table = stage.table(students)
        best = _best(table, students.histories, RANKED)
        lists.append(_listed(stage, table, best, part, held_out, data))
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
        of_fold = FirstStage(fit_all(known, settings)).aligned(stage.factors.q)
        lists.append(list(_of_fold(of_fold, known, held_out, data, rng)))
    return Shortlists.joined(lists)


def _of_fold(
    stage: FirstStage,
    known: Dataset,
    held_out: Pairs,
    data: Dataset,
    rng: np.random.Generator,
) -> Iterator[Shortlists]:
    def listed(students: Students, part: IntArray, left_out: Pairs) -> Shortlists:
        table = stage.table(students)
        taken = students.histories + _matrix(left_out.of_users(part), part, data.n_items)
        best = _best(table, taken, CANDIDATES)
        return _listed(stage, table, best, part, held_out, data)

    users = rng.permutation(np.unique(held_out.user_idx))[:MAX_STUDENTS]
    for part in blocks(np.sort(users), data.n_items):
        yield listed(Students.of(known, part), part, held_out)
    for part in blocks(np.sort(users[: round(SHORT_SHARE * len(users))]), data.n_items):
        students, forgotten = _shortened(known, part, rng)
        yield listed(students, part, held_out + forgotten)


def _matrix(pairs: Pairs, users: IntArray, n_items: int) -> csr_matrix:
    """Ones where a user (a row, in the order of `users`) took the item."""
    cells = np.ones(len(pairs)), (np.searchsorted(users, pairs.user_idx), pairs.item_idx)
    return csr_matrix(cells, shape=(len(users), n_items))


def _shortened(known: Dataset, users: IntArray, rng: np.random.Generator) -> tuple[Students, Pairs]:
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


def _best(table: Table, taken: csr_matrix, width: int) -> tuple[IntArray, IntArray]:
    """The best items of each student apart from those `taken`, [B, C], and how many those are."""
    open_to = table.base.copy()
    open_to[taken.nonzero()] = -np.inf
    width = min(width, open_to.shape[1])
    best = np.argpartition(-open_to, width - 1, axis=1)[:, :width]
    scores = np.take_along_axis(open_to, best, axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1), np.isfinite(scores).sum(axis=1)


def _listed(
    stage: FirstStage,
    table: Table,
    best: tuple[IntArray, IntArray],
    users: IntArray,
    positives: Pairs,
    data: Dataset,
) -> Shortlists:
    items, n_valid = best
    positives = positives.of_users(users)
    row = np.searchsorted(users, positives.user_idx)
    positives, row = positives.take(n_valid[row] > 0), row[n_valid[row] > 0]
    signals, base = table.at(np.arange(len(users))[:, None], items)
    positive_signals, positive_base = table.at(row, positives.item_idx)
    return Shortlists(
        q=stage.factors.q[None],
        fold=np.zeros(len(users), np.int64),
        p=table.p,
        items=items,
        n_valid=n_valid,
        signals=signals,
        base=base,
        of_list=row,
        item=positives.item_idx,
        positive_signals=positive_signals,
        positive_base=positive_base,
        weight=_weights(positives, row, len(users), data),
    )


def _weights(positives: Pairs, row: IntArray, n_lists: int, data: Dataset) -> FloatArray:
    """Confidence / √(sum of the list's): who did twice as much counts √2 times as much."""
    known = data.confidence.of(positives.weights, positives.timestamps, len(positives))
    totals = np.bincount(row, known, minlength=n_lists)
    weights: FloatArray = (known / np.sqrt(totals[row])).astype(np.float32)
    return weights
