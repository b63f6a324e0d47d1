"""Label noise: exact counts, never a right label in place of a wrong one, draws that nothing else moves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.datasets.corruption import (
    RULES,
    Noisy,
    effective,
    first_rows,
    generator,
    pair_flip,
    random_rows,
    share,
    uniform,
)

LABELS = np.tile(np.arange(10, dtype=np.uint8), 900)


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [
        (58000, 0.25, 14500),
        (58000, 0.5, 29000),
        (997, 0.25, 249),
        (997, 0.5, 498),
        (100, 0.29, 29),  # 28.999... in binary
        (10, 0.3, 3),
        (7, 0, 0),
        (7, 1, 7),
        (0, 0.5, 0),
    ],
)
def test_the_share_is_exact(count: int, fraction: float, expected: int) -> None:
    assert share(count, fraction) == expected
    assert share(count, np.float64(fraction)) == expected


@given(st.integers(0, 400), st.integers(0, 100), st.integers(0, 2**40), st.integers(2, 10))
@settings(max_examples=60, deadline=None)
def test_wrong_labels_are_wrong_and_the_rest_untouched(
    count: int, percent: int, seed: int, classes: int
) -> None:
    labels = generator(seed, "test").integers(0, classes, size=count).astype(np.uint8)
    before = labels.copy()
    noisy, corrupted = first_rows(labels, percent / 100, seed, classes)
    wrong = count * percent // 100
    np.testing.assert_array_equal(corrupted, np.arange(count) < wrong)
    np.testing.assert_array_equal(noisy != labels, corrupted)
    assert noisy.dtype == np.uint8 and corrupted.dtype == np.bool_ and noisy.max(initial=0) < classes
    np.testing.assert_array_equal(labels, before)


def test_the_nine_wrong_classes_are_equally_likely() -> None:
    noisy, _ = first_rows(LABELS, 1.0, seed=0)
    counts = np.zeros((10, 10))
    np.add.at(counts, (LABELS, noisy), 1)
    assert (np.diag(counts) == 0).all()
    off = counts[~np.eye(10, dtype=bool)]
    # 90 cells of mean 100; the statistic has 80 degrees of freedom, its 99.99% quantile is 133.
    assert ((off - 100) ** 2 / 100).sum() < 133


def test_the_draws_depend_on_the_seed_and_nothing_else() -> None:
    whole = first_rows(LABELS, 0.5, seed=3)
    np.random.seed(1)
    np.random.random(5)
    again = first_rows(LABELS.copy(), 0.5, seed=3)
    np.testing.assert_array_equal(whole.labels, again.labels)
    other = first_rows(LABELS, 0.5, seed=4)
    agree = (whole.labels[:4500] == other.labels[:4500]).mean()
    assert abs(agree - 1 / 9) < 0.03


def test_less_noise_and_fewer_rows_have_the_first_draws() -> None:
    half, quarter = first_rows(LABELS, 0.5, seed=1), first_rows(LABELS, 0.25, seed=1)
    np.testing.assert_array_equal(half.labels[:2250], quarter.labels[:2250])
    short = first_rows(LABELS[:1001], 0.5, seed=1)
    np.testing.assert_array_equal(short.labels[:500], half.labels[:500])


def test_the_stream_is_the_one_results_were_made_with() -> None:
    """A NumPy that draws otherwise would silently give other data sets."""
    noisy, _ = first_rows(LABELS, 1.0, seed=0)
    np.testing.assert_array_equal(noisy[:20], GOLDEN)


GOLDEN = [4, 4, 3, 2, 3, 0, 1, 2, 4, 3, 6, 5, 3, 7, 5, 0, 4, 9, 3, 8]


def test_purposes_have_streams_of_their_own() -> None:
    one, two = generator(0, "label noise").random(2000), generator(0, "digits split").random(2000)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.1
    np.testing.assert_array_equal(one, generator(0, "label noise").random(2000))


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_an_impossible_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="a fraction of the labels"):
        first_rows(LABELS, fraction, seed=0)


def test_labels_that_do_not_fit_the_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit 9 classes"):
        first_rows(LABELS, 0.5, seed=0, classes=9)
    with pytest.raises(ValueError):
        first_rows(LABELS, 0.5, seed=-1)
    for rule in RULES.values():
        with pytest.raises(ValueError, match="does not fit 9 classes"):
            rule(LABELS, 0.5, 0, 9)


def test_the_rules_have_names() -> None:
    expected = {"first_rows": first_rows, "random_rows": random_rows, "uniform": uniform, "pair_flip": pair_flip}
    assert expected == RULES


@pytest.mark.parametrize("rule", [random_rows, pair_flip])
def test_random_rows_are_as_many_as_asked_for_and_lie_everywhere(rule: Callable[..., Noisy]) -> None:
    noisy, corrupted = rule(LABELS, 0.25, seed=1)
    np.testing.assert_array_equal(noisy != LABELS, corrupted)
    assert corrupted.sum() == 2250
    # 9 stretches of 1000 rows, hypergeometric with mean 250 and s.d. 12.9
    stretches = corrupted.reshape(9, 1000).sum(axis=1)
    assert (abs(stretches - 250) < 4 * 12.9).all() and len(set(stretches.tolist())) > 1


@pytest.mark.parametrize("rule", [random_rows, pair_flip, uniform])
def test_less_noise_is_a_part_of_more(rule: Callable[..., Noisy]) -> None:
    quarter, half = rule(LABELS, 0.25, seed=2), rule(LABELS, 0.5, seed=2)
    assert (half.corrupted | ~quarter.corrupted).all()
    np.testing.assert_array_equal(quarter.labels[quarter.corrupted], half.labels[quarter.corrupted])
    assert not np.array_equal(half.labels, rule(LABELS, 0.5, seed=3).labels)


def test_a_random_half_is_wrong_in_any_way() -> None:
    """The rule of Franceschi et al.: a random half, each wrong class as likely as the others."""
    noisy, corrupted = random_rows(LABELS, 0.5, seed=0)
    assert corrupted.sum() == 4500
    steps = np.bincount((noisy[corrupted].astype(int) - LABELS[corrupted]) % 10, minlength=10)
    # 9 cells of mean 500; the 99.99% quantile with 8 degrees of freedom is 31.8
    assert steps[0] == 0 and ((steps[1:] - 500) ** 2 / 500).sum() < 31.8


def test_forty_percent_of_any_label_is_thirty_six_of_wrong_ones() -> None:
    labels = np.tile(np.arange(10, dtype=np.uint8), 5000)
    noisy, corrupted = uniform(labels, 0.4, seed=0)
    np.testing.assert_array_equal(noisy != labels, corrupted)
    # of 20,000 relabelled rows a tenth keeps its label, with s.d. 42
    assert abs(corrupted.mean() - 0.36) < 4 * 42 / 50_000
    # the last class is drawn as often as the others
    assert abs((noisy[corrupted] == 9).sum() - 1800) < 4 * 41
    assert effective("uniform", 0.4, 10) == pytest.approx(0.36)
    assert [effective(rule, 0.4, 10) for rule in ("first_rows", "random_rows", "pair_flip")] == [0.4] * 3


def test_a_pair_flip_goes_to_the_next_class() -> None:
    noisy, corrupted = pair_flip(LABELS, 0.45, seed=0)
    np.testing.assert_array_equal(noisy[corrupted], (LABELS[corrupted] + 1) % 10)
    np.testing.assert_array_equal(noisy[~corrupted], LABELS[~corrupted])
