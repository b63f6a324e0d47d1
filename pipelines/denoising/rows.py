"""What the tables of the denoising experiments share: which variants there are, what they are called, and their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipelines import searches
from pipelines.comparison import Difference
from pipelines.denoising import cells
from pipelines.layout import Table, number, plus_minus
from pipelines.published import LABELS
from pipelines.records import significant
from pipelines.sources import Sources
from pipelines.statistics import over_trials

NAMED = {
    "moments-example": "Adam's moments of an importance belong to the example, not to its place in the minibatch",
    "not-renormalised": "importances are not renormalised after an epoch",
    "importances-probability": "importances start as the pre-trained network's probability of the label, not as 0.6 or 0.4",
    "importances-equal": "importances start equal: pre-training says nothing of labels",
    "test-power-2": "the tolerance test is on norms, not on squared norms",
    "multiplier-gamma-old": "the multiplier moves by the penalty weight before it is raised, not after",
    "step-sizes-kept": "step sizes do not fall when the tolerance is met",
    "lower-step-size-tenth": "the lower step size is a tenth",
    "dropout": "the network is trained with its dropout layers",
    "one-step": "one lower step and one solver step in an upper iteration",
    "described": "all that the text says where the code does otherwise",
    "retrained": "a new network, trained with the learned importances as weights",
    "final-fit": "a new network, trained with the learned importances as weights and on the validation split",
    "equal-weights": "a new network, trained with equal weights",
    "small-steps": "with smaller steps",
    "same-steps": "as many lower steps as Penalty takes",
    "final": "a new network, fitted with what was learned",
    "same-split": "on the split of Franceschi et al.",
    "grey-unit": "pixels in [0, 1]",
}
"""What a variant changes, by what follows the method in its name."""

RIVALS = {
    "stocbio": "stocBiO",
    "l2rw": "L2RW",
    "f2sa": "F2SA",
    "bome": "BOME",
    "meta-weight-net": "Meta-Weight-Net",
    "aid-fp": "AID-FP",
    "aid-cg": "AID-CG",
    "bsa": "BSA",
    "ttsa": "TTSA",
    "plain": "plain training",
    "ratio": "class ratio",
    "hard-mining": "hard mining",
    "random": "random weights",
}
"""What methods that the paper does not have are called."""

AGAINST_PENALTY = (
    " Against Penalty: points of test accuracy of the last iterate, paired by trial, with the 95% interval."
)
"""The note of a table that has such a column."""
UNWEIGHTED = {"retrained": "plain-equal-weights", "final-fit": "train-val-equal-weights"}
"""What follows the method in a control's name -> the control that trains on as much with equal weights."""
WORDS = {1: "above", -1: "below", 0: "not told apart from"}
"""How a difference is read, by its sign."""
SUMMARY = ("denoising/summary.json", "denoising/params.yaml")


def has(inputs: Sources, experiment: str) -> list[str]:
    """The variants of an experiment that the profile has; [] for none."""
    return cells.experiments(inputs.params["denoising"]).get(experiment, [])


def tuned(inputs: Sources) -> list[str]:
    """The experiments of equal tuning that the profile has."""
    return [name for name in cells.experiments(inputs.params["denoising"]) if searches.is_tuned(name)]


def method_of(variant: str) -> str:
    """The method that a variant changes: the longest of the known names that it begins with, else of those that stand in it,
    or its first word."""
    known = [name for name in (*LABELS, *RIVALS) if f"-{name}-" in f"-{variant}-"]
    first = [name for name in known if f"{variant}-".startswith(f"{name}-")]
    return max(first or known, key=len) if known else variant.partition("-")[0]


def label(method: str) -> str:
    """A method's name as it is read."""
    return RIVALS.get(method) or LABELS[method]


def named(variant: str) -> str:
    """What the variant changes, in words; "" for the method as it is."""
    rest = variant.removeprefix(method_of(variant)).removeprefix("-")
    return NAMED.get(rest, rest)


def paired(inputs: Sources, cell: tuple[str, str], base: tuple[str, str]) -> Difference | None:
    """Test accuracy of a cell less that of another, trial by trial, with the 95% interval by Student's t; None for fewer
    than two trials that finished in both."""
    mine, other = (inputs.cell("denoising", *parts)["summary"]["by seed"] for parts in (cell, base))
    return _by_trial(mine, other)


def beside_equal_weights(inputs: Sources, variant: str) -> Difference | None:
    """As `paired`, a control that trains a new network less the same network with equal weights; None where the profile has
    none, or the control is another."""
    base = UNWEIGHTED.get(variant.removeprefix(method_of(variant)).removeprefix("-"))
    known = base is not None and base in has(inputs, "controls")
    return paired(inputs, ("controls", variant), ("controls", base)) if known and base else None


def best_stopped(inputs: Sources, experiment: str, method: str) -> str:
    """The variant of a method that does best on the selection split where it is best: what a search for the iterate that is
    stopped in time would choose, where `pipelines.search` looks at the last one."""
    found = [one for one in has(inputs, experiment) if method_of(one) == method]
    curves = {one: inputs.cell("denoising", experiment, one)["curves"] for one in found}
    best = {one: max(curve["selection accuracy"]["mean"]) for one, curve in curves.items() if "selection accuracy" in curve}
    return max(best, key=lambda one: best[one], default=method)


def chosen(inputs: Sources, cell: tuple[str, str], base: tuple[str, str]) -> Difference | None:
    """As `paired`, of the iterates chosen on the selection split."""
    mine, other = (
        {trial["seed"]: trial["selected"]["test accuracy"] for trial in inputs.cell("denoising", *parts)["trials"]
         if trial["status"] == "finished"}
        for parts in (cell, base)
    )  # fmt: skip
    return _by_trial(mine, other)


def _by_trial(mine: Mapping[Any, float], other: Mapping[Any, float]) -> Difference | None:
    """One less the other over the seeds that both have."""
    apart = over_trials([mine[seed] - other[seed] for seed in mine if seed in other])
    return None if apart["half_width"] is None else Difference(apart["mean"], apart["half_width"], "paired")


def seconds_of(inputs: Sources) -> Mapping[str, float]:
    """Seconds of an upper iteration by cell, of those that were timed."""
    rows = inputs.measured.get("rows", [])
    return {"-".join(row["cell"]): row["seconds_per_iteration"]["mean"] for row in rows}


def accuracies(inputs: Sources, *parts: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns that every table has: accuracies of three iterates, and how well importances tell labels apart."""
    cell = inputs.cell("denoising", *parts)["summary"]
    row: dict[str, Any] = {}
    read: dict[str, Any] = {}
    for iterate in ("last", "selected", "best on test"):
        one = inputs.accuracy(*parts, iterate)
        row |= {f"{iterate} mean": one.mean, f"{iterate} sd": one.sd, f"{iterate} n": one.n}
        read[iterate] = plus_minus(one, 2)
    found = cell.get("importances", {})
    for name in ("area under ROC", "precision", "recall"):
        row[name] = found.get(name, {}).get("mean")
        read[name] = number(row[name], 3)
    row["diverged"] = read["diverged"] = cell["diverged"]
    return row, read


def against_penalty(inputs: Sources, experiment: str, method: str) -> Difference | None:
    """`paired` with Penalty in the same experiment; None for Penalty itself."""
    return None if method == "penalty" else paired(inputs, (experiment, method), (experiment, "penalty"))


def quirk(inputs: Sources, variant: str) -> Difference | None:
    """`paired` with the method as released, among the quirks; None for that method itself."""
    method = method_of(variant)
    return None if variant == method else paired(inputs, ("quirks", variant), ("quirks", method))


def is_idle(apart: Difference) -> bool:
    """Whether a change left every trial as it was."""
    return apart.value == apart.half_width == 0


def as_numbers(apart: Difference | None) -> dict[str, Any]:
    """Columns of a difference; None where there is none."""
    return {"effect": apart and significant(apart.value), "half width": apart and significant(apart.half_width)}


def data(inputs: Sources, experiment: str) -> str:
    """The data set and the network of an experiment, in words."""
    found = inputs.params["denoising"]["cells"].get(experiment, {})
    return ", ".join(sorted({f"{one['data']} with the network {one['network']}" for one in found.values()}))


def table(
    inputs: Sources, name: str, title: str, numbers: list[Any], shown: list[Any], notes: list[str], *more: str
) -> Table:
    """The table, with what it was drawn from; `more`: further files of results."""
    drawn_from = inputs.drawn_from(*SUMMARY, *more, by="pipelines.denoising.tables")
    return Table(name, title, pd.DataFrame(numbers), pd.DataFrame(shown), notes, drawn_from)
