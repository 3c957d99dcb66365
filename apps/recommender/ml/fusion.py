"""The second stage: NeuMF's fusion, over the first stage's factors and signals.

Legend: B pairs, D dimensions of the factors, F columns of the signals, S negatives.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from apps.recommender.ml import checkpoints as points
from apps.recommender.ml import distributed
from apps.recommender.ml.checkpoints import Checkpoints, Point
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import IntArray
from apps.recommender.ml.errors import TrainingDiverged
from apps.recommender.ml.model import OnEpoch, OnStep
from apps.recommender.ml.shortlists import Shortlists

# Chosen on validation; docs/recommandation.md has the figures.
WEIGHT_DECAY = 1.0
DROPOUT = 0.25
AVERAGING = 0.995  # of the weights, step by step (Polyak and Juditsky 1992)
PATIENCE = 5  # epochs without a better NDCG@10
SAMPLE = 20_000  # pairs that set the scale of the inputs, or measure a loss
ALL = slice(None)


class Dropout(nn.Dropout):
    """Drawn for all the n_rows of a batch, whichever of them are this process's."""

    n_rows = 0

    def forward(self, x: Tensor) -> Tensor:
        """[B, …] -> [B, …]."""
        if distributed.size() == 1 or not self.training:
            return super().forward(x)
        kept = super().forward(x.new_ones(self.n_rows, *x.shape[1:]))
        return x * kept[distributed.share(self.n_rows)]


class Fusion(nn.Module):
    """logit = base + w·x + MLP(x), x = [p ⊙ q ; signals] standardised (He et al. 2017, eq. 12).

    The GMF half is w over p ⊙ q; the MLP half, of widths D and D/2, takes the same product and what
    else is known of the pair. Both begin at zero output: the first stage's ranking, `base`, is
    where the training starts from.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, dim: int, n_signals: int, *, seed: int = 0) -> None:
        super().__init__()
        width, half = max(2, dim), max(1, dim // 2)
        self.register_buffer("centre", torch.zeros(dim + n_signals))
        self.register_buffer("spread", torch.ones(dim + n_signals))
        self.linear = nn.Linear(dim + n_signals, 1, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(dim + n_signals, width),
            nn.ReLU(),
            Dropout(DROPOUT),
            nn.Linear(width, half),
            nn.ReLU(),
            Dropout(DROPOUT),
            nn.Linear(half, 1),
        )
        self._initialise(torch.Generator().manual_seed(seed))

    def forward(self, product: Tensor, signals: Tensor, base: Tensor) -> Tensor:
        """product [B, D], signals [B, F], base [B] -> logits [B]; any number of leading axes."""
        x = (torch.cat([product, signals], dim=-1) - self.centre) / self.spread
        logits: Tensor = base + (self.linear(x) + self.mlp(x)).squeeze(-1)
        return logits

    def expect(self, n_rows: int) -> None:
        """How many rows the next batch has, this process's and the others'."""
        for layer in self.mlp:
            if isinstance(layer, Dropout):
                layer.n_rows = n_rows

    def scale_to(self, x: Tensor) -> None:
        """Take the mean and the deviation of inputs [B, D + F]; a constant column counts for 0."""
        self.centre.copy_(x.mean(dim=0))
        deviation = x.std(dim=0)
        self.spread.copy_(torch.where(deviation > 1e-6, deviation, 1e12))

    def _initialise(self, generator: torch.Generator) -> None:
        layers = [module for module in self.mlp if isinstance(module, nn.Linear)]
        for layer in layers:
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            nn.init.zeros_(layer.bias)
        for last in (layers[-1], self.linear):
            nn.init.zeros_(last.weight)


class Lists:
    """`Shortlists` as tensors on a device, and batches drawn from them."""

    def __init__(self, lists: Shortlists, device: torch.device) -> None:
        self._on = {
            field.name: torch.from_numpy(getattr(lists, field.name)).to(device)
            for field in fields(lists)
        }

    def __len__(self) -> int:
        return len(self._on["of_list"])

    @property
    def n_signals(self) -> int:
        """F."""
        return self._on["signals"].shape[-1]

    def batch(
        self, rows: IntArray, negatives: int, rng: np.random.Generator, own: slice = ALL
    ) -> "Batch":
        """Those positives [B], each followed by S candidates drawn from its own list.

        Only the `own` rows of the batch are there; the whole of it is drawn all the same.
        """
        on = self._on
        drawn = torch.from_numpy(rows).to(on["item"].device)
        total = on["weight"][drawn].sum()
        drawn = drawn[own]
        lists = on["of_list"][drawn]
        shares = torch.from_numpy(rng.random((len(rows), negatives))[own]).to(lists.device)
        place = (shares * on["n_valid"][lists][:, None]).long()
        of_list = lists[:, None]
        items = torch.cat([on["item"][drawn][:, None], on["items"][of_list, place]], dim=1)
        q = on["q"][on["fold"][of_list], items]
        return Batch(
            product=on["p"][of_list] * q,
            signals=torch.cat(
                [on["positive_signals"][drawn][:, None], on["signals"][of_list, place]], dim=1
            ),
            base=torch.cat([on["positive_base"][drawn][:, None], on["base"][of_list, place]], 1),
            weight=on["weight"][drawn],
            total=total,
            n_rows=len(rows),
        )


@dataclass(frozen=True)
class Batch:
    """A positive, then negatives: product [B, 1 + S, D], signals [B, 1 + S, F], base [B, 1 + S].

    weight: [B]. total: the weights' sum, and n_rows their number, with the rows of other processes.
    """

    product: Tensor
    signals: Tensor
    base: Tensor
    weight: Tensor
    total: Tensor
    n_rows: int

    def loss(self, network: Fusion) -> Tensor:
        """Sampled softmax: Σ weight · -log softmax(logits)[positive] / total."""
        network.expect(self.n_rows)
        logits = network(self.product, self.signals, self.base)
        losses = torch.logsumexp(logits, dim=1) - logits[:, 0]
        mean: Tensor = (self.weight * losses).sum() / self.total
        return mean


@dataclass(frozen=True)
class Trained:
    """The network at its best epoch (0: the first stage alone); a JSON-ready entry per epoch."""

    network: Fusion
    history: list[dict[str, Any]]
    best_epoch: int


@torch.random.fork_rng(devices=[])
def train(
    shortlists: Shortlists,
    config: TrainingConfig,
    *,
    rng: np.random.Generator,
    validate: Callable[[Fusion], tuple[float, float]] | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    checkpoints: Checkpoints = points.NONE,
) -> Trained:
    """Train until NDCG@10 on validation stops rising; without validation, all of `config.epochs`.

    `validate(network)`, which the leader alone needs, gives that NDCG and a loss. The weights that
    are validated, and kept, are the moving average. Stopped, it goes on from its `checkpoints`.
    Raises TrainingDiverged.
    """
    device = torch.device(config.device)
    lists = Lists(shortlists, device)
    network = Fusion(config.embedding_dim, lists.n_signals, seed=config.seed).to(device)
    network.scale_to(_inputs(lists, config, rng))
    averaged = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
    )
    history: list[dict[str, Any]] = []
    kept, best, best_epoch, done = copy.deepcopy(averaged), -math.inf, 0, 0
    steps = math.ceil(len(lists) / config.batch_size)
    torch.manual_seed(config.seed)  # dropout draws from the global generator, put back after

    def judged(epoch: int) -> tuple[float, float]:
        return validate(averaged) if validate else (float(epoch), 0.0)

    networks, first = {"network": network, "averaged": averaged, "kept": kept}, 0
    if point := distributed.by_leader(checkpoints.load):
        _restore(point, networks, optimizer, rng)
        history, best, best_epoch = (point.values[it] for it in ("history", "best", "best_epoch"))
        done, first = point.values["done"], point.values["epoch"] + 1
    for epoch in range(first, config.epochs + 1):
        if epoch - best_epoch > PATIENCE:
            break
        started, losses = time.perf_counter(), []
        network.train()
        for batch in _batches(lists, config, rng) if epoch else ():
            loss = batch.loss(network)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            distributed.add_gradients(network)
            optimizer.step()
            losses.append(loss.detach())
            done += 1
            _average(averaged, network, min(AVERAGING, (1 + done) / (10 + done)))
            if on_step:
                on_step(done, steps * config.epochs)
        with torch.inference_mode():
            if losses:
                loss_now = distributed.add_up(torch.stack(losses)).mean()
            else:
                loss_now = _loss(lists, averaged, config, rng)
        ndcg, validation_loss = distributed.by_leader(partial(judged, epoch))
        entry = {
            "epoch": epoch,
            "loss_entrainement": _finite(float(loss_now)),
            "loss_validation": _finite(validation_loss),
            "ndcg_validation": ndcg,
            "learning_rate": config.learning_rate,
            "secondes": round(time.perf_counter() - started, 3),
        }
        if validate:
            history.append(entry)
            if on_epoch:
                on_epoch(entry)
        if ndcg > best:
            kept.load_state_dict(averaged.state_dict())
            best, best_epoch = ndcg, epoch
        stands = {"history": history, "best": best, "best_epoch": best_epoch}
        values = {**stands, "done": done, "epoch": epoch}
        checkpoints.save(partial(_point, networks, optimizer, rng, values))
    return Trained(kept.cpu(), history, best_epoch)


def _point(
    networks: Mapping[str, Fusion],
    optimizer: torch.optim.Optimizer,
    rng: np.random.Generator,
    values: Mapping[str, Any],
) -> Point:
    tensors = points.optimizer_state(optimizer) | {"dropout.cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        tensors["dropout.cuda"] = torch.cuda.get_rng_state()
    for name, network in networks.items():
        tensors |= points.prefixed(name, network.state_dict())
    return Point(tensors, {**values, "rng": rng.bit_generator.state})


def _restore(
    point: Point,
    networks: Mapping[str, Fusion],
    optimizer: torch.optim.Optimizer,
    rng: np.random.Generator,
) -> None:
    for name, network in networks.items():
        network.load_state_dict(point.under(name))
    points.restore_optimizer(optimizer, point)
    rng.bit_generator.state = point.values["rng"]
    drawn = point.under("dropout")
    torch.set_rng_state(drawn["cpu"])
    if "cuda" in drawn:
        torch.cuda.set_rng_state(drawn["cuda"])


def _batches(lists: Lists, config: TrainingConfig, rng: np.random.Generator) -> Iterator[Batch]:
    order = rng.permutation(len(lists))
    for start in range(0, len(order), config.batch_size):
        rows = order[start : start + config.batch_size]
        yield lists.batch(rows, config.negative_samples, rng, distributed.share(len(rows)))


def _sample(lists: Lists, config: TrainingConfig, rng: np.random.Generator) -> Batch:
    rows = rng.integers(0, len(lists), min(SAMPLE, len(lists)))
    return lists.batch(rows, config.negative_samples, rng)


def _inputs(lists: Lists, config: TrainingConfig, rng: np.random.Generator) -> Tensor:
    batch = _sample(lists, config, rng)
    return torch.cat([batch.product, batch.signals], dim=-1)[:, 1:].flatten(0, 1)


def _loss(
    lists: Lists, network: Fusion, config: TrainingConfig, rng: np.random.Generator
) -> Tensor:
    return _sample(lists, config, rng).loss(network)


def _average(averaged: Fusion, network: Fusion, share: float) -> None:
    with torch.no_grad():
        pairs = zip(averaged.parameters(), network.parameters(), strict=True)
        for mean, value in pairs:
            mean.lerp_(value, 1 - share)


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise TrainingDiverged(
            "La perte est devenue infinie ou indéfinie : baissez --learning-rate et relancez."
        )
    return loss
