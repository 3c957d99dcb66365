"""The checkerboard: even students like even épreuves, odd ones like odd ones.

Every épreuve is liked by as many: popularity has nothing to say, and whoever learns the rule
ranks perfectly.
"""

import numpy as np
import pytest
import torch

from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset, Interactions, split_by_date
from apps.recommender.ml.ncf import Ncf
from apps.recommender.ml.trainer import FitResult, fit
from tests.recommender.ml.cases import drawn

DAY = 24 * 3600
N = 30


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkerboard() -> Interactions:
    return checkerboard_of(N)


def checkerboard_of(n_each: int) -> Interactions:
    users, items = np.divmod(np.arange(n_each * n_each), n_each)
    liked = (users + items) % 2 == 0
    n = int(liked.sum())
    return Interactions(
        user_ids=users[liked] + 1000,
        item_ids=items[liked] + 7000,
        weights=np.ones(n, np.float32),
        timestamps=np.random.default_rng(3).permutation(n) * DAY,
    )


@pytest.fixture(scope="session")
def board(checkerboard: Interactions) -> Dataset:
    return split_by_date(checkerboard)


@pytest.fixture(scope="session")
def quick() -> TrainingConfig:
    """Options under which the checkerboard is learnt in a moment."""
    return TrainingConfig("neumf", epochs=40, batch_size=32, embedding_dim=32, learning_rate=0.003)


@pytest.fixture(scope="session")
def fitted(board: Dataset, quick: TrainingConfig) -> FitResult:
    """NeuMF on the checkerboard; its best epoch is not its last."""
    return fit(board, quick)


@pytest.fixture
def small_model(board: Dataset) -> Ncf:
    return drawn("neumf", board)
