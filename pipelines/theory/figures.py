"""The figures of the theory page: Table 1 as measured (bytes and seconds against T, U and V), and the demonstrations."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipelines.drawing import canvas, caption, legend, looks
from pipelines.sources import Sources
from pipelines.theory.tables import NAMES, exponents

AXES = {"T": "lower steps T", "U": "upper variables U", "V": "lower variables V"}


def complexity(inputs: Sources) -> Figure:
    """Space above, time below; both axes logarithmic."""
    look = looks(NAMES)
    figure, grid = canvas(2, 3, 9.5, 5.6, sharex="col", sharey="row")
    for row, (what, key, unit) in zip(grid, (("space", "bytes", 2**20), ("time", "seconds", 1)), strict=True):
        rows = exponents(inputs, what)
        for axes, (varied, label) in zip(row, AXES.items(), strict=True):
            for method in NAMES:
                found = rows[method, varied]
                axes.plot(found["values"], [one / unit for one in found[key]], markersize=4, **look[method])
            axes.set_xscale("log", base=2)
            axes.set_yscale("log", base=2)
            axes.set_xlabel(label if what == "time" else "")
        row[0].set_ylabel("MiB held at once" if what == "space" else "seconds")
    legend(figure, [Line2D([], [], markersize=4, label=name, **look[method]) for method, name in NAMES.items()])
    drawn = inputs.drawn_from("theory/memory.json", "theory/timings.json", by=__name__)
    caption(figure, f"One upper iteration, what is not on the axis held. {drawn}")
    return figure


PENALTY = {
    "bias": ("bias of the hypergradient", "γ μ²", "relative error"),
    "held": ("example 1, γ held", "upper iterations", "distance to the solution"),
    "kkt, without h": ("Theorem 2, without h", "γ", "at the end of a round"),
    "kkt, with h": ("Theorem 2, with h", "γ", "at the end of a round"),
}
OTHERS = {
    "violation": ("|u|² ≤ r² by a slack", "γ", "off the bound at the end of a round"),
    "linear": ("linear system: CG and Adam", "steps", "relative error of the hypergradient"),
    "long reverse": ("RMD at T = 100", "upper iterations", "distance to the solution"),
}
"""Of a set of curves: title, horizontal and vertical axis."""
LINEAR = ("held", "long reverse")
"""Those whose horizontal axis is not logarithmic."""
LEAST = 1e-14
"""Below it a line goes along the foot of its panel."""


def panels(inputs: Sources, names: Mapping[str, tuple[str, str, str]], said: str) -> Figure:
    """A panel for each set of curves, both axes logarithmic."""
    curves = inputs.theory["demonstrations"]["curves"]
    figure, grid = canvas(1, len(names), 3.2 * len(names), 3.6)
    for axes, (name, (title, x, y)) in zip(grid[0], names.items(), strict=True):
        lines = {label: values for label, values in curves[name].items() if label != "x"}
        look = looks(lines)
        for place, (label, values) in enumerate(lines.items()):
            heights = [math.nan if value is None else max(value, LEAST) for value in values]
            shape = {**look[label], "color": f"C{place % 10}"}
            axes.plot(curves[name]["x"], heights, label=label, markersize=3.5, markevery=max(1, len(heights) // 8), **shape)
        axes.set_yscale("log")
        if name not in LINEAR:
            axes.set_xscale("log")
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.legend(fontsize=5.5, frameon=False)
    caption(figure, f"{said} {inputs.drawn_from('theory/demonstrations.json', by=__name__)}")
    return figure


def penalty(inputs: Sources) -> Figure:
    """C09 to C12: bias of order 1/gamma, a held gamma with and without multipliers, KKT residuals along a run."""
    return panels(inputs, PENALTY, "The penalty method on problems whose solutions are known.")


def others(inputs: Sources) -> Figure:
    """C37, C38, C06."""
    said = "Feasible in the limit only; Adam is slow where the condition is bad; RMD needs larger lower steps."
    return panels(inputs, OTHERS, said)
