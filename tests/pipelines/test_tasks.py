"""Few-shot classes and tasks: disjoint, not repeated, turned as they should be, and the same for every solver."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.datasets import class_splits, tasks
from pipelines.datasets.tasks import Shape
from pipelines.errors import UserError


@pytest.mark.parametrize(
    ("split", "sizes"),
    [
        (class_splits.omniglot(), (1100, 100, 423)),
        (class_splits.drawn(1143, 150, 250), (743, 150, 250)),
    ],
)
def test_classes_are_parted_without_remainder(split: class_splits.Classes, sizes: tuple[int, ...]) -> None:
    assert tuple(map(len, split)) == sizes
    np.testing.assert_array_equal(np.sort(np.concatenate(split)), np.arange(sum(sizes)))
    assert all((np.diff(part) > 0).all() for part in split)


def test_the_papers_classes() -> None:
    split = class_splits.omniglot()
    # the paper's 1200 are our meta-training and meta-validation
    np.testing.assert_array_equal(np.concatenate([split.train, split.validation]), np.arange(1200))


def test_other_numbers_of_classes_are_refused() -> None:
    with pytest.raises(UserError, match="1623 characters, these are 1200"):
        class_splits.omniglot(1200)
    with pytest.raises(UserError, match="of 400 classes 150 and 250 cannot be set aside"):
        class_splits.drawn(400, 150, 250)


SHAPE = Shape(way=5, shot=1, query=15)


def test_a_meta_batch_repeats_no_class_and_no_drawing() -> None:
    found = tasks.meta_batch(200, 20, SHAPE, 30, seed=0, number=7)
    assert found.classes.shape == (30, 5) and len(np.unique(found.classes)) == 150
    together = np.concatenate([found.support, found.query], axis=-1)
    assert together.shape == (30, 5, 16) and together.min() == 0 and together.max() == 19
    assert all(len(set(one)) == 16 for one in together.reshape(-1, 16).tolist())
    # a whole meta-batch takes every class once
    every = tasks.meta_batch(150, 20, SHAPE, 30, seed=0, number=7)
    np.testing.assert_array_equal(np.sort(every.classes, axis=None), np.arange(150))


def test_a_meta_batch_depends_on_seed_and_number_alone() -> None:
    first = tasks.meta_batch(200, 20, SHAPE, 4, seed=0, number=3)
    np.random.default_rng(5).random(100)
    again = tasks.meta_batch(200, 20, SHAPE, 4, seed=0, number=3)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    for seed, number in ((0, 4), (1, 3)):
        assert not np.array_equal(tasks.meta_batch(200, 20, SHAPE, 4, seed, number).classes, first.classes)


def test_all_classes_and_drawings_are_equally_likely() -> None:
    classes, drawings = np.zeros(20), np.zeros(20)
    for number in range(500):
        found = tasks.meta_batch(20, 20, SHAPE, 2, seed=0, number=number)
        classes += np.bincount(found.classes.reshape(-1), minlength=20)
        drawings += np.bincount(found.support.reshape(-1), minlength=20)
    # 20 cells of mean 250; drawing without repetition halves the spread of the first
    for counts in (classes, drawings):
        assert ((counts - 250) ** 2 / 250).sum() < 50.8  # 99.99% quantile with 19 degrees of freedom


def test_fixed_tasks() -> None:
    found = tasks.fixed(30, 20, Shape(20, 5, 15), 50, seed=1, purpose="meta-test")
    assert found.classes.shape == (50, 20) and found.query.shape == (50, 20, 15)
    assert all(len(set(one)) == 20 for one in found.classes.tolist())
    other = tasks.fixed(30, 20, Shape(20, 5, 15), 50, seed=1, purpose="meta-validation")
    assert not np.array_equal(other.classes, found.classes)


def test_too_much_is_refused() -> None:
    with pytest.raises(UserError, match="30 tasks of 5 classes needs 150 classes, there are 149"):
        tasks.meta_batch(149, 20, SHAPE, 30, 0, 0)
    with pytest.raises(UserError, match="a task of 5 classes cannot be drawn from 4"):
        tasks.fixed(4, 20, SHAPE, 1, 0, "meta-test")
    with pytest.raises(UserError, match="6 drawings to learn from and 15 to be judged on, of 20"):
        tasks.meta_batch(200, 20, Shape(5, 6, 15), 4, 0, 0)


def test_a_turned_class_is_a_class_of_its_own() -> None:
    images = np.random.default_rng(0).integers(0, 255, (3, 4, 6, 6)).astype(np.uint8)
    classes = np.array([[0, 5, 10], [11, 6, 4]])
    drawings = np.array([[[1, 0], [2, 3], [3, 1]], [[0, 1], [2, 0], [3, 2]]])
    found = tasks.pictures(images, classes, drawings, rotations=4)
    for place in np.ndindex(2, 3, 2):
        number = classes[place[:2]]
        expected = np.rot90(images[number // 4, drawings[place]], number % 4)
        np.testing.assert_array_equal(found[place], expected)
    coloured = np.stack([images, images + 1, images + 2], axis=2)
    turned = tasks.pictures(coloured, classes, drawings, rotations=4)
    np.testing.assert_array_equal(turned[:, :, :, 1], found + 1)
    np.testing.assert_array_equal(tasks.pictures(images, classes % 3, drawings), images[(classes % 3)[..., None], drawings])


def test_the_nearest_neighbour() -> None:
    known = np.zeros((2, 3, 1, 4), dtype=np.uint8)
    known[:, range(3), 0, range(3)] = 200
    asked = np.zeros((2, 3, 2, 4), dtype=np.uint8)
    asked[:, range(3), :, range(3)] = 90
    asked[1, 0, 0] = [0, 90, 0, 255]  # of class 0, looks like class 1
    np.testing.assert_allclose(tasks.nearest_neighbour(known, asked), [1.0, 5 / 6])
