"""What any model must beat. They cost seconds, so they are fitted anew and never saved."""

from abc import abstractmethod
from typing import ClassVar, Self

import numpy as np
from scipy.sparse import csr_matrix, vstack

from apps.recommender.ml import linear, pulse
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray
from apps.recommender.ml.evaluation import evaluate_model
from apps.recommender.ml.metadata import Traits
from apps.recommender.ml.model import NO_TRAITS, Model, OnEpoch, OnStep


class Random(Model):
    """Scores drawn per student: the floor of every metric."""

    def fit(
        self,
        data: Dataset,
        rng: np.random.Generator,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        """Draw a seed from `rng`."""
        self._n_items = data.n_items
        self._seed = int(rng.integers(2**63))

    def scores(
        self,
        history_items: IntArray,
        history_weights: FloatArray,
        user_idx: int | None,
        traits: Traits = NO_TRAITS,
    ) -> FloatArray:
        """Uniform in [0, 1), float32[n_items]; all who have no row get the same."""
        key = [self._seed] if user_idx is None else [self._seed, user_idx]
        return np.random.default_rng(key).random(self._n_items, dtype=np.float32)


class Popularity(Model):
    """The number of users who have the item among their training positives."""

    def fit(
        self,
        data: Dataset,
        rng: np.random.Generator,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        """Count the users of each item."""
        counts = np.bincount(data.train.item_idx, minlength=data.n_items)
        self._counts = counts.astype(np.float32)

    def scores(
        self,
        history_items: IntArray,
        history_weights: FloatArray,
        user_idx: int | None,
        traits: Traits = NO_TRAITS,
    ) -> FloatArray:
        """The counts, float32[n_items], whoever asks."""
        return self._counts.copy()


class Tuned(Model):
    """A model of one setting: that of `GRID` whose NDCG@10 on validation is the highest."""

    GRID: ClassVar[tuple[float, ...]]
    DEFAULT: ClassVar[float]

    def __init_subclass__(cls) -> None:
        cls.trials = len(cls.GRID)

    def __init__(self, setting: float | None = None) -> None:
        """`setting`, where it is given, is taken as it is."""
        self.setting = self.DEFAULT if setting is None else setting
        self._grid = self.GRID if setting is None else ()

    def fit(
        self,
        data: Dataset,
        rng: np.random.Generator,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        """Learn with each setting of `GRID`, and stay with the best."""
        if self._grid and len(data.validation):
            trials = [type(self)(setting)._learnt(data, rng) for setting in self._grid]
            best = max(trials, key=lambda trial: trial._ndcg(data))
            vars(self).update(vars(best), _grid=self._grid)  # what it learnt, not learnt again
        else:
            self._learn(data, rng)

    @abstractmethod
    def _learn(self, data: Dataset, rng: np.random.Generator) -> None:
        """Learn from the training part, with `self.setting`."""

    def _learnt(self, data: Dataset, rng: np.random.Generator) -> Self:
        self._learn(data, rng)
        return self

    def _ndcg(self, data: Dataset) -> float:
        return evaluate_model(self, data, part="validation").metrics["ndcg_at_10"]


class ItemKnn(Tuned):
    """Item neighbourhoods (Sarwar et al. 2001): s_i = Σ_{j in history} w_j·cos(i, j).

    The sum is over the `setting` items nearest to i. cos(i, j) = n_ij / (√(n_i·n_j) + SHRINK), n_i
    the users of i and n_ij those of both.
    """

    GRID = (50, 200, 800)
    DEFAULT = 200
    SHRINK = 10
    BLOCK = 512  # items whose cosines are in memory at once

    def _learn(self, data: Dataset, rng: np.random.Generator) -> None:
        by_item = data.train_matrix.T.tocsr()
        norms = np.sqrt(by_item.multiply(by_item).sum(axis=1).A1)
        blocks = range(0, data.n_items, self.BLOCK)
        near = vstack([self._neighbours(by_item, norms, start) for start in blocks])
        self._likeness = near.T.tocsr()  # [n_items, n_items]: row of the neighbour, column of i

    def _neighbours(self, by_item: csr_matrix, norms: FloatArray, start: int) -> csr_matrix:
        """The items from `start` on, a block of them, each with its nearest: [block, n_items]."""
        pulse.beat()
        common = (by_item[start : start + self.BLOCK] @ by_item.T).tocsr()
        rows = np.repeat(np.arange(common.shape[0]), np.diff(common.indptr))
        products = norms[start + rows] * norms[common.indices]
        cosines = common.data / (products + self.SHRINK)
        cosines[start + rows == common.indices] = 0
        order = np.lexsort((common.indices, -cosines, rows))
        near = order[np.arange(len(rows)) - common.indptr[rows] < self.setting]
        kept = (cosines[near], (rows[near], common.indices[near]))
        return csr_matrix(kept, shape=common.shape, dtype=np.float32)

    def scores(
        self,
        history_items: IntArray,
        history_weights: FloatArray,
        user_idx: int | None,
        traits: Traits = NO_TRAITS,
    ) -> FloatArray:
        """float32[n_items]; 0 for an item whose neighbours are not in the history."""
        total: FloatArray = self._likeness[history_items].T @ history_weights
        return total


class Ease(Tuned):
    """Embarrassingly shallow autoencoder, `linear.ease`, λ the `setting`.

    Beyond `MAX_ITEMS` the inverse would take minutes and gigabytes: only the most popular take
    part, the others score 0.
    """

    GRID = (1, 10, 100, 300, 1000)
    DEFAULT = 300
    MAX_ITEMS = 3000

    def _learn(self, data: Dataset, rng: np.random.Generator) -> None:
        popularity = np.bincount(data.train.item_idx, minlength=data.n_items)
        self._kept = np.sort(np.argsort(-popularity, kind="stable")[: self.MAX_ITEMS])
        self._position = np.full(data.n_items, -1)
        self._position[self._kept] = np.arange(len(self._kept))
        self._weights, _ = linear.ease(data.train_matrix[:, self._kept], self.setting)

    def scores(
        self,
        history_items: IntArray,
        history_weights: FloatArray,
        user_idx: int | None,
        traits: Traits = NO_TRAITS,
    ) -> FloatArray:
        """x·B, float32[n_items]."""
        position = self._position[history_items]
        took_part = position >= 0
        total = np.zeros(len(self._position), dtype=np.float32)
        total[self._kept] = history_weights[took_part] @ self._weights[position[took_part]]
        return total


class Ials(Tuned):
    """Implicit alternating least squares, `linear.alternate`, λ the `setting`.

    The item factors h are what is learnt; a student's w is solved from their history.
    """

    GRID = (0.1, 0.2, 0.4)
    DEFAULT = 0.4
    DIM = 64

    def _learn(self, data: Dataset, rng: np.random.Generator) -> None:
        self._items = linear.alternate(data.train_matrix, self.DIM, self.setting, rng)
        self._gram = self._items.T @ self._items

    def scores(
        self,
        history_items: IntArray,
        history_weights: FloatArray,
        user_idx: int | None,
        traits: Traits = NO_TRAITS,
    ) -> FloatArray:
        """The history folded in, w·h_i for every item, float32[n_items]; 0 without a history."""
        rows = (history_weights, history_items, [0, len(history_items)])
        history = csr_matrix(rows, shape=(1, len(self._items)))
        student = linear.fold_in(history, self._items, self._gram, self.setting)[0]
        total: FloatArray = self._items @ student
        return total


BASELINES: dict[str, type[Model]] = {
    "aleatoire": Random,
    "popularite": Popularity,
    "knn": ItemKnn,
    "ease": Ease,
    "ials": Ials,
}
