"""The figures of few-shot learning: accuracy against upper iterations, wall clock (the paper's Figure 4b) and oracle calls,
the effect of T (Figure 5b), a sample task with a method's answers, and features of a task before and after training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines import published
from pipelines.drawing import canvas, caption, handles, legend, line, looks
from pipelines.few_shot import steps as effect
from pipelines.few_shot.tables import (
    COSTS,
    FAMILY,
    FIRST_TASKS,
    STEPS,
    SUMMARY,
    in_training,
    label,
    methods_of,
    ours,
    seconds_of,
)
from pipelines.records import unpack
from pipelines.sources import Sources

CURVES = {"selection accuracy": "meta-validation", FIRST_TASKS: "meta-test"}
TRAIN = "train accuracy"


def curves(inputs: Sources) -> Figure:
    """Accuracy on meta-validation and meta-test against upper iterations; data sets down."""
    return _panels(inputs, lambda data, method, iterations: iterations, "upper iterations", [*SUMMARY])


def against_calls(inputs: Sources) -> Figure:
    """The same after the start, against gradients and products with second derivatives, an encoder pass not among them."""

    def calls(data: str, method: str, iterations: list[float]) -> list[float]:
        cell = inputs.cell(FAMILY, data, method)["summary"]
        total, last = sum(cell["oracle calls"].values()), max(iterations[-1], 1)
        return [one * total / last for one in iterations]

    figure = _panels(inputs, calls, "oracle calls", [*SUMMARY])
    for axes in figure.axes:
        # those of prototypes are a hundred times fewer
        axes.set_xscale("log", nonpositive="mask")
    return figure


def _panels(inputs: Sources, place: Callable[[str, str, list[float]], list[float]], axis: str, names: list[str]) -> Figure:
    params, methods = inputs.params[FAMILY], methods_of(inputs)
    look = looks(methods)
    figure, grid = canvas(len(params["data"]), len(CURVES), 9.5, 0.9 + 2.4 * len(params["data"]))
    for row, data in zip(grid, params["data"], strict=True):
        for axes, (name, split) in zip(row, CURVES.items(), strict=True):
            for method in methods:
                found = inputs.cell(FAMILY, data, method)["curves"]
                if name in found:
                    line(axes, place(data, method, found["iteration"]), **found[name], **look[method])
            near = inputs.data[FAMILY].get(data, {}).get("nearest_neighbour")
            if near:
                axes.axhline(near["accuracy"], color="#222222", linewidth=0.8, linestyle=(0, (1, 1)))
            axes.set_title(f"{data}: {split}")
            stretched(axes)
        row[0].set_ylabel("accuracy in percent")
    for axes in grid[-1]:
        axes.set_xlabel(axis)
    legend(figure, handles(methods, label))
    said = "Mean of the trials with a band of one s.d.; dotted: the nearest image, pixel by pixel."
    caption(figure, f"{said} {inputs.drawn_from(*names, by=__name__)}")
    return figure


ACROSS = 3
"""Panels beside each other."""


TICKS = (20, 40, 60, 70, 80, 90, 95, 98, 99, 100)


def stretched(axes: Axes) -> None:
    """An axis of percents on which what is left to 100 counts: the error, but for one percent, logarithmic."""
    # a band may go beyond 100
    axes.set_yscale(
        "function", functions=(lambda at: -np.log(np.maximum(101 - at, 0.5)), lambda place: 101 - np.exp(-place))
    )
    low, high = axes.get_ylim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])


def figure_4b(inputs: Sources) -> Figure:
    """Figure 4(b): accuracy against wall clock, ours by data set, and the paper's on mini-ImageNet.

    Where a method of a data set was not timed, its panel has the processor seconds of training, evaluations included.
    """
    data_sets, methods = inputs.params[FAMILY]["data"], methods_of(inputs)
    look, panels = looks(methods), len(data_sets) + 1
    rows = -(-panels // ACROSS)
    figure, grid = canvas(rows, min(panels, ACROSS), 9.5, 0.9 + 2.7 * rows)
    places = grid.flatten()
    for axes, data in zip(places, data_sets, strict=False):
        seconds, clock = clock_of(inputs, data)
        for method, one in seconds.items():
            cell = inputs.cell(FAMILY, data, method)["curves"]
            at = [n * one for n in cell["iteration"]]
            line(axes, at, **cell[FIRST_TASKS], **look[method])
            line(axes, at, **cell[TRAIN], **{**look[method], "linewidth": 0.7})
        axes.set(title=f"ours, {data}", xlabel=clock)
        stretched(axes)
    for method in ("approxgrad", "penalty"):
        for split, width in (("meta-test", 1.4), ("meta-train", 0.7)):
            theirs = published.few_shot_curve(split, method)
            places[panels - 1].plot(theirs.x, theirs.mean, **{**looks([method])[method], "marker": ""}, linewidth=width)
    places[panels - 1].set(title="the paper, mini-ImageNet 5-way 5-shot", xlabel="seconds")
    for axes in places[panels:]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel("accuracy in percent")
    legend(figure, handles(methods, label))
    said = "Thick: meta-test (of ours, its first tasks); thin: meta-train. Seconds: iterations times the seconds of one,"
    drawn = inputs.drawn_from(*SUMMARY, COSTS, by=__name__)
    caption(figure, f"{said} measured alone on one core, or in training. {drawn}")
    return figure


def clock_of(inputs: Sources, data: str) -> tuple[dict[str, float], str]:
    """Seconds of an upper iteration of the methods of a data set whose time is known, and what they are; of one kind."""
    timed, methods = seconds_of(inputs), methods_of(inputs)
    if all((data, method) in timed for method in methods):
        return {method: timed[data, method] for method in methods}, "seconds on one core"
    trained = {method: in_training(inputs, data, method) for method in methods}
    return {name: one for name, one in trained.items() if one is not None}, "seconds of one core in training"


def figure_5b(inputs: Sources) -> Figure:
    """Figure 5(b): final test accuracy and seconds of an upper iteration against T, beside the paper's."""
    found = effect.varied(inputs)
    look, seconds = looks(found), seconds_of(inputs)
    figure, grid = canvas(2, 2, 9.5, 5.4, sharex=True)
    for method, steps in found.items():
        ends = [ours(inputs, STEPS, f"{method}-{t}", "last") for t in steps]
        means = [np.nan if one.mean is None else one.mean for one, _ in ends]
        grid[0][0].errorbar(steps, means, yerr=[width or 0.0 for _, width in ends], capsize=2, markersize=4, **look[method])
        times = [seconds.get((STEPS, f"{method}-{t}"), np.nan) for t in steps]
        grid[1][0].plot(steps, times, markersize=4, **look[method])
        for row, what in enumerate(effect.WHAT):
            values = [effect.printed_at(what, t, method) for t in steps]
            places = [(t, value.mean) for t, value in zip(steps, values, strict=True) if value is not None]
            hollow = {**look[method], "markerfacecolor": "white", "markersize": 4}
            grid[row][1].plot(*zip(*places, strict=True), **hollow)
    cells = inputs.params[FAMILY]["cells"][STEPS].values()
    grid[0][0].set(title=f"ours, {', '.join(sorted({cell['data'] for cell in cells}))}")
    grid[0][1].set(title="the paper, Omniglot 20-way 5-shot")
    grid[0][0].set_ylabel("test accuracy in percent")
    grid[1][0].set_ylabel("seconds of an upper iteration")
    for axes in grid[-1]:
        axes.set_xlabel("lower steps, T")
    legend(figure, handles(found, label))
    said = f"Accuracies of the last iterate with the 95% interval over tasks. {effect.conditions(inputs)}"
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, COSTS, by=__name__)}")
    return figure


def sample(inputs: Sources, data: str) -> Figure:
    """A task of meta-test: support images, and queries with Penalty's answers, a wrong one framed."""
    found = inputs.cell(FAMILY, data, _shown(inputs))["learned"]
    support, query = unpack(found["support"]), unpack(found["query"])
    way, shot = support.shape[:2]
    figure, grid = canvas(way, shot + query.shape[1], min(9.5, 0.8 * (shot + query.shape[1]) + 1), 0.85 * way + 0.9)
    for one in range(way):
        for column, image in enumerate([*support[one], *query[one]]):
            axes = grid[one][column]
            axes.imshow(255 - image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            said = None if column < shot else found["said"][one][column - shot]
            _framed(axes, "#1f3b8f" if said is None else "#bdbdbd" if said == one else "#ca3a2f")
            axes.set_title(f"class {one + 1}" if said is None else f"says {said + 1}", fontsize=7)
    said = f"{data}: a row for each class; support images framed in blue, then queries with the answers of"
    caption(figure, f"{said} {label(_shown(inputs))}, wrong ones framed in red. {inputs.drawn_from(*SUMMARY, by=__name__)}")
    return figure


def embedding(inputs: Sources) -> Figure:
    """Features of a meta-test task before and after training, on their first two principal components."""
    params = inputs.params[FAMILY]
    figure, grid = canvas(len(params["data"]), 2, 6.5, 0.8 + 2.6 * len(params["data"]))
    for row, data in zip(grid, params["data"], strict=True):
        found = inputs.cell(FAMILY, data, _shown(inputs))["learned"]["embedding"]
        for axes, (when, classes) in zip(row, found.items(), strict=True):
            colours = sns.color_palette("husl", len(classes))
            for colour, points in zip(colours, classes.values(), strict=True):
                axes.scatter(*np.array(points).T, s=8, color=colour)
            axes.set(xticks=[], yticks=[], title=f"{data}, {when} training")
    said = f"The images of one task of meta-test, a colour for each class, by the encoder of {label(_shown(inputs))}."
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, by=__name__)}")
    return figure


def drawings(inputs: Sources) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """(file name, what draws it) of the figures that the profile has."""
    params = inputs.params[FAMILY]
    if not params.get("methods"):
        return
    yield "few-shot-curves", partial(curves, inputs)
    yield "few-shot-calls", partial(against_calls, inputs)
    if params["data"]:
        yield "figure-4b", partial(figure_4b, inputs)
    if STEPS in params.get("experiments", {}):
        yield "figure-5b", partial(figure_5b, inputs)
    yield "few-shot-embedding", partial(embedding, inputs)
    for name, data in tasks_shown(inputs).items():
        yield name, partial(sample, inputs, data)


def tasks_shown(inputs: Sources) -> dict[str, str]:
    """Name of a figure -> the data set of which it shows a task."""
    if not inputs.params[FAMILY].get("methods"):
        return {}
    return {
        f"task-{data}": data for data in inputs.params[FAMILY]["data"]
        if "support" in inputs.cell(FAMILY, data, _shown(inputs)).get("learned", {})
    }  # fmt: skip


def _shown(inputs: Sources) -> str:
    """The method whose answers are shown."""
    methods = inputs.params[FAMILY]["methods"]
    return "penalty" if "penalty" in methods else methods[-1]


def _framed(axes: Axes, colour: str) -> None:
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=1.5)
