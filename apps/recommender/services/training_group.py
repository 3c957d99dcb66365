"""A training that `torchrun` starts on several processes: the first leads, the others follow.

The leader alone knows the database, and writes; the followers read the data that it froze.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from apps.recommender.ml.config import TrainingConfig


def is_shared() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ["WORLD_SIZE"]) > 1


def follows() -> bool:
    return is_shared() and int(os.environ["RANK"]) > 0


@contextmanager
def leading() -> Iterator[None]:
    if not is_shared():
        yield
        return
    from apps.recommender.ml import distributed

    with distributed.together():
        yield


def share(folder: Path, config: TrainingConfig) -> None:
    """Tell the followers what to learn, from what."""
    from apps.recommender.ml import distributed

    distributed.by_leader(lambda: (folder, config))


def dismiss() -> None:
    """Tell them that there is nothing to do."""
    if is_shared():
        from apps.recommender.ml import distributed

        distributed.by_leader(lambda: None)


def follow() -> None:
    """Take part in what the leader trains, and keep nothing of it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # At once: there is nothing to put in order.
    import numpy as np

    from apps.recommender.ml import data_loader, distributed, snapshot
    from apps.recommender.ml.registry import of_architecture

    with distributed.together():
        told = distributed.by_leader(lambda: None)
        if told is None:
            return
        folder, config = told
        limit_threads()
        interactions = snapshot.read_interactions(folder)
        model = of_architecture(config)
        for data in (data_loader.split_by_date(interactions), data_loader.whole(interactions)):
            model.fit(data, np.random.default_rng(config.seed))


def limit_threads() -> None:
    """torch's and BLAS's: in another number they add up in another order, to other weights."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(settings.ENTRAINEMENT_FILS)
    threadpool_limits(settings.ENTRAINEMENT_FILS)
