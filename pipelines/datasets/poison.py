"""Where poisoning starts: the first images and labels of the poison points, as pure functions.

A poison's label is fixed; the attack moves its image. Points come in an order in which the first k are those of an
attack with k points, so that attacks of different sizes share a start.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.attack_splits import POSE, VICTIM
from pipelines.datasets.corruption import first_rows
from pipelines.datasets.splits import Split
from pipelines.errors import UserError


class Poisons(NamedTuple):
    """images uint8 [points, ...], labels uint8 [points], and the training rows they copy, int64 [points]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    rows: NDArray[np.int64]


def untargeted(train: Split, points: int, seed: int, classes: int = 10) -> Poisons:
    """The first training images, each with a wrong label drawn at random.

    Raises: UserError: there are fewer training rows than points.
    Source: Mehra & Hamm (2021), supplement D.2.
    """
    if points > len(train.labels):
        raise UserError(f"{points} poison points are asked for, with {len(train.labels)} training rows")
    rows = np.arange(points)
    return Poisons(train.images[rows], first_rows(train.labels[rows], 1.0, seed, classes).labels, rows)


def targeted(train: Split, points: int) -> Poisons:
    """Threes labelled 8 and eights labelled 3 in turn, the first of the training rows.

    Raises: UserError: the number of points is odd, or a class has too few training rows.
    Source: the same, for the attack that makes eights threes.
    """
    if points % 2:
        raise UserError(f"a targeted attack has as many threes as eights, so {points} poison points cannot be")
    pair = [np.flatnonzero(train.labels == label)[: points // 2] for label in (POSE, VICTIM)]
    if min(map(len, pair)) < points // 2:
        raise UserError(f"{points} poison points need {points // 2} training rows of each of {POSE} and {VICTIM}")
    rows = np.stack(pair, axis=1).reshape(-1)
    swapped = np.where(train.labels[rows] == POSE, VICTIM, POSE).astype(np.uint8)
    return Poisons(train.images[rows], swapped, rows)


def nearest(targets: NDArray[np.floating], pool: NDArray[np.floating]) -> NDArray[np.int64]:
    """For each target the pool's row nearest to it by Euclidean distance, int64 [m]; of equals the first.

    Args: targets: features [m, d]. pool: features [n, d], n at least 1.
    Source: the base image of the clean-label attack, Mehra & Hamm (2021), supplement E.4.
    """
    rows = []
    for part in np.array_split(targets.astype(np.float64), max(1, len(targets) // 256)):
        # |t - p|^2 without |t|^2, which is the same for the whole row
        apart = (pool.astype(np.float64) ** 2).sum(axis=1) - 2 * part @ pool.astype(np.float64).T
        rows.append(apart.argmin(axis=1))
    return np.concatenate(rows)
