"""Variety: ten épreuves that are not ten times the same one."""

import numpy as np

from apps.recommender.ml.data_loader import FloatArray, IntArray

# What may take a better ranked item's place; docs/recommandation.md has the trade, measured.
POOL = 100


def varied(scores: FloatArray, profiles: FloatArray, variety: float) -> tuple[IntArray, FloatArray]:
    """Maximal marginal relevance (Carbonell and Goldstein 1998): an order and its values, [N].

    scores float32[N], best first, are those of N items whose `Servable.profiles` are float32[N, …].
    Each next item is the one of the highest (1 - v)·r + v·(1 - s): v the `variety` in [0, 1], r its
    score between 0, the lowest, and 1, s its likeness in [0, 1] to the nearest item taken before.
    These values, in [0, 1], never rise from one item to the next.
    """
    span = float(np.ptp(scores)) or 1.0
    relevance = (1 - variety) * (scores - scores.min()) / span
    unlike = np.ones(len(scores), np.float32)
    order, values = np.empty(len(scores), np.int64), np.empty(len(scores), np.float32)
    left = np.ones(len(scores), dtype=np.bool_)
    for place in range(len(scores)):
        worth = np.where(left, relevance + variety * unlike, -np.inf)
        taken = int(worth.argmax())
        order[place], values[place] = taken, worth[taken]
        left[taken] = False
        unlike = np.minimum(unlike, 1 - np.clip(profiles @ profiles[taken], 0, 1))
    return order, values
