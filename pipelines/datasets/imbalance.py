"""Imbalanced training sets: which rows are kept, labels untouched, as pure functions of (labels, rule, seed).

Rows come back in the order of the data set, so that a rule of noise may follow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.corruption import generator, share
from pipelines.errors import UserError


def long_tail(labels: NDArray[np.uint8], factor: float, seed: int, classes: int = 10) -> NDArray[np.int64]:
    """Rows of a long-tailed set: class c keeps floor(n * factor^(-c/(classes-1))), with n the size of the smallest.

    So the first class has `factor` times the rows of the last. A larger factor keeps a part of what a smaller one
    keeps, class by class.

    Args:
        labels: uint8 [n], values 0..classes-1.
        factor: rows of the first class over those of the last, at least 1.
        seed: non-negative.

    Returns: rows, int64, ascending.

    Raises:
        UserError: the factor is below 1, or leaves a class without a row.

    Source: Cui et al. (2019), as used by Shu et al. (2019), Meta-Weight-Net.
    """
    if not factor >= 1:
        raise UserError(f"a long tail has a factor of at least 1, not {factor}")
    largest = int(np.bincount(labels, minlength=classes).min())
    counts = [int(largest * factor ** (-label / (classes - 1)) + 1e-9) for label in range(classes)]
    if min(counts) < 1:
        raise UserError(f"a long tail of factor {factor} leaves {largest} rows of class 0 and none of the last class")
    return np.sort(np.concatenate([_of_class(labels, label, seed)[: counts[label]] for label in range(classes)]))


def one_against_another(
    labels: NDArray[np.uint8], majority: float, size: int, seed: int, classes: tuple[int, int] = (4, 9)
) -> NDArray[np.int64]:
    """Rows of a two-class set of `size` in which the second class has the share `majority`.

    Args:
        majority: share of the second class, in [0, 1]; Ren et al. use 0.9 to 0.995 of nines.
        classes: (minority, majority).

    Returns: rows, int64 [size], ascending.

    Raises:
        UserError: a class has too few rows.

    Source: Ren et al. (2018), mnist/mnist_train.py: 4 against 9, 5000 training rows.
    """
    many = share(size, majority)
    parts = []
    for label, count in zip(classes, (size - many, many), strict=True):
        rows = _of_class(labels, label, seed)
        if len(rows) < count:
            raise UserError(f"class {label} has {len(rows)} rows, needed are {count}")
        parts.append(rows[:count])
    return np.sort(np.concatenate(parts))


def _of_class(labels: NDArray[np.uint8], label: int, seed: int) -> NDArray[np.int64]:
    """The rows of a class in random order."""
    return generator(seed, f"imbalance of class {label}").permutation(np.flatnonzero(labels == label))
