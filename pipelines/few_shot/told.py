"""Sentences of the page on few-shot learning, made from the numbers."""

from __future__ import annotations

import math

from pipelines import comparison
from pipelines.comparison import difference, quantile
from pipelines.few_shot import steps
from pipelines.few_shot.tables import BESIDE, FAMILY, FIRST_TASKS, label, methods_of, ours, speed
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
        more = f"{_pixels(inputs, data)}{_learned(inputs, data)}{_fallen(inputs, data)}{_settled(inputs, data)}"
        lines.append(f"*{data}*, selected iterates, percent with the 95% interval over tasks: {said}.{more}")
    return "\n\n".join(lines) or "This profile trains no few-shot cells."


def _pixels(inputs: Sources, data: str) -> str:
    """What comparing pixels gives, on tasks of meta-validation, and the methods that end below it."""
    near = inputs.data[FAMILY].get(data, {}).get("nearest_neighbour")
    if not near:
        return ""
    reach, below = quantile(near["tasks"] - 1) * near["standard error"], []
    for method in methods_of(inputs):
        one, width = ours(inputs, data, method, "selected")
        if one.mean is not None and one.mean < near["accuracy"]:
            near_by = near["accuracy"] - one.mean <= math.hypot(width or 0.0, reach)
            below.append(f"{label(method)}{' (not told apart)' if near_by else ''}")
    said = f" The nearest image, pixel by pixel, gives {number(near['accuracy'], 1)} ± {number(reach, 1)}"
    return f"{said} on {near['tasks']} tasks of meta-validation{f'; below it: {listed(below)}' if below else ''}."


def _learned(inputs: Sources, data: str) -> str:
    """Each method on the first tasks of meta-test before training and at its end, and whether these tasks tell both apart.

    An end is as uncertain as its interval over all tasks, made wider for fewer, and the start is taken to be so too. Both
    are of the same tasks, so that this is wider than need be.
    """
    said, even, fallen, counts = [], [], [], set()
    for method in methods_of(inputs):
        found, few = inputs.cell(FAMILY, data, method), inputs.params[FAMILY]["cells"][data][method]["curve_tasks"]
        first, *_, last = found["curves"].get(FIRST_TASKS, {"mean": [None, None]})["mean"]
        if first is None or last is None:
            continue
        end = found["summary"]["last"]
        reach = math.sqrt(2 * end["tasks"] / few) * (end["over tasks"] or 0.0)
        said.append(f"{label(method)} {number(first, 1)} to {number(last, 1)}")
        counts.add(few)
        if abs(last - first) <= reach:
            even.append(label(method))
        elif last < first:
            fallen.append(label(method))
    if not said:
        return ""
    words = [f"{listed(fallen)} below the start"] if fallen else []
    if even:
        words.append("no end is told from its start by so few tasks" if len(even) == len(said)
                     else f"not told from the start by so few tasks: {listed(even)}")  # fmt: skip
    tasks = listed([str(few) for few in sorted(counts)])
    judged = "; ".join(words) or "all above the start"
    return f" From the start of training to its end on the first {tasks} tasks of meta-test: {listed(said)}; {judged}."


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


def lower_steps(inputs: Sources) -> str:
    """How two methods are ordered by the seconds of an upper iteration at the largest T that is timed and published."""
    both = {count: found for count, found in steps.seconds(inputs).items() if len(found) == 2}
    if not both:
        return ""
    largest = max(both)
    (one, (mine, theirs)), (other, (my_other, their_other)) = both[largest].items()
    word = comparison.order((mine, my_other), (theirs, their_other))
    ours_said, paper_said = (
        f"{label(one)} {number(first.mean)} s and {label(other)} {number(second.mean)} s"
        for first, second in ((mine, my_other), (theirs, their_other))
    )
    return (
        f"An upper iteration at T = {largest} takes {ours_said} here, {paper_said} in the paper: {word}."
        f" {steps.conditions(inputs)}"
    )


AT_LEAST = 4.0
"""Times faster that encoding once is to be."""


def gains(inputs: Sources) -> str:
    """How many times faster encoding once is, least first, which methods gain what is wanted, and how far the encoders are
    apart in double precision; "" where none was timed."""
    if not inputs.timed.get(FAMILY):
        return ""
    rows = speed(inputs).numbers.dropna(subset=["gain"]).sort_values("gain")
    if rows.empty:
        return ""
    main = rows[~rows["data"].isin(inputs.params[FAMILY].get("experiments", {}))]
    said = [f"{method} {number(gain, 1)}" for method, gain in zip(main["method"], main["gain"], strict=True)]
    enough = main["gain"] >= AT_LEAST
    met, missed = (listed(main.loc[one, "method"].tolist()) for one in (enough, ~enough))
    wanted = f"At least {AT_LEAST:g} are wanted: "
    wanted += "met by all" if enough.all() else f"met by {met}, not by {missed}" if enough.any() else f"not met by {missed}"
    largest = rows["largest difference"].max()
    where = listed(sorted(set(main["data"])))
    return (
        f"Encoding once makes an upper iteration this many times faster on {where}: {listed(said)}. {wanted}."
        f" The encoders of both ways, trained in double precision for the comparison, are at most {largest:.1e} apart."
    )
