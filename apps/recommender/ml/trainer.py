"""Trains a model, talking to whoever watches through callbacks."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from apps.recommender.ml import checkpoints as points
from apps.recommender.ml import distributed
from apps.recommender.ml.architectures import ARCHITECTURES
from apps.recommender.ml.checkpoints import Checkpoints, Point
from apps.recommender.ml.config import ModelConfig, TrainingConfig
from apps.recommender.ml.data_loader import Dataset, NegativeSampler, Pairs
from apps.recommender.ml.errors import DeviceUnavailable, TrainingDiverged
from apps.recommender.ml.evaluation import evaluate, student_scores
from apps.recommender.ml.model import OnEpoch, OnStep
from apps.recommender.ml.ncf_model import NCF, NCFScorer

# Chosen on validation; docs/recommandation.md has the figures.
WEIGHT_DECAY = 0.15  # for batches of 256
# Batches without a better NDCG@10 before stopping, and never fewer epochs than MIN_PATIENCE: an
# epoch of a small log is a few batches, in which nothing can be learnt yet.
PATIENCE = 1000
MIN_PATIENCE = 5
# The learning rate is halved after this share of the patience.
PLATEAU = 0.3
# Of the learning rate, what is left to parts that are trained already and are only fused.
FUSED_RATE = 0.1

Rows = tuple[Tensor, Tensor, Tensor]  # user_idx, item_idx, label


Plan = list[dict[str, Any]]  # an epoch each: its `phase` and its `learning_rate`


@dataclass(frozen=True)
class FitResult:
    """The model at its best epoch, and a JSON-ready entry per epoch run.

    Epochs are counted from 1 through all phases; `best_epoch` is one of the last phase. plan: the
    entries up to the best of each phase, which `refit` replays.
    """

    model: NCF
    history: list[dict[str, Any]]
    best_epoch: int
    plan: Plan


def require_device(name: str) -> torch.device:
    """The device; raises DeviceUnavailable where there is none of that name."""
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable(
            "Aucune carte CUDA utilisable sur cette machine : choisissez l'appareil cpu."
        )
    return torch.device(name)


def fit(
    dataset: Dataset,
    config: TrainingConfig,
    *,
    rng: np.random.Generator | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    checkpoints: Checkpoints = points.NONE,
) -> FitResult:
    """Train on the training part until NDCG@10 on validation stops rising; keep the best epoch.

    With `config.pretraining`, an architecture of several parts trains each alone first, then
    their fusion (He et al. 2017, 3.4.1); a phase that stops early leaves its epochs to the next.
    `on_epoch(entry)` comes after each epoch, `on_step(done, total)` after each batch; what they
    raise ends the training. `rng` draws the order and the negatives, a new one of `config.seed`
    where none is given. Same seeds, same weights on CPU, and so from `checkpoints`: each phase has
    its own. Raises DeviceUnavailable and TrainingDiverged.
    """
    run = _Run(dataset, config, rng, config.epochs, on_step)
    judge = _Judge(dataset, _held_out_rows(dataset, config.seed, run.device), on_epoch)
    history: list[dict[str, Any]] = []
    plan: Plan = []
    best_epoch = 0
    for phase, most in _shares(phases(config), config.epochs, history):
        run.start(phase)
        n_before = len(history)
        best_epoch = _rise(run, judge, history, most, checkpoints.named(phase))
        plan += history[n_before:best_epoch]
    return FitResult(run.model, history, best_epoch, plan)


def refit(
    dataset: Dataset,
    config: TrainingConfig,
    plan: Plan,
    *,
    rng: np.random.Generator | None = None,
    on_step: OnStep | None = None,
    checkpoints: Checkpoints = points.NONE,
) -> NCF:
    """Train on `whole(…)` by the plan of a `fit`: its phases, their epochs and learning rates.

    This is the model that serves: it has seen the latest interactions. The metrics belong to the
    `fit` whose plan is given. Raises as `fit` does.
    """
    run = _Run(dataset, config, rng, len(plan), on_step)
    for phase, entries in groupby(plan, key=itemgetter("phase")):
        run.start(phase)
        kept = checkpoints.named(phase)
        point = distributed.by_leader(kept.load)
        done = run.restore(point)["epochs"] if point else 0
        for number, entry in enumerate(list(entries)[done:], start=done + 1):
            run.set_learning_rate(entry["learning_rate"])
            run.epoch()
            kept.save(partial(run.point, epochs=number))
    return run.model


def whole_plan(config: TrainingConfig) -> Plan:
    """All of `config.epochs` at the starting rates, for who has no validation to stop by."""
    plan: Plan = []
    for phase, most in _shares(phases(config), config.epochs, plan):
        plan += [{"phase": phase, "learning_rate": first_rate(config, phase)}] * most
    return plan


def phases(config: TrainingConfig) -> tuple[str, ...]:
    """The architectures trained in turn; too few epochs for all of them go to the last alone."""
    parts = ARCHITECTURES[config.architecture]
    if config.pretraining and 1 < len(parts) < config.epochs:
        return (*parts, config.architecture)
    return (config.architecture,)


def first_rate(config: TrainingConfig, phase: str) -> float:
    """The learning rate with which a phase begins."""
    fused = len(phases(config)) > 1 and phase == config.architecture
    return config.learning_rate * (FUSED_RATE if fused else 1)


def weight_decay(config: TrainingConfig) -> float:
    """AdamW's, which grows as √batch: so do its steps, as larger batches agree more often.

    No step takes away more than half of a weight, whatever the options.
    """
    return min(WEIGHT_DECAY * math.sqrt(config.batch_size / 256), 0.5 / config.learning_rate)


def _shares(names: tuple[str, ...], epochs: int, done: Plan) -> Iterator[tuple[str, int]]:
    """Each phase and the epochs it may take: an even share of what those before left."""
    for number, name in enumerate(names):
        yield name, (epochs - len(done)) // (len(names) - number)


@dataclass(frozen=True)
class _Judge:
    """Measures a model in training on the validation part, and tells."""

    dataset: Dataset
    held_out: Rows
    on_epoch: OnEpoch | None

    def epoch(self, run: "_Run", number: int) -> dict[str, Any]:
        started = time.perf_counter()
        learning_rate = run.learning_rate
        train_loss = run.epoch()
        ndcg, loss = distributed.by_leader(lambda: self._measure(run))
        entry = {
            "epoch": number,
            "phase": run.phase,
            "loss_entrainement": train_loss,
            "loss_validation": loss,
            "ndcg_validation": ndcg,
            "learning_rate": learning_rate,
            "secondes": round(time.perf_counter() - started, 3),
        }
        if self.on_epoch:
            self.on_epoch(entry)
        return entry

    def _measure(self, run: "_Run") -> tuple[float, float]:
        """NDCG@10 and the loss."""
        scores = student_scores(NCFScorer(run.model), self.dataset)
        evaluation = evaluate(scores, self.dataset, part="validation")
        return evaluation.metrics["ndcg_at_10"], run.loss_of(self.held_out)


def _rise(
    run: "_Run", judge: _Judge, history: list[dict[str, Any]], most: int, kept: Checkpoints
) -> int:
    """One phase, appended to `history`; its best epoch, whose weights are put back."""
    plateau = ReduceLROnPlateau(
        run.optimizer, mode="max", factor=0.5, patience=int(PLATEAU * run.patience)
    )
    first, best, best_weights = len(history) + 1, 0, {}
    if point := distributed.by_leader(kept.load):
        values = run.restore(point)
        run.set_learning_rate(values["learning_rate"])
        plateau.load_state_dict(values["plateau"])
        history += values["history"]
        best, best_weights = values["best"], point.under("best")
    while len(history) + 1 < first + most and len(history) - max(best, first - 1) < run.patience:
        entry = judge.epoch(run, len(history) + 1)
        history.append(entry)
        plateau.step(entry["ndcg_validation"])
        if not best or entry["ndcg_validation"] > history[best - 1]["ndcg_validation"]:
            best, best_weights = entry["epoch"], _copy_of(run.model)
        stands = {"best": best, "plateau": _finite_state(plateau), "history": history[first - 1 :]}
        kept.save(partial(run.point, best_weights, learning_rate=run.learning_rate, **stands))
    run.model.load_state_dict(best_weights)
    return best


def _finite_state(plateau: ReduceLROnPlateau) -> dict[str, Any]:
    """Without what its mode alone decides, which JSON has no word for: an infinite number."""
    return {name: value for name, value in plateau.state_dict().items() if name != "mode_worse"}


class _Run:
    """Models in training, phase after phase: the optimizer, the rows, the random numbers."""

    phase: str
    model: NCF
    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        dataset: Dataset,
        config: TrainingConfig,
        rng: np.random.Generator | None,
        epochs: int,
        on_step: OnStep | None,
    ) -> None:
        self.device = require_device(config.device)
        self._pairs, self._config, self._on_step = dataset.train, config, on_step
        self._sizes = ModelConfig(
            config.architecture, dataset.n_users, dataset.n_items, config.embedding_dim
        )
        self._sampler = NegativeSampler(dataset.train, dataset.n_users, dataset.n_items)
        # Each phase has its own: how long one lasts does not change what the next one draws.
        rng = rng or np.random.default_rng(config.seed)
        self._rngs = dict(zip(phases(config), rng.spawn(len(phases(config))), strict=True))
        self._trained: list[NCF] = []
        self._loss = nn.BCEWithLogitsLoss()
        rows = len(dataset.train) * (1 + config.negative_samples)
        steps = math.ceil(rows / config.batch_size)
        self.patience = max(MIN_PATIENCE, math.ceil(PATIENCE / steps))
        self._done, self._total = 0, steps * epochs

    def start(self, phase: str) -> None:
        """Turn to a phase: weights that are drawn or, after its parts, fused; a new optimizer."""
        sizes = replace(self._sizes, architecture=phase)
        if phase == self._config.architecture and self._trained:
            self.model = NCF.fused(sizes, self._trained)
        else:
            self.model = NCF(sizes, seed=self._config.seed).to(self.device)
            self._trained.append(self.model)
        self.phase, self._rng = phase, self._rngs[phase]
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=first_rate(self._config, phase),
            weight_decay=weight_decay(self._config),
            fused=True,
        )

    def point(self, best_weights: dict[str, Tensor] | None = None, **values: Any) -> Point:
        """All that the rest of the phase depends on, with what the caller adds."""
        tensors = (
            points.prefixed("model", self.model.state_dict())
            | points.prefixed("best", best_weights or {})
            | points.optimizer_state(self.optimizer)
        )
        drawn = {"rng": self._rng.bit_generator.state, "done": self._done}
        return Point(tensors, drawn | values)

    def restore(self, point: Point) -> dict[str, Any]:
        """Take them back, in the phase that was started; the values that the caller had added."""
        self.model.load_state_dict(point.under("model"))
        points.restore_optimizer(self.optimizer, point)
        self._rng.bit_generator.state = point.values["rng"]
        self._done = point.values["done"]
        return dict(point.values)

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def set_learning_rate(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = value

    def epoch(self) -> float:
        """One pass over the positives and fresh negatives; the mean loss per row."""
        total, n_rows = torch.zeros((), device=self.device), 0
        for n, (users, items, labels) in self._batches():
            self.optimizer.zero_grad(set_to_none=True)
            if len(labels):
                loss = self._loss(self.model(users, items), labels)
                (loss * (len(labels) / n)).backward()
                total += loss.detach() * len(labels)
            distributed.add_gradients(self.model)
            self.optimizer.step()
            n_rows += n
            self._tell()
        return _finite(float(distributed.add_up(total)) / n_rows)

    def loss_of(self, rows: Rows) -> float:
        users, items, labels = rows
        with torch.inference_mode():
            return _finite(float(self._loss(self.model(users, items), labels)))

    def _batches(self) -> Iterator[tuple[int, Rows]]:
        """How many rows each batch has, and those of them that are this process's."""
        negatives = self._sampler.sample(
            self._pairs.user_idx, self._config.negative_samples, self._rng
        )
        rows = _rows(self._pairs, negatives, self.device)
        order = torch.from_numpy(self._rng.permutation(len(rows[0]))).to(self.device)
        for batch in torch.split(order, self._config.batch_size):
            own = batch[distributed.share(len(batch))]
            users, items, labels = (column.index_select(0, own) for column in rows)
            yield len(batch), (users, items, labels)

    def _tell(self) -> None:
        self._done += 1
        if self._on_step:
            self._on_step(self._done, self._total)


def _rows(positives: Pairs, negatives: Pairs, device: torch.device) -> Rows:
    pairs = positives + negatives
    labels = torch.zeros(len(pairs), device=device)
    labels[: len(positives)] = 1
    users, items = torch.from_numpy(pairs.user_idx), torch.from_numpy(pairs.item_idx)
    return users.to(device), items.to(device), labels


def _held_out_rows(dataset: Dataset, seed: int, device: torch.device) -> Rows:
    """The validation positives and as many negatives; which items the test holds is not used."""
    positives = dataset.part("validation")
    sampler = NegativeSampler(dataset.train + dataset.validation, dataset.n_users, dataset.n_items)
    negatives = sampler.sample(positives.user_idx, 1, np.random.default_rng(seed))
    return _rows(positives, negatives, device)


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise TrainingDiverged(
            "La perte est devenue infinie ou indéfinie : baissez --learning-rate et relancez."
        )
    return loss


def _copy_of(model: NCF) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}
