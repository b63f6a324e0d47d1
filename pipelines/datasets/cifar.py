"""Reading CIFAR-10, CIFAR-100 (binary versions, nothing is unpickled) and the split FC100.

A record of CIFAR-10 is a label byte and 3,072 bytes of pixels, one colour after another, row by row; CIFAR-100 has two
label bytes, coarse and fine. Source: A. Krizhevsky, the CIFAR page. FC100: B. Oreshkin, P. Rodriguez, A. Lacoste (2018),
supplement; fc100.yaml lists its classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from pipelines.datasets import archives
from pipelines.datasets.few_shot import FewShot, ordered
from pipelines.datasets.registry import DATA_SETS, RAW, DataSet
from pipelines.errors import UserError

CIFAR10, CIFAR100, PART = DATA_SETS["cifar10"], DATA_SETS["cifar100"], DATA_SETS["cifar10-part"]
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FC100 = Path(__file__).with_name("fc100.yaml")
_SHAPE = (3, 32, 32)


class Cifar(NamedTuple):
    """CIFAR in the order of its files.

    Attributes:
        train_images, test_images: uint8 [n, 3, 32, 32], values 0..255; red, green, blue.
        train_labels, test_labels: uint8 [n]; 0..9, or fine labels 0..99.
        train_coarse, test_coarse: uint8 [n], superclasses 0..19 of CIFAR-100; empty for CIFAR-10.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    train_coarse: NDArray[np.uint8]
    test_coarse: NDArray[np.uint8]


def load_cifar10(folder: Path | None = None, entry: DataSet = CIFAR10) -> Cifar:
    """Read CIFAR-10: 50,000 training images, batch after batch, and 10,000 test images.

    Args:
        folder: where the archive lies, data/raw/<name> unless given. `entry`: what it must be.

    Raises:
        UserError: the archive is missing or wrong; names the command that fetches it.
    """
    return _load(folder, entry, 1, "data_batch_", "test_batch")


def load_part(folder: Path | None = None, entry: DataSet = PART) -> Cifar:
    """Read cifar10-part: training batches 1 and 5 (20,000 images, in this order), and the first 1,000 test images.

    A data set of its own. Raises UserError as `load_cifar10` does.
    """
    return _load(folder, entry, 1, "data_batch_", "test_batch")


def load_cifar100(folder: Path | None = None, entry: DataSet = CIFAR100) -> Cifar:
    """Read CIFAR-100, 50,000 and 10,000 images with fine and coarse labels; raises UserError as `load_cifar10` does."""
    return _load(folder, entry, 2, "train", "test")


def load_fc100(folder: Path | None = None, entry: DataSet = CIFAR100) -> FewShot:
    """Read CIFAR-100 and split it as FC100, 600 images of each class; raises UserError as `load_cifar10` and `fc100` do."""
    return fc100(load_cifar100(folder, entry))


def _load(folder: Path | None, entry: DataSet, labels: int, train: str, test: str) -> Cifar:
    folder = RAW / entry.name if folder is None else folder
    parts: dict[str, list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]] = {train: [], test: []}
    for name, content in archives.read(entry, entry.files[0], folder):
        base = name.rpartition("/")[2]
        for start, found in parts.items():
            if base.startswith(start):
                found.append(read_records(content, labels, f"{folder / entry.files[0].name}: {name}", entry))
    if not all(parts.values()):
        raise UserError(f"{folder / entry.files[0].name} has no {train}*.bin or no {test}*.bin: run `{entry.command}`")
    images, marks = ([np.concatenate(one) for one in zip(*parts[key], strict=True)] for key in (train, test))
    (train_images, train_marks), (test_images, test_marks) = images, marks
    return Cifar(
        train_images, train_marks[:, -1], test_images, test_marks[:, -1],
        *(found[:, 0] if labels == 2 else np.zeros(0, np.uint8) for found in (train_marks, test_marks)),
    )  # fmt: skip


def read_records(content: bytes, labels: int, where: str, entry: DataSet) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Split records into images [n, 3, 32, 32] and label bytes [n, labels].

    Raises:
        UserError: the bytes are no whole number of records, or a label is out of range; names `where`.
    """
    size = labels + int(np.prod(_SHAPE))
    if not content or len(content) % size:
        raise UserError(f"{where} has {len(content)} bytes, no multiple of {size}: run `{entry.command}`")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    marks = records[:, :labels]
    for column, classes in zip(range(labels), (10,) if labels == 1 else (20, 100), strict=True):
        if marks[:, column].max() >= classes:
            raise UserError(f"{where} holds the label {marks[:, column].max()} of {classes}: run `{entry.command}`")
    return records[:, labels:].reshape(-1, *_SHAPE), marks


def fc100_superclasses() -> dict[str, dict[str, list[str]]]:
    """{train, validation, test: {superclass: its five classes}}, names as CIFAR-100 has them, which are sorted."""
    found: dict[str, dict[str, list[str]]] = yaml.safe_load(FC100.read_text(encoding="utf-8"))
    return found


def fc100(data: Cifar) -> FewShot:
    """Split CIFAR-100 into FC100's 60, 20 and 20 classes, by superclass.

    All images of a class belong to it, those of the training file first, then those of the test file.

    Raises:
        UserError: the fine and coarse labels disagree with the classes that fc100.yaml lists.
    """
    images = np.concatenate([data.train_images, data.test_images])
    fine = np.concatenate([data.train_labels, data.test_labels])
    coarse = np.concatenate([data.train_coarse, data.test_coarse])
    split = fc100_superclasses()
    classes = sorted(name for supers in split.values() for names in supers.values() for name in names)
    supers = sorted(name for part in split.values() for name in part)
    parts = []
    for part in split.values():
        numbers = sorted(classes.index(name) for names in part.values() for name in names)
        for name, names in part.items():
            members = set(np.unique(fine[coarse == supers.index(name)]).tolist())
            if members != {classes.index(one) for one in names}:
                raise UserError(f"the labels of CIFAR-100 and {FC100.name} disagree on {name}: run `{CIFAR100.command}`")
        parts.append(ordered(images, fine, numbers, [classes[number] for number in numbers]))
    return FewShot(*parts)
