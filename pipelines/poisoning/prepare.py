"""Prepare data for poisoning by augmentation: for each seed its splits, and where the poisons start.

    train.npz    of each trial, along the first axis: train, validation (the attacker's f), selection, poisons as
                 they start, and test images; validation and selection of a targeted attack are eights called threes
    sealed.npz   test_labels: right ones, also of the eights that an attack shall turn
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipelines.datasets import attack_splits, poison, sources
from pipelines.datasets.attack_splits import TARGETED, UNTARGETED, Sizes
from pipelines.datasets.corruption import generator
from pipelines.datasets.entries import Entry, is_integer
from pipelines.datasets.fingerprints import fingerprints
from pipelines.datasets.prepared import SEALED_FILE, TRAINING_FILE
from pipelines.datasets.preparing import Made
from pipelines.datasets.splits import Split, Splits
from pipelines.poisoning.stored import Poisoning

FILES = (TRAINING_FILE, SEALED_FILE)
CLASSES = 10
NEAR = 2
"""A targeted attack trains on rows among the first NEAR times as many of the training file."""
ATTACKS = {"untargeted": UNTARGETED, "targeted": TARGETED}
"""Attack -> the paper's sizes."""
SOURCES = ("digits", "mnist")
CUT, HELD_OUT = "training-file", "held-out"


@dataclass(frozen=True)
class Settings:
    """How poisoning is prepared.

    Attributes:
        source: "mnist", or "digits", which has no test file: all its splits are drawn from all rows.
        attack: "untargeted" or "targeted" (eights shall be called threes).
        points: most poison points of an attack; an attack with fewer takes the first.
        sizes: rows of each split; the paper's where an entry leaves them out.
        seeds: a trial each; different, non-negative.
        test: where an untargeted attack's test rows come from: "training-file", as in the released code, or "held-out",
            MNIST's test file. A targeted attack's are held out.
    """

    source: str
    attack: str
    points: int
    sizes: Sizes
    seeds: tuple[int, ...]
    test: str = CUT


def read(entry: Entry) -> Settings:
    """Settings from an entry of params.yaml; raises UserError for a bad value."""
    source = entry.one_of("source", set(SOURCES) & set(sources.SOURCES))
    attack = entry.one_of("attack", ATTACKS)
    points = entry.integer("points", 1)
    found: Any = entry.found.get("sizes")
    what = f"null or {{{', '.join(Sizes._fields)}}}, each a positive integer"
    if found is not None:
        entry.must(isinstance(found, dict) and set(found) == set(Sizes._fields), "sizes", what)
        entry.must(all(is_integer(size) and size > 0 for size in found.values()), "sizes", what)
    sizes = ATTACKS[attack] if found is None else Sizes(**found)
    if attack == "targeted":
        entry.must(points % 2 == 0, "points", "even: as many threes as eights")
        balanced = all(size % CLASSES == 0 for size in sizes)
        entry.must(balanced, "sizes", f"multiples of {CLASSES}: a targeted attack's splits are balanced")
    test = entry.one_of("test", {CUT, HELD_OUT}, CUT)
    entry.must(test == CUT or (source, attack) == ("mnist", "untargeted"), "test", f"{CUT} for this source and attack")
    return Settings(source, attack, points, sizes, entry.seeds(), test)


def prepare(entry: Entry) -> Made:
    """The preparation that an entry of params.yaml asks for."""
    settings = read(entry)
    data = sources.load(settings.source)
    return prepared([trial(data, settings, seed) for seed in settings.seeds], settings, fingerprints(data))


def trial(data: Any, settings: Settings, seed: int) -> tuple[Splits, poison.Poisons]:
    """The splits and the poisons of one seed."""
    sizes = settings.sizes
    pool = Split(data.images, data.labels) if settings.source == "digits" else Split(data.train_images, data.train_labels)
    if settings.attack == "untargeted":
        splits = attack_splits.untargeted(pool, sizes, seed)
        if settings.test == HELD_OUT:
            rows = generator(seed, "held-out test rows").permutation(len(data.test_labels))[: sizes.test]
            splits = splits._replace(test=Split(data.test_images[rows], data.test_labels[rows]))
        return splits, poison.untargeted(splits.train, settings.points, seed, CLASSES)
    if settings.source == "digits":
        splits = attack_splits.targeted_of_one(pool, sizes, seed, CLASSES)
    else:
        edge = NEAR * sizes.train
        near = Split(pool.images[:edge], pool.labels[:edge])
        far = Split(pool.images[edge:], pool.labels[edge:])
        held_out = Split(data.test_images, data.test_labels)
        splits = attack_splits.targeted(near, far, held_out, sizes, seed, CLASSES)
    return splits, poison.targeted(splits.train, settings.points)


def prepared(trials: list[tuple[Splits, poison.Poisons]], settings: Settings, source: dict[str, str]) -> Made:
    """A pure function of its arguments; row i of every array belongs to the i-th seed, whatever the others."""

    def stacked(name: str, field: str) -> np.ndarray:
        return np.stack([getattr(getattr(splits, name), field) for splits, _ in trials])

    training = Poisoning(
        train_images=stacked("train", "images"),
        train_labels=stacked("train", "labels"),
        validation_images=stacked("validation", "images"),
        validation_labels=stacked("validation", "labels"),
        selection_images=stacked("selection", "images"),
        selection_labels=stacked("selection", "labels"),
        poison_images=np.stack([poisons.images for _, poisons in trials]),
        poison_labels=np.stack([poisons.labels for _, poisons in trials]),
        poison_rows=np.stack([poisons.rows for _, poisons in trials]),
        seeds=np.array(settings.seeds, dtype=np.int64),
        test_images=stacked("test", "images"),
    )
    first, start = trials[0]
    facts = {
        "classes": CLASSES,
        "sizes": {name: len(split.labels) for name, split in first._asdict().items()},
        "poisons": {"points": settings.points, "share of train": round(settings.points / len(first.train.labels), 6)},
        "first_poisons": {"from": first.train.labels[start.rows[:10]].tolist(), "to": start.labels[:10].tolist()},
    }
    return Made(
        files={TRAINING_FILE: training._asdict(), SEALED_FILE: {"test_labels": stacked("test", "labels")}},
        settings={**asdict(settings), "sizes": settings.sizes._asdict()},
        source=source,
        facts=facts,
        said=f"{settings.attack}, {len(first.train.labels)} training rows, {settings.points} poison points, "
        f"{len(trials)} seeds",
    )
