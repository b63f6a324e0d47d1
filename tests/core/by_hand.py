"""Optimisers written out in numpy, for emulations of whole solvers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class NumpyAdam:
    """lr_t = lr sqrt(1 - b2^t) / (1 - b1^t); x <- x - lr_t m / (sqrt(s) + 1e-8)."""

    m: Any = 0.0
    s: Any = 0.0
    t: int = 0

    def __call__(self, x: np.ndarray, d: np.ndarray, rate: float) -> np.ndarray:
        self.t += 1
        self.m, self.s = 0.9 * self.m + 0.1 * d, 0.999 * self.s + 0.001 * d * d
        rate *= np.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
        return x - rate * self.m / (np.sqrt(self.s) + 1e-8)


class NumpyDescent:
    """x <- x - rate d."""

    def __call__(self, x: np.ndarray, d: np.ndarray, rate: float) -> np.ndarray:
        return x - rate * d
