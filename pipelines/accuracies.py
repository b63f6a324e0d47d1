"""The table of denoising (the paper's Table 3, in the published version Table 2)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipelines import comparison, published
from pipelines.comparison import Cut
from pipelines.layout import Table, interval, listed, number, plus_minus, printed
from pipelines.published import LABELS, Value
from pipelines.records import significant
from pipelines.sources import Sources

ITERATES = ("last", "selected", "best on test")
STAND_IN = "mnist"
"""The paper's data set beside which data of our own are shown."""


def source_of(data: str) -> tuple[str, float]:
    """The paper's data set beside ours, and the percentage of corrupted labels: ("mnist", 25.0)."""
    source, _, noise = data.rpartition("-")
    return (source if source in comparison.FULL_BUDGET else STAND_IN), float(noise)


def published_of(data: str, method: str) -> list[Value]:
    """The published accuracies of a row: two where the paper's versions differ, the newer first; none for a method that
    the paper does not have."""
    source, noise = source_of(data)
    identity = f"denoise-{source}-{noise:.0f}-{method.replace('train-val', 'trainval')}"
    newer = [f"{identity}-acml"] if source == "mnist" and method == "val-only" else []
    found = (published.find(one) for one in [*newer, identity])
    return [value for value in found if value is not None]


def cuts_of(inputs: Sources, data: str, method: str) -> list[Cut]:
    """How the row's budget falls short of the paper's."""
    params = inputs.params["denoising"]
    return comparison.denoising_cuts(params["prepared"][data], params["cells"][data][method])


def verdict(inputs: Sources, data: str, method: str) -> str:
    """Of the last iterate; against the paper's newer version, unless only the older one agrees."""
    mine, cuts = inputs.accuracy(data, method), cuts_of(inputs, data, method)
    verdicts = [
        comparison.verdict(mine, comparison.theirs(value), cuts) for value in published_of(data, method)
    ]
    if not verdicts:
        return comparison.NOT_PUBLISHED
    if verdicts[0] == comparison.DIFFERS and comparison.AGREES in verdicts:
        return "agrees (with the older version)"
    return verdicts[0]


def order(inputs: Sources, data: str, method: str) -> str:
    """Whether a method lies on the same side of Penalty as in the paper; "" for Penalty itself."""
    published_here = published_of(data, method)
    if method == "penalty" or not published_here:
        return ""
    there = (published_here[0], published_of(data, "penalty")[0])
    here = (inputs.accuracy(data, method), inputs.accuracy(data, "penalty"))
    return comparison.order(here, (comparison.theirs(there[0]), comparison.theirs(there[1])))


def table(inputs: Sources) -> Table:
    """Test accuracies of three iterates, a row for each data set and method."""
    numbers, shown = [], []
    notes = [
        "Test accuracy in percent, mean ± s.d. over trials. Last: the iterate that training ended with."
        " Selected: the best on a clean split that no cost has seen. Best on test: the best of all on the"
        " test set, no result but the measure of what picking there would show. Difference and verdict: of"
        " the last iterate. Against Penalty: whether the method lies above or below Penalty as in the"
        " paper. Area under ROC: how well the importances tell clean from corrupted labels (1: perfectly,"
        " 0.5: not)."
    ]
    for data in inputs.params["denoising"]["data"]:
        cuts: list[Cut] = []
        for method in inputs.params["denoising"]["methods"]:
            row, read = _row(inputs, data, method)
            numbers.append(row)
            shown.append(read)
            cuts += cuts_of(inputs, data, method)
        if cuts:
            short = listed(comparison.said(cuts))
            notes.append(f"{data} cannot be compared with the paper's numbers, only its order: {short}.")
    drawn = inputs.drawn_from("denoising/summary.json", "denoising/params.yaml", by=__name__)
    return Table("denoising", "Data denoising", pd.DataFrame(numbers), pd.DataFrame(shown), notes, drawn)


def _row(inputs: Sources, data: str, method: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row as numbers, and as read."""
    cell = inputs.cell("denoising", data, method)["summary"]
    values = published_of(data, method)
    mine = inputs.accuracy(data, method)
    apart = None
    if values and mine.mean is not None and not cuts_of(inputs, data, method):
        apart = comparison.difference(mine, comparison.theirs(values[0]))
    area = cell.get("importances", {}).get("area under ROC", {}).get("mean")
    source = source_of(data)[0]
    paper = " or ".join(printed(value) for value in values) or "-"
    label = {"data": data, "method": LABELS[method]}
    newest = values[0] if values else None
    row: dict[str, Any] = {**label, "paper mean": newest and newest.mean, "paper sd": newest and newest.sd}
    read: dict[str, Any] = {
        **label,
        "paper": paper if data.startswith(source) or not values else f"{source.upper()}: {paper}",
    }
    for iterate in ITERATES:
        one = inputs.accuracy(data, method, iterate)
        row |= {f"{iterate} mean": one.mean, f"{iterate} sd": one.sd, f"{iterate} n": one.n}
        read[f"ours, {iterate}"] = plus_minus(one, 2)
    row |= {
        "difference": apart and significant(apart.value),
        "half width": apart and significant(apart.half_width),
    }
    row |= {"verdict": verdict(inputs, data, method), "order": order(inputs, data, method)}
    row |= {"area under ROC": area, "diverged": cell["diverged"]}
    read |= {
        "difference": interval(apart, 2),
        "verdict": row["verdict"],
        "against Penalty": row["order"] or "-",
    }
    read |= {"area under ROC": number(area, 3), "diverged": cell["diverged"]}
    return row, read
