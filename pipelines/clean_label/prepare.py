"""Prepare data for the clean-label attack: two classes, and for each target where its poison starts.

    train.npz    train, selection and test images of the two classes (labels 0 and 1; of test none) and their features;
                 network: the parameters of the network that makes features, where it is trained here;
                 nearest_base [test, 2]: the training row of class 0, and of class 1, nearest to each test image
    sealed.npz   test_labels; test_base [test]: the nearest test image of the other class

Test rows are shuffled: in the order of their source, such as all dogs and then all fish, a row's place would tell its label.

A target is a test image that the clean model gets right, so evaluation chooses targets. The paper's text takes a
target's base from the test set, which needs test labels and is sealed; the released code from the training set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.optim.optimizer import register_optimizer_step_post_hook
from tqdm import tqdm

from pipelines.clean_label import networks
from pipelines.clean_label.networks import LEARNED, PIXELS, Learning
from pipelines.clean_label.stored import CleanLabel, unit
from pipelines.datasets import sources
from pipelines.datasets.attack_splits import two_classes
from pipelines.datasets.corruption import generator
from pipelines.datasets.entries import Entry, is_integer
from pipelines.datasets.fingerprints import fingerprints, sha256
from pipelines.datasets.poison import nearest
from pipelines.datasets.prepared import SEALED_FILE, TRAINING_FILE
from pipelines.datasets.preparing import Made
from pipelines.datasets.registry import DATA_SETS, RAW, sha256_of
from pipelines.datasets.splits import Split, Splits
from pipelines.errors import UserError

FILES = (TRAINING_FILE, SEALED_FILE)
TEST_SEED = 0
SOURCES = ("digits", "mnist", "dogfish", "dogfish-imagenette")


@dataclass(frozen=True)
class Settings:
    """How the attack is prepared.

    Attributes:
        source: a name of `SOURCES`.
        pair: the source's classes that become 0 and 1.
        train_rows, test_rows: of each class; dog against fish has 900 and 300.
        selection_rows: of each class, the last of the training rows, which are then not trained on.
        features: "pixels", "learned", or a key of `pipelines.datasets.sources.FEATURES`; the paper's are Inception-v3's.
        shrink: so many pixels by so many become one, their mean.
        learned: how the network of "learned" features is trained; None of others.
    """

    source: str
    pair: tuple[int, int]
    train_rows: int
    test_rows: int
    selection_rows: int
    features: str
    shrink: int = 1
    learned: Learning | None = None


def read(entry: Entry) -> Settings:
    """Settings from an entry of params.yaml; raises UserError for a bad value."""
    source = entry.one_of("source", set(SOURCES) & set(sources.SOURCES))
    pair: Any = entry.found.get("pair")
    good = isinstance(pair, list) and len(pair) == 2 and all(is_integer(one) and one >= 0 for one in pair)
    entry.must(good and pair[0] != pair[1], "pair", "two different classes, [a, b]")
    train_rows = entry.integer("train_rows", 2)
    selection_rows = entry.integer("selection_rows", 1)
    entry.must(selection_rows < train_rows, "selection_rows", "less than train_rows, of which they are")
    features = entry.one_of("features", {PIXELS, LEARNED, *sources.FEATURES}, PIXELS)
    how: Any = entry.found.get("learned")
    entry.must(isinstance(how, Mapping) == (features == LEARNED), "learned", "a mapping, of learned features alone")
    return Settings(
        source,
        (pair[0], pair[1]),
        train_rows,
        entry.integer("test_rows", 1),
        selection_rows,
        features,
        entry.integer("shrink", 1, 1),
        networks.read(Entry(how, f"{entry.place}.learned")) if features == LEARNED else None,
    )


def prepare(entry: Entry) -> Made:
    """The preparation that an entry of params.yaml asks for."""
    settings = read(entry)
    weights = weights_of(settings.features)
    data = sources.load(settings.source)
    network, learnt_from = learned(data, settings)
    train, test = files_of(data, settings)
    splits = two_classes(
        train, test, settings.pair, settings.train_rows, settings.test_rows, settings.selection_rows
    )
    return prepared(splits, settings, {**fingerprints(data), **weights, **learnt_from}, network)


def learned(data: Any, settings: Settings) -> tuple[NDArray[np.float32], dict[str, str]]:
    """The parameters of the network that is trained on other classes than the two, and the SHA-256 of its images where they
    are of another source; nothing of other features."""
    if settings.learned is None:
        return np.empty(0, dtype=np.float32), {}
    own = settings.learned.source == settings.source
    images, labels = _rows(data if own else sources.load(settings.learned.source))
    kept = ~np.isin(labels, settings.pair) if own else np.full(len(labels), True)
    with steps_shown(settings.learned, int(kept.sum())):
        network = networks.learned(unit(shrunk(images[kept], settings.shrink)), labels[kept], settings.learned)
    return network, {} if own else {f"{settings.learned.source} images": sha256(images)}


@contextmanager
def steps_shown(how: Learning, rows: int) -> Iterator[None]:
    """A progress bar of the optimiser's steps within, on a terminal: they take minutes."""
    total = how.epochs * math.ceil(rows / how.batch)
    with tqdm(total=total, desc=f"network of features, on {how.source}", unit="step", leave=False, disable=None) as bar:

        def count(*_: object) -> None:
            bar.update()

        hook = register_optimizer_step_post_hook(count)
        try:
            yield
        finally:
            hook.remove()


def _rows(data: Any) -> Split:
    """The images and labels of a source, of one with a test file those to train on."""
    if hasattr(data, "train_images"):
        return Split(data.train_images, data.train_labels)
    return Split(data.images, data.labels) if hasattr(data, "images") else Split(data.train.images, data.train.labels)


def shrunk(images: NDArray[np.uint8], by: int) -> NDArray[np.uint8]:
    """Images [..., H, W] of which each `by` x `by` pixels became their mean; raises UserError where that does not go."""
    if by == 1:
        return images
    *head, height, width = images.shape
    if height % by or width % by:
        raise UserError(f"images of {height} x {width} pixels cannot be shrunk by {by}")
    blocks = images.reshape(*head, height // by, by, width // by, by)
    return np.round(blocks.mean(axis=(-3, -1), dtype=np.float32)).astype(np.uint8)


def features(settings: Settings, images: NDArray[np.uint8], network: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images in the space in which a base is near its target, float32 [n, d]: their pixels, or a network's features."""
    if settings.features in sources.FEATURES:
        return sources.features(settings.features, images).astype(np.float32)
    pixels, how = unit(images), asdict(settings.learned) if settings.learned else None
    return networks.features(networks.encoder(settings.features, how, pixels.shape[1], network), pixels)


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


def prepared(
    splits: Splits, settings: Settings, source: dict[str, str], network: NDArray[np.float32] | None = None
) -> Made:
    """A function of its arguments, and of Inception's weights where its features are asked for; the test rows of `splits`
    come in another order.

    Args: network: the parameters of a learned network.
    """
    splits = splits._replace(test=shuffled(splits.test))
    images = {name: shrunk(getattr(splits, name).images, settings.shrink) for name in ("train", "selection", "test")}
    network = np.empty(0, dtype=np.float32) if network is None else network
    found = {name: features(settings, one, network) for name, one in images.items()}
    train, test = found["train"], found["test"]
    bases = []
    for label in (0, 1):
        rows = np.flatnonzero(splits.train.labels == label)
        bases.append(rows[nearest(test, train[rows])])
    test_base = np.empty(len(test), dtype=np.int64)
    for label in (0, 1):
        own, other = (np.flatnonzero(splits.test.labels == one) for one in (label, 1 - label))
        test_base[own] = other[nearest(test[own], test[other])]
    training = CleanLabel(
        train_images=images["train"],
        train_labels=splits.train.labels,
        train_features=found["train"],
        selection_images=images["selection"],
        selection_labels=splits.selection.labels,
        selection_features=found["selection"],
        test_images=images["test"],
        test_features=found["test"],
        network=network,
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
