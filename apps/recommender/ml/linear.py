"""The two linear models that everything else is measured by, as functions of a sparse matrix.

Legend: R rows (students, and whatever else takes items), N items, D dimensions, H a history.
"""

from itertools import pairwise

import numpy as np
from scipy.linalg import inv
from scipy.linalg.lapack import sposv
from scipy.sparse import csr_matrix

from apps.recommender.ml import pulse
from apps.recommender.ml.data_loader import FloatArray, IntArray

UNOBSERVED = 0.3  # α₀
FREQUENCY = 0.5  # ν
ITERATIONS = 12
_ROWS_A_BEAT = 10_000
SCALE = 0.1  # the standard deviation of a first row's length


def ease(matrix: csr_matrix, penalty: float) -> tuple[FloatArray, FloatArray]:
    """The weights B of EASE (Steck 2019, eq. 8), float32[N, N]: s = x·B, nobody votes for itself.

    B = I - P / diag(P), P = (XᵀX + λI)⁻¹, λ the `penalty`; then diag(P), float32[N].
    """
    gram = (matrix.T @ matrix).toarray().astype(np.float32)
    gram.flat[:: len(gram) + 1] += penalty
    inverse = inv(gram, overwrite_a=True, assume_a="pos")  # Cholesky
    diagonal = np.diag(inverse).copy()
    weights: FloatArray = inverse / -diagonal
    np.fill_diagonal(weights, 0)
    return weights, diagonal


def ease_without_row(values: FloatArray, scores: FloatArray, diagonal: FloatArray) -> FloatArray:
    """What EASE would score a row's own items [H], had that row not been learnt from: float32[H].

    EASE is a ridge regression of each item on the others, so its residual without the row is
    residual / (1 - leverage) (Allen 1974). values x, scores x·B and diagonal P_kk of the items that
    the row has; leverage = Σ_k x_k·P_kk·(x_k - s_k) - P_ii·(x_i - s_i)².
    """
    residual = values - scores
    leverage = (values * diagonal * residual).sum() - diagonal * residual**2
    left_out: FloatArray = values - residual / np.maximum(1 - leverage, 1e-3)
    return left_out


def alternate(matrix: csr_matrix, dim: int, penalty: float, rng: np.random.Generator) -> FloatArray:
    """The item factors of iALS (Hu et al. 2008, as Rendle et al. 2021 regularise it), [N, D].

    Minimises Σ_{(u,i) in X} c_ui·(1 - w_u·h_i)² + α₀·Σ_{u,i} (w_u·h_i)² + Σ_u λ_u·‖w_u‖² +
    Σ_i λ_i·‖h_i‖² with λ_u = λ·(n_u + α₀·N)^ν and λ_i alike; c is the value in `matrix`.
    """
    by_item = matrix.T.tocsr()
    drawn = rng.normal(scale=SCALE / np.sqrt(dim), size=(matrix.shape[1], dim))
    items: FloatArray = drawn.astype(np.float32)
    for _ in range(ITERATIONS):
        users = fold_in(matrix, items, items.T @ items, penalty)
        items = fold_in(by_item, users, users.T @ users, penalty)
    return items


def fold_in(
    history: csr_matrix, factors: FloatArray, gram: FloatArray, penalty: float
) -> FloatArray:
    """The rows [R, D] that minimise the loss, given the other side's factors and their HᵀH."""
    counts = np.diff(history.indptr)
    penalties = penalty * (counts + UNOBSERVED * len(factors)) ** FREQUENCY
    everything, wanted = UNOBSERVED * gram, history @ factors
    for row, (start, end) in enumerate(pairwise(history.indptr)):
        if row % _ROWS_A_BEAT == 0:
            pulse.beat()
        strength = np.sqrt(history.data[start:end, None])
        taken = factors[history.indices[start:end]] * strength  # [H, D]
        system = everything + taken.T @ taken
        system.flat[:: len(system) + 1] += penalties[row]
        _, wanted[row], _ = sposv(system, wanted[row])  # Cholesky
    solved: FloatArray = wanted
    return solved


def without_each(
    items: IntArray, weights: FloatArray, factors: FloatArray, gram: FloatArray, penalty: float
) -> FloatArray:
    """For one row: what it would be without each of its items [H] in turn, float32[H, D].

    One solve for all: with A the system of the whole row w, x = A⁻¹h, g = h·x and c the weight of
    the item, w - x·c·(1 - w·h)/(1 - c·g) (Sherman and Morrison 1950); λ_u is left as it is.
    """
    if not len(items):
        return np.empty((0, factors.shape[1]), np.float32)
    taken, strength = factors[items], weights[:, None]
    system = UNOBSERVED * gram + taken.T @ (taken * strength)
    size = len(items) + UNOBSERVED * len(factors)
    system.flat[:: len(system) + 1] += penalty * size**FREQUENCY
    wanted = np.vstack([weights @ taken, taken])
    _, solved, _ = sposv(system, wanted.T)
    row, leverage = solved.T[:1], solved.T[1:]
    own = (taken * leverage).sum(axis=1, keepdims=True)
    step = strength * (1 - taken @ row.T) / (1 - strength * own)
    left_out: FloatArray = row - leverage * step
    return left_out
