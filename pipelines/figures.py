"""Draw the figures of a profile: `python -m pipelines.figures <profile>`.

Writes reports/<profile>/figures/*, as PNG, PDF and SVG: the paper's Figures 1, 2 and 7 (each on the paper's axis and on a
logarithmic one, and for every preset), wall-clock (ratios to Penalty), learning-curves and accuracies
(denoising), those of denoising/figures.py where a profile has the experiments, those of few_shot/figures.py,
table-1 (bytes and seconds against T, U and V), penalty-theory and other-claims (demonstrations), and a contact
sheet of each few-shot set. Lines are ours, points with white faces are published.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from pipelines import accuracies, comparison, datasheet, distances, published, tables
from pipelines.clean_label import figures as clean_label
from pipelines.denoising import figures as experiments
from pipelines.drawing import (
    canvas,
    caption,
    floor,
    handles,
    legend,
    line,
    looks,
    points,
    published_handle,
    style,
    write,
)
from pipelines.errors import run
from pipelines.few_shot import figures as few_shot
from pipelines.poisoning import figures as poisoned
from pipelines.published import LABELS
from pipelines.sources import REPORTS, Sources, load
from pipelines.theory import figures as theory

PAPER_TOP = {"ex1": 20, "ex2": 40, "ex3": 20, "ex4": 40}
"""The upper ends of the paper's axes."""

SYNTHETIC = ("synthetic/summary.json", "synthetic/params.yaml")
DENOISING = ("denoising/summary.json", "denoising/params.yaml")
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
    caption(figure, f"{said} {inputs.drawn_from(*SYNTHETIC)}")
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
    caption(figure, f"{said} {inputs.drawn_from(*SYNTHETIC)}")
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
    caption(figure, f"{said} {inputs.drawn_from('synthetic/timings.json')}")
    return figure


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
    caption(figure, f"{said} {inputs.drawn_from(*DENOISING)}")
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
    caption(figure, f"{said} {inputs.drawn_from(*DENOISING)}")
    return figure


def drawings(inputs: Sources) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """(file name, what draws it) of all figures; the main preset's carry no preset in their name."""
    for preset in distances.presets(inputs):
        ending = "" if preset == distances.MAIN_PRESET else f"-{preset}"
        for log in (False, True):
            scale = "-log" if log else ""
            for name in distances.FIGURES:
                yield f"{name}{ending}{scale}", partial(convergence, inputs, name, preset, log)
            yield f"figure-7{ending}{scale}", partial(ablation, inputs, preset, log)
    yield "wall-clock", partial(wall_clock, inputs)
    yield "learning-curves", partial(learning_curves, inputs)
    yield "accuracies", partial(final_accuracies, inputs)
    yield from experiments.drawings(inputs)
    yield from few_shot.drawings(inputs)
    yield from poisoned.drawings(inputs)
    yield from clean_label.drawings(inputs)
    yield "table-1", partial(theory.complexity, inputs)
    yield "penalty-theory", partial(theory.penalty, inputs)
    yield "other-claims", partial(theory.others, inputs)
    for name, data in datasheet.sheets(inputs).items():
        yield name, partial(datasheet.sheet, inputs, data)


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.figures", description=__doc__)
    parser.add_argument("profile")
    given = parser.parse_args(arguments)
    inputs = load(given.profile)
    with style():
        for name, draw in drawings(inputs):
            write(draw(), REPORTS / given.profile / "figures" / name)


if __name__ == "__main__":
    run(main)
