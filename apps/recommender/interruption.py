"""Ctrl-C and SIGTERM while a training runs."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ONCE_SECONDS = 10


@contextmanager
def stopping_on_signals(
    message: str = "", *, terminated: Callable[[], BaseException] | None = None
) -> Iterator[None]:
    """Raise KeyboardInterrupt, once: people press twice, and the run must still say how it ended.

    terminated: what SIGTERM raises instead. Who had the signals before is told first, and has them
    back if nobody sent one; else the process ends, and they are ignored: Python, while it ends,
    would let them kill it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # The worker that reloads with the code: signals are not its own to take.
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    stopped_at = -math.inf

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped_at
        if time.monotonic() - stopped_at < ONCE_SECONDS:
            return
        stopped_at = time.monotonic()
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        if terminated and number == signal.SIGTERM:
            raise terminated()
        raise KeyboardInterrupt(message)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if stopped_at == -math.inf else signal.SIG_IGN)


@contextmanager
def undisturbed() -> Iterator[None]:
    """For the words with which a process ends: `torchrun` sends SIGTERM as soon as one has died."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
