"""Variety: ten épreuves that are not ten times the same one."""

import numpy as np

from apps.recommender.ml.data_loader import FloatArray, IntArray

# What may take a better ranked item's place; docs/recommandation.md has the trade, measured.
POOL = 100


def varied(scores: FloatArray, profiles: FloatArray, variety: float, k: int) -> IntArray:
    """The places of k of N items, int64[min(k, N)] in rising order, by maximal marginal relevance.

    scores float32[N], best first, are those of items whose `Servable.profiles` are float32[N, …].
    Each next item taken is the one of the highest (1 - v)·r + v·(1 - s): v the `variety` in [0, 1],
    r its score between 0, the lowest, and 1, s its likeness in [0, 1] to the nearest taken before
    (Carbonell and Goldstein 1998).
    """
    span = float(np.ptp(scores)) or 1.0
    relevance = (1 - variety) * (scores - scores.min()) / span
    unlike = np.ones(len(scores), np.float32)
    taken = np.zeros(len(scores), dtype=np.bool_)
    for _ in range(min(k, len(scores))):
        place = int(np.where(taken, -np.inf, relevance + variety * unlike).argmax())
        taken[place] = True
        unlike = np.minimum(unlike, 1 - np.clip(profiles @ profiles[place], 0, 1))
    return np.flatnonzero(taken)
