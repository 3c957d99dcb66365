"""What any model must beat. Each is built from the training part and scores like a model."""

from collections.abc import Callable

import numpy as np

from apps.recommender.ml.config import SEED
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray
from apps.recommender.ml.evaluation import Scores, evaluate


class Random:
    """Scores drawn per user from (seed, user): the floor of every metric."""

    def __init__(self, dataset: Dataset, *, seed: int = SEED) -> None:
        self._n_items = dataset.n_items
        self._seed = seed

    def __call__(self, user_idx: IntArray) -> FloatArray:
        """user_idx [B] -> scores [B, n_items]."""
        rows = [np.random.default_rng([self._seed, int(user)]) for user in user_idx]
        return np.stack([rng.random(self._n_items, dtype=np.float32) for rng in rows])


class Popularity:
    """The number of users who have the item among their training positives."""

    def __init__(self, dataset: Dataset, *, seed: int = SEED) -> None:
        self._counts = np.bincount(dataset.train.item_idx, minlength=dataset.n_items)

    def __call__(self, user_idx: IntArray) -> FloatArray:
        """user_idx [B] -> scores [B, n_items]."""
        return np.tile(self._counts.astype(np.float32), (len(user_idx), 1))


class Ease:
    """Embarrassingly shallow autoencoder, closed form (Steck 2019, eq. 8): X·B.

    B = I - P / diag(P), P = (XᵀX + λI)⁻¹. λ is the best of `GRID` in NDCG@10 on validation. Beyond
    `MAX_ITEMS` the inverse would take minutes and gigabytes: only the most popular take part, the
    others score 0.
    """

    GRID = (1.0, 10.0, 100.0, 300.0, 1000.0)
    MAX_ITEMS = 3000

    def __init__(self, dataset: Dataset, *, seed: int = SEED, penalty: float | None = None) -> None:
        self._n_items = dataset.n_items
        popularity = np.bincount(dataset.train.item_idx, minlength=dataset.n_items)
        self._kept = np.sort(np.argsort(-popularity, kind="stable")[: self.MAX_ITEMS])
        self._history = dataset.train_matrix[:, self._kept]
        self._gram = (self._history.T @ self._history).toarray().astype(np.float64)
        self.penalty = penalty or self._best_penalty(dataset)
        self._weights = self._solve(self.penalty)

    def __call__(self, user_idx: IntArray) -> FloatArray:
        """user_idx [B] -> scores [B, n_items]."""
        scores = np.zeros((len(user_idx), self._n_items), dtype=np.float32)
        scores[:, self._kept] = self._history[user_idx] @ self._weights
        return scores

    def _solve(self, penalty: float) -> FloatArray:
        inverse = np.linalg.inv(self._gram + penalty * np.eye(len(self._gram)))
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0)
        return np.asarray(weights, dtype=np.float32)

    def _best_penalty(self, dataset: Dataset) -> float:
        def validation_ndcg(penalty: float) -> float:
            candidate = Ease(dataset, penalty=penalty)
            return evaluate(candidate, dataset, part="validation").metrics["ndcg_at_10"]

        return max(self.GRID, key=validation_ndcg)


BASELINES: dict[str, Callable[..., Scores]] = {
    "aleatoire": Random,
    "popularite": Popularity,
    "ease": Ease,
}
