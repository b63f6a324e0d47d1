"""The paper's further splits, on arrays of the official sizes: which row goes where, and none twice."""

from __future__ import annotations

import numpy as np
import pytest
from test_splits import numbered, row_numbers

from pipelines.datasets import paper_splits
from pipelines.datasets.mnist import Mnist
from pipelines.datasets.splits import Splits
from pipelines.errors import UserError


def made(train: int, test: int) -> Mnist:
    """Numbered rows; labels 0..9 in turn, shuffled, so that counts by class are known."""
    labels = np.random.default_rng(1).permutation(np.arange(train) % 10).astype(np.uint8)
    return Mnist(numbered(train), labels, numbered(test), (np.arange(test) % 10).astype(np.uint8))


MNIST, CIFAR10, SVHN = made(60_000, 10_000), made(50_000, 10_000), made(73_257, 26_032)


def rows_of(splits: Splits, data: Mnist) -> list[np.ndarray]:
    """Row numbers of the parts of the training file; every image still has its label, and no row is in two parts."""
    rows = [row_numbers(split.images) for split in splits[:3]]
    for split, found in zip(splits[:3], rows, strict=True):
        np.testing.assert_array_equal(split.labels, data.train_labels[found])
    together = np.concatenate(rows)
    assert len(np.unique(together)) == len(together)
    return rows


def test_by_index() -> None:
    expected = {
        paper_splits.cifar10_splits: (CIFAR10, (0, 39_000), (40_000, 50_000), (39_000, 40_000)),
        paper_splits.small_splits: (MNIST, (0, 5000), (5000, 10_000), (10_000, 11_000)),
        paper_splits.stocbio_splits: (MNIST, (0, 20_000), (40_000, 45_000), (45_000, 46_000)),
        paper_splits.franceschi_splits: (MNIST, (5000, 10_000), (10_000, 15_000), (25_000, 26_000)),
    }
    for split, (data, *parts) in expected.items():
        found = split(data)
        for rows, (first, end) in zip(rows_of(found, data), parts, strict=True):
            np.testing.assert_array_equal(rows, np.arange(first, end))
        if split is not paper_splits.franceschi_splits:
            np.testing.assert_array_equal(row_numbers(found.test.images), np.arange(10_000))
        part = split(data, train_size=100)
        np.testing.assert_array_equal(row_numbers(part.train.images), row_numbers(found.train.images)[:100])
        np.testing.assert_array_equal(part.selection.images, found.selection.images)
    # half of the 20,000 is test, and they are rows of the training file
    half = paper_splits.franceschi_splits(MNIST).test
    np.testing.assert_array_equal(row_numbers(half.images), np.arange(15_000, 25_000))
    np.testing.assert_array_equal(half.labels, MNIST.train_labels[15_000:25_000])


def test_a_part_of_cifar10() -> None:
    """Two batches of 10,000: train and selection from the first, validation from the second, in the paper's shares."""
    part = made(20_000, 1000)
    found = paper_splits.cifar10_part_splits(part)
    for rows, (first, end) in zip(rows_of(found, part), ((0, 8000), (10_000, 12_000), (8000, 10_000)), strict=True):
        np.testing.assert_array_equal(rows, np.arange(first, end))
    np.testing.assert_array_equal(row_numbers(found.test.images), np.arange(1000))
    less = paper_splits.cifar10_part_splits(part, train_size=1000)
    for rows, (first, end) in zip(rows_of(less, part), ((0, 1000), (10_000, 10_250), (9750, 10_000)), strict=True):
        np.testing.assert_array_equal(rows, np.arange(first, end))
    with pytest.raises(UserError, match="8001, with 8000 training rows"):
        paper_splits.cifar10_part_splits(part, train_size=8001)
    with pytest.raises(UserError, match="9 training rows are too few: this split takes 10"):
        paper_splits.cifar10_part_splits(made(18, 5))


def test_svhn() -> None:
    splits = paper_splits.svhn_splits(SVHN)
    train, validation, selection = rows_of(splits, SVHN)
    assert [len(split.labels) for split in splits] == [71_200, 1000, 1000, 26_032]
    np.testing.assert_array_equal(np.bincount(splits.validation.labels), np.full(10, 100))
    others = np.setdiff1d(np.arange(73_257), validation)
    assert len(others) == 72_257
    # the order of the file, cut to 72,200
    np.testing.assert_array_equal(np.concatenate([train, selection]), others[:72_200])
    few = SVHN._replace(train_labels=np.where(SVHN.train_labels == 3, 4, SVHN.train_labels).astype(np.uint8))
    with pytest.raises(UserError, match="fewer than 100"):
        paper_splits.svhn_splits(few)


def test_the_wide_network() -> None:
    splits = paper_splits.wrn_splits(CIFAR10)
    train, validation, selection = rows_of(splits, CIFAR10)
    assert (len(train), len(validation), len(selection)) == (44_000, 1000, 5000)
    # shuffled: rows of the whole file on average
    assert all(abs(rows.mean() - 25_000) < 4 * 14_434 / np.sqrt(len(rows)) for rows in (train, validation, selection))
    np.testing.assert_array_equal(row_numbers(paper_splits.wrn_splits(CIFAR10).train.images), train)


def test_fours_against_nines() -> None:
    splits = paper_splits.four_nine_splits(MNIST, majority=0.995)
    assert [np.bincount(split.labels).tolist() for split in splits] == [[25, 4975], [5, 5], [50, 50], [250, 250]]
    rows = [row_numbers(split.images) for split in splits]
    for split, found in zip(splits[:3], rows, strict=False):
        np.testing.assert_array_equal(MNIST.train_labels[found], np.where(split.labels == 1, 9, 4))
    assert len(np.unique(np.concatenate(rows[:3]))) == 5110
    np.testing.assert_array_equal(MNIST.test_labels[rows[3]], np.where(splits.test.labels == 1, 9, 4))
    part = paper_splits.four_nine_splits(MNIST, majority=0.9, train_size=200)
    assert len(part.train.labels) == 200 and 0 < (part.train.labels == 0).sum() < 60


@pytest.mark.parametrize("name", ["cifar10", "wrn", "small", "stocbio", "franceschi", "svhn"])
def test_too_few_rows_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="too few|fewer"):
        getattr(paper_splits, f"{name}_splits")(made(1000, 10))
