"""Reading dog against fish: the arrays of P. W. Koh and P. Liang (2017), and the stand-in dogfish-imagenette.

Koh and Liang's archive holds X_train, Y_train, X_test, Y_test (and empty X_valid, Y_valid): images [n, 299, 299, 3] scaled
from 0..255 to [-1, 1], and 0 for dog, 1 for fish. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pipelines.datasets import archives
from pipelines.datasets.images import read_rgb
from pipelines.datasets.registry import DATA_SETS, RAW, DataSet
from pipelines.errors import UserError

DOGFISH, IMAGENETTE = DATA_SETS["dogfish"], DATA_SETS["dogfish-imagenette"]
CLASSES = ("dog", "fish")
SIDE, IMAGENETTE_SIDE = 299, 96
TRAIN, TEST = 1800, 600
"""Images of Koh and Liang's two sets, half of them dogs."""


class DogFish(NamedTuple):
    """Two classes of images.

    Attributes:
        train_images, test_images: uint8 [n, 3, side, side], values 0..255; side 299, of the stand-in 96.
        train_labels, test_labels: uint8 [n], 0 dog, 1 fish.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


def load(folder: Path = RAW / DOGFISH.name, entry: DataSet = DOGFISH, counts: tuple[int, int] = (TRAIN, TEST)) -> DogFish:
    """Read Koh and Liang's arrays, in their order, back to the pixels they were scaled from (exactly: x = p / 127.5 - 1).

    Args:
        counts: images of the two sets.

    Raises:
        UserError: the file is missing or wrong, holds anything but such arrays, or values that are no scaled pixels.
    """
    path = entry.checked(entry.files[0], folder)
    found: list[NDArray[np.uint8]] = []
    for name, count in zip(("train", "test"), counts, strict=True):
        found.append(_read(path, f"X_{name}", (count, SIDE, SIDE, 3), entry))
        found.append(_read(path, f"Y_{name}", (count,), entry))
    return DogFish(*found)


def _read(path: Path, name: str, shape: tuple[int, ...], entry: DataSet) -> NDArray[np.uint8]:
    """An array of the archive as uint8, images with colours first, read a few rows at a time: it is 4 GB in float64."""

    def refused(why: str) -> UserError:
        return UserError(f"{path}: {name} {why}: run `{entry.command}`")

    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
            read_header = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
            stated, by_columns, kind = read_header(stream)
            if stated != shape or by_columns or kind.kind not in "fiu":
                raise refused(f"is {kind} {stated}, expected numbers {shape}")
            images = len(shape) == 4
            whole = np.empty((shape[0], 3, *shape[1:3]) if images else shape, np.uint8)
            rows = 32 if images else shape[0]
            for first in range(0, shape[0], rows):
                count = min(rows, shape[0] - first)
                content = stream.read(count * kind.itemsize * int(np.prod(shape[1:])))
                part = np.frombuffer(content, kind).reshape(count, *shape[1:])
                pixels = (part.astype(np.float64) + 1) * 127.5 if images else part.astype(np.float64)
                rounded = np.rint(pixels)
                largest = 255 if images else 1
                if not ((np.abs(pixels - rounded) < 1e-3) & (rounded >= 0) & (rounded <= largest)).all():
                    raise refused("holds other values than " + ("pixels scaled to [-1, 1]" if images else "0 and 1"))
                whole[first : first + count] = rounded.transpose(0, 3, 1, 2) if images else rounded
            return whole
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise refused(f"cannot be read ({error})") from error


def load_imagenette(folder: Path = RAW / IMAGENETTE.name, entry: DataSet = IMAGENETTE) -> DogFish:
    """Read the stand-in: springers against tench, dogs first, by name; 955 + 963 to train on and 395 + 387 to test on.

    Raises:
        UserError: the archive is missing or wrong, or an image has not 96x96 pixels.
    """
    file = entry.files[0]
    images: dict[str, list[NDArray[np.uint8]]] = {f"{part}/{name}": [] for part in ("train", "test") for name in CLASSES}
    for name, content in archives.read(entry, file, folder):
        place = name.rpartition("/")[0]
        if place not in images:
            raise UserError(f"{folder / file.name}: {name} is in none of {', '.join(images)}: run `{entry.command}`")
        images[place].append(read_rgb(content, IMAGENETTE_SIDE, f"{folder / file.name}: {name}", entry))
    found: list[NDArray[np.uint8]] = []
    for part in ("train", "test"):
        groups = [images[f"{part}/{name}"] for name in CLASSES]
        if not all(groups):
            raise UserError(f"{folder / file.name} has no {part} images of one class: run `{entry.command}`")
        found.append(np.stack([image for group in groups for image in group]))
        found.append(np.repeat(np.arange(len(CLASSES), dtype=np.uint8), [len(group) for group in groups]))
    return DogFish(*found)
