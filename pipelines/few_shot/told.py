"""Sentences of the page on few-shot learning, made from the numbers."""

from __future__ import annotations

import math

from pipelines.comparison import difference
from pipelines.few_shot.tables import BESIDE, FAMILY, label, ours, speed
from pipelines.layout import listed, number
from pipelines.sources import Sources


def results(inputs: Sources) -> str:
    """What the methods reach on each data set, best first, and how far above comparing pixels."""
    params = inputs.params[FAMILY]
    lines = []
    for data in params["data"]:
        found = {method: ours(inputs, data, method, "selected") for method in params["methods"]}
        ends = [(one.mean, width or 0.0, method) for method, (one, width) in found.items() if one.mean is not None]
        reached = sorted(ends, reverse=True)
        said = listed([f"{label(method)} {number(mean, 1)} ± {number(width, 1)}" for mean, width, method in reached])
        near = inputs.data[FAMILY].get(data, {}).get("nearest_neighbour")
        below = f" The nearest drawing, pixel by pixel, gives {number(near['accuracy'], 1)}." if near else ""
        more = f"{below}{_fallen(inputs, data)}{_settled(inputs, data)}"
        lines.append(f"*{data}*, selected iterates, percent with the 95% interval over tasks: {said}.{more}")
    return "\n\n".join(lines) or "This profile trains no few-shot cells."


def _fallen(inputs: Sources, data: str) -> str:
    """The methods that end below their selected iterate, further than both intervals over tasks reach."""
    said = []
    for method in inputs.params[FAMILY]["methods"]:
        (last, width), (best, its) = (ours(inputs, data, method, iterate) for iterate in ("last", "selected"))
        if last.mean is not None and best.mean is not None and best.mean - last.mean > (width or 0.0) + (its or 0.0):
            said.append(f"{label(method)} ends at {number(last.mean, 1)}")
    return f" Training went on past its best: {listed(said)}." if said else ""


def _settled(inputs: Sources, data: str) -> str:
    """Whether Penalty and ApproxGrad are told apart over trials; nothing where there is one trial."""
    methods = inputs.params[FAMILY]["methods"]
    if not {"penalty", "approxgrad"} <= set(methods):
        return ""
    first, second = (ours(inputs, data, method, "selected")[0] for method in ("penalty", "approxgrad"))
    if first.mean is None or second.mean is None or first.half_width is None or second.half_width is None:
        return " One trial of a method says nothing of how another one would end."
    words = {1: "above", -1: "below", 0: "not told apart from"}
    return f" Over trials Penalty is {words[difference(first, second).sign]} ApproxGrad."


def one_task(inputs: Sources) -> str:
    """What the released rule of ApproxGrad, the implicit term of one task alone, changes against the terms of all."""
    params, beside = inputs.params[FAMILY], BESIDE["one-task"]
    plan = params.get("experiments", {})
    if "approxgrad-first" not in plan.get("one-task", []) or beside[1] not in plan.get(beside[0], []):
        return ""
    cells = {"the first task's alone": ("one-task", "approxgrad-first"), "those of all tasks": beside}
    ends = {name: ours(inputs, *cell, "last") for name, cell in cells.items()}
    (first, its), (whole, their) = ends.values()
    if first.mean is None or whole.mean is None:
        return "Of the two rules of ApproxGrad's implicit term, one diverged."
    said = [f"{number(one.mean, 1)} ± {number(width, 1)} with {name}" for name, (one, width) in ends.items()]
    # the tasks are the same and the errors of both go the same way, so that this is wider than need be
    apart, reach = first.mean - whole.mean, math.hypot(its or 0.0, their or 0.0)
    word = "not told apart by these tasks" if abs(apart) <= reach else f"{number(abs(apart), 1)} points apart"
    iterations = params["cells"][beside[0]][beside[1]]["iterations"]
    return f"The implicit term of ApproxGrad after {iterations} upper iterations: {listed(said)} percent, {word}."


AT_LEAST = 4.0
"""Times faster that encoding once is to be."""


def gains(inputs: Sources) -> str:
    """How many times faster encoding once is, least first, and how far the numbers are apart; "" where none was timed."""
    if not inputs.timed.get(FAMILY):
        return ""
    rows = speed(inputs).numbers.dropna(subset=["gain"]).sort_values("gain")
    if rows.empty:
        return ""
    main = rows[~rows["data"].isin(inputs.params[FAMILY].get("experiments", {}))]
    said = [f"{method} {number(gain, 1)}" for method, gain in zip(main["method"], main["gain"], strict=True)]
    below = main.loc[main["gain"] < AT_LEAST, "method"].tolist()
    word = f"{listed(below)} below {AT_LEAST:g}" if below else f"all at least {AT_LEAST:g}"
    largest = rows["largest difference"].max()
    where = listed(sorted(set(main["data"])))
    return (
        f"Encoding once makes an upper iteration this many times faster on {where}: {listed(said)}; {word}."
        f" The encoders of both ways are at most {largest:.1e} apart."
    )
