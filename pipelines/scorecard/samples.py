"""Samples of what the profile's cells came to, made of the trials as summary.json has them, and of published numbers.

A diverged trial stands in a sample with the worst value of its kind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines import comparison, published
from pipelines.comparison import Estimate
from pipelines.layout import printed
from pipelines.scorecard.rule import Sample
from pipelines.sources import Sources
from pipelines.statistics import over_trials


def quoted(identity: str | None, unit: str = "") -> Sample | None:
    """A published number; None where there is none."""
    value = None if identity is None else published.find(identity)
    return None if value is None else Sample(comparison.theirs(value), printed=printed(value), unit=unit)


def found(inputs: Sources, family: str, parts: tuple[str, ...]) -> Mapping[str, Any] | None:
    """A cell of summary.json, None where the profile does not list it."""
    cell: Mapping[str, Any] | None = inputs.cells.get(family, {}).get("-".join(parts))
    return cell


def wanted(inputs: Sources, family: str, parts: tuple[str, ...]) -> int:
    """How many trials params.yaml asks of a cell (of poisoning, for each number of poisons)."""
    settings = inputs.params[family]["cells"][parts[0]][parts[1]]
    if family == "synthetic":
        return int(settings.get("trials", inputs.common[family]["trials"]))
    seeds = inputs.params[family]["prepared"][settings.get("data", parts[0])]["seeds"]
    return len(seeds[: settings.get("trials" if family == "few_shot" else "seeds")])


def sample(values: Mapping[str, float | None], asked: int, worst: float) -> Sample:
    """Of trials by name, None for a diverged one."""
    filled = {name: worst if value is None or not math.isfinite(value) else value for name, value in values.items()}
    lost = sum(value is None or not math.isfinite(value) for value in values.values())
    over = over_trials(list(filled.values()))
    estimate = Estimate(over["mean"], over["sd"], over["n"])
    return Sample(estimate, filled, diverged=lost, missing=max(0, asked - len(values)))


def of_trials(cell: Mapping[str, Any], *path: str, **where: Any) -> dict[str, float | None]:
    """Seed -> the number at `path` of its trial, None for one that did not finish; `where`: T=5, points=60."""
    values: dict[str, float | None] = {}
    for trial in cell["trials"]:
        if all(trial.get(name) == held for name, held in where.items()):
            held: Any = trial if trial["status"] == "finished" else None
            for name in path:
                held = held.get(name) if isinstance(held, Mapping) else None
            values[str(trial["seed"])] = held
    return values


def of_curve(cell: Mapping[str, Any], name: str, at: float | None = None) -> Sample | None:
    """A mean curve at an iteration (None: its end), linear between its points, with the spread there, which one trial alone
    does not have. The trials' own curves are not kept: two such samples are compared as if no seeds were shared."""
    curves = cell["curves"]
    if name not in curves or not curves["iteration"]:
        return None
    count = sum(trial["status"] == "finished" for trial in cell["trials"])
    lost = len(cell["trials"]) - count
    mean, sd = (curves[name][key] for key in ("mean", "sd"))
    if any(value is None for value in mean):
        return Sample(Estimate(None), diverged=max(1, lost))
    place = curves["iteration"][-1] if at is None else at
    value = float(np.interp(place, curves["iteration"], mean))
    spread = None if any(one is None for one in sd) else float(np.interp(place, curves["iteration"], sd))
    return Sample(Estimate(value, spread, count), diverged=lost)


def of_cell(inputs: Sources, family: str, parts: tuple[str, ...], worst: float, *path: str, **where: Any) -> Sample | None:
    """Our sample of the number at `path` of a cell's trials (`of_trials`), None where the profile does not list the cell;
    `worst` stands for a diverged trial."""
    cell = found(inputs, family, parts)
    return None if cell is None else sample(of_trials(cell, *path, **where), wanted(inputs, family, parts), worst)
