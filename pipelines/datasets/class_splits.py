"""Few-shot splits: which classes are for meta-training, meta-validation and meta-test.

Tasks of meta-validation choose iterates and hyper-parameters. Where the paper has none, its classes are taken from
those of meta-training, and each function says which.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.corruption import generator
from pipelines.errors import UserError

SEED = 0
OMNIGLOT_TRAIN, OMNIGLOT_VALIDATION = 1200, 100


class Classes(NamedTuple):
    """Class numbers of a data set, int64, disjoint."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def omniglot(count: int = 1623) -> Classes:
    """The first 1200 characters for meta-training, the other 423 for meta-test.

    The last 100 of the 1200 are our meta-validation, which leaves 1100. Rotations by quarter turns are further
    classes of the same split: 4400, 400, 1692. The released code takes the characters in the order in which the
    reader's disk lists them; ours is the reader's, sorted by alphabet.

    Raises: UserError: there are no more than 1200.
    Source: Mehra & Hamm (2021), supplement E.3.
    """
    if count <= OMNIGLOT_TRAIN:
        raise UserError(f"Omniglot has 1623 characters, these are {count}: {OMNIGLOT_TRAIN} are for meta-training")
    learnt = OMNIGLOT_TRAIN - OMNIGLOT_VALIDATION
    return Classes(np.arange(learnt), np.arange(learnt, OMNIGLOT_TRAIN), np.arange(OMNIGLOT_TRAIN, count))


def mini_imagenet(count: int = 100) -> Classes:
    """Ravi & Larochelle's 64, 16 and 20 classes, in that order in the reader. The paper loads the 16 and leaves them.

    Raises: UserError: there are not 100.
    """
    if count != 100:
        raise UserError(f"mini-ImageNet has 100 classes, these are {count}")
    return Classes(np.arange(64), np.arange(64, 80), np.arange(80, 100))


FC100 = {
    "train": (1, 2, 3, 4, 5, 6, 9, 10, 15, 17, 18, 19),
    "validation": (8, 11, 13, 16),
    "test": (0, 7, 12, 14),
}
"""The super-classes of CIFAR-100, by their numbers there, in each split."""


def fc100(superclasses: NDArray[np.integer]) -> Classes:
    """FC100: CIFAR-100's classes split by super-class, 60, 20 and 20.

    Args: superclasses: [100], the super-class of each class.
    Raises: UserError: there are not 20 super-classes of 5.
    Source: Oreshkin et al. (2018), TADAM, supplement.
    """
    counts = np.bincount(superclasses)
    if len(counts) != 20 or (counts != 5).any():
        raise UserError("CIFAR-100 has 20 super-classes of 5 classes each, these are others")
    return Classes(*(np.flatnonzero(np.isin(superclasses, chosen)) for chosen in FC100.values()))


def drawn(count: int, validation: int, test: int) -> Classes:
    """Classes drawn by a fixed seed, the rest for meta-training: for the glyphs, which nobody split before us.

    Raises: UserError: nothing would be left to train on.
    """
    if validation + test >= count:
        raise UserError(f"of {count} classes {validation} and {test} cannot be set aside")
    order = generator(SEED, "classes").permutation(count)
    return Classes(
        train=np.sort(order[validation + test :]),
        validation=np.sort(order[:validation]),
        test=np.sort(order[validation : validation + test]),
    )
