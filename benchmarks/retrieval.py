"""The best few of a catalogue: by scoring all of it, or a shortlist when it is very large.

Shapes: N items, F the widths of all item halves together, S probes, M sampled users, R the width of
a short vector, C candidates.
"""

import numpy as np
import torch
from torch import Tensor

from apps.recommender.ml.data_loader import FloatArray, IntArray
from apps.recommender.ml.ncf_model import NCF

WIDTH = 32  # R; 16 lose one in twenty of the ten best where 32 lose none (docs/adr/0109)
_PROBES, _USERS = 4096, 256
_RIDGE = 1e-4  # of the mean variance of a feature
_SAMPLED = 64  # one score in so many gives the threshold


def best(scores: FloatArray, k: int) -> IntArray:
    """The columns of the `k` highest of scores [N], best first; no sort of the others."""
    k = min(k, len(scores))
    likely = _likely(scores, k)
    top = likely[np.argpartition(scores[likely], -k)[-k:]]
    order: IntArray = top[np.argsort(-scores[top], kind="stable")]
    return order


def _likely(scores: FloatArray, k: int) -> IntArray:
    """Columns that hold the `k` highest: those from a threshold on that a sample gives."""
    sample = scores[::_SAMPLED]
    rank = 2 * k // _SAMPLED + 8  # twice as many as needed, so that seldom too few are left
    if rank < len(sample):
        likely = np.flatnonzero(scores >= np.partition(sample, -rank)[-rank])
        if len(likely) >= k:
            return likely
    return np.arange(len(scores))


class Shortlist:
    """Two stages: a short vector per item finds `size` candidates, the network ranks those.

    A user's logit is linear in what `NCF.item_halves` keeps of an item for GMF, and nearly so for
    the tower. The network scores S probe items for the user; a ridge regression of these logits on
    the probes' short vectors [S, R] weighs the vectors of all items. They are the combinations of
    the halves that explain best, in least squares, the linear parts of M users' logits. The answer
    is the exact one when `size` is N. The network's weights may not change after.
    """

    def __init__(self, network: NCF, *, size: int, width: int = WIDTH, seed: int = 0) -> None:
        self._network, self._size = network, size
        n_users, n_items = network.config.n_users, network.config.n_items
        rng = np.random.default_rng(seed)
        with torch.inference_mode():
            self._halves = network.item_halves()
            probes = torch.from_numpy(rng.permutation(n_items)[:_PROBES])
            users = torch.from_numpy(rng.permutation(n_users)[:_USERS])
            self._probes = [half[probes] for half in self._halves]
            features = torch.cat(self._probes, dim=1)  # [S, F]
            linear = self._probed(users) @ _ridge(features).T  # [M, F]
            by_user = torch.linalg.svd(linear @ (features - features.mean(dim=0)).T)[0]
            mixing = linear.T @ by_user[:, :width]  # [F, R]
            parts = torch.split(mixing, [half.shape[1] for half in self._halves])
            short = torch.zeros(mixing.shape[1], n_items)
            for half, part in zip(self._halves, parts, strict=True):
                short += part.T @ half.T
            self._weigh = _ridge(short[:, probes].T)  # [R, S]
        self._short = short.numpy()  # [R, N]; NumPy weighs it four times faster than torch

    def top(self, user_idx: int, k: int) -> tuple[IntArray, FloatArray]:
        """The `k` best items, int64[k], best first, and their logits, float32[k]."""
        row = torch.tensor([user_idx])
        with torch.inference_mode():
            weights = (self._weigh @ self._probed(row)[0]).numpy()
            found = torch.from_numpy(np.sort(best(weights @ self._short, self._size)))
            halves = [half.index_select(0, found) for half in self._halves]
            logits: FloatArray = self._network.score_all(row, halves)[0].numpy()
        order = best(logits, k)
        return found.numpy()[order], logits[order]

    def _probed(self, users: Tensor) -> Tensor:
        """users [B] -> the logits of the probes [B, S], each user's mean taken away."""
        logits = self._network.score_all(users, self._probes)
        return logits - logits.mean(dim=1, keepdim=True)


def _ridge(columns: Tensor) -> Tensor:
    """columns [S, W] -> [W, S]: times centred values [S], the weights of their regression."""
    centred = columns - columns.mean(dim=0)
    gram = centred.T @ centred
    penalty = _RIDGE * gram.diagonal().mean() + torch.finfo(gram.dtype).tiny
    weights: Tensor = torch.linalg.solve(gram + penalty * torch.eye(len(gram)), centred.T)
    return weights
