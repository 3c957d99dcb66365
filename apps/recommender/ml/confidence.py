"""What a positive weighs in learning: its worth, and less and less as it ages."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

# Chosen on validation parts; docs/recommandation.md has the figures.
SLOPE = 0.2
FLOOR = 0.2


@dataclass(frozen=True)
class Confidence:
    """c = max(FLOOR, 1 + SLOPE·(worth - mean)/deviation) · 2^(-age/half_life) / scale: mean 1.

    The slope is that of ratings in Hu et al. 2008 (c = 1 + α·r), per standard deviation so that it
    fits any scale. age: seconds before `end`, the last training date, 0 for what came after.
    half_life: None where nothing ages. A deviation of 0: all are worth the same.
    """

    mean: float = 0.0
    deviation: float = 0.0
    half_life: float | None = None
    end: int = 0
    scale: float = 1.0

    @classmethod
    def fitted(
        cls, weights: FloatArray | None, timestamps: IntArray | None, half_life: float | None
    ) -> Self:
        """On the n training positives; weights float32[n], timestamps int64[n]."""
        worth = np.zeros(0) if weights is None else weights.astype(np.float64)
        end = 0 if timestamps is None or not len(timestamps) else int(timestamps.max())
        mean, deviation = (float(worth.mean()), float(worth.std())) if len(worth) else (0.0, 0.0)
        unscaled = cls(mean, deviation, None if timestamps is None else half_life, end)
        n = len(worth) if timestamps is None else len(timestamps)
        average = float(unscaled.of(weights, timestamps, n).mean()) if n else 1.0
        return cls(mean, deviation, unscaled.half_life, end, average)

    def of(self, weights: FloatArray | None, timestamps: IntArray | None, n: int) -> FloatArray:
        """The confidences of `n` positives, float32[n]; 1 for what is not known of them."""
        confidence = np.ones(n)
        if weights is not None and self.deviation:
            steps = (weights - self.mean) / self.deviation
            confidence = np.maximum(FLOOR, 1 + SLOPE * steps)
        if timestamps is not None and self.half_life:
            age = np.maximum(0, self.end - timestamps)
            confidence = confidence * 2.0 ** (-age / self.half_life)
        result: FloatArray = (confidence / self.scale).astype(np.float32)
        return result
