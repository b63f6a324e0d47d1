"""The splits: which row goes where, that none goes twice, and the balance of the digits."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pipelines.datasets import digits
from pipelines.datasets.mnist import Mnist
from pipelines.datasets.splits import Splits, digits_splits, mnist_splits
from pipelines.errors import UserError


def numbered(rows: int) -> np.ndarray:
    """Images of four pixels that hold their own row number."""
    return np.arange(rows, dtype="<u4").view(np.uint8).reshape(rows, 2, 2)


def row_numbers(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images).reshape(len(images), 4).view("<u4")[:, 0]


@pytest.fixture(scope="module")
def full() -> Mnist:
    labels = (np.arange(60000) * 7 % 10).astype(np.uint8)
    return Mnist(numbered(60000), labels, numbered(10000), labels[:10000])


def test_mnist_is_split_by_index(full: Mnist) -> None:
    splits = mnist_splits(full)
    np.testing.assert_array_equal(row_numbers(splits.train.images), np.arange(58000))
    np.testing.assert_array_equal(row_numbers(splits.selection.images), np.arange(58000, 59000))
    np.testing.assert_array_equal(row_numbers(splits.validation.images), np.arange(59000, 60000))
    np.testing.assert_array_equal(row_numbers(splits.test.images), np.arange(10000))
    for split in splits[:3]:
        np.testing.assert_array_equal(split.labels, row_numbers(split.images) * 7 % 10)
    np.testing.assert_array_equal(splits.test.labels, full.test_labels)


def test_a_training_subset_is_the_first_rows_and_moves_nothing_else(full: Mnist) -> None:
    whole, part = mnist_splits(full), mnist_splits(full, 2000)
    np.testing.assert_array_equal(part.train.images, whole.train.images[:2000])
    np.testing.assert_array_equal(part.train.labels, whole.train.labels[:2000])
    for one, other in zip(whole[1:], part[1:], strict=True):
        np.testing.assert_array_equal(one.images, other.images)
    assert len(mnist_splits(full, 58000).train.labels) == 58000


@pytest.mark.parametrize("train_size", [0, -1, 58001])
def test_an_impossible_subset_is_refused(full: Mnist, train_size: int) -> None:
    with pytest.raises(UserError, match=f"train_size is {train_size}, with 58000"):
        mnist_splits(full, train_size)


def test_too_few_rows_are_refused() -> None:
    labels = np.zeros(2000, dtype=np.uint8)
    with pytest.raises(UserError, match="2000 training rows are too few"):
        mnist_splits(Mnist(numbered(2000), labels, numbered(10), labels[:10]))


@pytest.fixture(scope="module")
def small() -> Splits:
    data = digits.load()
    return digits_splits(digits.Digits(numbered(len(data.labels)), data.labels))


def test_the_digits_are_parted_without_remainder(small: Splits) -> None:
    assert [len(split.labels) for split in small] == [997, 100, 200, 500]
    rows = np.concatenate([row_numbers(split.images) for split in small])
    np.testing.assert_array_equal(np.sort(rows), np.arange(1797))
    labels = digits.load().labels
    for split in small:
        np.testing.assert_array_equal(split.labels, labels[row_numbers(split.images)])


def test_the_digits_are_balanced_where_they_can_be(small: Splits) -> None:
    np.testing.assert_array_equal(np.bincount(small.test.labels), np.full(10, 50))
    np.testing.assert_array_equal(np.bincount(small.validation.labels), np.full(10, 10))
    np.testing.assert_array_equal(np.bincount(small.selection.labels), np.full(10, 20))
    left = np.bincount(small.train.labels)
    assert left.min() == 94 and left.max() == 103


def test_no_class_stands_together(small: Splits) -> None:
    """The first rows get the noise: they must hold every class about as often."""
    for part in (249, 498):
        counts = np.bincount(small.train.labels[:part], minlength=10)
        # 10 cells of nearly equal mean; the 99.9% quantile with 9 degrees of freedom is 27.9.
        assert ((counts - part / 10) ** 2 / (part / 10)).sum() < 27.9
    for split in small:
        same = (split.labels[1:] == split.labels[:-1]).mean()
        assert same < 0.2


def test_the_digits_are_split_the_same_every_time(small: Splits) -> None:
    rows = np.concatenate([row_numbers(split.images) for split in small])
    assert hashlib.sha256(rows.astype("<u4").tobytes()).hexdigest() == GOLDEN
    part = digits_splits(digits.load(), 100)
    np.testing.assert_array_equal(part.train.labels, small.train.labels[:100])
    np.testing.assert_array_equal(part.test.labels, small.test.labels)


GOLDEN = "f98aa195e28c3f02bd917eb258e2bc04247291ee6b613688f7cc7995b3145589"


def test_digits_that_do_not_suffice_are_refused() -> None:
    data = digits.load()
    rows = np.flatnonzero((data.labels != 4) | (np.cumsum(data.labels == 4) <= 80))
    with pytest.raises(UserError, match="class 4 has 80 rows, needed are 81"):
        digits_splits(digits.Digits(data.images[rows], data.labels[rows]))
    with pytest.raises(UserError, match="train_size is 998, with 997"):
        digits_splits(data, 998)
