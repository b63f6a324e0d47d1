"""Label noise, as pure functions of (labels, fraction, seed).

A rule takes labels [n] and returns the noisy ones with the mask of those that are now wrong. The draws come from
a generator that is seeded by (seed, purpose): no global state, and no stream shared by two purposes.
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
    _check(labels, classes)
    count = share(len(labels), fraction)
    return _relabelled(labels, np.arange(count), _wrong(labels[:count], seed, classes))


def random_rows(labels: NDArray[np.uint8], fraction: float, seed: int, classes: int = 10) -> Noisy:
    """Give floor(fraction * n) rows, drawn at random, a label drawn uniformly from the wrong classes.

    As the paper's text describes it. At 50% it is the noise of Franceschi et al., a random half. The rows of 25%
    are among those of 50%, with the same labels. Arguments and errors as `first_rows`.

    Source: Mehra & Hamm (2021), Section 3.2; Franceschi et al. (2017), rfho/examples/data_hypercleaner.py.
    """
    _check(labels, classes)
    rows = _rows(len(labels), fraction, seed)
    return _relabelled(labels, rows, _wrong(labels[rows], seed, classes))


def uniform(labels: NDArray[np.uint8], fraction: float, seed: int, classes: int = 10) -> Noisy:
    """Give floor(fraction * n) rows, drawn at random, a label drawn uniformly from ALL classes, the old one included.

    So a nominal 40% of 10 classes leaves 36% wrong: this is the "36%" that the paper compares with. `corrupted`
    marks the wrong ones alone. The code of Ren et al. never draws the last class, by an oversight that this rule
    does not repeat. Arguments and errors as `first_rows`.

    Source: Ren et al. (2018), cifar/generate_noisy_cifar_data.py; Shu et al. (2019), load_corrupted_data.py.
    """
    _check(labels, classes)
    rows = _rows(len(labels), fraction, seed)
    drawn = generator(seed, "uniform labels").integers(0, classes, size=len(rows))
    return _relabelled(labels, rows, drawn)


def pair_flip(labels: NDArray[np.uint8], fraction: float, seed: int, classes: int = 10) -> Noisy:
    """Give floor(fraction * n) rows, drawn at random, the class after theirs, the last class the first.

    Arguments and errors as `first_rows`. Source: Han et al. (2018), Co-teaching.
    """
    _check(labels, classes)
    rows = _rows(len(labels), fraction, seed)
    return _relabelled(labels, rows, (labels[rows].astype(np.int64) + 1) % classes)


def _check(labels: NDArray[np.uint8], classes: int) -> None:
    if classes < 2 or (labels.size and labels.max() >= classes):
        raise ValueError(f"labels run from 0 to {labels.max(initial=0)}, that does not fit {classes} classes")


def _rows(count: int, fraction: float, seed: int) -> NDArray[np.int64]:
    """floor(fraction * count) rows in random order; those of a smaller fraction come first."""
    wanted = share(count, fraction)
    return generator(seed, "noisy rows").permutation(count)[:wanted]


def _wrong(labels: NDArray[np.uint8], seed: int, classes: int) -> NDArray[np.int64]:
    """A wrong label for each of these."""
    # A step of 1 to classes-1 around the circle of classes never ends where it began.
    steps = generator(seed, "label noise").integers(1, classes, size=len(labels))
    return (labels.astype(np.int64) + steps) % classes


def _relabelled(labels: NDArray[np.uint8], rows: NDArray[np.int64], drawn: NDArray[np.int64]) -> Noisy:
    noisy = labels.astype(np.uint8, copy=True)
    noisy[rows] = drawn
    return Noisy(noisy, noisy != labels)


RULES: dict[str, Callable[[NDArray[np.uint8], float, int, int], Noisy]] = {
    "first_rows": first_rows,
    "random_rows": random_rows,
    "uniform": uniform,
    "pair_flip": pair_flip,
}
"""The rules by the name a parameter file uses."""


def effective(rule: str, fraction: float, classes: int) -> float:
    """The share of wrong labels that a rule makes of a nominal fraction, in expectation; [0, 1]."""
    return fraction * (1 - 1 / classes) if rule == "uniform" else fraction
