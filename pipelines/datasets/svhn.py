"""Reading SVHN's cropped digits: two MATLAB files (version 5) with X [32, 32, 3, n] and y [n, 1], where 10 stands for 0."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.registry import DATA_SETS, RAW, DataSet
from pipelines.errors import UserError

SVHN = DATA_SETS["svhn"]
CLASSES = 10


class Svhn(NamedTuple):
    """SVHN in the order of its files.

    Attributes:
        train_images, test_images: uint8 [n, 3, 32, 32], values 0..255; 73,257 and 26,032.
        train_labels, test_labels: uint8 [n], the digit shown, 0..9.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


def load(folder: Path = RAW / SVHN.name, entry: DataSet = SVHN) -> Svhn:
    """Read the two files; raises UserError where one is missing or wrong, naming the command that fetches it."""
    train, test = (read_mat(entry.checked(file, folder), entry) for file in entry.files)
    return Svhn(*train, *test)


def read_mat(path: Path, entry: DataSet = SVHN) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images [n, 3, 32, 32] and digits [n] of one file.

    Raises:
        UserError: it is no MATLAB file, or lacks X or y in the shapes and range above.
    """
    from scipy.io import loadmat  # type: ignore[import-untyped]

    try:
        found = loadmat(path, variable_names=["X", "y"])
        images, labels = found["X"], found["y"]
    except Exception as error:  # scipy raises what it meets: ValueError, KeyError, TypeError, zlib.error, MatReadError
        raise UserError(f"{path} is no file of SVHN ({type(error).__name__}: {error}): run `{entry.command}`") from error
    count = images.shape[-1] if images.ndim == 4 else 0
    if images.dtype != np.uint8 or images.shape != (32, 32, 3, count) or labels.shape != (count, 1) or not count:
        raise UserError(
            f"{path} holds X {images.dtype} {images.shape} and y {labels.shape}, expected uint8 (32, 32, 3, n) and (n, 1): "
            f"run `{entry.command}`"
        )
    if labels.min() < 1 or labels.max() > CLASSES:
        raise UserError(f"{path} holds labels {labels.min()} to {labels.max()}, expected 1 to 10: run `{entry.command}`")
    digits = (labels[:, 0] % CLASSES).astype(np.uint8)
    return np.ascontiguousarray(images.transpose(3, 2, 0, 1)), digits
