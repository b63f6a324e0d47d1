"""The denoising splits: train (weighed by g), validation (which is f), selection, test.

Selection is a clean split that enters neither f nor g: iterates and hyper-parameters are chosen on it, since
choosing them on the validation data would be choosing on training data. The paper has none; its 1000 rows are
taken from the end of the training rows, which leaves 58,000 of the paper's 59,000.

Training rows keep an order in which the first ones may be corrupted: MNIST's own, the shuffled one for the
digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets import digits, mnist
from pipelines.datasets.corruption import generator
from pipelines.errors import UserError

MNIST_VALIDATION = 1000
MNIST_SELECTION = 1000

DIGITS_TEST = 500
DIGITS_VALIDATION = 100
DIGITS_SELECTION = 200
DIGITS_SEED = 0
"""Fixed: the split is part of the data set, not of a trial."""


class Split(NamedTuple):
    """Rows of a data set: images uint8 [n, height, width], right labels uint8 [n]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


class Splits(NamedTuple):
    """Four disjoint splits of one data set."""

    train: Split
    validation: Split
    selection: Split
    test: Split


def mnist_splits(data: mnist.Mnist, train_size: int | None = None) -> Splits:
    """Split MNIST in the order of its files.

    Validation is the last 1000 rows of the training file, selection the 1000 before it, train the rest
    (58,000), test the test file (10,000).

    Args:
        train_size: keep that many training rows, the first ones; None keeps all.

    Raises:
        UserError: the training file is too short, or `train_size` is no number of rows it has.

    Source: Mehra & Hamm (2021), supplement E.2, for validation and test.
    """
    selection_ends = len(data.train_images) - MNIST_VALIDATION
    train_ends = selection_ends - MNIST_SELECTION
    if train_ends < 1:
        taken = MNIST_VALIDATION + MNIST_SELECTION
        raise UserError(f"{len(data.train_images)} training rows are too few: {taken} are set aside")
    rows = slice(0, _checked(train_size, train_ends))
    selection = slice(train_ends, selection_ends)
    validation = slice(selection_ends, None)
    return Splits(
        train=Split(data.train_images[rows], data.train_labels[rows]),
        validation=Split(data.train_images[validation], data.train_labels[validation]),
        selection=Split(data.train_images[selection], data.train_labels[selection]),
        test=Split(data.test_images, data.test_labels),
    )


def digits_splits(data: digits.Digits, train_size: int | None = None) -> Splits:
    """Split scikit-learn's digits: test 500, validation 100, selection 200, train the other 997.

    The rows are drawn by a fixed seed. The first three have the same number of each class; train takes what
    is left, 94 to 103 of each.

    Args:
        train_size: keep that many training rows, the first ones in shuffled order; None keeps all.

    Raises:
        UserError: a class has too few rows, or `train_size` is no number of rows there are.
    """
    order = generator(DIGITS_SEED, "digits split").permutation(len(data.labels))
    rank = _rank_within_class(data.labels[order])
    test_ends = DIGITS_TEST // digits.CLASSES
    validation_ends = test_ends + DIGITS_VALIDATION // digits.CLASSES
    selection_ends = validation_ends + DIGITS_SELECTION // digits.CLASSES
    counts = np.bincount(data.labels, minlength=digits.CLASSES)
    if counts.min() <= selection_ends:
        raise UserError(f"class {counts.argmin()} has {counts.min()} rows, needed are {selection_ends + 1}")

    def part(name: str, first: int, end: int, size: int | None = None) -> Split:
        rows = order[(rank >= first) & (rank < end)]
        # Shuffled again: taken by rank, the rows of a class that happens to come early would stand first.
        rows = generator(DIGITS_SEED, f"digits {name}").permutation(rows)[: _checked(size, len(rows))]
        return Split(data.images[rows], data.labels[rows])

    return Splits(
        train=part("train", selection_ends, len(order), train_size),
        validation=part("validation", test_ends, validation_ends),
        selection=part("selection", validation_ends, selection_ends),
        test=part("test", 0, test_ends),
    )


def _rank_within_class(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each row how many earlier rows have its label, [n]."""
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rank[rows] = np.arange(len(rows))
    return rank


def _checked(train_size: int | None, available: int) -> int:
    """The number of training rows to keep; raises UserError where it is not between 1 and `available`."""
    if train_size is None:
        return available
    if not 1 <= train_size <= available:
        raise UserError(f"train_size is {train_size}, with {available} training rows: give 1 to {available}")
    return train_size
