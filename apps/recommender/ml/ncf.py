"""NCF behind the interface of any model."""

from typing import Any

import numpy as np

from apps.recommender.ml import trainer
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray
from apps.recommender.ml.metadata import Traits
from apps.recommender.ml.model import NO_TRAITS, Model, OnEpoch, OnStep
from apps.recommender.ml.ncf_model import NCF, NCFScorer


class Ncf(Model):
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
    ) -> None:
        """Stop at the best epoch on validation; without validation, replay the epochs up to it.

        Never fitted and without validation, it runs all of `config.epochs`. Raises
        DeviceUnavailable and TrainingDiverged.
        """
        if len(data.validation):
            found = trainer.fit(data, self.config, rng=rng, on_epoch=on_epoch, on_step=on_step)
            self.network, self.history = found.model, found.history
            self.best_epoch, self._plan = found.best_epoch, found.plan
        else:
            self.network = trainer.refit(data, self.config, self._plan, rng=rng, on_step=on_step)
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
