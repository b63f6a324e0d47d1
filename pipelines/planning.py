"""How long cells take: as measured, or reckoned from the cells of the same kind that were.

The work of a cell is counted in a unit of its family (rows that lower steps read, images or pixels that upper steps encode,
lower steps); a measured cell of the same kind says what a unit takes of one core. Where none of the kind was measured, the
rate is one of RATES, known by hand or from the operations of a network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipelines import records, settings
from pipelines.sources import Sources

SIZES = {
    "mnist": 59000, "cifar10": 40000, "svhn": 72200, "digits": 1000,
    "small": 5000, "franceschi": 5000, "stocbio": 20000,
}  # fmt: skip
"""Training rows by split, or by source, where params.yaml leaves them at what the data set has."""

PIXELS = {"digits": 64, "mnist": 784, "dogfish-imagenette": 96 * 96, "dogfish": 299 * 299}
"""Of an image of the clean-label attack."""

RATES = {
    ("denoising", "mnist"): 1.4e-2,
    ("denoising", "cifar10"): 2.9e-2,
    ("denoising", "svhn"): 2.9e-2,
    ("denoising", "wrn-28-10"): 0.4,
    ("denoising", "resnet-32"): 2e-2,
    ("few_shot", "omniglot"): 8e-4,
    ("few_shot", "omniglot-16"): 1e-4,
    ("few_shot", "mini-imagenet"): 0.1,
    ("few_shot", "conv-base-fc100"): 2e-3,
    ("poisoning", "softmax"): 4.5e-3,
}
"""Seconds of one core for a unit of work, by family and kind."""
DAY = 86400.0


class Time(NamedTuple):
    """Seconds of one core, and where they come from: "measured", "reckoned" from measured cells, or "by a rate"."""

    seconds: float
    basis: str


class Past(NamedTuple):
    """What a cell once took."""

    family: str
    profile: str
    parts: tuple[str, ...]
    seconds: float


def past(inputs: Sources) -> list[Past]:
    """What the cells of a profile took."""
    return [
        Past(family, inputs.profile, tuple(one["parts"]), float(one["cpu_seconds"]))
        for family, cells in inputs.costs.items() for one in cells.values()
    ]  # fmt: skip


def past_here(root: Path = records.RESULTS) -> list[Past]:
    """The same of all profiles, from every run.json there is."""
    found = []
    for path in sorted(root.glob("*/*/*/run.json")):
        profile, family = path.parts[-4], path.parts[-3]
        parts = tuple(records.read_json(path.with_name("train.json"), "make repro")["cell"])
        found.append(Past(family, profile, parts, float(records.read_json(path, "make repro")["cpu_seconds"])))
    return found


def estimate(known: Sequence[Past], family: str, profile: str, parts: tuple[str, ...]) -> Time | None:
    """What training a cell takes, by what other cells took; None where nothing is known of its kind."""
    for one in known:
        if one[:3] == (family, profile, parts):
            return Time(one.seconds, "measured")
    block = settings.profile_params(family, profile)
    cell = _cell(block, parts)
    if cell is None:
        return None
    rates = []
    for one in known:
        mine = settings.profile_params(family, one.profile) if one.family == family else {"cells": {}}
        other = _cell(mine, one.parts)
        if other is not None and kind_of(family, other) == kind_of(family, cell) and other["solver"] == cell["solver"]:
            rates.append(one.seconds / work(family, mine, other, one.parts))
    units = work(family, block, cell, parts)
    if rates:
        return Time(units * sorted(rates)[len(rates) // 2], "reckoned")
    rate = RATES.get((family, kind_of(family, cell)))
    return None if rate is None else Time(units * rate, "by a rate")


def _cell(block: Mapping[str, Any], parts: tuple[str, ...]) -> Mapping[str, Any] | None:
    found = block["cells"].get(parts[0], {}).get(parts[1])
    return found if isinstance(found, Mapping) else None


def kind_of(family: str, cell: Mapping[str, Any]) -> str:
    """What a rate belongs to: the network, of a clean-label attack its form; of poisoning, and of the synthetic examples,
    there is one kind."""
    if family == "clean_label":
        return str(cell["form"])
    return {"poisoning": "softmax", "synthetic": "examples"}.get(family) or str(cell["network"])


def work(family: str, block: Mapping[str, Any], cell: Mapping[str, Any], parts: tuple[str, ...]) -> float:
    """Units of work of all trials of a cell."""
    if family == "synthetic":
        return 1.0  # all have as many iterations and trials
    prepared = block["prepared"][cell.get("data", parts[0])]
    steps = cell.get("settings", {}).get("lower_steps", 0)
    if family == "clean_label":  # pixels that pass the network
        pixels = PIXELS[prepared["source"]] / prepared.get("shrink", 1) ** 2
        trials = len(cell.get("epsilons", [None])) * cell.get("targets", prepared["test_rows"])
        return float(pixels * trials * max(1, cell["iterations"]))
    seeds = len(prepared["seeds"])
    if family == "poisoning":
        trials = min(seeds, cell.get("seeds", seeds)) * len(cell["points"])
        return float(trials * max(1, cell["iterations"] * max(1, steps)))
    if family == "few_shot":
        images = prepared["way"] * (prepared["shot"] + cell.get("query", prepared["query"]))
        trials = min(seeds, cell.get("trials", seeds))
        return float(trials * cell["iterations"] * cell.get("meta_batch", prepared["meta_batch"]) * images)
    rows = prepared.get("train_size") or SIZES.get(prepared.get("split", ""), SIZES.get(prepared["source"], 50000))
    iterations = cell.get("iterations") or cell["epochs"] * -(-rows // cell["batch"])
    return float(seeds * iterations * cell["batch"] * (steps + 1))


def said(seconds: float) -> str:
    """A long time in words, of one core."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * DAY:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / DAY:,.0f} days"
