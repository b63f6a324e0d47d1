"""The rule behind every verdict. Pure functions; the rule, in full:

A claim has parts. A part says that a number lies in a range: a contrast of means (one method less another, a mean less a
limit, a time less 1.5 times another) above `low`, below `high`, or both (equivalence, with the margin stated).

Bounds. Over trials: Student's t at every number of trials. Where the samples share seeds, the contrast is taken seed by
seed, and the t is that of the paired differences; else its standard error and degrees of freedom are those of Welch and
Satterthwaite, and so too where records keep of a curve its mean and spread, and not the trials. A share of cases: Wilson's
interval. Two shares of the same cases: McNemar's exact test, whose bounds are those of the binomial share of the cases that
tell the two apart. A number that is computed to rounding is its own bound. A published number is as wide as its own spread
and number of trials say, and by the error of reading it; where none is published it is taken as it stands, and that is said.

Verdict. A part passes where its lower confidence bound at level ALPHA is above `low` and the upper one below `high`. It is
refuted where the whole interval lies outside: the upper bound at most `low`, or the lower one at least `high`.

    holds           every part passes, each at level ALPHA (one-sided)
    does not hold   some part is refuted at level ALPHA over the number of parts, by Holm's steps: a refuted part leaves the
                    others ALPHA over one less (of a part with two ends, each end has half of its level)
    undecided       neither, or a part of the claim was not run
    not run         no part was run

So a claim that is false in some part is called true with a chance of at most ALPHA, and one that is true in all parts is
called false with a chance of at most ALPHA, however many parts it has.

No verdict from fewer than LEAST trials. A trial that diverged, or ended in no number, counts as the worst value there is
of its kind; a trial that is missing is left out, and said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy import stats
from scipy.special import stdtrit

from pipelines.comparison import Estimate

ALPHA = 0.05
LEAST = 5
HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "undecided", "not run"
VERDICTS = (HOLDS, FAILS, OPEN, NOT_RUN)
PASSES, REFUTED, TOO_FEW = "passes", "refuted", "too few trials"


@dataclass(frozen=True)
class Sample:
    """What is known of one quantity.

    Attributes:
        estimate: mean, s.d. and number of trials, and the error of reading.
        trials: name of a trial -> its value; {} where only the estimate is known.
        cases: name of a case -> whether it came out so, for a share of cases.
        diverged: trials that ended in no number. Those of `trials` stand there with the worst value; of a bare estimate they
            are missing, so that nothing can be said of it.
        missing: trials that were asked for and are not there.
        exact: whether it is a limit, or computed to rounding.
        printed: a published number as it was printed. unit: what stands behind the number, " s".
    """

    estimate: Estimate
    trials: Mapping[str, float] = field(default_factory=dict)
    cases: Mapping[str, bool] = field(default_factory=dict)
    diverged: int = 0
    missing: int = 0
    exact: bool = False
    printed: str = ""
    unit: str = ""


def exactly(value: float | None) -> Sample:
    """A limit, or a number computed to rounding; None for one that came to no number."""
    return Sample(Estimate(value), exact=True)


class Evidence(Protocol):
    """A contrast with its one-sided confidence bounds."""

    @property
    def value(self) -> float: ...
    @property
    def trials(self) -> int: ...
    @property
    def rule(self) -> str: ...
    def bounds(self, level: float) -> tuple[float, float]:
        """The lower and the upper bound, each missing the truth with a chance of `level`."""


@dataclass(frozen=True)
class Normal:
    """A contrast of means: value, standard error, degrees of freedom; `width`, the error of reading, is added."""

    value: float
    error: float
    freedom: float
    width: float
    trials: int
    rule: str

    def bounds(self, level: float) -> tuple[float, float]:
        reach = self.width
        if self.error > 0:
            reach += float(stdtrit(self.freedom, 1 - level)) * self.error
        return self.value - reach, self.value + reach


@dataclass(frozen=True)
class Share:
    """So many of some cases, less a limit: Wilson's interval. Or, as `rule` says, of those that tell two shares apart."""

    count: int
    trials: int
    limit: float
    rule: str = "Wilson"

    @property
    def value(self) -> float:
        return self.count / self.trials - self.limit if self.trials else 0.0

    def bounds(self, level: float) -> tuple[float, float]:
        if self.trials == 0:
            return -self.limit, 1 - self.limit
        found = stats.binomtest(self.count, self.trials).proportion_ci(
            1 - 2 * level, method="wilson" if self.rule == "Wilson" else "exact"
        )
        return float(found.low) - self.limit, float(found.high) - self.limit


def contrast(weights: Sequence[float], samples: Sequence[Sample]) -> Evidence | None:
    """The sum of weighted samples; None where one of them came to no number.

    Raises ValueError for shares that are weighted otherwise than one less a limit, or one less another.
    """
    if any(one.cases for one in samples):
        return _of_shares(weights, samples)
    if any(one.estimate.mean is None or (one.diverged and not one.trials) for one in samples):
        return None
    value = sum(weight * (one.estimate.mean or 0.0) for weight, one in zip(weights, samples, strict=True))
    width = sum(abs(weight) * one.estimate.resolution for weight, one in zip(weights, samples, strict=True))
    measured = [(weight, one) for weight, one in zip(weights, samples, strict=True) if not one.exact]
    if not measured:
        return Normal(value, 0.0, math.inf, width, LEAST, "computed")
    if all(one.trials for _, one in measured):
        shared = set.intersection(*(set(one.trials) for _, one in measured))
        if len(shared) > 1:
            fixed = sum(w * (one.estimate.mean or 0.0) for w, one in zip(weights, samples, strict=True) if one.exact)
            each = np.array([sum(w * one.trials[name] for w, one in measured) + fixed for name in sorted(shared)])
            error = float(each.std(ddof=1)) / math.sqrt(len(each))
            rule = "paired t" if len(measured) > 1 else "t"
            return Normal(float(each.mean()), error, len(each) - 1, width, len(each), rule)
    return _welch(measured, value, width)


def _welch(measured: Sequence[tuple[float, Sample]], value: float, width: float) -> Evidence:
    """Independent samples. One without spread or number of trials is taken as it stands."""
    variances, counts = [], []
    for weight, one in measured:
        mean, sd, count = one.estimate.mean, one.estimate.sd, one.estimate.n
        assert mean is not None
        if sd is not None and count is not None and count > 1:
            variances.append((weight**2 * sd**2 / count, count - 1))
            counts.append(count)
        elif count is not None:
            counts.append(count)
    total = sum(part for part, _ in variances)
    freedom = total**2 / sum(part**2 / count for part, count in variances) if total > 0 else math.inf
    bare = len(variances) < len(measured)
    single = "t" if len(measured) == 1 else "Welch"
    rule = "means as they stand" if not variances else f"{single}, a mean without spread as it stands" if bare else single
    return Normal(value, math.sqrt(total), freedom, width, min(counts, default=0), rule)


def _of_shares(weights: Sequence[float], samples: Sequence[Sample]) -> Evidence:
    shares = [one for one in samples if one.cases]
    if list(weights) == [1.0] or (list(weights) == [1.0, -1.0] and samples[1].exact):
        limit = samples[1].estimate.mean or 0.0 if len(samples) > 1 else 0.0
        return Share(sum(shares[0].cases.values()), len(shares[0].cases), limit)
    if list(weights) == [1.0, -1.0] and len(shares) == 2:
        first, second = shares[0].cases, shares[1].cases
        apart = [name for name in first if name in second and first[name] != second[name]]
        return Share(sum(first[name] for name in apart), len(apart), 0.5, "McNemar, exact")
    raise ValueError(f"shares of cases are compared two by two, or with a limit, not weighted by {list(weights)}")


@dataclass(frozen=True)
class Range:
    """Where a contrast must lie, ends excluded."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def ends(self) -> int:
        return math.isfinite(self.low) + math.isfinite(self.high)

    def passes(self, evidence: Evidence, level: float = ALPHA) -> bool:
        """Whether the interval lies inside."""
        low, high = evidence.bounds(level)
        return low > self.low and high < self.high

    def refuted(self, evidence: Evidence, level: float) -> bool:
        """Whether the interval lies outside."""
        low, high = evidence.bounds(level / max(1, self.ends))
        # a contrast that cannot vary may lie on an end: then it is not inside
        return high < self.low or low > self.high or (low == high and not self.low < low < self.high)


@dataclass(frozen=True)
class Checked:
    """A part of a claim with its evidence; None where it was not run, or came to no number."""

    wanted: Range
    evidence: Evidence | None


def judged(parts: Sequence[Checked | None], alpha: float = ALPHA, least: int = LEAST) -> tuple[str, list[str]]:
    """(verdict of a claim, word on each of its parts); None for a part that was not run."""
    words = []
    for part in parts:
        if part is None:
            words.append(NOT_RUN)
        elif part.evidence is None:
            words.append(OPEN)
        elif part.evidence.trials < least:
            words.append(TOO_FEW)
        else:
            words.append(PASSES if part.wanted.passes(part.evidence, alpha) else OPEN)
    left, found = len(parts), True
    while found:
        refuted = [
            place for place, part in enumerate(parts)
            if words[place] == OPEN and part is not None and part.evidence is not None
            and part.wanted.refuted(part.evidence, alpha / left)
        ]  # fmt: skip
        for place in refuted:
            words[place] = REFUTED
        left -= len(refuted)
        found = bool(refuted) and left > 0
    if not parts or all(word == NOT_RUN for word in words):
        return NOT_RUN, words
    if REFUTED in words:
        return FAILS, words
    return (HOLDS if all(word == PASSES for word in words) else OPEN), words
