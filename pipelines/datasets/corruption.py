"""Label noise, as pure functions of (labels, fraction, seed).

A rule takes labels [n] and returns the noisy ones with the mask of what it touched. The draws come from a
generator that is seeded by (seed, purpose): no global state, and no stream shared by two purposes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Noisy(NamedTuple):
    """What a rule makes of labels [n]: noisy labels, uint8 [n], and the mask of wrong ones, bool [n]."""

    labels: NDArray[np.uint8]
    corrupted: NDArray[np.bool_]


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A PCG64 generator for one purpose.

    Args:
        seed: a non-negative integer.
        purpose: what is drawn, in words. Different purposes give independent streams at the same seed.

    Raises:
        ValueError: `seed` is negative.
    """
    words = np.frombuffer(hashlib.sha256(purpose.encode()).digest(), dtype="<u4")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words.tolist()])))


def share(count: int, fraction: float) -> int:
    """floor(fraction * count), with the fraction read as the decimal it is written as.

    In binary 0.29 * 100 is 28.999..., and its floor one too small.

    Raises:
        ValueError: `fraction` is outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"a fraction of the labels lies in [0, 1], not at {fraction}")
    return math.floor(Fraction(str(fraction)) * count)


def first_rows(labels: NDArray[np.uint8], fraction: float, seed: int, classes: int = 10) -> Noisy:
    """Give each of the first floor(fraction * n) rows a label drawn uniformly from the wrong classes.

    The rows are the first in index order, so the share of wrong labels is the fraction itself. Row i draws
    the i-th number of its seed's stream, whatever the fraction and the number of rows: the noise of 25% is
    the start of the noise of 50%, and a shorter training set has the noise of the longer one's first rows.

    Args:
        labels: right labels, uint8 [n] with values 0..classes-1.
        fraction: share of rows to corrupt, in [0, 1].
        seed: non-negative.
        classes: number of classes, at least 2.

    Raises:
        ValueError: the fraction or the seed is out of range, or a label is.

    Source: Mehra & Hamm (2021), supplement E.2, and the released pre-processing.
    """
    if classes < 2 or (labels.size and labels.max() >= classes):
        raise ValueError(f"labels run from 0 to {labels.max(initial=0)}, that does not fit {classes} classes")
    count = share(len(labels), fraction)
    # A step of 1 to classes-1 around the circle of classes never ends where it began.
    steps = generator(seed, "label noise").integers(1, classes, size=count)
    noisy = labels.astype(np.uint8, copy=True)
    noisy[:count] = (labels[:count].astype(np.int64) + steps) % classes
    corrupted = np.arange(len(labels)) < count
    return Noisy(noisy, corrupted)


RULES: dict[str, Callable[[NDArray[np.uint8], float, int, int], Noisy]] = {"first_rows": first_rows}
"""The rules by the name a parameter file uses."""
