"""What `pipelines.clean_label.prepare` stored, as training may see it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.prepared import TRAINING_FILE, read_arrays


class CleanLabel(NamedTuple):
    """Two classes. Images uint8 [n, ...], labels uint8 [n], 0 or 1; features float32 [n, d], of the victim's network.

    Attributes:
        train_images, train_labels, train_features: what the victim trains on, and where bases come from.
        selection_images, selection_labels, selection_features: in neither cost.
        test_images, test_features: possible targets; their labels are sealed.
        network: float32 [k], the parameters of a network that was trained here; none of other features.
        nearest_base: int64 [n_test, 2], the training row of class 0, and of class 1, nearest to each test image.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    train_features: NDArray[np.float32]
    selection_images: NDArray[np.uint8]
    selection_labels: NDArray[np.uint8]
    selection_features: NDArray[np.float32]
    test_images: NDArray[np.uint8]
    test_features: NDArray[np.float32]
    network: NDArray[np.float32]
    nearest_base: NDArray[np.int64]


def load(folder: Path) -> CleanLabel:
    """Read train.npz; raises UserError where it is missing or unreadable."""
    return CleanLabel(**read_arrays(folder / TRAINING_FILE, CleanLabel._fields))


def unit(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels in [0, 1], [n, C, H, W]; those of scikit-learn's digits, 8 wide, count to 16."""
    largest = 16 if images.shape[-1] == 8 else 255
    scaled = images.astype(np.float32) / np.float32(largest)
    return scaled[:, None] if images.ndim == 3 else scaled


def as_bytes(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same as an image file holds them, 0 to 255."""
    return np.round(255 * unit(images)).astype(np.uint8)
