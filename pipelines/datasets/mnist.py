"""Reading MNIST: four idx files, checked against the manifest and against their own headers.

An idx file is two zero bytes, a type (0x08: unsigned byte), the number of dimensions, the dimensions as
big-endian 32-bit integers, then the entries in C order. Source: Y. LeCun, C. Cortes, C. Burges, the MNIST
page.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.registry import MNIST, RAW, DataSet
from pipelines.errors import UserError

CLASSES = 10
_UNSIGNED_BYTE = 0x08


class Mnist(NamedTuple):
    """MNIST in the order of its files.

    Attributes:
        train_images, test_images: uint8 [n, 28, 28], values 0..255.
        train_labels, test_labels: uint8 [n], values 0..9.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


def load(folder: Path = RAW / MNIST.name, entry: DataSet = MNIST) -> Mnist:
    """Read the four files.

    Args:
        folder: where they lie, uncompressed.
        entry: the manifest they must agree with, in the order train images, train labels, test images, test
            labels.

    Raises:
        UserError: a file is missing or wrong, by the manifest or by its header, or images and labels differ
            in number; names the file and the command that fetches it.
    """
    for file in entry.files:
        found = file.state(folder)
        if found != "right":
            raise UserError(f"{folder / file.name} is {found}: run `{entry.command}`")
    paths = [folder / file.name for file in entry.files]
    data = Mnist(read_idx(paths[0], 3), read_labels(paths[1]), read_idx(paths[2], 3), read_labels(paths[3]))
    if len(data.train_images) != len(data.train_labels) or len(data.test_images) != len(data.test_labels):
        raise UserError(f"the images and labels in {folder} differ in number: run `{entry.command}`")
    return data


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes.

    Args:
        dimensions: how many the file must have (3 for images, 1 for labels).

    Returns:
        A read-only array of the shape the header states.

    Raises:
        UserError: the file is missing, is no idx file of that kind, or is shorter or longer than its header
            states.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run `{MNIST.command}`") from error
    header = 4 + 4 * dimensions
    magic = bytes((0, 0, _UNSIGNED_BYTE, dimensions))
    if content[:4] != magic:
        raise UserError(
            f"{path} is no idx file of unsigned bytes in {dimensions} dimensions: it starts with "
            f"{content[:4].hex(' ') or 'nothing'}, expected {magic.hex(' ')}; run `{MNIST.command}`"
        )
    if len(content) < header:
        raise UserError(f"{path} ends within its header, after {len(content)} bytes: run `{MNIST.command}`")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    stated = header + int(np.prod(shape, dtype=object))  # object: four-byte sizes overflow a 64-bit product
    if len(content) != stated:
        raise UserError(f"{path} has {len(content)} bytes, its header states {stated}: run `{MNIST.command}`")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Read an idx file of labels, uint8 [n]; raises UserError as `read_idx` does, and for values above 9."""
    labels = read_idx(path, 1)
    if labels.size and labels.max() >= CLASSES:
        raise UserError(
            f"{path} holds the label {labels.max()}, the largest is {CLASSES - 1}: run `{MNIST.command}`"
        )
    return labels
