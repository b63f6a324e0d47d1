"""The form in which few-shot data sets are read: images grouped by class, in three sets of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Classes(NamedTuple):
    """Some classes and their images.

    Attributes:
        images: uint8 [n, channels, height, width], all of a class together, classes in the order of `names`.
        labels: int64 [n], places in `names`, ascending.
        names: one for each class.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]


class FewShot(NamedTuple):
    """Classes to learn from, to choose on, and to test on; none is in two."""

    train: Classes
    validation: Classes
    test: Classes


def ordered(images: NDArray[np.uint8], labels: NDArray[np.integer], numbers: Sequence[int], names: Sequence[str]) -> Classes:
    """The images whose labels [n] are among `numbers`, class by class in that order, each class in its own order."""
    rows = [np.flatnonzero(labels == number) for number in numbers]
    places = np.repeat(np.arange(len(numbers)), [len(one) for one in rows])
    return Classes(images[np.concatenate(rows)], places, tuple(names))
