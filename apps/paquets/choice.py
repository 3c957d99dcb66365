"""Which to take along when not all fit."""

import math
from collections.abc import Sequence


def best_under(sizes: Sequence[int], room: int) -> list[int]:
    """Places of those to take, in their order; `sizes` are in bytes, the most wanted first.

    The one at rank r is worth 1 / log2(r + 1), as in nDCG. By worth per byte, and each that still
    fits; at least half of the best worth there is, since the best single one is tried as well.
    """
    worth = [1 / math.log2(place + 2) for place in range(len(sizes))]
    taken: list[int] = []
    left = room
    for place in sorted(range(len(sizes)), key=lambda at: (-worth[at] / sizes[at], at)):
        if sizes[place] <= left:
            taken.append(place)
            left -= sizes[place]
    alone = next((place for place, size in enumerate(sizes) if size <= room), None)
    if alone is not None and worth[alone] > sum(worth[place] for place in taken):
        return [alone]
    return sorted(taken)
