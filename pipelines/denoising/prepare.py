"""Prepare data for denoising: splits, and a noisy copy of the training labels for each seed.

Writes train.npz, oracle.npz and sealed.npz; what each holds is said in `pipelines.datasets.prepared`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from pipelines.datasets import sources
from pipelines.datasets.corruption import RULES, effective
from pipelines.datasets.entries import Entry, is_integer, is_number
from pipelines.datasets.fingerprints import fingerprints
from pipelines.datasets.imbalance import long_tail
from pipelines.datasets.paper_splits import (
    cifar10_part_splits,
    cifar10_splits,
    four_nine_splits,
    franceschi_splits,
    small_splits,
    stocbio_splits,
    svhn_splits,
    wrn_splits,
)
from pipelines.datasets.prepared import ORACLE_FILE, SEALED_FILE, TRAINING_FILE, Prepared
from pipelines.datasets.preparing import Made
from pipelines.datasets.splits import Split, Splits, digits_splits, mnist_splits
from pipelines.errors import UserError

FILES = (TRAINING_FILE, ORACLE_FILE, SEALED_FILE)

SPLITS: dict[str, dict[str, Callable[..., Splits]]] = {
    "large": {
        "mnist": mnist_splits,
        "digits": digits_splits,
        "cifar10": cifar10_splits,
        "cifar10-part": cifar10_part_splits,
        "svhn": svhn_splits,
    },
    "wrn": {"cifar10": wrn_splits},
    "small": {"mnist": small_splits},
    "franceschi": {"mnist": franceschi_splits},
    "stocbio": {"mnist": stocbio_splits},
    "four-nine": {"mnist": four_nine_splits},
}
"""Setting -> source -> how it is split."""


@dataclass(frozen=True)
class Settings:
    """How a data set is prepared.

    Attributes:
        source: a key of `pipelines.datasets.sources.SOURCES`.
        noise: nominal share of the training labels made wrong, in [0, 1].
        seeds: one noisy copy of the training labels is drawn per seed; different, non-negative.
        train_size: training rows to keep, or None for all.
        rule: a key of `pipelines.datasets.corruption.RULES`.
        split: a key of `SPLITS`.
        long_tail: training rows of the first class over those of the last, or None for all rows.
        majority: share of nines, for the split four-nine alone.
    """

    source: str
    noise: float
    seeds: tuple[int, ...]
    train_size: int | None = None
    rule: str = "first_rows"
    split: str = "large"
    long_tail: float | None = None
    majority: float | None = None


def read(entry: Entry) -> Settings:
    """Settings from an entry of params.yaml; further keys there are left alone. Raises UserError for a bad value."""
    found = entry.found
    source = entry.one_of("source", {name for known in SPLITS.values() for name in known} & set(sources.SOURCES))
    noise: Any = found.get("noise")
    entry.must(is_number(noise) and 0 <= noise <= 1, "noise", "a share between 0 and 1")
    seeds = entry.seeds()
    train_size: Any = found.get("train_size")
    whole_or_part = train_size is None or (is_integer(train_size) and train_size > 0)
    entry.must(whole_or_part, "train_size", "null or a positive integer")
    rule = entry.one_of("rule", RULES, "first_rows")
    split = entry.one_of("split", {name: known for name, known in SPLITS.items() if source in known}, "large")
    tail: Any = found.get("long_tail")
    entry.must(tail is None or (is_number(tail) and tail >= 1), "long_tail", "null or a number, at least 1")
    majority: Any = found.get("majority")
    if split == "four-nine":
        entry.must(is_number(majority) and 0 <= majority <= 1, "majority", "a share between 0 and 1")
    else:
        entry.must(majority is None, "majority", "left out, unless split is four-nine")
    return Settings(source, float(noise), seeds, train_size, rule, split, tail, majority)


def prepare(entry: Entry) -> Made:
    """The preparation that an entry of params.yaml asks for."""
    settings = read(entry)
    data = sources.load(settings.source)
    return prepared(splits_of(data, settings), settings, fingerprints(data))


def splits_of(data: Any, settings: Settings) -> Splits:
    """The splits of a data set, with a long tail in the training rows where one is asked for."""
    split = SPLITS[settings.split][settings.source]
    if settings.majority is not None:
        split = partial(split, majority=settings.majority)
    splits = split(data, train_size=settings.train_size)
    if settings.long_tail is None:
        return splits
    # the split's seed, not a trial's: the rows are part of the data set
    rows = long_tail(splits.train.labels, settings.long_tail, 0, classes_of(splits))
    return splits._replace(train=Split(splits.train.images[rows], splits.train.labels[rows]))


def classes_of(splits: Splits) -> int:
    """The number of classes, by the test labels."""
    return int(splits.test.labels.max()) + 1


def prepared(splits: Splits, settings: Settings, source: dict[str, str]) -> Made:
    """A pure function of its arguments.

    Row i of `noisy_labels` and of `clean` belongs to the i-th seed; neither depends on the other seeds.
    """
    rule, classes = RULES[settings.rule], classes_of(splits)
    if classes < 2:
        raise UserError("there must be at least two classes to tell apart")
    drawn = [rule(splits.train.labels, settings.noise, seed, classes) for seed in settings.seeds]
    training = Prepared(
        train_images=splits.train.images,
        noisy_labels=np.stack([noisy.labels for noisy in drawn]),
        seeds=np.array(settings.seeds, dtype=np.int64),
        validation_images=splits.validation.images,
        validation_labels=splits.validation.labels,
        selection_images=splits.selection.images,
        selection_labels=splits.selection.labels,
        test_images=splits.test.images,
    )
    wrong = {str(seed): int(noisy.corrupted.sum()) for seed, noisy in zip(settings.seeds, drawn, strict=True)}
    count = len(splits.train.labels)
    facts = {
        "classes": classes,
        "sizes": {name: len(split.labels) for name, split in splits._asdict().items()},
        "train_per_class": np.bincount(splits.train.labels, minlength=classes).tolist(),
        "corrupted_rows": wrong,
        "noise": {
            "nominal": settings.noise,
            "expected": round(effective(settings.rule, settings.noise, classes), 6),
            "effective": {seed: round(rows / count, 6) for seed, rows in wrong.items()},
        },
    }
    return Made(
        files={
            TRAINING_FILE: training._asdict(),
            ORACLE_FILE: {"clean": ~np.stack([noisy.corrupted for noisy in drawn])},
            SEALED_FILE: {"test_labels": splits.test.labels, "train_labels": splits.train.labels},
        },
        settings=asdict(settings),
        source=source,
        facts=facts,
        said=f"{count} training rows, {next(iter(wrong.values()))} of them with a wrong label, "
        f"{len(settings.seeds)} seeds",
    )
