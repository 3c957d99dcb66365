"""NCF behind the interface of any model."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from apps.recommender.ml import trainer
from apps.recommender.ml.checkpoints import NONE, Checkpoints
from apps.recommender.ml.config import ModelConfig, TrainingConfig
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray
from apps.recommender.ml.metadata import Traits
from apps.recommender.ml.model import NO_TRAITS, OnEpoch, OnStep, Servable
from apps.recommender.ml.ncf_model import NCF, NCFScorer

MAX_PROFILE_CELLS = 2**22  # 16 MB and about a second of loading
MAX_PROFILE_USERS = 2000


class Ncf(Servable):
    """A network of `ncf_model`, trained by `trainer`; `artifact` saves its `network`.

    `config.seed` draws the first weights, the `rng` of `fit` the order and the negatives.
    """

    by_history = False
    logits = True
    network: NCF

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.history: list[dict[str, Any]] = []  # an entry per epoch
        self.best_epoch = 0
        self._plan = trainer.whole_plan(config)

    def fit(
        self,
        data: Dataset,
        rng: np.random.Generator,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
        checkpoints: Checkpoints = NONE,
    ) -> None:
        """Stop at the best epoch on validation; without validation, replay the epochs up to it.

        Never fitted and without validation, it runs all of `config.epochs`. Raises
        DeviceUnavailable and TrainingDiverged.
        """
        if len(data.validation):
            found = trainer.fit(
                data,
                self.config,
                rng=rng,
                on_epoch=on_epoch,
                on_step=on_step,
                checkpoints=checkpoints,
            )
            self.network, self.history = found.model, found.history
            self.best_epoch, self._plan = found.best_epoch, found.plan
        else:
            self.network = trainer.refit(
                data, self.config, self._plan, rng=rng, on_step=on_step, checkpoints=checkpoints
            )
        self._scorer = NCFScorer(self.network)

    def scores(
        self,
        history_items: IntArray,
        history_weights: FloatArray,
        user_idx: int | None,
        traits: Traits = NO_TRAITS,
    ) -> FloatArray:
        """Logits, float32[n_items], whatever the history; raises UnknownUser without a row."""
        return self._scorer.scores(history_items, history_weights, user_idx)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The architecture."""
        return self.network.config.architecture

    @property
    def n_items(self) -> int:
        """N."""
        return self.network.config.n_items

    def profiles(self) -> FloatArray:
        """Logits over at most MAX_PROFILE_USERS users, a sample where there are more."""
        n_users = self.network.config.n_users
        wanted = min(n_users, MAX_PROFILE_USERS, max(2, MAX_PROFILE_CELLS // self.n_items))
        users = torch.linspace(0, n_users - 1, min(wanted, n_users)).long()
        with torch.inference_mode():
            logits = self.network.score_all(users)
            logits -= logits.mean(dim=1, keepdim=True)
            logits -= logits.mean(dim=0)
            profiles: FloatArray = nn.functional.normalize(logits.T, dim=1).contiguous().numpy()
        return profiles

    def tensors(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The network's weights and sizes."""
        weights = self.network.state_dict().items()
        return {name: one.cpu().numpy() for name, one in weights}, asdict(self.network.config)

    @classmethod
    def restored(cls, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> Self:
        """A model that scores as the one that was saved; raises RuntimeError for other shapes."""
        sizes = ModelConfig(**values)
        model = cls(TrainingConfig(sizes.architecture, embedding_dim=sizes.embedding_dim))
        network = NCF(sizes)
        # strict: names and shapes must agree
        network.load_state_dict({name: torch.tensor(one) for name, one in arrays.items()})
        model.network = network.eval()
        model._scorer = NCFScorer(model.network)
        return model
