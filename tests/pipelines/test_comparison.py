"""The verdict: its intervals against scipy's and by hand, at their edges, and how often chance alone makes it differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pipelines import comparison
from pipelines.comparison import (
    AGREES,
    DIFFERS,
    DIVERGED,
    NOT_COMPARABLE,
    OPEN,
    OTHER,
    SAME,
    TIED,
    Cut,
    Estimate,
)
from pipelines.published import Curve


def welch(first: Estimate, second: Estimate) -> float:
    test = stats.ttest_ind_from_stats(
        first.mean, first.sd, first.n, second.mean, second.sd, second.n, equal_var=False
    )
    return float(test.pvalue)


def test_welch_interval_is_scipys() -> None:
    first = np.array([1.0, 2.5, 2.0, 4.0, 3.0])
    second = np.array([2.0, 2.2, 2.1, 1.9, 2.05, 2.3, 1.8])
    one, two = (Estimate(float(x.mean()), float(x.std(ddof=1)), len(x)) for x in (first, second))
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    found = comparison.difference(one, two)
    assert found.rule == "Welch"
    np.testing.assert_allclose(
        [found.value - found.half_width, found.value + found.half_width],
        [expected.low, expected.high],
        rtol=1e-12,
    )


def test_the_edge_of_agreement_is_the_five_percent_test() -> None:
    published_value = Estimate(10.0, 1.0, 20)
    edge = comparison.difference(Estimate(10.0, 2.0, 5), published_value).half_width
    inside, outside = Estimate(10.0 + 0.999 * edge, 2.0, 5), Estimate(10.0 + 1.001 * edge, 2.0, 5)
    assert comparison.verdict(inside, published_value) == AGREES and welch(inside, published_value) > 0.05
    assert comparison.verdict(outside, published_value) == DIFFERS and welch(outside, published_value) < 0.05


def test_the_resolution_widens_the_interval() -> None:
    stalled, there = Estimate(3.1623, 0.0, 20), Estimate(3.15, 0.0, 20, resolution=0.02)
    assert comparison.difference(stalled, there).half_width == 0.02
    assert comparison.verdict(stalled, there) == AGREES
    assert comparison.verdict(Estimate(3.19, 0.0, 20), there) == DIFFERS


def test_where_less_is_known() -> None:
    # Figure 7: no published spread, ours stands in
    apart = comparison.difference(Estimate(2.0, 0.3, 5), Estimate(2.2, None, 5, 0.02))
    assert apart.rule == "one spread for both"
    assert apart.half_width == pytest.approx(stats.t.ppf(0.975, 4) * 0.3 * math.sqrt(2 / 5) + 0.02)
    # one trial of ours
    apart = comparison.difference(Estimate(2.0, None, 1), Estimate(2.2, 0.3, 20))
    assert apart.half_width == pytest.approx(stats.t.ppf(0.975, 19) * 0.3 * math.sqrt(1 + 1 / 20))
    # the published number of trials is not stated
    apart = comparison.difference(Estimate(2.0, 0.1, 5), Estimate(2.2, 0.3, None, 0.05))
    assert apart.rule == "two published s.d." and apart.half_width == pytest.approx(0.65)
    # no spread anywhere
    apart = comparison.difference(Estimate(2.0), Estimate(2.04, resolution=0.05))
    assert (apart.rule, apart.half_width, apart.sign) == ("resolution", 0.05, 0)


def test_one_draw_is_a_prediction_interval() -> None:
    apart = comparison.difference(Estimate(2.0, 0.5, 20), Estimate(2.9, 0.0, 20, 0.02), one_draw=True)
    assert apart.half_width == pytest.approx(stats.t.ppf(0.975, 19) * 0.5 * math.sqrt(21 / 20) + 0.02)
    assert apart.sign == 0
    # as two means they would be far apart: the published s.d. does not know of the matrix
    assert comparison.difference(Estimate(2.0, 0.5, 20), Estimate(2.9, 0.0, 20, 0.02)).sign == -1


def test_chance_makes_one_in_twenty_differ() -> None:
    random = np.random.default_rng(0)
    counts = {AGREES: 0, DIFFERS: 0}
    for _ in range(2000):
        one, two = random.normal(3, 1, 20), random.normal(3, 2, 5)
        pair = [Estimate(float(x.mean()), float(x.std(ddof=1)), len(x)) for x in (one, two)]
        counts[comparison.verdict(pair[0], pair[1])] += 1
    assert 0.03 < counts[DIFFERS] / 2000 < 0.07


def test_diverged_and_not_comparable() -> None:
    there = Estimate(1.0, 0.1, 5)
    assert comparison.verdict(Estimate(None, None, 0), there) == DIVERGED
    assert comparison.verdict(there, there, [Cut("epochs", 2, 100)]) == NOT_COMPARABLE
    with pytest.raises(ValueError, match="no trials"):
        comparison.difference(Estimate(None), there)


def test_order() -> None:
    low, high, wide = Estimate(1.0, 0.1, 5), Estimate(2.0, 0.1, 5), Estimate(2.0, 3.0, 5)
    assert comparison.order((low, high), (low, high)) == SAME
    assert comparison.order((high, low), (low, high)) == OTHER
    assert comparison.order((low, wide), (low, high)) == OPEN
    assert comparison.order((low, high), (low, wide)) == TIED
    assert comparison.order((Estimate(None), high), (low, high)) == DIVERGED


def test_transient() -> None:
    curve = Curve((0.0, 10.0, 20.0), (4.0, 2.0, 1.0))
    iterations, mean, sd = [0, 5, 10, 20], [4.0, 3.0, 2.5, 1.0], [0.1, 0.1, 0.1, 0.1]
    found = comparison.transient(iterations, mean, sd, 20, curve, 20, 0.02)
    assert found is not None
    assert found.largest == pytest.approx(0.5)
    assert (found.at, found.inside, found.places) == (10.0, 2, 3)
    # the band holds for the three places at once: 0.05 is divided among them
    edge = stats.t.ppf(1 - 0.05 / 3 / 2, 19) * 0.1 * math.sqrt(2 / 20) + 0.02
    for shift, inside in ((0.999 * edge, 3), (1.001 * edge, 2)):
        moved = comparison.transient(iterations, [4.0, 3.0, 2.0 + shift, 1.0], sd, 20, curve, 20, 0.02)
        assert moved is not None and moved.inside == inside
    assert comparison.transient(iterations, [4.0, None, 2.0, 1.0], sd, 20, curve, 20, 0.02) is None


def test_cuts() -> None:
    prepared = {"source": "mnist", "train_size": 2000}
    cuts = comparison.denoising_cuts(prepared, {"epochs": 2, "settings": {"lower_steps": 2}})
    more = comparison.denoising_cuts(prepared, {"epochs": 20, "settings": {}})
    assert comparison.said([*cuts, *more]) == [
        "2,000 of the paper's 59,000 training images", "2 to 20 of 100 epochs", "2 of 20 lower steps",
    ]  # fmt: skip
    full = {"source": "mnist", "train_size": None}
    assert comparison.denoising_cuts(full, {"epochs": 101, "settings": {"lower_steps": 20}}) == []
    digits = comparison.denoising_cuts(
        {"source": "digits", "train_size": None}, {"epochs": 20, "settings": {}}
    )
    assert comparison.said(digits) == ["the data are digits, which the paper does not use"]
    assert comparison.synthetic_cuts({"upper_iterations": 40001}) == []
    assert comparison.synthetic_cuts({"upper_iterations": 100}) == [Cut("upper iterations", 100, 40000)]
