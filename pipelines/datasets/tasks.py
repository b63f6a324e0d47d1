"""Few-shot tasks as numbers: which classes, and which drawings of each, as pure functions of (shape, seed, number).

With rotations, class c * 4 + r is class c of the data set turned by r quarter turns, a class of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.corruption import generator
from pipelines.errors import UserError


class Shape(NamedTuple):
    """way: classes of a task; shot, query: drawings of each class to learn from, and to be judged on."""

    way: int
    shot: int
    query: int


class Tasks(NamedTuple):
    """Tasks of one shape; a class's label in a task is its place.

    Attributes:
        classes: int32 [tasks, way].
        support: int32 [tasks, way, shot], drawings of the class.
        query: int32 [tasks, way, query], others of them.
    """

    classes: NDArray[np.int32]
    support: NDArray[np.int32]
    query: NDArray[np.int32]


def meta_batch(classes: int, drawings: int, shape: Shape, tasks: int, seed: int, number: int) -> Tasks:
    """The tasks of upper iteration `number`; no class occurs twice in them.

    Args: classes, drawings: how many there are, and of each. tasks: of the meta-batch.
    Raises: UserError: there are too few classes or drawings.
    Source: Mehra & Hamm (2021), supplement E.3, and the released code.
    """
    if tasks * shape.way > classes:
        raise UserError(
            f"a meta-batch of {tasks} tasks of {shape.way} classes needs {tasks * shape.way} classes, there are "
            f"{classes}: lower meta_batch or way"
        )
    random = generator(seed, f"meta-batch {number}")
    chosen = random.permutation(classes)[: tasks * shape.way].reshape(tasks, shape.way)
    return _with_drawings(random, chosen, drawings, shape)


def fixed(classes: int, drawings: int, shape: Shape, tasks: int, seed: int, purpose: str) -> Tasks:
    """Tasks to be judged on, the same for every method; no class occurs twice in one of them. Raises as above."""
    if shape.way > classes:
        raise UserError(f"a task of {shape.way} classes cannot be drawn from {classes}: lower way")
    random = generator(seed, f"{purpose} tasks")
    chosen = np.stack([random.permutation(classes)[: shape.way] for _ in range(tasks)])
    return _with_drawings(random, chosen, drawings, shape)


def _with_drawings(random: np.random.Generator, chosen: NDArray[np.integer], drawings: int, shape: Shape) -> Tasks:
    wanted = shape.shot + shape.query
    if wanted > drawings:
        raise UserError(f"{shape.shot} drawings to learn from and {shape.query} to be judged on, of {drawings}: too many")
    order = random.permuted(np.broadcast_to(np.arange(drawings), (*chosen.shape, drawings)), axis=-1)
    picked = order.astype(np.int32)[..., :wanted]
    return Tasks(chosen.astype(np.int32), picked[..., : shape.shot], picked[..., shape.shot :])


def pictures(
    images: NDArray[np.uint8], classes: NDArray[np.integer], drawings: NDArray[np.integer], rotations: int = 1
) -> NDArray[np.uint8]:
    """The drawings of tasks.

    Args:
        images: uint8 [classes, drawings, side, side] or [classes, drawings, channels, side, side], not turned.
        classes: [tasks, way], below classes * rotations. drawings: [tasks, way, k].

    Returns: uint8 [tasks, way, k, side, side], or with channels before the sides.
    """
    found: NDArray[np.uint8] = images[(classes // rotations)[..., None], drawings]
    turns = classes % rotations
    for turn in range(1, rotations):
        found[turns == turn] = np.rot90(found[turns == turn], turn, axes=(-2, -1))
    return found


def nearest_neighbour(support: NDArray[np.uint8], query: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The share of a task's queries whose nearest drawing, pixel by pixel, is of their class, float64 [tasks].

    Args: support: [tasks, way, shot, ...]. query: [tasks, way, query, ...].
    """
    shares = []
    for known, asked in zip(support, query, strict=True):
        # whole numbers, so the distances are exact on every processor
        known_flat = known.reshape(known.shape[0] * known.shape[1], -1).astype(np.float64)
        asked_flat = asked.reshape(asked.shape[0] * asked.shape[1], -1).astype(np.float64)
        apart = (known_flat**2).sum(axis=1) - 2 * asked_flat @ known_flat.T
        said = apart.argmin(axis=1) // known.shape[1]
        shares.append((said == np.repeat(np.arange(asked.shape[0]), asked.shape[1])).mean())
    return np.array(shares)
