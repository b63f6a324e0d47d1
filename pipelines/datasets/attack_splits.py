"""The splits of data poisoning: clean training rows, validation (what the attacker's f is), selection, test.

They are drawn by the trial's seed, as the released code shuffles anew in every run. Selection is ours: rows that
neither the attacker nor the victim sees; each function says whose they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.corruption import generator
from pipelines.datasets.splits import Split, Splits, rank_within_class
from pipelines.errors import UserError

VICTIM, POSE = 8, 3
"""The targeted attack: eights that shall be called threes."""


class Sizes(NamedTuple):
    """Rows of each split; multiples of the number of classes where a split is balanced."""

    train: int
    validation: int
    selection: int
    test: int


UNTARGETED = Sizes(1000, 1000, 1000, 8000)
TARGETED = Sizes(1000, 4000, 1000, 5000)
"""The paper's, with 1000 for selection."""


def untargeted(pool: Split, sizes: Sizes, seed: int) -> Splits:
    """Consecutive parts of the shuffled rows: train, validation, test, and selection of what is left.

    Args:
        pool: MNIST's training file: the paper's test rows are cut from it too.
        sizes: UNTARGETED, or smaller.
        seed: of the trial.

    Raises: UserError: there are too few rows.

    Source: Mehra & Hamm (2021), supplement D.2; the released untargeted test_*.py.
    """
    if len(pool.labels) < sum(sizes):
        raise UserError(f"{len(pool.labels)} rows are too few for splits of {', '.join(map(str, sizes))}")
    order = generator(seed, "untargeted attack").permutation(len(pool.labels))
    ends = np.cumsum((sizes.train, sizes.validation, sizes.test, sizes.selection))
    train, validation, test, selection = (Split(pool.images[rows], pool.labels[rows])
                                          for rows in np.split(order[: ends[-1]], ends[:-1]))  # fmt: skip
    return Splits(train, validation, selection, test)


def targeted(near: Split, far: Split, held_out: Split, sizes: Sizes, seed: int, classes: int = 10) -> Splits:
    """Balanced splits; of validation and selection only the eights are kept, called threes.

    Test keeps all classes and its right labels: what an attack makes of the eights, and of the others, is for
    evaluation to say.

    Args:
        near: rows to train on; the first 2000 of MNIST's training file.
        far: rows for validation and, of those it leaves, selection; the rest of that file.
        held_out: MNIST's test file.
        sizes: TARGETED, or smaller: of the balanced sets, so validation keeps a tenth of its own.
        seed: of the trial.

    Raises: UserError: a class has too few rows.

    Source: Mehra & Hamm (2021), supplement D.2; the released targeted test_*.py.
    """
    return _targeted(
        train=(near, _balanced(near.labels, 0, sizes.train, classes, seed, "train")),
        validation=(far, _balanced(far.labels, 0, sizes.validation, classes, seed, "validation")),
        selection=(far, _balanced(far.labels, sizes.validation, sizes.selection, classes, seed, "validation")),
        test=(held_out, _balanced(held_out.labels, 0, sizes.test, classes, seed, "test")),
    )


def targeted_of_one(pool: Split, sizes: Sizes, seed: int, classes: int = 10) -> Splits:
    """The same from a data set without a test file: four balanced sets, one after the other. Raises as `targeted`."""
    ends = np.cumsum(sizes)
    found = {
        name: (pool, _balanced(pool.labels, int(end) - size, size, classes, seed, "pool"))
        for name, size, end in zip(Sizes._fields, sizes, ends, strict=True)
    }
    return _targeted(**found)


def _targeted(
    train: tuple[Split, NDArray[np.int64]],
    validation: tuple[Split, NDArray[np.int64]],
    selection: tuple[Split, NDArray[np.int64]],
    test: tuple[Split, NDArray[np.int64]],
) -> Splits:
    """Splits from pairs of (where rows are, which rows)."""
    whole = [Split(split.images[rows], split.labels[rows]) for split, rows in (train, test)]
    return Splits(whole[0], _posing(*validation), _posing(*selection), whole[1])


def two_classes(
    train: Split, test: Split, pair: tuple[int, int], train_rows: int, test_rows: int, selection_rows: int
) -> Splits:
    """Two classes as 0 and 1, each with as many rows, in the order of the files; validation is empty.

    Args:
        pair: (class 0, class 1).
        train_rows, test_rows: of each class; dog against fish has 900 and 300.
        selection_rows: of each class, the last of those 900, which are then not trained on.

    Raises: UserError: a class has too few rows.

    Source: Koh & Liang (2017), 5.2; Mehra & Hamm (2021), supplement E.4.
    """
    kept = _first(train, pair, train_rows)
    rank = rank_within_class(kept.labels)
    learnt = rank < train_rows - selection_rows
    none = np.empty(0, dtype=np.int64)
    return Splits(
        train=Split(kept.images[learnt], kept.labels[learnt]),
        validation=Split(kept.images[none], kept.labels[none]),
        selection=Split(kept.images[~learnt], kept.labels[~learnt]),
        test=_first(test, pair, test_rows),
    )


def _first(split: Split, pair: tuple[int, int], count: int) -> Split:
    """The first rows of two classes, as 0 and 1."""
    of_pair = np.isin(split.labels, pair)
    images, labels = split.images[of_pair], (split.labels[of_pair] == pair[1]).astype(np.uint8)
    present = np.bincount(labels, minlength=2)
    if present.min() < count:
        raise UserError(f"class {pair[int(present.argmin())]} has {present.min()} rows, needed are {count}")
    rows = rank_within_class(labels) < count
    return Split(images[rows], labels[rows])


def _posing(split: Split, rows: NDArray[np.int64]) -> Split:
    """The victims of these rows, under the label they shall get."""
    rows = rows[split.labels[rows] == VICTIM]
    return Split(split.images[rows], np.full(len(rows), POSE, dtype=np.uint8))


def _balanced(
    labels: NDArray[np.uint8], skip: int, size: int, classes: int, seed: int, purpose: str
) -> NDArray[np.int64]:
    """`size` rows, each class as often, in random order, after the first `skip` rows of such a set."""
    order = generator(seed, f"targeted attack, {purpose}").permutation(len(labels))
    rank = rank_within_class(labels[order])
    low, high = skip // classes, (skip + size) // classes
    present = np.bincount(labels, minlength=classes)
    # the released code gives a smaller set without a word
    if present.min() < high:
        raise UserError(f"class {present.argmin()} has {present.min()} rows, needed are {high}")
    return order[(rank >= low) & (rank < high)]
