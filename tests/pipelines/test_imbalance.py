"""Imbalanced sets: exact counts by class, rows and not labels, and what is too few is said."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.datasets.imbalance import long_tail, one_against_another
from pipelines.errors import UserError

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 5000)).astype(np.uint8)


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1, [5000] * 10),
        # 5000 * 100^(-c/9): the counts that Meta-Weight-Net's code gives for CIFAR-10
        (100, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]),
        (10, [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500]),
    ],
)
def test_the_tail_has_the_right_counts(factor: float, expected: list[int]) -> None:
    rows = long_tail(LABELS, factor, seed=0)
    assert (np.diff(rows) > 0).all()
    assert np.bincount(LABELS[rows], minlength=10).tolist() == expected


def test_a_longer_tail_is_part_of_a_shorter_and_seeds_differ() -> None:
    assert set(long_tail(LABELS, 100, 3).tolist()) <= set(long_tail(LABELS, 10, 3).tolist())
    assert not np.array_equal(long_tail(LABELS, 100, 3), long_tail(LABELS, 100, 4))


@pytest.mark.parametrize("factor", [0.5, float("nan"), 1e5])
def test_an_impossible_tail_is_refused(factor: float) -> None:
    with pytest.raises(UserError, match="a long tail"):
        long_tail(LABELS, factor, 0)


def test_fours_against_nines() -> None:
    rows = one_against_another(LABELS, 0.995, 5000, seed=0)
    assert (np.diff(rows) > 0).all()
    assert np.bincount(LABELS[rows], minlength=10).tolist() == [0, 0, 0, 0, 25, 0, 0, 0, 0, 4975]
    with pytest.raises(UserError, match="class 9 has 5000 rows, needed are 5400"):
        one_against_another(LABELS, 0.9, 6000, seed=0)
