"""The tables of the denoising experiments: each quirk alone, equal tuning, controls, and the effect of T."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from pipelines import comparison, published
from pipelines.comparison import Difference
from pipelines.denoising import cells
from pipelines.layout import Table, interval, number, plus_minus, printed
from pipelines.published import LABELS
from pipelines.records import significant
from pipelines.sources import Sources
from pipelines.statistics import over_trials

NAMED = {
    "moments-example": "Adam's moments of an importance belong to the example, not to its place in the minibatch",
    "not-renormalised": "importances are not renormalised after an epoch",
    "importances-probability": "importances start as the pre-trained network's probability of the label, not as 0.6 or 0.4",
    "importances-equal": "importances start equal: pre-training says nothing of labels",
    "dropout": "the network is trained with its dropout layers",
    "test-power-2": "the tolerance test is on norms, not on squared norms",
    "multiplier-gamma-old": "the multiplier moves by the penalty weight before it is raised, not after",
    "step-sizes-kept": "step sizes do not fall when the tolerance is met",
    "lower-step-size-tenth": "the lower step size is a tenth",
    "one-step": "one lower step and one solver step in an upper iteration",
    "described": "all that the text says where the code does otherwise",
    "retrained": "a new network, trained with the learned importances as weights",
    "final-fit": "a new network, trained with the learned importances as weights and on the validation split",
    "same-steps": "as many lower steps as Penalty takes",
}
"""What a variant changes, by what follows the method in its name."""

RIVALS = {"stocbio": "stocBiO", "l2rw": "L2RW", "f2sa": "F2SA", "bome": "BOME"}
"""What methods that the paper does not have are called."""

SUMMARY = ("denoising/summary.json", "denoising/params.yaml")
SIGNS = {1: "raises", -1: "lowers", 0: "not told apart"}


def has(inputs: Sources, experiment: str) -> list[str]:
    """The variants of an experiment that the profile has; [] for none."""
    return cells.experiments(inputs.params["denoising"]).get(experiment, [])


def method_of(variant: str) -> str:
    """The method that a variant changes: the longest label it begins with, or its first word."""
    known = [name for name in LABELS if variant == name or variant.startswith(f"{name}-")]
    return max(known, key=len) if known else variant.partition("-")[0]


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
    apart = over_trials([mine[seed] - other[seed] for seed in mine if seed in other])
    return None if apart["half_width"] is None else Difference(apart["mean"], apart["half_width"], "paired")


def quirks(inputs: Sources) -> Table:
    """The effect of each quirk alone, in points of test accuracy."""
    numbers, shown = [], []
    for variant in has(inputs, "quirks"):
        method = method_of(variant)
        apart = None if variant == method else paired(inputs, ("quirks", variant), ("quirks", method))
        row, read = _accuracies(inputs, "quirks", variant)
        head = {"method": label(method), "what is changed": named(variant) or "nothing: as released"}
        numbers.append({**head, **row, **_as_numbers(apart)})
        shown.append({**head, **read, "effect": interval(apart, 2), "accuracy": _word(variant == method, apart)})
    notes = [
        f"On {_data(inputs, 'quirks')}; test accuracy in percent, mean ± s.d. over trials. Effect: points of the last"
        " iterate against the method as released, paired by trial, with its 95% interval by Student's t. One change at a"
        " time, but for the row that says all. SVHN's divisor is no matter of training: where the last minibatch is counted"
        " as full, an accuracy is printed as its 0.99359 part (26,032 test images of 26,200), half a point too low.",
        _chance(shown),
    ]
    return _table(inputs, "quirks", "Each quirk alone", numbers, shown, notes)


def tuned(inputs: Sources) -> Table:
    """Methods after the same search, beside what they give as released."""
    numbers, shown = [], []
    untuned = has(inputs, "quirks")
    plan = inputs.params["denoising"].get("search", {}).get("tuned", {})
    for method in has(inputs, "tuned"):
        row, read = _accuracies(inputs, "tuned", method)
        apart = None if method == "penalty" else paired(inputs, ("tuned", method), ("tuned", "penalty"))
        before = inputs.accuracy("quirks", method) if method in untuned else None
        head = {"method": label(method)}
        numbers.append({**head, "as released mean": before and before.mean, **row, **_as_numbers(apart)})
        shown.append(
            {
                **head,
                "chosen": ", ".join(f"{name} {value:g}" for name, value in _chosen(inputs, plan, method).items()),
                "as released": plus_minus(before, 2) if before else "-",
                **read,
                "against Penalty": interval(apart, 2),
                "verdict": "-" if apart is None else {1: "above", -1: "below", 0: "not told apart"}[apart.sign],
            }
        )
    notes = [
        f"On {_data(inputs, 'tuned')}. Every method had {plan.get('draws', '-')} points of one space, the same for all, on"
        " trials of other seeds, and took the one with the best accuracy on the selection split, which is in neither cost."
        " As released: the cell of the same name among the quirks."
        " Against Penalty: points of test accuracy of the last iterate, paired by trial, with the 95% interval.",
    ]
    return _table(inputs, "tuned", "Equal tuning", numbers, shown, notes)


def controls(inputs: Sources) -> Table:
    """What the learned importances are worth without the iterate that learned them."""
    numbers, shown = [], []
    params = inputs.params["denoising"]["cells"]
    rows: list[tuple[str, str]] = []
    for variant in has(inputs, "controls"):
        source = cells.from_of(params["controls"][variant])
        rows += [one for one in ([source] if source else []) if one not in rows] + [("controls", variant)]
    rows.sort(key=lambda one: (method_of(one[1]), one[0] == "controls"))
    for parts in rows:
        source = cells.from_of(params[parts[0]][parts[1]])
        apart = None if source is None else paired(inputs, parts, source)
        row, read = _accuracies(inputs, *parts)
        head = {"method": label(method_of(parts[1])), "control": named(parts[1]) or "the iterate that learned them"}
        numbers.append({**head, **row, **_as_numbers(apart)})
        shown.append({**head, **read, "difference": interval(apart, 2)})
    notes = [
        f"On {_data(inputs, 'controls')}. Difference: points of test accuracy of the last iterate against the bilevel"
        " method's own iterate, paired by trial, with the 95% interval.",
    ]
    return _table(inputs, "controls", "Controls", numbers, shown, notes)


def lower_steps(inputs: Sources) -> Table:
    """Figure 5(a): final accuracy and seconds of an upper iteration, by method and T."""
    numbers, shown = [], []
    seconds = seconds_of(inputs)
    for variant in has(inputs, "lower-steps"):
        method, _, steps = variant.rpartition("-")
        row, read = _accuracies(inputs, "lower-steps", variant)
        paper = {what: published.find(f"fig5a-{what}-T{steps}-{method}") for what in ("acc", "time")}
        time = seconds.get(f"lower-steps-{variant}")
        head = {"method": label(method), "T": int(steps)}
        numbers.append(
            {
                **head,
                "paper accuracy": paper["acc"] and paper["acc"].mean,
                **row,
                "paper seconds": paper["time"] and paper["time"].mean,
                "seconds of an iteration": time,
            }
        )
        shown.append(
            {
                **head,
                "MNIST, paper": printed(paper["acc"]),
                **read,
                "seconds, paper": printed(paper["time"]),
                "seconds, ours": number(time),
            }
        )
    notes = [
        f"On {_data(inputs, 'lower-steps')}, with as many upper iterations at every T. Seconds of one upper iteration; the"
        " paper's are of its own network and machine.",
    ]
    return _table(inputs, "lower-steps", "The effect of T", numbers, shown, notes, "denoising/costs.json")


DRAWN: dict[str, Callable[[Sources], Table]] = {
    "quirks": quirks,
    "tuned": tuned,
    "controls": controls,
    "lower-steps": lower_steps,
}
"""By the name of the experiment that a table is drawn from."""


def drawn(inputs: Sources) -> list[str]:
    """The tables whose experiment the profile has."""
    return [name for name in DRAWN if has(inputs, name)]


def seconds_of(inputs: Sources) -> Mapping[str, float]:
    """Seconds of an upper iteration by cell, of those that were timed."""
    rows = inputs.measured.get("rows", [])
    return {"-".join(row["cell"]): row["seconds_per_iteration"]["mean"] for row in rows}


def _accuracies(inputs: Sources, *parts: str) -> tuple[dict[str, Any], dict[str, Any]]:
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


def _as_numbers(apart: Difference | None) -> dict[str, Any]:
    return {"effect": apart and significant(apart.value), "half width": apart and significant(apart.half_width)}


def _word(base: bool, apart: Difference | None) -> str:
    return "-" if base or apart is None else SIGNS[apart.sign]


def _chance(shown: list[dict[str, Any]]) -> str:
    """How many effects are told from none, and how many would be by chance."""
    told = [row for row in shown if row["accuracy"] in (SIGNS[1], SIGNS[-1])]
    tested = [row for row in shown if row["effect"] != "-"]
    chance = (1 - comparison.CONFIDENCE) * len(tested)
    return f"{len(told)} of {len(tested)} effects are told from none; were there none, {chance:.1f} would be by chance."


def _chosen(inputs: Sources, plan: Mapping[str, Any], method: str) -> dict[str, float]:
    """The settings of a tuned cell that its search chose."""
    settings = inputs.params["denoising"]["cells"]["tuned"][method]["settings"]
    names = [plan.get("means", {}).get(name, {method: name}).get(method) for name in plan.get("space", {})]
    return {name: settings[name] for name in names if name in settings}


def _data(inputs: Sources, experiment: str) -> str:
    """The data set and the network of an experiment, in words."""
    found = inputs.params["denoising"]["cells"][experiment]
    return ", ".join(sorted({f"{one['data']} with the network {one['network']}" for one in found.values()}))


def _table(
    inputs: Sources, name: str, title: str, numbers: list[Any], shown: list[Any], notes: list[str], *more: str
) -> Table:
    drawn_from = inputs.drawn_from(*SUMMARY, *more)
    return Table(name, title, pd.DataFrame(numbers), pd.DataFrame(shown), notes, drawn_from)
