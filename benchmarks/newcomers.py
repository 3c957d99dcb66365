"""Students and items that are absent from training, and how well a model ranks for them.

Absent means without a row: what a model learns from holds neither their pairs nor their traits.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from apps.recommender.ml.data_loader import BoolArray, Dataset, FloatArray, IntArray, Pairs
from apps.recommender.ml.evaluation import evaluate, evaluate_model
from apps.recommender.ml.metrics import Outcome, ndcg
from apps.recommender.ml.model import Model
from apps.recommender.ml.placement import Placement

K = 10
STUDENTS, ITEMS = 1, 2  # a stream of draws each, beside the seed's own


class NothingKnown(Exception):
    """Items without traits or words have no place among others."""


@dataclass(frozen=True)
class NewStudents:
    """`users` [H] of `data`, a log with its test part: what they did comes after training."""

    data: Dataset
    users: IntArray
    seed: int

    @classmethod
    def drawn(cls, data: Dataset, share: float, seed: int) -> Self:
        """`share` of those who have something to train on and to test."""
        known = np.intersect1d(data.train.user_idx, data.test.user_idx)
        return cls(data, _draw(known, share, [seed, STUDENTS]), seed)

    @cached_property
    def train(self) -> Dataset:
        """What may be learnt from: the others."""
        data = self.data
        kept = np.setdiff1d(np.arange(data.n_users), self.users)
        traits = tuple(data.user_traits[row] for row in kept) if data.user_traits else ()
        pairs = data.train.take(np.isin(data.train.user_idx, kept))
        return replace(
            data,
            user_ids=data.user_ids[kept],
            train=replace(pairs, user_idx=np.searchsorted(kept, pairs.user_idx)),
            test=data.test.take(np.empty(0, np.int64)),
            user_traits=traits,
        )

    def ndcg(self, model: Model, fitted: Dataset, clicks: int | None = None) -> float:
        """NDCG@10 for them, each without a row, by their training part, or `clicks` pairs of it.

        fitted: what `model` learnt from; its confidences are those of the histories. Candidates
        are all items minus the whole training part, however little of it the model is shown.
        """
        confidence = fitted.confidence.of(*_worth(self.data.train))
        item_idx = self.data.train.item_idx

        def scores(user_idx: IntArray) -> FloatArray:
            histories = [(user, self.history(user, clicks)) for user in user_idx.tolist()]
            return np.stack(
                [
                    model.scores(item_idx[rows], confidence[rows], None, self.data.traits(user))
                    for user, rows in histories
                ]
            )

        return evaluate(scores, self._measured).metrics[f"ndcg_at_{K}"]

    def ndcg_in_training(self, model: Model, fitted: Dataset) -> float:
        """NDCG@10 for the same, of a model that learnt from them too."""
        data = replace(fitted, test=self._measured.test)
        return evaluate_model(model, data).metrics[f"ndcg_at_{K}"]

    def history(self, user: int, clicks: int | None = None) -> IntArray:
        """Rows of their training pairs; the first of a draw, so that 3 clicks hold the 1."""
        rows = np.flatnonzero(self.data.train.user_idx == user)
        if clicks is None:
            return rows
        drawn: IntArray = np.random.default_rng([self.seed, STUDENTS, user]).permutation(rows)
        return drawn[:clicks]

    @cached_property
    def _measured(self) -> Dataset:
        return replace(self.data, test=self.data.test.of_users(self.users))


@dataclass(frozen=True)
class NewItems:
    """`items` [M] of `data`, a log with its test part: they come after training."""

    data: Dataset
    items: IntArray
    seed: int

    @classmethod
    def drawn(cls, data: Dataset, share: float, seed: int) -> Self:
        """`share` of the items."""
        return cls(data, _draw(np.arange(data.n_items), share, [seed, ITEMS]), seed)

    @cached_property
    def train(self) -> Dataset:
        """What may be learnt from: the others."""
        data = self.data
        kept = np.setdiff1d(np.arange(data.n_items), self.items)
        pairs = data.train.take(np.isin(data.train.item_idx, kept))
        return replace(
            data,
            item_ids=data.item_ids[kept],
            train=replace(pairs, item_idx=np.searchsorted(kept, pairs.item_idx)),
            test=data.test.take(np.empty(0, np.int64)),
            item_traits=tuple(data.item_traits[row] for row in kept) if data.item_traits else (),
            item_texts=tuple(data.item_texts[row] for row in kept) if data.item_texts else (),
        )

    @cached_property
    def relevant(self) -> BoolArray:
        """bool[U, M]: who took which of them, at any time."""
        matrix = self.data.matrix(self.data.train + self.data.test)
        taken: BoolArray = matrix[:, self.items].toarray() > 0
        return taken

    @cached_property
    def users(self) -> IntArray:
        """Rows of those who took one at least."""
        return np.flatnonzero(self.relevant.any(axis=1))

    def ndcg(self, model: Model, fitted: Dataset) -> tuple[float, float]:
        """NDCG@10 among the new items alone; then with the mean over students, one list for all.

        Raises NothingKnown.
        """
        placement = Placement.fit(fitted)
        if placement is None:
            raise NothingKnown("--items ne dit rien de ces items : donnez un fichier qui en parle.")
        rows = self.items.tolist()
        texts = [self.data.item_texts[row] if self.data.item_texts else "" for row in rows]
        traits = [self.data.item_traits[row] if self.data.item_traits else {} for row in rows]
        likeness = placement.likeness(texts, traits)
        placed = np.stack(
            [
                placement.scores(
                    model.scores(*fitted.history(user), user, fitted.traits(user)), likeness
                )
                for user in self.users.tolist()
            ]
        )
        return self._ndcg(placed), self._ndcg(np.broadcast_to(placed.mean(axis=0), placed.shape))

    def ndcg_at_random(self) -> float:
        """The floor."""
        rng = np.random.default_rng([self.seed, ITEMS])
        return self._ndcg(rng.random((len(self.users), len(self.items)), dtype=np.float32))

    def _ndcg(self, scores: FloatArray) -> float:
        """Among equal scores a relevant item comes last."""
        wanted = self.relevant[self.users]
        top_items = np.lexsort((wanted, -scores))[:, :K]
        hits = np.take_along_axis(wanted, top_items, axis=1)
        return float(ndcg(Outcome(top_items, hits, wanted.sum(axis=1), len(self.items))).mean())


def _draw(rows: IntArray, share: float, seed: list[int]) -> IntArray:
    n = max(1, round(share * len(rows)))
    return np.sort(np.random.default_rng(seed).permutation(rows)[:n])


def _worth(pairs: Pairs) -> tuple[FloatArray | None, IntArray | None, int]:
    return pairs.weights, pairs.timestamps, len(pairs)
