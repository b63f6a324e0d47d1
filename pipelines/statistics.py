"""Means over trials, with what can honestly be said of their spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit  # Student's quantile; scipy.stats, which calls it, takes a second to import

from pipelines.records import significant


def over_trials(values: ArrayLike) -> dict[str, Any]:
    """{"mean", "sd", "n", "half_width"} of the trials that finished.

    sd is the sample standard deviation (n - 1); half_width that of the 95% interval by Student's t, which for five
    trials is 2.8 standard errors, not two. Both are None for a single trial, mean too for none.
    """
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    count = len(array)
    if count == 0:
        return {"mean": None, "sd": None, "n": 0, "half_width": None}
    if count == 1:
        return {"mean": significant(array[0]), "sd": None, "n": 1, "half_width": None}
    spread = float(array.std(ddof=1))
    width = float(stdtrit(count - 1, 0.975)) * spread / count**0.5
    return {
        "mean": significant(array.mean()),
        "sd": significant(spread),
        "n": count,
        "half_width": significant(width),
    }


def curve_over_trials(curves: list[list[float | None]]) -> dict[str, list[float | None]]:
    """{"mean": [...], "sd": [...]} point by point, over the trials that are finite there."""
    array = np.array([[np.nan if value is None else value for value in curve] for curve in curves], dtype=np.float64)
    mean: list[float | None] = []
    spread: list[float | None] = []
    for column in array.T:
        good = column[np.isfinite(column)]
        mean.append(significant(good.mean()) if len(good) else None)
        spread.append(significant(good.std(ddof=1)) if len(good) > 1 else None)
    return {"mean": mean, "sd": spread}
