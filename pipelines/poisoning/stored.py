"""What `pipelines.poisoning.prepare` stored, as training may see it; trial i is row i of every array."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.prepared import TRAINING_FILE, read_arrays


class Poisoning(NamedTuple):
    """Images uint8 [seeds, n, height, width], labels uint8 [seeds, n].

    Attributes:
        train_images, train_labels: clean, the victim's.
        validation_images, validation_labels: the attacker's f; of a targeted attack eights called threes.
        selection_images, selection_labels: the same kind, which neither attacker nor victim sees.
        poison_images, poison_labels: where the poisons start, the labels they keep; the first k for k points.
        poison_rows: int64 [seeds, points], the training rows they copy.
        seeds: int64 [seeds].
        test_images: to predict on; their labels are sealed.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    validation_images: NDArray[np.uint8]
    validation_labels: NDArray[np.uint8]
    selection_images: NDArray[np.uint8]
    selection_labels: NDArray[np.uint8]
    poison_images: NDArray[np.uint8]
    poison_labels: NDArray[np.uint8]
    poison_rows: NDArray[np.int64]
    seeds: NDArray[np.int64]
    test_images: NDArray[np.uint8]


def load(folder: Path) -> Poisoning:
    """Read train.npz; raises UserError where it is missing or unreadable."""
    return Poisoning(**read_arrays(folder / TRAINING_FILE, Poisoning._fields))
