"""The default model: a NeuMF in two stages, as the paper's, its MLP half fed with what is known.

First stage: item factors by iALS, item-item weights, counts; every signal of `signals`, in closed
form. Its ranking is the sum of the two linear models. Second stage: `fusion` re-ranks its best
candidates. What the second stage learns from is *out of fold*: of each of FOLDS parts of the log,
the signals are learnt from the others, as they will be of a student's future.

Legend: B students, N items, C candidates, D dimensions, F columns of the signals, K folds.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.sparse import csr_matrix

from apps.recommender.ml import (
    distributed,
    first_stage,
    fusion,
    pulse,
    shortlists,
    signals,
    trainer,
)
from apps.recommender.ml.architectures import HYBRID
from apps.recommender.ml.checkpoints import NONE, Checkpoints
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import BoolArray, Dataset, FloatArray, IntArray
from apps.recommender.ml.first_stage import RANKED, FirstStage
from apps.recommender.ml.fusion import Fusion, Lists
from apps.recommender.ml.metadata import Traits
from apps.recommender.ml.model import NO_TRAITS, OnEpoch, OnStep, Servable
from apps.recommender.ml.shortlists import MAX_STUDENTS, Shortlists
from apps.recommender.ml.signals import Settings, Students


class Hybrid(Servable):
    """A `FirstStage` whose best candidates a `Fusion` ranks again.

    A second `fit`, without validation, learns the first stage again and keeps the second: how much
    each signal can be trusted does not change with a few more weeks.
    """

    name = HYBRID
    logits = True
    trials: ClassVar[int] = sum(map(len, (first_stage.IALS_GRID, first_stage.EASE_GRID)))
    stage: FirstStage
    network: Fusion

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.settings = Settings(dim=config.embedding_dim, seed=config.seed)
        self.history: list[dict[str, Any]] = []  # an entry per epoch
        self.best_epoch = 0
        self._trained = False

    def fit(
        self,
        data: Dataset,
        rng: np.random.Generator,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
        checkpoints: Checkpoints = NONE,
    ) -> None:
        """Choose the penalties, learn both stages, stop at the best epoch on validation.

        From `checkpoints`, the first stage is learnt again, to the same numbers, and the second
        goes on. Raises DeviceUnavailable and TrainingDiverged.
        """
        trainer.require_device(self.config.device)
        if self._trained and not len(data.validation):
            self._learn_again(data)
            return
        validate: _Validation | None = None

        def first() -> tuple[Shortlists, np.random.Generator]:
            nonlocal validate
            if len(data.validation):
                measured = _sampled(data, rng)
                self.settings = first_stage.tuned(measured, self.settings)
            self.stage = FirstStage(signals.fit_all(data, self.settings))
            if len(data.validation):
                validate = _Validation(self.stage, measured, self.config)
            return shortlists.out_of_fold(data, self.stage, self.settings, rng), rng

        # The other processes do without the first stage: they take part in the second.
        lists, drawn = distributed.by_leader(first)
        found = fusion.train(
            lists,
            self.config,
            rng=drawn,
            validate=validate,
            on_epoch=on_epoch,
            on_step=on_step,
            checkpoints=checkpoints,
        )
        self.network = found.network
        self.history, self.best_epoch = found.history, found.best_epoch
        self._trained = True

    def _learn_again(self, data: Dataset) -> None:
        """The first stage, which is the leader's alone."""
        if distributed.is_leader():
            stage = FirstStage(signals.fit_all(data, self.settings))
            self.stage = stage.aligned(self.stage.factors.q)

    def scores(
        self,
        history_items: IntArray,
        history_weights: FloatArray,
        user_idx: int | None,
        traits: Traits = NO_TRAITS,
    ) -> FloatArray:
        """Logits, float32[n_items]; an épreuve of the history never votes for itself."""
        rows = history_weights, history_items, [0, len(history_items)]
        history = csr_matrix(rows, shape=(1, self.n_items), dtype=np.float32)
        scores: FloatArray = self.scores_of(Students(history, (traits,), seen_too=True))[0]
        return scores

    def scores_of(self, students: Students) -> FloatArray:
        """The same for several at once, [B, N]."""
        students = replace(students, histories=students.histories.sorted_indices())
        table = self.stage.table(students)
        chosen = _candidates(table.base, students.histories)
        row, item = np.nonzero(chosen)
        p = table.p[row]
        if students.seen_too:
            self._leave_out(p, row, item, students)
        columns, base = table.at(row, item)
        logits = _logits(self.network, p * self.stage.factors.q[item], columns, base)
        return _merged(table.base, chosen, logits)

    def profiles(self) -> FloatArray:
        """Of the factors alone: they are the same for every student."""
        return self.stage.factors.profiles()

    def _leave_out(self, p: FloatArray, row: IntArray, item: IntArray, students: Students) -> None:
        """Of candidates that are in the history, the student as they would be without them."""
        factors, histories = self.stage.factors, students.histories
        taken = factors.taken(students)
        starts = np.searchsorted(row, np.arange(len(students) + 1))
        for student, (start, end) in enumerate(pairwise(starts)):
            seen = histories.indices[slice(*histories.indptr[student : student + 2])]
            _, own, there = np.intersect1d(item[start:end], seen, return_indices=True)
            if len(own):
                p[start + own] = factors.p_without_each(taken, student)[there]

    @property
    def n_items(self) -> int:
        """N."""
        return self.stage.factors.n_items

    def tensors(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `restored` needs: arrays, and values that JSON takes."""
        arrays, values = signals.tensors(self.stage.signals)
        state = self.network.state_dict().items()
        weights = {f"fusion.{name}": one.numpy() for name, one in state}
        other = {
            "signals": values,
            "settings": asdict(self.settings),
        }
        return arrays | weights, other

    @classmethod
    def restored(cls, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> Self:
        """A model that scores as the one that was saved; raises KeyError, TypeError, ValueError…"""
        settings = Settings(**values["settings"])
        model = cls(TrainingConfig(embedding_dim=settings.dim))
        model.settings = settings
        fitted = signals.restored(arrays, values["signals"])
        model.stage = FirstStage(fitted)
        model.network = Fusion(settings.dim, len(model.stage.columns)).eval()
        prefix = "fusion."
        model.network.load_state_dict(
            {
                name[len(prefix) :]: torch.tensor(one)
                for name, one in arrays.items()
                if name.startswith(prefix)
            }
        )
        model._trained = True
        return model


def _logits(
    network: Fusion, product: FloatArray, columns: FloatArray, base: FloatArray
) -> FloatArray:
    """[..., D], [..., F], [...] -> [...]."""
    device = network.centre.device
    with torch.inference_mode():
        inputs = (torch.from_numpy(one).to(device) for one in (product, columns, base))
        logits: FloatArray = network(*inputs).cpu().numpy()
    return logits


def _candidates(base: FloatArray, histories: csr_matrix) -> BoolArray:
    """The RANKED best unseen items of each row, and the seen ones among them, [B, N]."""
    unseen = base.copy()
    unseen[histories.nonzero()] = -np.inf
    width = min(RANKED, base.shape[1])
    worst = np.partition(unseen, -width, axis=1)[:, -width]
    chosen: BoolArray = base >= worst[:, None]
    return chosen


def _merged(base: FloatArray, chosen: BoolArray, logits: FloatArray) -> FloatArray:
    """The candidates by their logits; the others below, in the order of the first stage."""
    merged = np.full(base.shape, np.inf, np.float32)
    merged[chosen] = logits
    lowest = np.where(chosen, base, np.inf).min(axis=1) - merged.min(axis=1)
    return np.where(chosen, merged, base - lowest[:, None])


def _sampled(data: Dataset, rng: np.random.Generator) -> Dataset:
    """At most MAX_STUDENTS in the validation part."""
    users = np.unique(data.part("validation").user_idx)
    if len(users) <= MAX_STUDENTS:
        return data
    drawn = np.sort(rng.permutation(users)[:MAX_STUDENTS])
    return replace(data, validation=data.validation.of_users(drawn))


class _Validation:
    """The held-out students' lists, ranked again after each epoch."""

    AT_ONCE = 64  # lists

    def __init__(self, stage: FirstStage, data: Dataset, config: TrainingConfig) -> None:
        self._data = data
        self._lists, base = shortlists.of_validation(stage, data)
        batches = Lists(self._lists, torch.device(config.device))
        rng = np.random.default_rng(config.seed)
        rows = rng.permutation(len(batches))[: fusion.SAMPLE]
        self._batch = batches.batch(rows, config.negative_samples, rng)
        self._below = base - base.max() - 1e4  # the first stage's order, under any logit

    def __call__(self, network: Fusion) -> tuple[float, float]:
        """NDCG@10, and the loss with one set of negatives."""
        ndcg = first_stage.validation_ndcg(self._ranking(network), self._data)
        with torch.inference_mode():
            return ndcg, float(self._batch.loss(network))

    def _ranking(self, network: Fusion) -> FloatArray:
        lists = self._lists
        ranking: FloatArray = self._below.copy()
        for start in range(0, len(lists.fold), self.AT_ONCE):
            pulse.beat()
            part = slice(start, start + self.AT_ONCE)
            items = lists.items[part]
            product = lists.p[part, None] * lists.q[lists.fold[part, None], items]
            logits = _logits(network, product, lists.signals[part], lists.base[part])
            valid = np.arange(items.shape[1]) < lists.n_valid[part, None]
            rows = np.nonzero(valid)[0] + start
            ranking[rows, items[valid]] = logits[valid]
        return ranking
