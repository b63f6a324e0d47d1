"""The figures of the denoising table: accuracies on the way, and at the end beside the published."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipelines import accuracies, comparison
from pipelines.drawing import canvas, caption, handles, legend, line, looks
from pipelines.published import LABELS
from pipelines.sources import Sources

DENOISING = ("denoising/summary.json", "denoising/params.yaml")

CURVES = {
    "test accuracy": "test",
    "selection accuracy": "selection",
    "train accuracy": "train (noisy labels)",
}


def learning_curves(inputs: Sources) -> Figure:
    """Accuracies against upper iterations: data sets down, splits across; baselines as where they end."""
    params = inputs.params["denoising"]
    # a method is one thing in all data sets
    cells, look = params["cells"][params["data"][0]], looks(params["methods"])
    bilevel = [method for method in params["methods"] if cells[method]["solver"] != "single-level"]
    baselines = [method for method in params["methods"] if method not in bilevel]
    figure, grid = canvas(len(params["data"]), len(CURVES), 9.5, 0.9 + 2.5 * len(params["data"]))
    for row, data in zip(grid, params["data"], strict=True):
        clean = 100 - accuracies.source_of(data)[1]
        for axes, (name, split) in zip(row, CURVES.items(), strict=True):
            for method in bilevel:
                curves = inputs.cell("denoising", data, method)["curves"]
                if name in curves:
                    line(axes, curves["iteration"], **curves[name], **look[method])
            for method in baselines if name != "train accuracy" else ():
                curves = inputs.cell("denoising", data, method)["curves"]
                if name in curves and curves[name]["mean"][-1] is not None:
                    plain = {key: look[method][key] for key in ("color", "linestyle")}
                    axes.axhline(curves[name]["mean"][-1], linewidth=1.0, **plain)
            if name == "train accuracy":
                axes.axhline(clean, color="#222222", linewidth=0.8)
                axes.annotate(
                    f"share of clean labels, {clean:g}%", (0.98, clean), xycoords=("axes fraction", "data"),
                    xytext=(0, 2), textcoords="offset points", ha="right", va="bottom", fontsize=7,
                )  # fmt: skip
            axes.set_title(f"{data}: {split}")
            axes.margins(y=0.12)
            axes.xaxis.set_major_locator(MaxNLocator(5))
        row[0].set_ylabel("accuracy in percent")
    for axes in grid[-1]:
        axes.set_xlabel("upper iterations")
    legend(figure, handles([*bilevel, *baselines]))
    said = "Mean of the trials with a band of one s.d.; baselines as lines at their ends."
    caption(figure, f"{said} {inputs.drawn_from(*DENOISING, by=__name__)}")
    return figure


def final_accuracies(inputs: Sources) -> Figure:
    """Test accuracies of last and selected iterates with 95% intervals, beside the published."""
    params = inputs.params["denoising"]
    methods = list(params["methods"])
    figure, grid = canvas(1, len(params["data"]), 9.5, 3.4, sharey=True)
    looks: dict[str, dict[str, Any]] = {
        "last": {"marker": "o", "color": "#1f3b8f"},
        "selected": {"marker": "s", "color": "#de8f05"},
    }
    for axes, data in zip(grid[0], params["data"], strict=True):
        for place, method in enumerate(methods):
            for shift, (iterate, look) in zip((-0.12, 0.12), looks.items(), strict=True):
                one = inputs.accuracy(data, method, iterate)
                if one.mean is not None:
                    axes.errorbar(
                        one.mean, place + shift, xerr=one.half_width, capsize=2, markersize=5, **look
                    )
            theirs = [value.mean for value in accuracies.published_of(data, method)]
            axes.plot(
                theirs, np.full(len(theirs), place), "D", color="#222222", markerfacecolor="white", zorder=5
            )
        axes.set_yticks(range(len(methods)), [LABELS[method] for method in methods])
        axes.set_ylim(len(methods) - 0.5, -0.5)
        cut = any(accuracies.cuts_of(inputs, data, method) for method in methods)
        source, noise = accuracies.source_of(data)
        named = f" (paper: {source.upper()}, {noise:g}%, full budget)" if cut else ""
        axes.set(title=f"{data}{named}", xlabel="test accuracy in percent")
    shown = [
        Line2D([], [], linestyle="", label=f"ours, {iterate}", **look) for iterate, look in looks.items()
    ]
    paper = Line2D(
        [], [], linestyle="", marker="D", color="#222222", markerfacecolor="white", label="published"
    )
    legend(figure, [*shown, paper])
    said = f"Mean with its {comparison.CONFIDENCE:.0%} interval. Two published points: the paper's versions differ."
    caption(figure, f"{said} {inputs.drawn_from(*DENOISING, by=__name__)}")
    return figure
