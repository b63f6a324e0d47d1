"""What a demonstration yields: numbers held against bounds, and curves to draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipelines import records

HOLDS, FAILS = "holds", "does not hold"


class Check(NamedTuple):
    """One number against one bound.

    Attributes: claim: its number in the list of claims ("C09"). computed: what the number is. number: what came out.
        bound: what it has to be, in words. holds: whether it is.
    """

    claim: str
    computed: str
    number: float
    bound: str
    holds: bool

    def row(self) -> dict[str, Any]:
        """As a record keeps it."""
        verdict = HOLDS if self.holds else FAILS
        number = records.significant(self.number, 3) if math.isfinite(self.number) else None
        return {
            "claim": self.claim, "computed": self.computed, "number": number, "bound": self.bound, "verdict": verdict,
        }  # fmt: skip


def at_most(claim: str, computed: str, number: float, bound: float) -> Check:
    """Whether a number is no larger than the bound; NaN never is."""
    return Check(claim, computed, number, f"at most {bound:.3g}", number <= bound)


def at_least(claim: str, computed: str, number: float, bound: float) -> Check:
    """Whether a number is no smaller than the bound."""
    return Check(claim, computed, number, f"at least {bound:.3g}", number >= bound)


def near(claim: str, computed: str, number: float, target: float, tolerance: float) -> Check:
    """Whether a number lies within `tolerance` of `target`."""
    return Check(claim, computed, number, f"{target:.3g} ± {tolerance:.2g}", abs(number - target) <= tolerance)


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """p of value = c size^p, by least squares in logarithms; NaN where a value is not positive."""
    if min(values) <= 0 or not all(map(math.isfinite, values)):
        return math.nan
    x, y = [math.log(one) for one in sizes], [math.log(one) for one in values]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)


class Demonstration(NamedTuple):
    """Checks, and named curves: name -> {"x": [...], label of a line: [...], ...}."""

    checks: Sequence[Check]
    curves: Mapping[str, Mapping[str, Sequence[float]]]
