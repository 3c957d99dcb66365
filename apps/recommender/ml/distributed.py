"""One training by several processes, which `torchrun` starts: each takes a share of every batch.

All draw the same random numbers and hold the same weights; gradients are added up, so that a step
is the one that a single process would make, but for the order of the additions. The first process,
the leader, reads, decides and writes; the others follow. Alone, nothing here does anything.

Each exchange is bounded, and the others wait for the leader only as long as it beats in the store
that `torchrun` keeps: a process that is frozen is noticed in minutes, one that dies at once.
"""

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import Store

from apps.recommender.ml.errors import PeerLost

# Longer than the others take to read the data; shorter than the ten minutes after which a silent
# run loses its place, so that its row can say why it ended.
PATIENCE = timedelta(minutes=5)
BEAT_SECONDS = 10
_BEATS = "battements"
_turns = itertools.count()  # of `by_leader`: the same in all processes

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
        with _beating() if is_leader() else nullcontext():
            yield
    finally:
        dist.destroy_process_group()


@contextmanager
def _beating() -> Iterator[None]:
    """While it reads, measures or writes, for hours even, the leader has nothing to exchange."""
    over, store = threading.Event(), _store()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            try:
                store.add(_BEATS, 1)
            except RuntimeError:
                return  # torchrun is gone, as the next exchange says.

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _store() -> Store:
    return dist.group.WORLD.get_group_store()  # type: ignore[union-attr]


def _await_leader(turn: str) -> None:
    """Raises PeerLost when it no longer beats, RuntimeError when torchrun is gone."""
    store, heard = _store(), -1
    while (beats := store.add(_BEATS, 0)) != heard:
        heard = beats
        with suppress(dist.DistStoreError):  # not in that time
            store.wait([turn], PATIENCE)
            return
    raise PeerLost


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
    turn = f"tour-{next(_turns)}"
    box = [compute() if is_leader() else None]
    with _talking():
        if is_leader():
            _store().set(turn, "")
        else:
            _await_leader(turn)
        dist.broadcast_object_list(box)
    return box[0]  # type: ignore[return-value]
