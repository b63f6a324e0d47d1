"""The denoising splits of the paper's further settings, and of the works it compares with.

Each gives train, validation, selection and test, as `splits` does. Selection is ours; each function says whose rows it
takes. Rows drawn at random are drawn by a fixed seed: a split is part of the data set, not of a trial.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.corruption import generator
from pipelines.datasets.imbalance import one_against_another
from pipelines.datasets.splits import Parts, Split, Splits, checked_size, from_the_end, parted, rank_within_class
from pipelines.errors import UserError

SEED = 0


def cifar10_splits(data: Parts, train_size: int | None = None) -> Splits:
    """CIFAR-10 in the order of its files: validation the last 10,000 of 50,000, train the 40,000 before them.

    Selection is the last 1000 of those 40,000, which leaves 39,000 to train on. Raises UserError where there are too
    few rows. Source: Mehra & Hamm (2021), supplement E.2; the released test_bilevel_*.py for CIFAR-10.
    """
    return from_the_end(data, 10_000, 1_000, train_size)


def cifar10_part_splits(data: Parts, train_size: int | None = None) -> Splits:
    """Part of CIFAR-10, batches 1 and 5 of its files: train from the first one, validation from the second.

    Train is the first rows of batch 1, by default 8000. Validation, the first rows of batch 5, and selection, the last ones
    of batch 1, have a quarter as many, as validation in the paper (10,000 to 40,000). Test is what there is of the test file
    (1000). The split is ours. Raises UserError where there are too few rows.
    """
    half = len(data.train_labels) // 2
    _suffice(half, 10)
    size = checked_size(train_size, half * 4 // 5)
    quarter = max(1, size // 4)
    return parted(data, _run(0, size), _run(half, quarter), _run(half - quarter, quarter))


def svhn_splits(data: Parts, train_size: int | None = None) -> Splits:
    """SVHN's cropped digits: validation 100 of each class, drawn at random; of the other 72,257 the first 72,200.

    72,200 is the last multiple of the minibatch of 200. Selection is the last 1000 of them, which leaves 71,200 to
    train on; the 57 rows after them go unused, as in the paper. Test is the test file (26,032). Raises UserError
    where a class has too few rows. Source: the same, pre_process_svhn_data.py.
    """
    order = generator(SEED, "svhn validation").permutation(len(data.train_labels))
    first = order[rank_within_class(data.train_labels[order]) < 100]
    if len(first) != 1000:
        raise UserError(f"a class of these {len(data.train_labels)} rows has fewer than 100, or there are not 10")
    others = np.setdiff1d(np.arange(len(data.train_labels)), first)
    whole = len(others) // 200 * 200
    _suffice(whole, 1001)
    return parted(
        data, others[: checked_size(train_size, whole - 1000)], np.sort(first), others[whole - 1000 : whole]
    )


def wrn_splits(data: Parts, train_size: int | None = None) -> Splits:
    """CIFAR-10 for the wide residual network: of the shuffled 50,000, 5000 held out, 1000 clean, 44,000 to train on.

    The 5000 are Ren et al.'s validation set, which the paper leaves out: they are our selection. The 1000 are f.
    Raises UserError where there are too few rows.

    Source: Mehra & Hamm (2021), supplement D.1.2; Ren et al. (2018), cifar/generate_noisy_cifar_data.py.
    """
    _suffice(len(data.train_labels), 6001)
    order = generator(SEED, "wrn split").permutation(len(data.train_labels))
    others = order[6000:]
    return parted(data, others[: checked_size(train_size, len(others))], order[5000:6000], order[:5000])


def small_splits(data: Parts, train_size: int | None = None) -> Splits:
    """MNIST at small scale: the first 5000 rows to train on, the next 5000 validation, the test file test.

    Selection is the 1000 rows after those, which the paper does not use. Raises UserError where there are too few.
    Source: Mehra & Hamm (2021), supplement D.1.1.
    """
    return _blocks(data, train_size, 0, 5000, 5000, 10_000)


def stocbio_splits(data: Parts, train_size: int | None = None) -> Splits:
    """MNIST for stocBiO: the first 20,000 rows to train on, rows 40,000 to 44,999 validation.

    Selection is the 1000 rows after those, which it does not use. Raises UserError where there are too few.
    Source: Ji et al. (2021), experimental/mnist_exp.py, its full-batch methods.
    """
    return _blocks(data, train_size, 0, 20_000, 40_000, 45_000)


def franceschi_splits(data: Parts, train_size: int | None = None) -> Splits:
    """20,000 rows of MNIST: a quarter to train on, a quarter validation, half test; the standard test file unused.

    The 20,000 are the first of TensorFlow's training set, which begins at row 5000 of the file. Selection is the 1000
    rows after them. Raises UserError where there are too few rows.

    Source: Franceschi et al. (2017), rfho/examples/data_hypercleaner.py and rfho/datasets.py.
    """
    splits = _blocks(data, train_size, 5000, 5000, 10_000, 25_000)
    test = slice(15_000, 25_000)
    return splits._replace(test=Split(data.train_images[test], data.train_labels[test]))


def four_nine_splits(data: Parts, majority: float, train_size: int | None = None) -> Splits:
    """MNIST's fours (0) against nines (1): 5000 to train on with a share `majority` of nines, the others balanced.

    Validation has 10 rows and is f, selection 100 rows that Ren et al. do not use, both of the training file; test has
    500 of the test file.

    Args: majority: share of nines to train on, in [0, 1]; Ren et al. use 0.9 to 0.995.
    Raises: UserError: a class has too few rows.
    Source: Ren et al. (2018), mnist/mnist_train.py.
    """
    labels, left = data.train_labels, np.arange(len(data.train_labels))
    rows = {}
    for name, share, size in (("validation", 0.5, 10), ("selection", 0.5, 100), ("train", majority, 5000)):
        rows[name] = left[one_against_another(labels[left], share, size, SEED)]
        left = np.setdiff1d(left, rows[name])
    # by index the classes stand mixed, so a part of it has both
    found = parted(data, rows["train"][: checked_size(train_size, 5000)], rows["validation"], rows["selection"])
    test = one_against_another(data.test_labels, 0.5, 500, SEED)
    found = found._replace(test=Split(data.test_images[test], data.test_labels[test]))
    return Splits(*(Split(images, (labels == 9).astype(np.uint8)) for images, labels in found))


def _blocks(data: Parts, train_size: int | None, start: int, train: int, validation: int, selection: int) -> Splits:
    """`train` rows from `start`, 5000 rows from `validation`, 1000 rows from `selection`."""
    _suffice(len(data.train_labels), selection + 1000)
    size = checked_size(train_size, train)
    return parted(data, _run(start, size), _run(validation, 5000), _run(selection, 1000))


def _run(start: int, count: int) -> NDArray[np.int64]:
    return np.arange(start, start + count)


def _suffice(count: int, needed: int) -> None:
    if count < needed:
        raise UserError(f"{count} training rows are too few: this split takes {needed}")
