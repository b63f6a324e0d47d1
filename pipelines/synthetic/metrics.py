"""What is measured of a synthetic cell: the distance to the solution set at the last update, and its mean curve, by T."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.records import significant
from pipelines.settings import Cell
from pipelines.statistics import curve_over_trials, over_trials

FALLING = ("ex2", "penalty")
"""The cells whose distance the paper says falls steadily: each trial is looked at on its way too."""
EVERY = 5000
"""Upper iterations between two looks."""


def measure(cell: Cell, record: Mapping[str, Any]) -> dict[str, Any]:
    """{"trials", "summary": {"T=1": {"error": ...}}, "curves": {"iteration", "T=1": {"error": {"mean", "sd"}}}}; trials of
    `FALLING` have {"on the way": {"5000": distance, ...}} too, so that two places of one curve are compared trial by trial.
    """
    trials: list[dict[str, Any]] = [
        {
            "seed": one["seed"],
            "T": one["T"],
            "status": one["status"],
            "last": {"error": one["curve"]["error"][-1]},
        }
        for one in record["trials"]
    ]
    if cell.parts[:2] == FALLING:
        for trial, one in zip(trials, record["trials"], strict=True):
            trial["on the way"] = on_the_way(one["curve"]) if one["status"] == "finished" else {}
    summary: dict[str, Any] = {}
    curves: dict[str, Any] = {"iteration": record["trials"][0]["curve"]["iteration"]}
    for steps in sorted({one["T"] for one in record["trials"]}):
        these = [one for one in record["trials"] if one["T"] == steps]
        finished = [one for one in these if one["status"] == "finished"]
        summary[f"T={steps}"] = {
            name: over_trials([one["curve"][name][-1] for one in finished]) for name in _scalars(these[0])
        }
        summary[f"T={steps}"]["diverged"] = len(these) - len(finished)
        curves[f"T={steps}"] = {
            name: curve_over_trials([one["curve"][name] for one in these]) for name in _scalars(these[0])
        }
    return {"trials": trials, "summary": summary, "curves": curves}


def on_the_way(curve: Mapping[str, Any]) -> dict[str, float]:
    """A trial's distance at every `EVERY`-th upper iteration, linear between the points of its curve."""
    places = range(0, curve["iteration"][-1] + 1, EVERY)
    found = np.interp(list(places), curve["iteration"], curve["error"])
    return {str(place): significant(value) for place, value in zip(places, found, strict=True)}


def _scalars(trial: Mapping[str, Any]) -> list[str]:
    return [name for name in trial["curve"] if name != "iteration"]
