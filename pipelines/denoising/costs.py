"""Figures of what is reached for what it costs, in seconds and in oracle calls: after equal tuning (the paper's Figure 4a),
and in stocBiO's hyper-cleaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines import published
from pipelines.denoising.further import changed, data_of
from pipelines.denoising.hypercleaning import LOSS
from pipelines.denoising.rows import SUMMARY, WORDS, has, label, method_of, paired, seconds_of
from pipelines.denoising.setting import network, of_the_paper, setting
from pipelines.drawing import canvas, caption, handles, legend, line, looks
from pipelines.layout import interval
from pipelines.sources import Sources

COSTS = "denoising/costs.json"
CLEANING = "stocbio-hypercleaning"
TEST = "test accuracy"
CALLS_OF = "An oracle call is one gradient of f or g or one product with a second derivative of g."


def accuracy_against_cost(inputs: Sources) -> Figure:
    """Figure 4(a): test accuracy against seconds and against oracle calls, after equal tuning; the paper's on the right."""
    methods = has(inputs, "tuned")
    look = looks(methods)
    figure, grid = canvas(1, 3, 9.5, 3.3)
    clock, calls, paper = grid[0]
    for method in methods:
        draw(inputs, ("tuned", method), {TEST: (clock, calls)}, look[method])
    for method in ("approxgrad", "penalty"):
        curve = published.accuracy_curve("test", method)
        paper.plot(curve.x, curve.mean, **{**looks([method])[method], "markerfacecolor": "white", "markersize": 4})
    paper.set_xscale("log")
    ours = f"ours, {network(inputs, 'tuned')},"
    clock.set(title=f"{ours} against time", xlabel="seconds, pre-training included", ylabel="test accuracy in percent")
    calls.set(title=f"{ours} against oracle calls", xlabel="gradients and products")
    paper.set(title="the paper's network, MNIST, 25% noise", xlabel="seconds")
    for axes in (clock, calls):
        axes.xaxis.set_major_locator(MaxNLocator(5))
    legend(figure, handles(methods, label))
    said = (
        "Mean of the trials with a band of one s.d., after equal tuning. Seconds: upper iterations times their measured"
        f" time. {CALLS_OF} Ours: {setting(inputs, 'tuned')}. The paper's: {of_the_paper()}.{orders(inputs)}"
    )
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, COSTS, by=__name__)}")
    return figure


def orders(inputs: Sources) -> str:
    """Whether Penalty ends above ApproxGrad, here and in the paper's figure; "" where one of them was not run."""
    if not {"approxgrad", "penalty"} <= set(has(inputs, "tuned")):
        return ""
    apart = paired(inputs, ("tuned", "penalty"), ("tuned", "approxgrad"))
    if apart is None:
        return ""
    ends = {method: published.accuracy_curve("test", method).mean[-1] for method in ("approxgrad", "penalty")}
    there = "above" if ends["penalty"] > ends["approxgrad"] else "not above"
    return (
        f" Ours ends with Penalty {WORDS[apart.sign]} ApproxGrad ({interval(apart, 2)} points), the paper's with Penalty"
        f" {there} it; claim C29 is judged on the cells of the figure of T instead."
    )


def hypercleaning(inputs: Sources) -> Figure:
    """Held-out cross entropy and test accuracy against seconds and oracle calls: a row for each share of wrong labels."""
    variants = [one for one in has(inputs, CLEANING) if not changed(one, data_of(inputs, CLEANING, one))]
    look = looks(dict.fromkeys(map(method_of, variants)))
    sets = dict.fromkeys(data_of(inputs, CLEANING, one) for one in variants)
    figure, grid = canvas(len(sets), 4, 12.0, 0.9 + 2.4 * len(sets))
    for data, row in zip(sets, grid, strict=True):
        for axes in row[1::2]:
            axes.set_xscale("log")
        for one in variants:
            if data_of(inputs, CLEANING, one) == data:
                draw(inputs, (CLEANING, one), {LOSS: (row[0], row[1]), TEST: (row[2], row[3])}, look[method_of(one)])
        for axes in row[:2]:
            axes.set_yscale("log")
        for axes, what in zip(row, ("held-out cross entropy", "", "test accuracy in percent", ""), strict=True):
            axes.set(title=data, ylabel=what)
    for axes, what in zip(grid[-1], ("seconds", "oracle calls") * 2, strict=True):
        axes.set_xlabel(what)
    legend(figure, handles(look, label))
    said = (
        "Mean of the trials with a band of one s.d. Seconds: upper iterations times their measured"
        f" time. {CALLS_OF} Of AID and RMD a call is of all 20,000 examples, of stocBiO of 1,000, of Penalty of 200, of BSA"
        " and TTSA of one."
    )
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, COSTS, by=__name__)}")
    return figure


def draw(
    inputs: Sources, parts: tuple[str, str], wanted: Mapping[str, tuple[Axes, Axes]], look: Mapping[str, Any]
) -> None:
    """The curves of a cell against seconds, where it was timed, and against oracle calls.

    Args: wanted: name of a curve -> the axes of either; on a logarithmic axis the start has no place.
    """
    cell, name = inputs.cell("denoising", *parts), "-".join(parts)
    curves, seconds = cell["curves"], seconds_of(inputs)
    if not curves["iteration"]:
        return  # no trial finished
    iterations = np.asarray(curves["iteration"], dtype=np.float64)
    total = sum(cell["summary"]["oracle calls"].values())
    for curve, (clock, calls) in wanted.items():
        if name in seconds:
            line(clock, before(inputs)[name] + iterations * seconds[name], **curves[curve], **look)
        first = int(calls.get_xscale() == "log")
        values = {name: along[first:] for name, along in curves[curve].items()}
        line(calls, iterations[first:] / iterations[-1] * total, **values, **look)


def before(inputs: Sources) -> Mapping[str, float]:
    """Seconds before the first upper iteration by cell, of those that were timed."""
    return {"-".join(row["cell"]): row["seconds_before"] for row in inputs.measured.get("rows", [])}
