"""A trained model at work: scores for a student, the reasons for them, neighbours of an épreuve."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy.sparse import csr_matrix

from apps.recommender.ml import artifact
from apps.recommender.ml.artifact import Artifact
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray
from apps.recommender.ml.hybrid import Hybrid
from apps.recommender.ml.metadata import Traits
from apps.recommender.ml.metrics import Values
from apps.recommender.ml.model import NO_ITEMS, NO_TRAITS, NO_WEIGHTS, Servable
from apps.recommender.ml.placement import Placement
from apps.recommender.ml.signals import Students
from apps.recommender.ml.variety import varied

AT_ONCE = 2**20  # students × items


@dataclass(frozen=True)
class Past:
    """What a student did and who they are: item_ids int64[H] with their worth and dates, traits."""

    item_ids: IntArray
    weights: FloatArray
    timestamps: IntArray
    traits: Traits

    def __len__(self) -> int:
        return len(self.item_ids)

    def without(self, item_id: int) -> "Past":
        """The same had they never taken that one."""
        kept = self.item_ids != item_id
        return Past(self.item_ids[kept], self.weights[kept], self.timestamps[kept], self.traits)


@dataclass(frozen=True)
class Newcomers:
    """Items [M] that the model never met, and their likeness to those it knows, [M, n]."""

    item_ids: IntArray
    likeness: FloatArray


NOBODY_NEW = Newcomers(np.empty(0, np.int64), np.empty((0, 0), np.float32))


class Predictor:
    """Answers for one loaded model; nothing changes after loading, so threads may share it.

    Two items are alike when the model gives them to the same people: `similar_items` is the
    correlation over students of their scores, each student's mean taken away.
    """

    def __init__(self, loaded: Artifact) -> None:
        self.version: str = loaded.manifest["version"]
        self.n_users: int = loaded.manifest["n_users"]
        self._model = loaded.model
        self._confidence = loaded.confidence
        self._placement: Placement | None = loaded.placement
        self._item_ids = loaded.item_ids
        known = np.flatnonzero(loaded.user_ids != artifact.ERASED)
        self._user_idx = {int(loaded.user_ids[idx]): int(idx) for idx in known}
        self._item_idx = {int(item_id): idx for idx, item_id in enumerate(loaded.item_ids)}
        self._profiles = self._model.profiles()

    @classmethod
    def load(cls, path: Path, *, sha256: str | None = None) -> Self:
        """The model in folder `path`, verified; raises CorruptArtifact."""
        return cls(artifact.load(path, sha256=sha256))

    @classmethod
    def unsaved(cls, model: Servable, data: Dataset) -> Self:
        """A model just fitted on the training part of `data`; it knows the students met there."""
        met = np.bincount(data.train.user_idx, minlength=data.n_users) > 0
        user_ids = np.where(met, data.user_ids, artifact.ERASED)
        manifest = {"version": "", "n_users": data.n_users}
        return cls(Artifact(model, user_ids, data.item_ids, data.confidence, None, manifest))

    @property
    def n_items(self) -> int:
        return self._model.n_items

    def knows_user(self, user_id: int) -> bool:
        """They were there when it was trained."""
        return user_id in self._user_idx

    def knows_item(self, item_id: int) -> bool:
        return item_id in self._item_idx

    def can_score(self, user_id: int, past: Past) -> bool:
        """By a row of their own, or by something of their past that the model knows."""
        if self._model.by_history:
            return any(item_id in self._item_idx for item_id in past.item_ids.tolist())
        return self.knows_user(user_id)

    def newcomers(self, item_ids: list[int], texts: list[str], traits: list[Traits]) -> Newcomers:
        """Those items that it never met, ready to be scored; none where it cannot place any."""
        new = [row for row, item_id in enumerate(item_ids) if item_id not in self._item_idx]
        if self._placement is None or not new:
            return NOBODY_NEW
        likeness = self._placement.likeness([texts[i] for i in new], [traits[i] for i in new])
        return Newcomers(np.array([item_ids[i] for i in new], np.int64), likeness)

    def user_scores(
        self, user_id: int, past: Past, newcomers: Newcomers = NOBODY_NEW
    ) -> tuple[IntArray, FloatArray]:
        """item_ids [n_items + M], known items in row order then newcomers, and their probabilities.

        Raises KeyError for a user whom `can_score` denies.
        """
        items, weights = self._history(past)
        user_idx = None if self._model.by_history else self._user_idx[user_id]
        logits = self._model.scores(items, weights, user_idx, past.traits)
        item_ids = np.concatenate([self._item_ids, newcomers.item_ids])
        return item_ids, _sigmoid(self._with_newcomers(logits, newcomers))

    def contributions(
        self, past: Past, newcomers: Newcomers = NOBODY_NEW
    ) -> tuple[IntArray, FloatArray]:
        """item_ids [n_items + M], and what each thing of the past adds to the score of each.

        float32[H, n_items + M], H as in `past`.

        The probability with all of the past minus the one without that item: `user_scores`, with
        `past.without` it. Of what the model never met, 0. Raises TypeError where not `explains`.
        """
        if not isinstance(self._model, Hybrid):
            raise TypeError(f"Un modèle {self._model.name} ne dit pas de quoi il part.")
        items, weights = self._history(past)
        n = len(items)
        everything = np.tile(items, n + 1).reshape(n + 1, n)
        kept = ~np.eye(n + 1, n, dtype=bool)  # the last row keeps all
        lengths = kept.sum(axis=1)
        cells = np.tile(weights, n + 1).reshape(n + 1, n)[kept], everything[kept]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        histories = csr_matrix((*cells, starts), shape=(n + 1, self.n_items), dtype=np.float32)
        probabilities = []
        size = max(1, AT_ONCE // self.n_items)
        for start in range(0, n + 1, size):
            part = histories[start : start + size]
            students = Students(part, (past.traits,) * part.shape[0], seen_too=True)
            for logits in self._model.scores_of(students):
                probabilities.append(_sigmoid(self._with_newcomers(logits, newcomers)))
        known = np.isin(past.item_ids, self._item_ids)
        result = np.zeros((len(past), len(probabilities[-1])), np.float32)
        if n:
            result[known] = probabilities[-1] - np.stack(probabilities[:-1])
        return np.concatenate([self._item_ids, newcomers.item_ids]), result

    @property
    def explains(self) -> bool:
        """It can tell what each thing of a past adds."""
        return isinstance(self._model, Hybrid)

    def similar_items(
        self, item_id: int, newcomers: Newcomers = NOBODY_NEW
    ) -> tuple[IntArray, FloatArray]:
        """All other item_ids [n_items - 1 + M], in row order, and their likeness, in [0, 1].

        Raises KeyError for an item without a row.
        """
        idx = self._item_idx[item_id]
        likeness = np.clip(self._profiles_with(newcomers) @ self._profiles[idx], 0, 1)
        everything = np.concatenate([self._item_ids, newcomers.item_ids])
        return np.delete(everything, idx), np.delete(likeness, idx)

    def varied(
        self,
        item_ids: list[int],
        probabilities: list[float],
        variety: float,
        k: int,
        newcomers: Newcomers = NOBODY_NEW,
    ) -> list[int]:
        """Which k of these items, given best first, to show for that `variety`; best first.

        Raises KeyError for an item that is neither known nor a newcomer.
        """
        new = newcomers.item_ids.tolist()
        rows = self._item_idx | {item: self.n_items + place for place, item in enumerate(new)}
        of_items = self._profiles_with(newcomers)[[rows[item_id] for item_id in item_ids]]
        places = varied(_logit(np.array(probabilities)), of_items, variety, k)
        return [item_ids[place] for place in places.tolist()]

    def _profiles_with(self, newcomers: Newcomers) -> FloatArray:
        """[n_items + M, …]: those of the model, then those placed among them."""
        if self._placement is None or not len(newcomers.item_ids):
            return self._profiles
        new = self._placement.profiles(self._profiles, newcomers.likeness)
        return np.vstack([self._profiles, new])

    def warm_up(self) -> None:
        """Pay torch's first-call costs now rather than in the first request."""
        user_idx = None if self._model.by_history else 0
        self._model.scores(NO_ITEMS, NO_WEIGHTS, user_idx, NO_TRAITS)

    def _history(self, past: Past) -> tuple[IntArray, FloatArray]:
        """Rows and confidences of what the model knows of a past, in the order of the past."""
        weights = self._confidence.of(past.weights, past.timestamps, len(past))
        rows = [self._item_idx.get(item_id, -1) for item_id in past.item_ids.tolist()]
        items = np.array(rows, np.int64)
        return items[items >= 0], weights[items >= 0]

    def _with_newcomers(self, logits: FloatArray, newcomers: Newcomers) -> FloatArray:
        if self._placement is None or not len(newcomers.item_ids):
            return logits
        return np.concatenate([logits, self._placement.scores(logits, newcomers.likeness)])


def _sigmoid(logits: FloatArray) -> FloatArray:
    probabilities: FloatArray = (0.5 * (1 + np.tanh(logits / 2))).astype(np.float32)
    return probabilities


def _logit(probabilities: Values) -> FloatArray:
    """In logits: next to 1, probabilities hardly differ."""
    inside = np.clip(probabilities, 1e-12, 1 - 1e-7)
    logits: FloatArray = np.log(inside / (1 - inside)).astype(np.float32)
    return logits
