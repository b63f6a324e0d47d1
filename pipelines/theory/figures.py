"""The figure of the paper's Table 1 as measured: bytes and seconds of an upper iteration against T, U and V."""

from __future__ import annotations

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
    drawn = inputs.drawn_from("theory/memory.json", "theory/timings.json")
    caption(figure, f"One upper iteration, what is not on the axis held. {drawn}")
    return figure
