"""Shares of trials that succeed, with what can honestly be said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.records import significant


def share(successes: Sequence[bool]) -> dict[str, Any]:
    """{"k", "n", "percent", "low", "high"}: how many of how many, and the 95% interval of Wilson (1927) in percent.

    The percentages are None for no trial.
    """
    from scipy.stats import binomtest  # a second to import

    k, n = sum(map(bool, successes)), len(successes)
    if n == 0:
        return {"k": 0, "n": 0, "percent": None, "low": None, "high": None}
    interval = binomtest(k, n).proportion_ci(0.95, method="wilson")
    low, high = (significant(100 * float(end)) for end in interval)
    return {"k": k, "n": n, "percent": significant(100 * k / n), "low": low, "high": high}
