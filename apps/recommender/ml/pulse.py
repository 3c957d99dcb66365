"""A sign of life from the long stages of a training, for who listens; what they raise ends it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[], object]] = ContextVar("listener", default=lambda: None)


@contextmanager
def felt(by: Callable[[], object]) -> Iterator[None]:
    """`by()` is called at each beat of the block."""
    before = _listener.set(by)
    try:
        yield
    finally:
        _listener.reset(before)


def beat() -> None:
    """Between two steps of what takes long; cheap, so that it may be called often."""
    _listener.get()()
