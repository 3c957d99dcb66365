"""One training by several processes, which `torchrun` starts: each takes a share of every batch.

All draw the same random numbers and hold the same weights; gradients are added up, so that a step
is the one that a single process would make, but for the order of the additions. The first process,
the leader, reads, decides and writes; the others follow. Alone, nothing here does anything.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from apps.recommender.ml.errors import PeerLost

# The others wait for as long as the leader measures alone; a death is noticed at once all the same.
PATIENCE = timedelta(hours=12)

T = TypeVar("T")


@contextmanager
def together() -> Iterator[None]:
    """Meet the others that `torchrun` started. Raises PeerLost."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    with _talking():
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def _talking() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise PeerLost from error


def size() -> int:
    """How many processes train."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_leader() -> bool:
    """The one that decides and writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def share(n: int) -> slice:
    """Which of the n rows of a batch are this process's; none, where there are too few."""
    if size() == 1:
        return slice(n)
    rank = dist.get_rank()
    return slice(n * rank // size(), n * (rank + 1) // size())


def add_up(value: Tensor) -> Tensor:
    """The sum over the processes, in place, the same bits in each. Raises PeerLost."""
    if size() > 1:
        with _talking():
            dist.all_reduce(value)
    return value


def add_gradients(module: nn.Module) -> None:
    """Each gradient becomes the sum over the processes, in one exchange. Raises PeerLost."""
    if size() == 1:
        return
    parameters = list(module.parameters())
    for one in parameters:
        if one.grad is None:
            one.grad = torch.zeros_like(one)
    gradients = [one.grad for one in parameters if one.grad is not None]
    total = add_up(torch.cat([one.flatten() for one in gradients]))
    parts = torch.split(total, [one.numel() for one in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def by_leader(compute: Callable[[], T]) -> T:
    """What the leader computes, given to all. Raises PeerLost."""
    if size() == 1:
        return compute()
    box = [compute() if is_leader() else None]
    with _talking():
        dist.broadcast_object_list(box)
    return box[0]  # type: ignore[return-value]
