"""The rule of the scorecard: its bounds against scipy's and by hand, its words, and how often it errs on known
distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pipelines.comparison import Estimate
from pipelines.scorecard import rule
from pipelines.scorecard.rule import ALPHA, FAILS, HOLDS, NOT_RUN, OPEN, Checked, Range, Sample, contrast, exactly, judged
from pipelines.scorecard.samples import sample

CLAIMS = 2000
ABOVE, ALIKE = Range(low=0.0), Range(-1.0, 1.0)


def trials(*values: float) -> Sample:
    return sample({str(seed): value for seed, value in enumerate(values)}, len(values), worst=0.0)


def cases(*came: bool) -> Sample:
    return Sample(Estimate(float(np.mean(came))), cases={str(place): bool(one) for place, one in enumerate(came)})


def verdict(*parts: tuple[Range, list[float], list[Sample]], least: int = rule.LEAST) -> str:
    return judged([Checked(wanted, contrast(weights, some)) for wanted, weights, some in parts], least=least)[0]


# bounds


def test_paired_bounds_are_scipys() -> None:
    first, second = np.array([3.0, 4.5, 4.0, 6.0, 5.5]), np.array([2.5, 4.6, 3.0, 5.0, 4.5])
    found = contrast([1.0, -1.0], [trials(*first), trials(*second)])
    expected = stats.ttest_rel(first, second).confidence_interval(0.90)
    assert found is not None and found.rule == "paired t" and found.trials == 5
    np.testing.assert_allclose(found.bounds(0.05), expected, rtol=1e-12)


def test_only_shared_seeds_are_paired() -> None:
    mine = sample({"0": 1.0, "1": 2.0, "7": 9.0}, 3, worst=0.0)
    found = contrast([1.0, -1.0], [mine, sample({"1": 1.0, "0": 0.5, "5": 7.0}, 3, worst=0.0)])
    assert found is not None and (found.value, found.trials) == (0.75, 2)


def test_welch_bounds_are_scipys() -> None:
    first, second = np.array([3.0, 4.5, 4.0, 6.0, 5.5]), np.array([2.5, 4.6, 3.0, 5.0, 4.5, 3.3])
    one, two = (Sample(Estimate(x.mean(), x.std(ddof=1), len(x))) for x in (first, second))
    found = contrast([1.0, -1.0], [one, two])
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.90)
    assert found is not None and (found.rule, found.trials) == ("Welch", 5)
    np.testing.assert_allclose(found.bounds(0.05), expected, rtol=1e-12)


def test_bounds_against_a_limit_and_a_reading_error() -> None:
    values = np.array([3.0, 4.5, 4.0, 6.0, 5.5])
    found = contrast([1.0, -1.0], [trials(*values), exactly(4.0)])
    expected = stats.ttest_1samp(values, 4.0).confidence_interval(0.90)
    assert found is not None and found.rule == "t"
    np.testing.assert_allclose(found.bounds(0.05), np.array(expected) - 4.0, rtol=1e-12)
    read = contrast([1.0], [Sample(Estimate(2.0, 0.0, 20, 0.02))])
    assert read is not None and read.bounds(0.05) == pytest.approx((1.98, 2.02))


def test_wilson_and_mcnemar() -> None:
    some = cases(*[True] * 9, False)
    found = contrast([1.0, -1.0], [some, exactly(0.5)])
    expected = stats.binomtest(9, 10).proportion_ci(0.90, method="wilson")
    assert found is not None and found.rule == "Wilson"
    np.testing.assert_allclose(found.bounds(0.05), (expected.low - 0.5, expected.high - 0.5))
    # nine cases tell the two apart, eight of them for the first; 3 on which they agree say nothing
    first = cases(*[True] * 8, False, True, True, False)
    second = cases(*[False] * 8, True, True, True, False)
    apart = contrast([1.0, -1.0], [first, second])
    assert apart is not None and (apart.trials, apart.rule) == (9, "McNemar, exact")
    below = stats.binomtest(8, 9, alternative="greater").pvalue
    assert apart.bounds(below * 1.001)[0] > 0 > apart.bounds(below * 0.999)[0]
    with pytest.raises(ValueError, match="two by two"):
        contrast([2.0, -1.0], [first, second])


# words


def test_words() -> None:
    high, low = trials(2.0, 2.1, 1.9, 2.2, 2.0), trials(1.0, 1.1, 0.8, 1.2, 1.0)
    wide = trials(0.0, 3.0, -2.0, 4.0, 1.0)
    assert verdict((ABOVE, [1.0, -1.0], [high, low])) == HOLDS
    assert verdict((ABOVE, [1.0, -1.0], [low, high])) == FAILS
    assert verdict((ABOVE, [1.0, -1.0], [high, wide])) == OPEN
    assert verdict((ABOVE, [1.0, -1.0], [high, low]), (ABOVE, [1.0, -1.0], [high, wide])) == OPEN
    assert verdict((ABOVE, [1.0, -1.0], [high, low]), (ABOVE, [1.0, -1.0], [low, high])) == FAILS
    assert judged([None, None]) == (NOT_RUN, [NOT_RUN, NOT_RUN])
    # what was not run keeps a claim from holding, not from failing
    passes, fails = (Checked(ABOVE, contrast([1.0, -1.0], pair)) for pair in ([high, low], [low, high]))
    assert judged([passes, None])[0] == OPEN and judged([fails, None])[0] == FAILS


def test_equivalence_needs_both_ends() -> None:
    base = trials(1.0, 1.2, 0.8, 1.1, 0.9)
    near, far = trials(1.1, 1.3, 1.0, 1.2, 1.1), trials(4.1, 4.3, 4.0, 4.2, 4.1)
    assert verdict((ALIKE, [1.0, -1.0], [near, base])) == HOLDS
    assert verdict((ALIKE, [1.0, -1.0], [far, base])) == verdict((ALIKE, [-1.0, 1.0], [far, base])) == FAILS
    assert verdict((ALIKE, [1.0, -1.0], [trials(-1.0, 4.0, 0.0, 2.0, 1.0), base])) == OPEN


def test_four_trials_decide_nothing() -> None:
    high, low = trials(2.0, 2.1, 1.9, 2.2), trials(1.0, 1.1, 0.9, 1.2)
    found = judged([Checked(ABOVE, contrast([1.0, -1.0], [high, low]))])
    assert found == (OPEN, [rule.TOO_FEW])


def test_a_diverged_trial_is_the_worst_there_is() -> None:
    good = {"0": 98.0, "1": 98.2, "2": 97.9, "3": 98.1, "4": 98.0}
    rival = sample({seed: 90.0 + int(seed) / 10 for seed in good}, 5, worst=0.0)
    assert verdict((ABOVE, [1.0, -1.0], [sample(good, 5, worst=0.0), rival])) == HOLDS
    for lost in (None, math.nan, math.inf):
        mine = sample({**good, "3": lost}, 5, worst=0.0)
        assert (mine.diverged, mine.trials["3"], mine.missing) == (1, 0.0, 0)
        assert verdict((ABOVE, [1.0, -1.0], [mine, rival])) == OPEN
    every = sample(dict.fromkeys(good), 5, worst=0.0)
    assert verdict((ABOVE, [1.0, -1.0], [every, rival])) == FAILS
    less = sample({seed: good[seed] for seed in "0124"}, 5, worst=0.0)
    assert less.missing == 1 and verdict((ABOVE, [1.0, -1.0], [less, rival])) == OPEN
    # a mean whose diverged trials are not known one by one says nothing
    assert contrast([1.0], [Sample(Estimate(3.0, 0.1, 4), diverged=1)]) is None


def test_a_number_without_trials_is_its_own_bound() -> None:
    inside, outside, nothing = exactly(0.5), exactly(1.5), exactly(None)
    assert verdict((Range(high=1.0), [1.0], [inside])) == HOLDS
    assert verdict((Range(high=1.0), [1.0], [outside])) == FAILS
    assert verdict((Range(high=1.0), [1.0], [nothing])) == OPEN


def test_holms_steps() -> None:
    """Of three parts the first is refuted at alpha / 3, and lets the second be refuted at alpha / 2, not at alpha / 3."""

    def part(level: float) -> Checked:
        base = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
        edge = stats.t.isf(level, 4) * base.std(ddof=1) / math.sqrt(5)
        return Checked(ABOVE, contrast([1.0], [trials(*(base - edge))]))

    first, second, third = part(ALPHA / 3.1), part(ALPHA / 2.1), part(ALPHA / 0.9)
    assert judged([first, second, third])[1] == [rule.REFUTED, rule.REFUTED, OPEN]
    assert judged([part(ALPHA / 2.9), second, third])[0] == OPEN


# error rates, on known distributions


def rates(make: object, parts: int, wanted: Range = ABOVE, weights: tuple[float, ...] = (1.0, -1.0)) -> dict[str, float]:
    """The share of each verdict over simulated claims; make(random, part) -> samples of a part."""
    assert callable(make)
    random, found = np.random.default_rng(8), {HOLDS: 0, FAILS: 0, OPEN: 0}
    for _ in range(CLAIMS):
        tested = [Checked(wanted, contrast(weights, make(random, part))) for part in range(parts)]
        found[judged(tested)[0]] += 1
    return {word: count / CLAIMS for word, count in found.items()}


def close_to(alpha: float) -> object:
    """Within four standard errors of a share over the claims."""
    return pytest.approx(alpha, abs=4 * math.sqrt(alpha * (1 - alpha) / CLAIMS))


def pair(random: np.random.Generator, apart: float, shared: float = 2.0, noise: float = 1.0, count: int = 5) -> list[Sample]:
    """Two methods on the same seeds: what they share is no difference."""
    common = random.normal(0.0, shared, count)
    return [trials(*(common + random.normal(mean, noise, count))) for mean in (apart, 0.0)]


def test_a_false_claim_is_called_true_at_alpha() -> None:
    """One part, at its edge: the t of paired differences is exact, so the rate is alpha on both sides."""
    found = rates(lambda random, part: pair(random, 0.0), 1)
    assert found[HOLDS] == close_to(ALPHA) and found[FAILS] == close_to(ALPHA)


def test_one_false_part_among_true_ones() -> None:
    """The others pass nearly always, so the rate of the whole is that of the false part: alpha, not more."""
    found = rates(lambda random, part: pair(random, 0.0 if part == 0 else 9.0), 4)
    assert found[HOLDS] == close_to(ALPHA)
    assert found[FAILS] <= ALPHA / 4 + 4 * math.sqrt(ALPHA / 4 / CLAIMS)


def test_a_true_claim_is_called_false_at_most_at_alpha() -> None:
    """Six parts at their edges: Holm's first step divides alpha, and independent parts come close to it."""
    found = rates(lambda random, part: pair(random, 0.0), 6)
    assert found[FAILS] == close_to(1 - (1 - ALPHA / 6) ** 6)
    assert found[HOLDS] < ALPHA / 2


def test_power() -> None:
    assert rates(lambda random, part: pair(random, 4.0), 3)[HOLDS] > 0.95
    assert rates(lambda random, part: pair(random, 0.0 if part else -6.0), 3)[FAILS] > 0.95


def test_equivalence_at_its_edge() -> None:
    """A difference of exactly the margin is called comparable at alpha, and far less at twice the margin."""
    found = rates(lambda random, part: pair(random, 1.0, noise=0.2), 1, ALIKE)
    assert found[HOLDS] == close_to(ALPHA) and found[FAILS] <= ALPHA / 2 + 4 * math.sqrt(ALPHA / CLAIMS)
    assert rates(lambda random, part: pair(random, 2.0, noise=0.2), 1, ALIKE)[HOLDS] == 0.0


def test_unequal_spreads_without_pairs() -> None:
    """Welch's degrees of freedom keep the rate near alpha, though n and spread differ: it is known to err by little."""

    def make(random: np.random.Generator, part: int) -> list[Sample]:
        drawn = random.normal(0.0, 3.0, 5), random.normal(0.0, 1.0, 20)
        return [Sample(Estimate(float(x.mean()), float(x.std(ddof=1)), len(x))) for x in drawn]

    found = rates(make, 1)
    assert 0.03 < found[HOLDS] < 0.07 and 0.03 < found[FAILS] < 0.07


def test_shares() -> None:
    """Wilson's interval errs near alpha; McNemar's exact test at most at alpha."""
    wilson = rates(
        lambda random, part: [cases(*(random.random(200) < 0.5)), exactly(0.5)], 1
    )
    assert 0.03 < wilson[HOLDS] < 0.07 and 0.03 < wilson[FAILS] < 0.07

    def twice(random: np.random.Generator, part: int) -> list[Sample]:
        hard = random.random(100) < 0.4
        return [cases(*(hard & (random.random(100) < 0.7))) for _ in range(2)]

    mcnemar = rates(twice, 1)
    assert 0.005 < mcnemar[HOLDS] <= ALPHA + 0.01 and mcnemar[FAILS] <= ALPHA + 0.01
