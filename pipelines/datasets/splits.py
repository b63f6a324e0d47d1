"""What a split is, and those of MNIST (large scale) and of the digits; further ones are in `paper_splits`.

Train is weighed by g, validation is f. Selection is a clean split that enters neither: iterates and
hyper-parameters are chosen on it, since choosing them on the validation data would be choosing on training data.
The paper has none; on MNIST its 1000 rows are taken from the end of the training rows, which leaves 58,000 of the
paper's 59,000.

Training rows keep an order in which the first ones may be corrupted: MNIST's own, the shuffled one for the
digits.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets import digits
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


class Parts(Protocol):
    """A data set that its authors published in two parts: images uint8 [n, ...], labels uint8 [n]."""

    @property
    def train_images(self) -> NDArray[np.uint8]: ...
    @property
    def train_labels(self) -> NDArray[np.uint8]: ...
    @property
    def test_images(self) -> NDArray[np.uint8]: ...
    @property
    def test_labels(self) -> NDArray[np.uint8]: ...


class Splits(NamedTuple):
    """Four disjoint splits of one data set."""

    train: Split
    validation: Split
    selection: Split
    test: Split


def mnist_splits(data: Parts, train_size: int | None = None) -> Splits:
    """Split MNIST in the order of its files.

    Validation is the last 1000 rows of the training file, selection the 1000 before it, train the rest
    (58,000), test the test file (10,000).

    Args:
        train_size: keep that many training rows, the first ones; None keeps all.

    Raises:
        UserError: the training file is too short, or `train_size` is no number of rows it has.

    Source: Mehra & Hamm (2021), supplement E.2, for validation and test.
    """
    return from_the_end(data, MNIST_VALIDATION, MNIST_SELECTION, train_size)


def from_the_end(data: Parts, validation: int, selection: int, train_size: int | None = None) -> Splits:
    """The last `validation` rows of the training file, the `selection` rows before them, and the rest to train on.

    Raises UserError as `mnist_splits`.
    """
    count = len(data.train_images)
    train_ends = count - validation - selection
    if train_ends < 1:
        raise UserError(f"{count} training rows are too few: {validation + selection} are set aside")
    return parted(
        data,
        train=np.arange(checked_size(train_size, train_ends)),
        validation=np.arange(count - validation, count),
        selection=np.arange(train_ends, count - validation),
    )


def parted(
    data: Parts, train: NDArray[np.int64], validation: NDArray[np.int64], selection: NDArray[np.int64]
) -> Splits:
    """Splits by rows of the training file; test is the test file, whole."""
    images, labels = data.train_images, data.train_labels
    return Splits(
        train=Split(images[train], labels[train]),
        validation=Split(images[validation], labels[validation]),
        selection=Split(images[selection], labels[selection]),
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
    rank = rank_within_class(data.labels[order])
    test_ends = DIGITS_TEST // digits.CLASSES
    validation_ends = test_ends + DIGITS_VALIDATION // digits.CLASSES
    selection_ends = validation_ends + DIGITS_SELECTION // digits.CLASSES
    counts = np.bincount(data.labels, minlength=digits.CLASSES)
    if counts.min() <= selection_ends:
        raise UserError(f"class {counts.argmin()} has {counts.min()} rows, needed are {selection_ends + 1}")

    def part(name: str, first: int, end: int, size: int | None = None) -> Split:
        rows = order[(rank >= first) & (rank < end)]
        # Shuffled again: taken by rank, the rows of a class that happens to come early would stand first.
        rows = generator(DIGITS_SEED, f"digits {name}").permutation(rows)[: checked_size(size, len(rows))]
        return Split(data.images[rows], data.labels[rows])

    return Splits(
        train=part("train", selection_ends, len(order), train_size),
        validation=part("validation", test_ends, validation_ends),
        selection=part("selection", validation_ends, selection_ends),
        test=part("test", 0, test_ends),
    )


def rank_within_class(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each row how many earlier rows have its label, [n]."""
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rank[rows] = np.arange(len(rows))
    return rank


def checked_size(train_size: int | None, available: int) -> int:
    """The number of training rows to keep; raises UserError where it is not between 1 and `available`."""
    if train_size is None:
        return available
    if not 1 <= train_size <= available:
        raise UserError(f"train_size is {train_size}, with {available} training rows: give 1 to {available}")
    return train_size
