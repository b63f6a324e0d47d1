"""An error that falls as a power of the upper iterations: the law, its interval, and where it would reach an error.

    error(n) = a n^-b,    log error = log a - b log n    by least squares

in the logarithms, so that every point counts by its relative distance. The interval of the iterations at which the law
reaches an error is Fieller's: all n at which the 95% band of the law holds that error. It has no upper end where the points
do not tell b from 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.comparison import quantile

LEAST = 3
"""Points below which nothing is fitted: two parameters leave no spread of fewer."""


class Reach(NamedTuple):
    """Upper iterations at which a law reaches an error, and the ends of their 95% interval.

    Attributes: at: None where the law never does. low, high: None where the interval has no such end.
    """

    at: float | None
    low: float | None
    high: float | None


class Law(NamedTuple):
    """error(n) = a n^-b.

    Attributes:
        log_a, b: the law. points: how many it was fitted to.
        covariance: of (log_a, -b), [[., .], [., .]].
        scatter: s.d. of a point's log error about the law.
    """

    log_a: float
    b: float
    points: int
    covariance: tuple[tuple[float, float], tuple[float, float]]
    scatter: float

    def loosened(self, log_error: float) -> Law:
        """The law whose level is known no better than by this further standard error of the logarithm."""
        (level, both), (_, slope) = self.covariance
        return self._replace(covariance=((level + log_error**2, both), (both, slope)))

    def through(self, n: float, error: float, log_error: float) -> Law:
        """The law with this slope through another point, whose logarithm has the standard error `log_error`."""
        x, slope = math.log(n), self.covariance[1][1]
        covariance = ((log_error**2 + x**2 * slope, -x * slope), (-x * slope, slope))
        return self._replace(log_a=math.log(error) + self.b * x, covariance=covariance)

    def error(self, n: ArrayLike) -> NDArray[np.float64]:
        """The error after n upper iterations."""
        found: NDArray[np.float64] = np.exp(self.log_a - self.b * np.log(np.asarray(n, dtype=np.float64)))
        return found

    def band(self, n: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper end of the 95% interval of the error after n upper iterations."""
        x = np.log(np.asarray(n, dtype=np.float64))
        (level, both), (_, slope) = self.covariance
        reach = self._t * np.sqrt(np.maximum(level + 2 * both * x + slope * x**2, 0.0))
        return self.error(n) * np.exp(-reach), self.error(n) * np.exp(reach)

    @property
    def half_width(self) -> float:
        """Of the 95% interval of b."""
        return self._t * math.sqrt(self.covariance[1][1])

    @property
    def _t(self) -> float:
        return quantile(self.points - 2)

    def reaches(self, error: float) -> Reach:
        """Where the error is no more than this. Raises ValueError for one that is not positive."""
        if error <= 0:
            raise ValueError(f"a power law reaches no error of {error:g}")
        (level, both), (_, slope) = self.covariance
        above, t2 = self.log_a - math.log(error), self._t**2
        # (above - b x)^2 <= t^2 (level + 2 both x + slope x^2) in x = log n
        square, linear, free = self.b**2 - t2 * slope, above * self.b + t2 * both, above**2 - t2 * level
        if self.b <= 0:
            return Reach(None, None, None)
        at, inside = above / self.b, linear**2 - square * free
        ends = sorted((linear + sign * math.sqrt(inside)) / square for sign in (-1, 1)) if inside >= 0 and square else []
        if square > 0:
            low, high = ends
            return Reach(_iterations(at), _iterations(low), _iterations(high))
        # b is not told from 0: all n beyond an end, or all n
        below = [end for end in ends if end <= at]
        return Reach(_iterations(at), _iterations(max(below)) if below else None, None)


def _iterations(log_n: float) -> float:
    """exp, where it is a number at all."""
    return math.exp(min(log_n, 700.0))


def fitted(n: Sequence[float], errors: Sequence[float]) -> Law | None:
    """The law of errors after n > 0 upper iterations; None of fewer than `LEAST` points. Raises ValueError for a value that
    is not positive."""
    if len(n) < LEAST:
        return None
    x, y = np.asarray(n, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if (x <= 0).any() or (y <= 0).any():
        raise ValueError("a power law is fitted to positive iterations and errors")
    (slope, log_a), covariance = np.polyfit(np.log(x), np.log(y), 1, cov=True)
    # numpy has the slope first
    (a, both), (_, c) = np.asarray(covariance).tolist()
    apart = np.log(y) - (log_a + slope * np.log(x))
    scatter = math.sqrt(float((apart**2).sum()) / (len(x) - 2))
    return Law(float(log_a), -float(slope), len(x), ((c, both), (both, a)), scatter)
