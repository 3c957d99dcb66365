"""What every recommender is, baselines included: it fits a log, and it scores a student.

A student is what they did. Evaluation and production ask the same `scores`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from apps.recommender.ml.checkpoints import NONE, Checkpoints
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray
from apps.recommender.ml.metadata import Traits

OnEpoch = Callable[[dict[str, Any]], object]
OnStep = Callable[[int, int], object]

NO_ITEMS: IntArray = np.empty(0, np.int64)
NO_WEIGHTS: FloatArray = np.empty(0, np.float32)
NO_TRAITS: Traits = {}


class Scorer(Protocol):
    """Something that knows how much a student would like each item."""

    def scores(
        self,
        history_items: IntArray,
        history_weights: FloatArray,
        user_idx: int | None,
        traits: Traits = NO_TRAITS,
    ) -> FloatArray:
        """The scores of all items, float32[n_items], the higher the better.

        history_items int64[H]: the student's positives, each once. history_weights float32[H]:
        their confidence, 1 on average (`Dataset.confidence`). H may be 0. user_idx: their row, None
        for one who came after `fit`. traits: what is known of them today. The arguments are left as
        they are, the answer is the caller's own.
        Raises UnknownUser for None where a history is not enough (`Model.by_history`).
        """


class Model(ABC):
    """A recommender of the registry; it learns in `fit` and nowhere else."""

    name: str  # in the registry
    by_history: ClassVar[bool] = True  # a student without a row can be scored
    logits: ClassVar[bool] = False  # the sigmoid of a score is a probability
    trials: ClassVar[int] = 1  # settings that `fit` compares on validation
    best_epoch = 0  # of those that `fit` ran, for a model that has epochs

    @abstractmethod
    def fit(
        self,
        data: Dataset,
        rng: np.random.Generator,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        """Learn from the training part; choose the settings on validation, never on test.

        Where the validation part is empty, what an earlier `fit` chose, or else the default, is
        taken: a model that was judged on a split learns again from everything by a second `fit`.
        A model that has epochs tells each to `on_epoch(entry)`, each batch to `on_step(done,
        total)`; what they raise ends the training.
        """

    @abstractmethod
    def scores(
        self,
        history_items: IntArray,
        history_weights: FloatArray,
        user_idx: int | None,
        traits: Traits = NO_TRAITS,
    ) -> FloatArray:
        """As `Scorer.scores`."""


class Servable(Model):
    """A model that can be saved and serve; a baseline is fitted anew in seconds, and is not one."""

    @abstractmethod
    def fit(
        self,
        data: Dataset,
        rng: np.random.Generator,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
        checkpoints: Checkpoints = NONE,
    ) -> None:
        """As `Model.fit`; stopped and begun again with its `checkpoints`, it learns the same."""

    @abstractmethod
    def tensors(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """All it learnt: arrays float32 or int64 by name, and values that JSON takes."""

    @classmethod
    @abstractmethod
    def restored(cls, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> Self:
        """What `tensors` gave, scoring as it did; raises KeyError, TypeError, ValueError…"""

    @abstractmethod
    def profiles(self) -> FloatArray:
        """Of each item, float32[n_items, …] of length 1: a dot product is the correlation, over
        students, of the scores of two items, each student's mean taken away.
        """

    @property
    @abstractmethod
    def n_items(self) -> int:
        """N."""
