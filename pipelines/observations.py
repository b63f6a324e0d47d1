"""What a run reports at a point of its curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.records import pack, significant


class Observation(NamedTuple):
    """One trial at one iteration: named numbers, and uint8 arrays such as predictions."""

    iteration: int
    scalars: Mapping[str, float]
    arrays: Mapping[str, NDArray[np.uint8]]


def evenly(iterations: int, points: int) -> list[int]:
    """0 and `points` further iterations up to `iterations`, evenly spaced."""
    return sorted({round(index * iterations / points) for index in range(points + 1)})


def collected(observations: list[Observation]) -> dict[str, Any]:
    """The observations of one trial as columns: {"curve": {"iteration": [...], name: [...]}, array name: packed}."""
    names = sorted({name for one in observations for name in one.scalars})
    curve: dict[str, list[Any]] = {"iteration": [one.iteration for one in observations]}
    for name in names:
        curve[name] = [significant(one.scalars[name]) if name in one.scalars else None for one in observations]
    columns: dict[str, Any] = {"curve": curve}
    for name in sorted({name for one in observations for name in one.arrays}):
        having = [one for one in observations if name in one.arrays]
        columns[name] = {
            "iterations": [one.iteration for one in having],
            **pack(np.stack([one.arrays[name] for one in having])),
        }
    return columns
