"""Splits of poisoning and where poisons start: sizes, balance, relabelled eights, and what the seed moves."""

from __future__ import annotations

import numpy as np
import pytest
from test_splits import numbered, row_numbers

from pipelines.datasets import attack_splits, poison
from pipelines.datasets.attack_splits import TARGETED, UNTARGETED, Sizes
from pipelines.datasets.splits import Split
from pipelines.errors import UserError

LABELS = np.random.default_rng(2).permutation(np.arange(60_000) % 10).astype(np.uint8)
TRAIN = Split(numbered(60_000), LABELS)
TEST = Split(numbered(10_000), (np.arange(10_000) % 10).astype(np.uint8))
NEAR, FAR = Split(*(part[:2000] for part in TRAIN)), Split(*(part[2000:] for part in TRAIN))


def test_untargeted() -> None:
    splits = attack_splits.untargeted(TRAIN, UNTARGETED, seed=0)
    rows = [row_numbers(split.images) for split in splits]
    assert [len(part) for part in rows] == [1000, 1000, 1000, 8000]
    assert len(np.unique(np.concatenate(rows))) == 11_000
    for split, part in zip(splits, rows, strict=True):
        np.testing.assert_array_equal(split.labels, LABELS[part])
    other = attack_splits.untargeted(TRAIN, UNTARGETED, seed=1)
    assert not np.array_equal(row_numbers(other.train.images), rows[0])
    with pytest.raises(UserError, match="10 rows are too few for splits of 1000, 1000, 1000, 8000"):
        attack_splits.untargeted(Split(numbered(10), LABELS[:10]), UNTARGETED, 0)


def test_targeted() -> None:
    splits = attack_splits.targeted(NEAR, FAR, TEST, TARGETED, seed=0)
    rows = [row_numbers(split.images) for split in splits]
    assert [len(part) for part in rows] == [1000, 400, 100, 5000]
    np.testing.assert_array_equal(np.bincount(splits.train.labels), np.full(10, 100))
    assert rows[0].max() < 2000 <= min(rows[1].min(), rows[2].min())
    # eights, called threes
    for part, split in ((rows[1], splits.validation), (rows[2], splits.selection)):
        assert (LABELS[part] == 8).all() and (split.labels == 3).all()
    assert len(np.unique(np.concatenate(rows[:3]))) == 1500
    # evaluation has the right labels
    np.testing.assert_array_equal(splits.test.labels, TEST.labels[rows[3]])
    np.testing.assert_array_equal(np.bincount(splits.test.labels), np.full(10, 500))
    assert not np.array_equal(np.sort(splits.train.labels), splits.train.labels)


def test_a_class_with_too_few_rows_is_refused() -> None:
    """The released code silently makes the set smaller."""
    rare = Split(NEAR.images, np.where((NEAR.labels == 5) & (np.arange(2000) > 300), 6, NEAR.labels).astype(np.uint8))
    with pytest.raises(UserError, match=r"class 5 has \d+ rows, needed are 100"):
        attack_splits.targeted(rare, FAR, TEST, TARGETED, seed=0)


def test_targeted_from_one_pool() -> None:
    pool = Split(*(part[:1800] for part in TRAIN))
    splits = attack_splits.targeted_of_one(pool, Sizes(300, 500, 200, 600), seed=3)
    rows = [row_numbers(split.images) for split in splits]
    assert [len(part) for part in rows] == [300, 50, 20, 600]
    assert len(np.unique(np.concatenate(rows))) == 970
    assert (pool.labels[np.concatenate(rows[1:3])] == 8).all()
    np.testing.assert_array_equal(np.bincount(splits.test.labels), np.full(10, 60))


def test_dog_against_fish() -> None:
    """900 and 300 of each class, in the official order of a file: one class after the other."""
    labels = np.repeat([0, 1], [950, 930]).astype(np.uint8)
    train, test = Split(numbered(1880), labels), Split(numbered(620), np.repeat([0, 1], 310).astype(np.uint8))
    splits = attack_splits.two_classes(train, test, (0, 1), 900, 300, 50)
    rows = [row_numbers(split.images) for split in splits]
    np.testing.assert_array_equal(rows[0], np.r_[0:850, 950:1800])
    np.testing.assert_array_equal(rows[2], np.r_[850:900, 1800:1850])
    np.testing.assert_array_equal(rows[3], np.r_[0:300, 310:610])
    assert len(splits.validation.labels) == 0
    swapped = attack_splits.two_classes(train, test, (1, 0), 900, 300, 50)
    np.testing.assert_array_equal(swapped.test.labels, 1 - splits.test.labels)
    with pytest.raises(UserError, match="class 1 has 930 rows, needed are 940"):
        attack_splits.two_classes(train, test, (0, 1), 940, 300, 50)


def test_untargeted_poisons_are_the_first_images_under_wrong_labels() -> None:
    poisons = poison.untargeted(NEAR, 60, seed=0)
    np.testing.assert_array_equal(poisons.images, NEAR.images[:60])
    assert (poisons.labels != NEAR.labels[:60]).all() and poisons.labels.max() < 10
    np.testing.assert_array_equal(poison.untargeted(NEAR, 10, seed=0).labels, poisons.labels[:10])
    assert not np.array_equal(poison.untargeted(NEAR, 60, seed=1).labels, poisons.labels)
    with pytest.raises(UserError, match="2001 poison points are asked for, with 2000"):
        poison.untargeted(NEAR, 2001, seed=0)


def test_targeted_poisons_swap_threes_and_eights_in_turn() -> None:
    poisons = poison.targeted(NEAR, 60)
    np.testing.assert_array_equal(NEAR.labels[poisons.rows], np.tile([3, 8], 30))
    np.testing.assert_array_equal(poisons.labels, np.tile([8, 3], 30))
    np.testing.assert_array_equal(poisons.rows[::2], np.flatnonzero(NEAR.labels == 3)[:30])
    np.testing.assert_array_equal(poisons.images, NEAR.images[poisons.rows])
    np.testing.assert_array_equal(poison.targeted(NEAR, 10).rows, poisons.rows[:10])
    with pytest.raises(UserError, match="as many threes as eights, so 7"):
        poison.targeted(NEAR, 7)
    with pytest.raises(UserError, match="need 300 training rows of each of 3 and 8"):
        poison.targeted(NEAR, 600)


def test_the_nearest_base() -> None:
    random = np.random.default_rng(0)
    pool, targets = random.normal(size=(40, 7)), random.normal(size=(600, 7))
    expected = [int(np.linalg.norm(pool - target, axis=1).argmin()) for target in targets]
    np.testing.assert_array_equal(poison.nearest(targets, pool), expected)
    np.testing.assert_array_equal(poison.nearest(pool, np.concatenate([pool, pool])), np.arange(40))
