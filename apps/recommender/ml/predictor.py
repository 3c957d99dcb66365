"""A trained model at work: scores for a student, neighbours of an épreuve."""

from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from apps.recommender.ml import artifact
from apps.recommender.ml.artifact import Artifact
from apps.recommender.ml.data_loader import FloatArray, IntArray
from apps.recommender.ml.model import NO_ITEMS, NO_WEIGHTS
from apps.recommender.ml.ncf_model import NCFScorer

MAX_PROFILE_CELLS = 2**22  # 16 MB and about a second of loading
MAX_PROFILE_USERS = 2000


class Predictor:
    """Answers for one loaded model; nothing changes after loading, so threads may share it.

    Two items are alike when the model gives them to the same people: `similar_items` is the
    correlation over users of their logits, each user's mean taken away. It means the same for
    every architecture, where the embeddings of NeuMF's two branches each tell half of the story.
    """

    def __init__(self, loaded: Artifact) -> None:
        self.version: str = loaded.manifest["version"]
        self._model = loaded.model
        self._item_ids = loaded.item_ids
        self._item_ids.flags.writeable = False  # handed out as it is
        known = np.flatnonzero(loaded.user_ids != artifact.ERASED)
        self._user_idx = {int(loaded.user_ids[idx]): int(idx) for idx in known}
        self._item_idx = {int(item_id): idx for idx, item_id in enumerate(loaded.item_ids)}
        self._scorer = NCFScorer(self._model)
        with torch.inference_mode():
            self._profiles = self._item_profiles()

    @classmethod
    def load(cls, path: Path, *, sha256: str | None = None) -> Self:
        """The model in folder `path`, verified; raises CorruptArtifact."""
        return cls(artifact.load(path, sha256=sha256))

    @property
    def n_users(self) -> int:
        """Rows of users, the erased ones included."""
        return self._model.config.n_users

    @property
    def n_items(self) -> int:
        return self._model.config.n_items

    def knows_user(self, user_id: int) -> bool:
        return user_id in self._user_idx

    def knows_item(self, item_id: int) -> bool:
        return item_id in self._item_idx

    def user_scores(self, user_id: int) -> tuple[IntArray, FloatArray]:
        """item_ids [n_items] in row order and their probabilities [n_items], in [0, 1].

        Raises KeyError for a user without a row.
        """
        logits = self._scorer.scores(NO_ITEMS, NO_WEIGHTS, self._user_idx[user_id])
        return self._item_ids, torch.sigmoid(torch.from_numpy(logits)).numpy()

    def similar_items(self, item_id: int) -> tuple[IntArray, FloatArray]:
        """All other item_ids [n_items - 1] in row order and their likeness, in [0, 1].

        Raises KeyError for an item without a row.
        """
        idx = self._item_idx[item_id]
        with torch.inference_mode():
            likeness = (self._profiles @ self._profiles[idx]).clamp(0, 1).numpy()
        return np.delete(self._item_ids, idx), np.delete(likeness, idx)

    def warm_up(self) -> None:
        """Pay torch's first-call costs now rather than in the first request."""
        self._scorer.scores(NO_ITEMS, NO_WEIGHTS, 0)

    def _item_profiles(self) -> Tensor:
        """Each item's logits over users, centred both ways, of length 1: [n_items, users]."""
        wanted = min(self.n_users, MAX_PROFILE_USERS, max(2, MAX_PROFILE_CELLS // self.n_items))
        users = torch.linspace(0, self.n_users - 1, min(wanted, self.n_users)).long()
        logits = self._model.score_all(users)
        logits -= logits.mean(dim=1, keepdim=True)
        logits -= logits.mean(dim=0)
        return torch.nn.functional.normalize(logits.T, dim=1).contiguous()
