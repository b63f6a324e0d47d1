"""Prepare data for the clean-label attack: two classes, and for each target where its poison starts.

    train.npz    train, selection and test images of the two classes (labels 0 and 1; of test none);
                 nearest_base [test, 2]: the training row of class 0, and of class 1, nearest to each test image
    sealed.npz   test_labels; test_base [test]: the nearest test image of the other class

Test rows are shuffled: in the order of their source, such as all dogs and then all fish, a row's place would tell its label.

A target is a test image that the clean model gets right, so evaluation chooses targets. The paper's text takes a
target's base from the test set, which needs test labels and is sealed; the released code from the training set.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.clean_label.stored import CleanLabel
from pipelines.datasets import sources
from pipelines.datasets.attack_splits import two_classes
from pipelines.datasets.corruption import generator
from pipelines.datasets.entries import Entry, is_integer
from pipelines.datasets.fingerprints import fingerprints
from pipelines.datasets.poison import nearest
from pipelines.datasets.prepared import SEALED_FILE, TRAINING_FILE
from pipelines.datasets.preparing import Made
from pipelines.datasets.registry import DATA_SETS, RAW, sha256_of
from pipelines.datasets.splits import Split, Splits

FILES = (TRAINING_FILE, SEALED_FILE)
TEST_SEED = 0
SOURCES = ("digits", "mnist", "dogfish", "dogfish-imagenette")


PIXELS = "pixels"


def features(name: str, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Images in the space in which a base is near its target, float64 [n, d]: their pixels, or a network's features."""
    if name == PIXELS:
        return images.reshape(len(images), -1).astype(np.float64)
    return sources.features(name, images)


@dataclass(frozen=True)
class Settings:
    """How the attack is prepared.

    Attributes:
        source: a name of `SOURCES`.
        pair: the source's classes that become 0 and 1.
        train_rows, test_rows: of each class; dog against fish has 900 and 300.
        selection_rows: of each class, the last of the training rows, which are then not trained on.
        features: "pixels", or a key of `pipelines.datasets.sources.FEATURES`; the paper's are Inception-v3's.
    """

    source: str
    pair: tuple[int, int]
    train_rows: int
    test_rows: int
    selection_rows: int
    features: str


def read(entry: Entry) -> Settings:
    """Settings from an entry of params.yaml; raises UserError for a bad value."""
    source = entry.one_of("source", set(SOURCES) & set(sources.SOURCES))
    pair: Any = entry.found.get("pair")
    good = isinstance(pair, list) and len(pair) == 2 and all(is_integer(one) and one >= 0 for one in pair)
    entry.must(good and pair[0] != pair[1], "pair", "two different classes, [a, b]")
    train_rows = entry.integer("train_rows", 2)
    selection_rows = entry.integer("selection_rows", 1)
    entry.must(selection_rows < train_rows, "selection_rows", "less than train_rows, of which they are")
    features = entry.one_of("features", {PIXELS, *sources.FEATURES}, PIXELS)
    return Settings(source, (pair[0], pair[1]), train_rows, entry.integer("test_rows", 1), selection_rows, features)


def prepare(entry: Entry) -> Made:
    """The preparation that an entry of params.yaml asks for."""
    settings = read(entry)
    weights = weights_of(settings.features)
    data = sources.load(settings.source)
    train, test = files_of(data, settings)
    splits = two_classes(
        train, test, settings.pair, settings.train_rows, settings.test_rows, settings.selection_rows
    )
    return prepared(splits, settings, {**fingerprints(data), **weights})


def weights_of(features: str) -> dict[str, str]:
    """SHA-256 of the files that a network's features are made with, by name; none for pixels.

    Raises UserError, naming the command that fetches it, where one is missing or wrong.
    """
    entry = DATA_SETS.get(features)
    return {} if entry is None else {one.name: sha256_of(entry.checked(one, RAW / entry.name)) for one in entry.files}


def files_of(data: Any, settings: Settings) -> tuple[Split, Split]:
    """The rows to train on and to test on; of digits, which have no files, two halves of the shuffled rows."""
    if settings.source != "digits":
        return Split(data.train_images, data.train_labels), Split(data.test_images, data.test_labels)
    order = generator(0, "digits in two halves").permutation(len(data.labels))
    first, second = (Split(data.images[rows], data.labels[rows]) for rows in np.array_split(order, 2))
    return first, second


def shuffled(test: Split) -> Split:
    """The same rows in an order that is drawn once for all: it is part of the data set, not of a trial."""
    order = generator(TEST_SEED, "order of the clean-label test rows").permutation(len(test.labels))
    return Split(test.images[order], test.labels[order])


def prepared(splits: Splits, settings: Settings, source: dict[str, str]) -> Made:
    """A function of its arguments, and of the network whose features are asked for; the test rows of `splits` come in
    another order."""
    splits = splits._replace(test=shuffled(splits.test))
    train, test = (features(settings.features, part.images) for part in (splits.train, splits.test))
    bases = []
    for label in (0, 1):
        rows = np.flatnonzero(splits.train.labels == label)
        bases.append(rows[nearest(test, train[rows])])
    test_base = np.empty(len(test), dtype=np.int64)
    for label in (0, 1):
        own, other = (np.flatnonzero(splits.test.labels == one) for one in (label, 1 - label))
        test_base[own] = other[nearest(test[own], test[other])]
    training = CleanLabel(
        train_images=splits.train.images,
        train_labels=splits.train.labels,
        selection_images=splits.selection.images,
        selection_labels=splits.selection.labels,
        test_images=splits.test.images,
        nearest_base=np.stack(bases, axis=1),
    )
    sizes = {name: len(split.labels) for name, split in splits._asdict().items() if name != "validation"}
    return Made(
        files={
            TRAINING_FILE: training._asdict(),
            SEALED_FILE: {"test_labels": splits.test.labels, "test_base": test_base},
        },
        settings=asdict(settings),
        source=source,
        facts={"classes": 2, "sizes": sizes},
        said=f"{sizes['train']} training rows of classes {settings.pair[0]} and {settings.pair[1]}, "
        f"{sizes['test']} possible targets",
    )
