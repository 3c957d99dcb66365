"""How near does the training loop come to what the network alone allows?

    python -m benchmarks.training                         random pairs, as many as MovieLens 100K
    python -m benchmarks.training --data ml-100k.inter    the training part of a real log
    python -m benchmarks.training --device cuda           adds the sizes of NVIDIA's NCF reference

Samples per second, a sample being one row (user, item, label), negatives included, of NeuMF with
D = 64 on one thread:

`loop`        the product's loop (`trainer.refit`): drawing the negatives, shuffling, callbacks;
`roofline`    forward, backward and fused optimizer on one prebuilt batch, the same network;
`dataloader`  a torch Dataset that gives one row and draws its negative, behind a DataLoader
              (num_workers=0), the same network.

The three take turns, a quarter of a second each (five with NVIDIA's sizes), so that whatever slows
the machine slows all alike; the loop is measured over whole epochs. The table goes to stderr, one
line of JSON to stdout.
"""

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from apps.recommender.ml import trainer
from apps.recommender.ml.architectures import ARCHITECTURES
from apps.recommender.ml.config import SEED, ModelConfig, TrainingConfig
from apps.recommender.ml.data_loader import Dataset, NegativeSampler, Pairs
from apps.recommender.ml.ncf_model import BRANCHES, NCF, MLPBranch
from benchmarks.protocols import holdout
from benchmarks.public_data import NOTHING

BATCHES, SHOWN_FIRST = (256, 4096, 65_536), 4096
TURN, LONG_TURN = 0.25, 5.0  # seconds; the long one where a single batch of rows takes as long
ML_100K, ML_20M = (943, 1682, 100_000), (138_493, 26_744, 20_000_263)
NVIDIA_BATCH = 2**20
NEGATIVES = TrainingConfig().negative_samples

Step = Callable[[], int]  # does one batch, says how many rows it had


@dataclass(frozen=True)
class Speeds:
    """Samples per second of each way."""

    loop: float
    roofline: float
    dataloader: float

    def as_json(self) -> dict[str, float]:
        return {
            "samples_per_s": round(self.loop),
            "roofline": round(self.roofline),
            "dataloader": round(self.dataloader),
            "ratio": round(self.loop / self.roofline, 3),
            "over_dataloader": round(self.loop / self.dataloader, 2),
        }


class Enough(Exception):
    """The loop was watched for long enough."""


class Rows(TorchDataset[tuple[int, int, float]]):
    """One row at a time, as tutorials write it: a positive, then its negatives, drawn alone."""

    def __init__(self, log: Dataset, negatives: int) -> None:
        self._users, self._items = log.train.user_idx.tolist(), log.train.item_idx.tolist()
        self._seen = set(zip(self._users, self._items, strict=True))
        self._n_items, self._per_positive = log.n_items, 1 + negatives
        self._random = random.Random(SEED)  # noqa: S311

    def __len__(self) -> int:
        return len(self._users) * self._per_positive

    def __getitem__(self, row: int) -> tuple[int, int, float]:
        positive, place = divmod(row, self._per_positive)
        user, item = self._users[positive], self._items[positive]
        if place == 0:
            return user, item, 1.0
        while (user, item) in self._seen:
            item = self._random.randrange(self._n_items)
        return user, item, 0.0


class Clock:
    """Rows and seconds of one way of training, over its turns."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.rows, self.seconds = 0, 0.0

    def now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def turn(self, step: Step, seconds: float) -> None:
        started = self.now()
        while time.perf_counter() - started < seconds:
            self.rows += step()
        self.seconds += self.now() - started

    @property
    def speed(self) -> float:
        return self.rows / self.seconds


def measure(log: Dataset, config: TrainingConfig, seconds: float, turn: float = TURN) -> Speeds:
    """The three ways in turns, until the loop has had `seconds` and ended an epoch."""
    loop, roofline, dataloader = (Clock(config.device) for _ in range(3))
    others = [(roofline, _on_one_batch(log, config)), (dataloader, _on_single_rows(log, config))]
    for _, step in others:
        step()
    rows = len(log.train) * (1 + NEGATIVES)
    batches = math.ceil(rows / config.batch_size)
    started = 0.0

    def watch(done: int, total: int) -> None:
        nonlocal started
        # From the first batch of an epoch to that of another: as many draws as epochs.
        ends_an_epoch = done % batches == 1 % batches
        turn_is_over = time.perf_counter() - started > turn
        if done > 1 and (turn_is_over or ends_an_epoch):
            loop.seconds += loop.now() - started
            for clock, step in others:
                clock.turn(step, turn)
            if ends_an_epoch and loop.seconds >= seconds:
                loop.rows = rows * (done // batches)
                raise Enough
            started = loop.now()
        if done == 1:
            started = loop.now()

    endless = [{"phase": config.architecture, "learning_rate": config.learning_rate}] * 10**6
    with suppress(Enough):
        trainer.refit(log, config, endless, on_step=watch)
    return Speeds(loop.speed, roofline.speed, dataloader.speed)


def _on_one_batch(log: Dataset, config: TrainingConfig) -> Step:
    rng, n = np.random.default_rng(SEED), math.ceil(config.batch_size / (1 + NEGATIVES))
    drawn = rng.integers(0, len(log.train), n)
    positives = Pairs(log.train.user_idx[drawn], log.train.item_idx[drawn])
    sampler = NegativeSampler(log.train, log.n_users, log.n_items)
    pairs = positives + sampler.sample(positives.user_idx, NEGATIVES, rng)
    order = torch.from_numpy(rng.permutation(len(pairs)))[: config.batch_size]
    users, items = (
        torch.from_numpy(column)[order].to(config.device)
        for column in (pairs.user_idx, pairs.item_idx)
    )
    labels = (order < n).float().to(config.device)
    train = _train_step(log, config)
    return lambda: train(users, items, labels)


def _on_single_rows(log: Dataset, config: TrainingConfig) -> Step:
    loader = DataLoader(
        Rows(log, NEGATIVES),
        batch_size=config.batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(SEED),
    )
    train = _train_step(log, config)

    def forever() -> Iterator[list[Tensor]]:
        while True:
            yield from loader

    batches = forever()

    def step() -> int:
        users, items, labels = (column.to(config.device) for column in next(batches))
        return train(users, items, labels.float())

    return step


def _train_step(log: Dataset, config: TrainingConfig) -> Callable[[Tensor, Tensor, Tensor], int]:
    sizes = ModelConfig(config.architecture, log.n_users, log.n_items, config.embedding_dim)
    model, loss = NCF(sizes, seed=SEED).to(config.device), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, fused=True)

    def train(users: Tensor, items: Tensor, labels: Tensor) -> int:
        optimizer.zero_grad(set_to_none=True)
        loss(model(users, items), labels).backward()
        optimizer.step()
        return len(labels)

    return train


def random_log(n_users: int, n_items: int, n_pairs: int) -> Dataset:
    """`n_pairs` draws of a pair, each kept once: a little fewer pairs."""
    drawn = np.random.default_rng(SEED).integers(0, n_users * n_items, n_pairs)
    users, items = np.divmod(np.unique(drawn), n_items)
    return Dataset(np.arange(n_users), np.arange(n_items), Pairs(users, items), NOTHING, NOTHING)


class NvidiaTower(MLPBranch):
    """256-256-128-64 over embeddings of 128, whatever D is."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(ModelConfig(config.architecture, config.n_users, config.n_items, 128))
        self.first = nn.Linear(256, 256)
        layers = (nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        self.rest = nn.Sequential(nn.ReLU(), *layers)
        self.width = 64


def nvidia(
    device: str, sizes: tuple[int, int, int], batch_size: int
) -> tuple[Dataset, TrainingConfig]:
    """NVIDIA's reference: ML-20M sizes, factors 64, layers 256-256-128-64, 4 negatives."""
    BRANCHES["nvidia-mlp"] = NvidiaTower
    ARCHITECTURES["nvidia"] = ("gmf", "nvidia-mlp")
    return random_log(*sizes), TrainingConfig("nvidia", batch_size=batch_size, device=device)


def table(found: dict[str, Speeds]) -> str:
    titles = ("boucle", "plafond", "DataLoader", "boucle/plafond", "boucle/DataLoader")
    lines = [f"{'lot':<10}" + "".join(f"{title:>19}" for title in titles)]
    for batch, speeds in found.items():
        cells = speeds.as_json()
        lines.append(
            f"{batch:<10}{cells['samples_per_s']:>19,}{cells['roofline']:>19,}"
            f"{cells['dataloader']:>19,}{cells['ratio']:>19.3f}{cells['over_dataloader']:>19.2f}"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description="Mesure l'entraînement en exemples par seconde.",
    )
    parser.add_argument("--data", type=Path, help="fichier .inter (défaut : paires au hasard)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--seconds", type=float, default=5, help="par mesure, au moins (défaut : %(default)s)"
    )
    options = parser.parse_args(argv)
    trainer.require_device(options.device)
    torch.set_num_threads(1)
    if options.data:
        log = holdout(options.data, np.random.default_rng(SEED)).train
    else:
        log = random_log(*ML_100K)
    found = {
        str(size): measure(
            log, TrainingConfig("neumf", batch_size=size, device=options.device), options.seconds
        )
        for size in BATCHES
    }
    if options.device == "cuda":
        reference = nvidia(options.device, ML_20M, NVIDIA_BATCH)
        found["nvidia"] = measure(*reference, options.seconds, LONG_TURN)
    print(table(found), file=sys.stderr)
    result = {
        **found[str(SHOWN_FIRST)].as_json(),
        "batches": {name: speeds.as_json() for name, speeds in found.items()},
        "device": options.device,
        "data": options.data.stem if options.data else "random",
        "embedding_dim": TrainingConfig().embedding_dim,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
