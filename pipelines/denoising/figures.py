"""The figures of the denoising experiments: accuracy against cost (`costs`), the effect of T (the paper's Figure 5a), what
the importances do, and the images that a method trusts least."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipelines import published
from pipelines.denoising import costs
from pipelines.denoising.costs import COSTS
from pipelines.denoising.rows import SUMMARY, has, label, seconds_of
from pipelines.denoising.setting import iterations, network, of_the_paper, same_at_every_t, setting
from pipelines.drawing import canvas, caption, legend, line, looks
from pipelines.layout import listed
from pipelines.published import LABELS
from pipelines.records import unpack
from pipelines.sources import Sources

COLOURS = {"clean": "#029e73", "corrupted": "#ca3a2f"}
MOMENTS = 3
"""At how many of the recorded iterations histograms are drawn, first and last among them."""
MEASURES = {"area under ROC": "solid", "precision": (0, (5, 1.5)), "recall": (0, (1, 1.2))}
EXPERIMENT_OF_LEARNING = "quirks"
"""Whose methods as released show what is learned."""


def learning(inputs: Sources) -> dict[str, Mapping[str, Any]]:
    """What the importances of each method did, where it was recorded: {method: `metrics.learned`}."""
    found = {}
    for method in has(inputs, EXPERIMENT_OF_LEARNING):
        cell = inputs.cell("denoising", EXPERIMENT_OF_LEARNING, method)
        if method in LABELS and "learned" in cell:
            found[method] = cell["learned"]
    return found


def effect_of_steps(inputs: Sources) -> Figure:
    """Figure 5(a): final test accuracy and seconds of an upper iteration against T, beside the paper's."""
    found: dict[str, list[int]] = {}
    for variant in has(inputs, "lower-steps"):
        method, _, steps = variant.rpartition("-")
        found.setdefault(method, []).append(int(steps))
    look, seconds = looks(found), seconds_of(inputs)
    figure, grid = canvas(2, 2, 9.5, 5.4, sharex=True)
    for method, steps in found.items():
        ends = [inputs.accuracy("lower-steps", f"{method}-{t}") for t in steps]
        times = [seconds.get(f"lower-steps-{method}-{t}", np.nan) for t in steps]
        means = [np.nan if one.mean is None else one.mean for one in ends]
        widths = [one.half_width or 0.0 for one in ends]
        grid[0][0].errorbar(steps, means, yerr=widths, capsize=2, markersize=4, **look[method])
        grid[1][0].plot(steps, times, markersize=4, **look[method])
        for row, what in ((0, "acc"), (1, "time")):
            values = [published.find(f"fig5a-{what}-T{t}-{method}") for t in steps]
            places = [(t, value.mean) for t, value in zip(steps, values, strict=True) if value is not None]
            hollow = {**look[method], "markerfacecolor": "white", "markersize": 4}
            grid[row][1].plot(*zip(*places, strict=True), **hollow)
    data = inputs.params["denoising"]["cells"]["lower-steps"]
    sets = ", ".join(sorted({one["data"] for one in data.values()}))
    many = iterations(inputs, "lower-steps")
    grid[0][0].set(title=f"ours, {sets}, {network(inputs, 'lower-steps')}, {many} upper iterations")
    grid[0][1].set(title="the paper, its network, MNIST with 25% noise")
    grid[0][0].set_ylabel("test accuracy in percent")
    grid[1][0].set_ylabel("seconds of an upper iteration")
    for axes in grid[-1]:
        axes.set_xlabel("lower steps, T")
    legend(figure, [Line2D([], [], label=label(one), **look[one]) for one in found])
    said = (
        f"Accuracies of the last iterate with their 95% intervals, after {many} upper iterations at every T. Ours:"
        f" {setting(inputs, 'lower-steps')}. The paper's: {of_the_paper(steps=False)}. {same_at_every_t(inputs)}"
    ).strip()
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, COSTS, by=__name__)}")
    return figure


def importances(inputs: Sources) -> Figure:
    """Histograms of the importances of clean and corrupted examples over time, and how well they find the corrupted."""
    found = learning(inputs)
    figure, grid = canvas(len(found), MOMENTS + 1, 9.5, 1.0 + 2.2 * len(found))
    for row, (method, learned) in zip(grid, found.items(), strict=True):
        places = np.linspace(0, len(learned["iteration"]) - 1, MOMENTS).round().astype(int)
        for axes, at in zip(row, places, strict=False):
            for name, colour in COLOURS.items():
                axes.stairs(learned[name][at], learned["bins"], fill=True, alpha=0.45, color=colour)
            axes.set(title=f"{label(method)}, iteration {learned['iteration'][at]}", ylim=(0, 1), xlabel="importance")
        for name, linestyle in MEASURES.items():
            line(row[-1], learned["iteration"], **learned[name], color="#1f3b8f", linestyle=linestyle)
        row[-1].set(title="finding the corrupted", ylim=(0, 1.02), xlabel="upper iterations")
        row[0].set_ylabel("share of the examples")
    keys = [Line2D([], [], linestyle="", marker="s", color=colour, label=name) for name, colour in COLOURS.items()]
    keys += [Line2D([], [], color="#1f3b8f", linestyle=shape, label=name) for name, shape in MEASURES.items()]
    legend(figure, keys)
    said = (
        "Means over the trials. An example is called corrupted where its importance is below one half; the ROC curve is that"
        " of importances against clean labels. Importances are recorded in eight bits, so that many are equal; of two equal"
        " ones the area counts one half."
    )
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, by=__name__)}")
    return figure


def least_trusted(inputs: Sources) -> Figure:
    """The images with the smallest importances in the first trial, with the label given and the right one."""
    found = learning(inputs)
    columns = 8
    shown = {method: learned["least trusted"] for method, learned in found.items()}
    rows = sum(-(-len(one["given"]) // columns) for one in shown.values())
    figure, grid = canvas(rows, columns, 9.5, 0.8 + 1.25 * rows)
    for axes in grid.ravel():
        axes.axis("off")
    first = 0
    for method, one in shown.items():
        images = unpack(one["images"])
        for number, image in enumerate(images):
            axes = grid[first + number // columns][number % columns]
            _image(axes, image)
            wrong = one["given"][number] != one["right"][number]
            text = f"{one['given'][number]}" + (f", is {one['right'][number]}" if wrong else ", and is")
            axes.set_title(text, fontsize=7.5, color=COLOURS["corrupted" if wrong else "clean"], pad=2)
        grid[first][0].text(
            -0.35, 0.5, label(method), transform=grid[first][0].transAxes, rotation=90, va="center", fontsize=8.5
        )
        first += -(-len(images) // columns)
    said = (
        "Above each image: the label given, and what it is. Red: the label given is wrong. First trial, last iterate."
        f" {ties(inputs, found)}"
    )
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, by=__name__)}")
    return figure


def ties(inputs: Sources, found: Mapping[str, Mapping[str, Any]]) -> str:
    """What the order of the least trusted images rests on, and how many labels are wrong among all that are trusted as
    little: in the lowest bin of the histograms, over the trials."""
    alike, lowest = [], []
    block = inputs.params["denoising"]
    for method, learned in found.items():
        values = learned["least trusted"]["importance"]
        alike.append(f"{values.count(min(values))} of {len(values)} of {label(method)}")
        prepared = block["prepared"][block["cells"][EXPERIMENT_OF_LEARNING][method]["data"]]
        wrong = prepared["noise"] * learned["corrupted"][-1][0]
        both = wrong + (1 - prepared["noise"]) * learned["clean"][-1][0]
        if both:
            lowest.append(f"{100 * both:.0f}% of {label(method)}'s, of which {100 * wrong / both:.0f}% have a wrong label")
    edge = next(iter(found.values()))["bins"][1]
    return (
        f"Importances are recorded in eight bits: of the images shown {listed(alike)} share the lowest. Equals are drawn at"
        f" random: the figure shows what such images look like; how many of them have a wrong label, all of them tell, and"
        f" not these few. Over all trials the importance is below {edge:g} of"
        f" {', and of '.join(lowest) or 'no example'}."
    )


def _image(axes: Axes, image: np.ndarray) -> None:
    """A grey image [H, W], or a coloured one [H, W, 3]."""
    axes.imshow(image, cmap="gray_r" if image.ndim == 2 else None, vmin=0, vmax=int(image.max()) or 1)


def drawings(inputs: Sources) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """(file name, what draws it) of those figures whose experiment the profile has."""
    if has(inputs, "tuned"):
        yield "accuracy-against-cost", partial(costs.accuracy_against_cost, inputs)
    if has(inputs, costs.CLEANING):
        yield "hyper-cleaning", partial(costs.hypercleaning, inputs)
    if has(inputs, "lower-steps"):
        yield "lower-steps", partial(effect_of_steps, inputs)
    if learning(inputs):
        yield "importances", partial(importances, inputs)
        yield "least-trusted", partial(least_trusted, inputs)


