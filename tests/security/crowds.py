"""Many people at once, in threads that close the connections they open."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

Answer = TypeVar("Answer")


def together(act: Callable[[int], Answer], people: int) -> list[Answer]:
    def one(n: int) -> Answer:
        try:
            return act(n)
        finally:
            connection.close()

    with ThreadPoolExecutor(people) as pool:
        return list(pool.map(one, range(people)))
