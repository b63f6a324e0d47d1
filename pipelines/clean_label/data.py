"""The targets of a cell, where their poisons start, and the image that an attack leaves, as a file would hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.clean_label.stored import CleanLabel, as_bytes
from pipelines.datasets.poison import nearest
from pipelines.denoising.cells import data_of
from pipelines.records import cell_folder, read_json
from pipelines.settings import Cell

CLEAN = "clean"
"""The method that attacks nothing; what evaluation writes of it lists the targets."""


class Target(NamedTuple):
    """A target: its row, its features [d], and the image that becomes its poison, uint8 [C, H, W], with the label of it."""

    row: int
    features: NDArray[np.float32]
    base: NDArray[np.uint8]
    label: int


def listed(cell: Cell) -> dict[str, list[int]]:
    """{"rows", "classes", "bases"} of all targets of the cell's data, as evaluation of the clean victim wrote them.

    Raises: UserError, naming the command, where it did not.
    """
    parts = (data_of(cell), CLEAN)
    path = cell_folder(cell.profile, cell.family, *parts) / "metrics.json"
    made_by = f"python -m pipelines.evaluate {cell.family} {cell.profile} {' '.join(parts)}"
    found: dict[str, list[int]] = read_json(path, made_by)["targets"]
    return found


def targets(prepared: CleanLabel, found: Mapping[str, list[int]], base: str) -> list[Target]:
    """The listed targets; `base` says where theirs come from: "training", as in the code, or "test", as in the text."""
    every = []
    for row, called, of_test in zip(found["rows"], found["classes"], found["bases"], strict=True):
        label = 1 - called
        image = prepared.test_images[of_test] if base == "test" else prepared.train_images[prepared.nearest_base[row, label]]
        every.append(Target(row, prepared.test_features[row], base_of(image), label))
    return every


def of_selection(prepared: CleanLabel) -> list[Target]:
    """All selection rows as targets, for choosing settings; their bases are training rows. No test row is looked at."""
    every, features = [], prepared.selection_features
    near = np.empty(len(features), dtype=np.int64)
    for called in (0, 1):
        own = np.flatnonzero(prepared.selection_labels == called)
        other = np.flatnonzero(prepared.train_labels == 1 - called)
        near[own] = other[nearest(features[own], prepared.train_features[other])]
    for row, base in enumerate(near):
        label = int(1 - prepared.selection_labels[row])
        every.append(Target(row, features[row], base_of(prepared.train_images[base]), label))
    return every


def base_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A stored image as bytes [C, H, W]."""
    return as_bytes(image[None]).reshape(-1, *image.shape[-2:])


class Final(NamedTuple):
    """What an attack leaves, all distances in pixels of [0, 1].

    Attributes:
        image: uint8 [C, H, W], inside the ball about its base.
        projection: |u - its projection onto the ball|. rounding: |that projection - image|. distortion: |image - base|.
    """

    image: NDArray[np.uint8]
    projection: float
    rounding: float
    distortion: float


def final(u: NDArray[Any], base: NDArray[np.uint8], radius: float) -> Final:
    """Project u [C, H, W] onto the ball, then round it to bytes.

    Rounding can leave the ball again. What lies between base and u is shrunk by hundredths until the rounded image is
    inside; at the latest that is the base.
    """
    start = base.astype(np.float64) / 255
    away = u.astype(np.float64) - start
    length = float(np.linalg.norm(away))
    inside = away if length <= radius else away * (radius / length)
    for share in np.linspace(1, 0, 101):
        image = np.round(255 * (start + share * inside))
        distortion = float(np.linalg.norm(image - base)) / 255
        if distortion <= radius:
            break
    rounding = float(np.linalg.norm(image / 255 - start - inside))
    return Final(image.astype(np.uint8), float(np.linalg.norm(away - inside)), rounding, distortion)


def difference(image: NDArray[np.uint8], base: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """image - base modulo 256: small numbers, which pack better; added to the base modulo 256 they give the image."""
    return np.subtract(image, base, dtype=np.uint8)


def problems(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(setting, what it must be) of the settings of an attack that have no meaning."""
    epsilons: Any = settings.get("epsilons")
    numbers = [one for one in epsilons if one is not None] if isinstance(epsilons, list) else [-1]
    good = all(isinstance(one, int | float) and not isinstance(one, bool) and one >= 0 for one in numbers)
    found = []
    if not good or not epsilons or len(set(epsilons)) < len(epsilons):
        found.append(("epsilons", "different numbers, none negative, in pixels of [0, 1]; null for no bound"))
    elif settings["form"] == "unconstrained" and numbers:
        found.append(("epsilons", "[null]: the unconstrained attack knows no bound"))
    elif settings["form"] == "constrained" and None in epsilons:
        found.append(("epsilons", "numbers alone: a constraint needs its bound"))
    if settings.get("base", "training") not in ("training", "test"):
        found.append(("base", "training or test"))
    if settings.get("attacked", "test") not in ("test", "selection"):
        found.append(("attacked", "test or selection"))
    for name in ("targets", "together"):
        value = settings.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            found.append((name, "a positive integer"))
    return found
