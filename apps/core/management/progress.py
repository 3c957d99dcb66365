"""The bar of a command that takes its time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress(what: str, unit: str, *, verbosity: int) -> Iterator[Callable[[int, int], None]]:
    """Yields what a service calls with how many are done, and of how many."""
    with tqdm(desc=what, unit=f" {unit}", disable=verbosity == 0) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
