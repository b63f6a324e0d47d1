"""The figures of the synthetic examples: the paper's Figures 1, 2 and 7, and the wall clock as ratios to Penalty."""

from __future__ import annotations

from typing import Any

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator

from pipelines import distances, published
from pipelines.drawing import canvas, caption, floor, handles, legend, line, looks, points, published_handle
from pipelines.published import LABELS
from pipelines.sources import Sources
from pipelines.synthetic import tables

PAPER_TOP = {"ex1": 20, "ex2": 40, "ex3": 20, "ex4": 40}
"""The upper ends of the paper's axes."""

SYNTHETIC = ("synthetic/summary.json", "synthetic/params.yaml")
THOUSANDS = FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value else "0")


def convergence(inputs: Sources, name: str, preset: str, log: bool) -> Figure:
    """Figure 1 or 2: distance against upper iterations, examples down, T across."""
    steps, methods = inputs.common["synthetic"]["lower_steps"], list(inputs.params["synthetic"]["methods"])
    examples, look = distances.FIGURES[name], looks(methods)
    found = {(e, m): inputs.cell("synthetic", e, m, preset)["curves"] for e in examples for m in methods}
    bottom = floor(curves[f"T={t}"]["error"]["mean"] for curves in found.values() for t in steps)
    figure, grid = canvas(len(examples), len(steps), 9.5, 6.0, sharex=True)
    for row, example in zip(grid, examples, strict=True):
        for axes, t in zip(row, steps, strict=True):
            _axis(axes, PAPER_TOP[example], bottom if log else None)
            for method in methods:
                curves = found[example, method]
                line(axes, curves["iteration"], **curves[f"T={t}"]["error"], **look[method])
                theirs = published.find_curve(int(example[2:]), t, method)
                if theirs is not None:
                    resolution = _resolution(f"fig12-{example}-T{t}-{method}")
                    points(axes, theirs.x, theirs.mean, resolution, **look[method])
            axes.set_title(f"Example {example[2:]}, T = {t}")
    _labels(grid)
    legend(figure, [*handles(methods), published_handle()])
    said = f"Mean of the trials with a band of one s.d., preset {preset}.{_below(log)}"
    caption(figure, f"{said} {inputs.drawn_from(*SYNTHETIC, by=__name__)}")
    return figure


def ablation(inputs: Sources, preset: str, log: bool) -> Figure:
    """Figure 7: example 1 under four lambda_0, with the multiplier nu above and without it below."""
    steps, variants = inputs.common["synthetic"]["lower_steps"], inputs.params["synthetic"]["variants"]
    names = list(dict.fromkeys(variant.removesuffix("-nu") for variant in variants))
    colours = dict(zip(names, sns.color_palette("viridis", len(names)), strict=True))
    markers = dict(zip(names, "osD^v<>", strict=False))
    found = {variant: inputs.cell("synthetic", "ablation", variant, preset)["curves"] for variant in variants}
    bottom = floor(curves[f"T={t}"]["error"]["mean"] for curves in found.values() for t in steps)
    figure, grid = canvas(2, len(steps), 9.5, 6.0, sharex=True)
    for row, nu in zip(grid, ("-nu", ""), strict=True):
        for axes, t in zip(row, steps, strict=True):
            _axis(axes, PAPER_TOP["ex1"], bottom if log else None)
            for name in names:
                look = {"color": colours[name], "marker": markers[name]}
                block, lambda_0 = distances.ablation(name + nu)
                curves = found[name + nu]
                line(axes, curves["iteration"], **curves[f"T={t}"]["error"], **look)
                theirs = published.ablation_curve(block, t, float(lambda_0))
                points(axes, theirs.x, theirs.mean, _resolution(f"fig7-{block}-T{t}-lam{lambda_0}"), **look)
            axes.set_title(f"{'with' if nu else 'without'} ν, T = {t}")
    _labels(grid)
    shown = [
        Line2D([], [], color=colours[name], label=f"λ₀ = {float(distances.LAMBDAS[name]):g}")
        for name in names
    ]
    legend(figure, [*shown, published_handle()])
    said = f"Example 1: mean of the trials with a band of one s.d., preset {preset}.{_below(log)}"
    caption(figure, f"{said} {inputs.drawn_from(*SYNTHETIC, by=__name__)}")
    return figure


def _axis(axes: Axes, top: float, bottom: float | None) -> None:
    """The paper's axis, or with a bottom a logarithmic one."""
    if bottom is not None:
        axes.set_yscale("log")
        axes.set_ylim(bottom, 60)
    else:
        axes.set_ylim(0, top)
        axes.yaxis.set_major_locator(MultipleLocator(top / 4))
    axes.set_xlim(-800, 40800)
    axes.xaxis.set_major_formatter(THOUSANDS)


def _labels(grid: Any) -> None:
    for row in grid:
        row[0].set_ylabel("distance to the solution")
    for axes in grid[-1]:
        axes.set_xlabel("upper iterations")


def _below(log: bool) -> str:
    return " Carets: published at or below the error of reading the figure." if log else ""


def _resolution(identity: str) -> float:
    return published.value(identity).resolution


def wall_clock(inputs: Sources) -> Figure:
    """Seconds as ratios to Penalty's: the paper's, one trial and 20 stacked; T down, examples across."""
    frame = tables.wall_clock(inputs).numbers
    columns = {
        "paper ratio": "paper, one trial",
        "one trial ratio": "ours, one trial",
        "20 stacked ratio": "ours, 20 stacked",
    }
    colours = dict(zip(columns.values(), ("#bdbdbd", "#1f3b8f", "#7fb2e5"), strict=True))
    frame = frame[frame["method"] != LABELS["penalty"]]
    frame = frame.assign(method=frame["method"].str.replace("Penalty (", "Penalty\n(", regex=False))
    long = frame.melt(["example", "T", "method"], list(columns), "of", "ratio").replace({"of": columns})
    # the paper has no Penalty with a reused test
    long = long[~((long["of"] == columns["paper ratio"]) & long["method"].str.startswith("Penalty"))]
    steps, examples = sorted(long["T"].unique()), sorted(long["example"].unique())
    figure, grid = canvas(len(steps), len(examples), 9.5, 6.4, sharex=True, sharey="row")
    for row, t in zip(grid, steps, strict=True):
        for axes, example in zip(row, examples, strict=True):
            these = long[(long["T"] == t) & (long["example"] == example)]
            sns.barplot(
                these, x="ratio", y="method", hue="of", hue_order=list(colours), palette=colours, ax=axes,
                legend=False, errorbar=None, saturation=1,
            )  # fmt: skip
            axes.axvline(1, color="#222222", linewidth=0.8)
            axes.set(title=f"Example {example}, T = {t}", xlabel="", ylabel="")
            axes.tick_params(axis="y", labelsize=7.5)
    bars = [
        Line2D([], [], linestyle="", marker="s", markersize=7, color=c, label=name)
        for name, c in colours.items()
    ]
    legend(figure, bars)
    said = "Time of an upper iteration over Penalty's (the line at 1): shorter bars are faster than Penalty."
    caption(figure, f"{said} {inputs.drawn_from('synthetic/timings.json', by=__name__)}")
    return figure
