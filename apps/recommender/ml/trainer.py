"""Trains a model, talking to whoever watches through callbacks."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from apps.recommender.ml.config import ModelConfig, TrainingConfig
from apps.recommender.ml.data_loader import Dataset, NegativeSampler, Pairs
from apps.recommender.ml.errors import DeviceUnavailable, TrainingDiverged
from apps.recommender.ml.evaluation import evaluate, student_scores
from apps.recommender.ml.model import OnEpoch, OnStep
from apps.recommender.ml.ncf_model import NCF, NCFScorer

# Chosen on validation; docs/recommandation.md has the figures.
WEIGHT_DECAY = 0.15
# Batches without a better NDCG@10 before stopping, and never fewer epochs than MIN_PATIENCE: an
# epoch of a small log is a few batches, in which nothing can be learnt yet.
PATIENCE = 1000
MIN_PATIENCE = 5
# The learning rate is halved after this share of the patience.
PLATEAU = 0.3

Rows = tuple[Tensor, Tensor, Tensor]  # user_idx, item_idx, label


@dataclass(frozen=True)
class FitResult:
    """The model at its best epoch (from 1), and a JSON-ready entry per epoch run."""

    model: NCF
    history: list[dict[str, Any]]
    best_epoch: int


def require_device(name: str) -> torch.device:
    """The device; raises DeviceUnavailable where there is none of that name."""
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable(
            "Aucune carte CUDA utilisable sur cette machine : entraînez avec --device cpu."
        )
    return torch.device(name)


def fit(
    dataset: Dataset,
    config: TrainingConfig,
    *,
    rng: np.random.Generator | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> FitResult:
    """Train on the training part until NDCG@10 on validation stops rising; keep the best epoch.

    `on_epoch(entry)` comes after each epoch, `on_step(done, total)` after each batch; what they
    raise ends the training. `rng` draws the order and the negatives, a new one of `config.seed`
    where none is given. Same seeds, same weights on CPU. Raises DeviceUnavailable and
    TrainingDiverged.
    """
    run = _Run(dataset, config, rng, config.epochs, on_step)
    held_out = _held_out_rows(dataset, config.seed, run.device)
    plateau = ReduceLROnPlateau(
        run.optimizer, mode="max", factor=0.5, patience=int(PLATEAU * run.patience)
    )
    history: list[dict[str, Any]] = []
    best_epoch, best_weights = 0, {}
    while len(history) < config.epochs and len(history) - best_epoch < run.patience:
        entry = _epoch(run, held_out, dataset, len(history) + 1)
        history.append(entry)
        plateau.step(entry["ndcg_validation"])
        if not best_epoch or entry["ndcg_validation"] > history[best_epoch - 1]["ndcg_validation"]:
            best_epoch, best_weights = entry["epoch"], _copy_of(run.model)
        if on_epoch:
            on_epoch(entry)
    run.model.load_state_dict(best_weights)
    return FitResult(run.model, history, best_epoch)


def refit(
    dataset: Dataset,
    config: TrainingConfig,
    history: list[dict[str, Any]],
    *,
    rng: np.random.Generator | None = None,
    on_step: OnStep | None = None,
) -> NCF:
    """Train on `whole(…)` for as many epochs as `history` has, replaying its learning rates.

    This is the model that serves: it has seen the latest interactions. The metrics belong to the
    `fit` whose history, cut at its best epoch, is given. Raises as `fit` does.
    """
    run = _Run(dataset, config, rng, len(history), on_step)
    for entry in history:
        run.set_learning_rate(entry["learning_rate"])
        run.epoch()
    return run.model


def _epoch(run: "_Run", held_out: Rows, dataset: Dataset, number: int) -> dict[str, Any]:
    started = time.perf_counter()
    learning_rate = run.learning_rate
    train_loss = run.epoch()
    scores = student_scores(NCFScorer(run.model), dataset)
    evaluation = evaluate(scores, dataset, part="validation")
    return {
        "epoch": number,
        "loss_entrainement": train_loss,
        "loss_validation": run.loss_of(held_out),
        "ndcg_validation": evaluation.metrics["ndcg_at_10"],
        "learning_rate": learning_rate,
        "secondes": round(time.perf_counter() - started, 3),
    }


class _Run:
    """A model in training: its optimizer, its rows, its random numbers."""

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
        self._sampler = NegativeSampler(dataset.train, dataset.n_users, dataset.n_items)
        self._rng = rng or np.random.default_rng(config.seed)
        sizes = ModelConfig(
            config.architecture, dataset.n_users, dataset.n_items, config.embedding_dim
        )
        self.model = NCF(sizes, seed=config.seed).to(self.device)
        self._loss = nn.BCEWithLogitsLoss()
        rows = len(dataset.train) * (1 + config.negative_samples)
        steps = math.ceil(rows / config.batch_size)
        self.patience = max(MIN_PATIENCE, math.ceil(PATIENCE / steps))
        self._done, self._total = 0, steps * epochs
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
        )

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def set_learning_rate(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = value

    def epoch(self) -> float:
        """One pass over the positives and fresh negatives; the mean loss per row."""
        total, n_rows = torch.zeros((), device=self.device), 0
        for users, items, labels in self._batches():
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss(self.model(users, items), labels)
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(labels)
            n_rows += len(labels)
            self._tell()
        return _finite(float(total) / n_rows)

    def loss_of(self, rows: Rows) -> float:
        users, items, labels = rows
        with torch.inference_mode():
            return _finite(float(self._loss(self.model(users, items), labels)))

    def _batches(self) -> Iterator[Rows]:
        negatives = self._sampler.sample(
            self._pairs.user_idx, self._config.negative_samples, self._rng
        )
        rows = _rows(self._pairs, negatives, self.device)
        order = torch.from_numpy(self._rng.permutation(len(rows[0]))).to(self.device)
        for batch in torch.split(order, self._config.batch_size):
            yield rows[0][batch], rows[1][batch], rows[2][batch]

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
