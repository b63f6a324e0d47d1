"""What `pipelines.clean_label.prepare` stored, as training may see it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.prepared import TRAINING_FILE, read_arrays


class CleanLabel(NamedTuple):
    """Two classes. Images uint8 [n, ...], labels uint8 [n], 0 or 1.

    Attributes:
        train_images, train_labels: what the victim trains on, and where bases come from.
        selection_images, selection_labels: in neither cost.
        test_images: possible targets; their labels are sealed.
        nearest_base: int64 [n_test, 2], the training row of class 0, and of class 1, nearest to each test image.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    selection_images: NDArray[np.uint8]
    selection_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    nearest_base: NDArray[np.int64]


def load(folder: Path) -> CleanLabel:
    """Read train.npz; raises UserError where it is missing or unreadable."""
    return CleanLabel(**read_arrays(folder / TRAINING_FILE, CleanLabel._fields))
