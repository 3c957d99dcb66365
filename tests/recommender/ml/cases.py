"""Models and logs made by hand, for the tests that look inside."""

from dataclasses import asdict

import numpy as np

from apps.recommender.ml.config import ModelConfig
from apps.recommender.ml.data_loader import Dataset, Pairs
from apps.recommender.ml.metadata import Traits
from apps.recommender.ml.ncf import Ncf
from apps.recommender.ml.ncf_model import NCF

NOTHING = Pairs(np.empty(0, np.int64), np.empty(0, np.int64))


def served(network: NCF) -> Ncf:
    """A network as the registry's model, as if it had been loaded."""
    arrays = {name: value.numpy() for name, value in network.state_dict().items()}
    return Ncf.restored(arrays, asdict(network.config))


def drawn(architecture: str, board: Dataset, *, seed: int = 1) -> Ncf:
    """One that was never trained, of 8 dimensions."""
    return served(NCF(ModelConfig(architecture, board.n_users, board.n_items, 8), seed=seed))


def pairs(*rows: tuple[int, int], timestamps: tuple[int, ...] | None = None) -> Pairs:
    """Of (user row, item row)."""
    users, items = np.array(rows, np.int64).reshape(-1, 2).T
    return Pairs(users, items, None, None if timestamps is None else np.array(timestamps, np.int64))


def log_of(
    train: Pairs,
    n_users: int,
    n_items: int,
    *,
    users: tuple[Traits, ...] = (),
    items: tuple[Traits, ...] = (),
    texts: tuple[str, ...] = (),
) -> Dataset:
    """A training part alone; outside ids are 1000 + row and 7000 + row."""
    ids = np.arange(n_users) + 1000, np.arange(n_items) + 7000
    return Dataset(*ids, train, NOTHING, NOTHING, users, items, texts)
