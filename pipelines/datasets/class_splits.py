"""Few-shot splits of data sets whose reader does not split them: classes for meta-training, -validation and -test.

Mini-ImageNet's 64, 16 and 20 classes and FC100's 60, 20 and 20 come split from their readers. Tasks of
meta-validation choose iterates and hyper-parameters. Where the paper has none, its classes are taken from those of
meta-training, and each function says which.
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
