"""What `pipelines.few_shot.prepare` stored, as training may see it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.prepared import TRAINING_FILE, read_arrays

TEST_FILE = "test.npz"


class FewShot(NamedTuple):
    """Meta-training and meta-validation; tasks as `pipelines.datasets.tasks.Tasks`, for each seed.

    Attributes:
        train_images, validation_images: uint8 [classes, drawings, side, side], not turned, or with channels before
            the sides.
        rotations: int64 [], quarter turns that are classes of their own; `tasks.pictures` takes it.
        seeds: int64 [seeds].
        selection_classes: int32 [seeds, tasks, way], of the validation images.
        selection_support, selection_query: int32 [seeds, tasks, way, k].
    """

    train_images: NDArray[np.uint8]
    validation_images: NDArray[np.uint8]
    rotations: NDArray[np.int64]
    seeds: NDArray[np.int64]
    selection_classes: NDArray[np.int32]
    selection_support: NDArray[np.int32]
    selection_query: NDArray[np.int32]


class MetaTest(NamedTuple):
    """Tasks of meta-test, of which the labels of queries are sealed.

    Attributes:
        test_images: uint8 [n, side, side], in random order, turned, or with channels before the sides.
        support: int32 [seeds, tasks, way, shot], rows of the images; a class's label is its place in `way`.
        query: int32 [seeds, tasks, way * query], rows in random order, to be labelled.
    """

    test_images: NDArray[np.uint8]
    support: NDArray[np.int32]
    query: NDArray[np.int32]


def load(folder: Path) -> FewShot:
    """Read train.npz; raises UserError where it is missing or unreadable."""
    return FewShot(**read_arrays(folder / TRAINING_FILE, FewShot._fields))


def load_test(folder: Path) -> MetaTest:
    """Read test.npz; raises UserError where it is missing or unreadable."""
    return MetaTest(**read_arrays(folder / TEST_FILE, MetaTest._fields))
