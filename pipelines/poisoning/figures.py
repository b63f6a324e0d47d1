"""The figures of poisoning: strength against the number of poisons, Figure 5(c), Figure 6, and the attack under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipelines import published
from pipelines.drawing import canvas, caption, handles, legend, line, looks, published_handle
from pipelines.poisoning.rows import (
    COSTS,
    FAMILY,
    FLIPPING,
    MEASURED,
    SUMMARY,
    attack_of,
    clean,
    has,
    in_full,
    label,
    percent,
    places,
    published_of,
    strength,
)
from pipelines.poisoning.tables import by_steps, methods_by_steps, timed
from pipelines.poisoning.told import short
from pipelines.records import unpack
from pipelines.sources import Sources

HOLLOW = {"markerfacecolor": "white", "markersize": 4, "linestyle": ""}


def _handles(methods: list[str]) -> list[Line2D]:
    look = looks(methods)
    return [Line2D([], [], label=label(one), **look[one]) for one in methods]


def by_points(inputs: Sources) -> Figure:
    """What an attack does against the number of its poisons, beside the paper's numbers."""
    params = inputs.params[FAMILY]
    methods = list(params["methods"])
    look = looks(methods)
    figure, grid = canvas(1, len(params["data"]), 9.5, 3.6)
    for axes, data in zip(grid[0], params["data"], strict=True):
        for method in methods:
            every = places(inputs, data, method)
            x = [percent(inputs, data, place.points) for place in every]
            ends = [strength(inputs, place) for place in every]
            means = [np.nan if one.mean is None else one.mean for one in ends]
            widths = [one.half_width or 0.0 for one in ends]
            axes.errorbar(x, means, yerr=widths, capsize=2, markersize=4, **look[method])
            values = [(at, published_of(inputs, place)) for at, place in zip(x, every, strict=True)]
            known = [(at, value.mean) for at, value in values if value is not None]
            if known:
                axes.plot(*zip(*known, strict=True), **{**look[method], **HOLLOW})
        start = clean(inputs, data, methods[0]).mean
        if start is not None:
            axes.axhline(start, color="#222222", linewidth=0.8)
        axes.set(title=data, xlabel="poisons in percent of the clean rows",
                 ylabel=f"{MEASURED[attack_of(inputs, data)]} in percent")  # fmt: skip
    legend(figure, [*_handles(methods), published_handle()])
    said = "By the judge, with 95% intervals; the line: without poisons. White faces: the paper, on MNIST."
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, by=__name__)}")
    return figure


def effect_of_steps(inputs: Sources) -> Figure:
    """Figure 5(c): accuracy after the attack and seconds of an upper iteration against T, beside the paper's."""
    methods = methods_by_steps(inputs)
    look, rows = looks(methods), timed(inputs)
    figure, grid = canvas(1, 2, 9.5, 3.4)
    accuracy, seconds = grid[0]
    for method in methods:
        found = by_steps(inputs, method)
        ends = [strength(inputs, place) for place in found.values()]
        means = [np.nan if one.mean is None else one.mean for one in ends]
        accuracy.errorbar(
            list(found), means, yerr=[one.half_width or 0.0 for one in ends], capsize=2, markersize=4, **look[method]
        )
        times = {t: rows[place.parts]["seconds_per_iteration"]["mean"] for t, place in found.items() if place.parts in rows}
        seconds.plot(list(times), list(times.values()), markersize=4, **look[method])
        for axes, what in ((accuracy, "acc"), (seconds, "time")):
            values = [(t, published.find(f"fig5c-{what}-T{t}-{method}")) for t in found]
            known = [(t, value.mean) for t, value in values if value is not None]
            axes.plot(*zip(*known, strict=True), **{**look[method], **HOLLOW})
    accuracy.set(xlabel="lower steps, T", ylabel="test accuracy in percent")
    seconds.set(xlabel="lower steps, T", ylabel="seconds of an upper iteration")
    seconds.set_yscale("log")
    legend(figure, [*_handles(methods), published_handle()])
    less = short(inputs, [place for method in methods for place in by_steps(inputs, method).values()])
    said = (
        f"Untargeted, most poisons, on {inputs.params[FAMILY]['data'][0]}{f': {less}' if less else ''}. The paper's points:"
        " MNIST, 60 poisons."
    )
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, COSTS, by=__name__)}")
    return figure


def poisons(inputs: Sources, attack: str) -> Figure:
    """Figure 6: poisons as they start, and as each method leaves them, with the labels they carry."""
    params = inputs.params[FAMILY]
    data = next(one for one in params["data"] if attack_of(inputs, one) == attack)
    found = {one: inputs.cell(FAMILY, data, one).get("poisons") for one in params["methods"] if one != FLIPPING}
    kept = {method: one for method, one in found.items() if one}
    first = next(iter(kept.values()))
    pictures = [("start", unpack(first["before"])), *((label(one), unpack(it["after"])) for one, it in kept.items())]
    figure, grid = canvas(len(pictures), len(first["labels"]), 9.5, 0.9 + 0.95 * len(pictures))
    for place, (row, (name, images)) in enumerate(zip(grid, pictures, strict=True)):
        for axes, image, given in zip(row, images, first["labels"], strict=True):
            _image(axes, image)
            if place == 0:
                axes.set_title(f"as {given}", fontsize=7.5, pad=2)
        row[0].text(-0.25, 0.5, name, transform=row[0].transAxes, rotation=90, va="center", ha="right", fontsize=7.5)
    said = f"Above each column: the label the poison carries. First trial on {data}, {first['points']} poisons."
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, by=__name__)}")
    return figure


def _image(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
    axes.axis("off")


def under_way(inputs: Sources) -> Figure:
    """The attacker's cost and the accuracy on rows of neither cost against upper iterations, at the most poisons."""
    params = inputs.params[FAMILY]
    methods = [one for one in params["methods"] if one != FLIPPING]
    look = looks(methods)
    figure, grid = canvas(len(params["data"]), 2, 9.5, 0.9 + 2.3 * len(params["data"]))
    for row, data in zip(grid, params["data"], strict=True):
        for method in methods:
            curves = inputs.cell(FAMILY, data, method)["curves"]
            at = curves[f"points={places(inputs, data, method)[-1].points}"]
            for axes, name in zip(row, ("upper cost", "selection accuracy"), strict=True):
                if name in at:
                    line(axes, curves["iteration"], **at[name], **look[method])
        for place in in_full(inputs, data):
            curves = inputs.cell(FAMILY, *place.parts)["curves"]
            thin = {**looks([place.parts[-1]])[place.parts[-1]], "linewidth": 0.8}
            for axes, name in zip(row, ("upper cost", "selection accuracy"), strict=True):
                line(axes, curves["iteration"], **curves[f"points={place.points}"][name], **thin)
        row[0].set(title=data, ylabel="f")
        row[1].set(title=data, ylabel="selection accuracy in percent")
    for axes in grid[-1]:
        axes.set_xlabel("upper iterations")
    legend(figure, handles(methods, label))
    said = (
        "Of the attack's own classifier, mean of the seeds with a band of one s.d. Of a targeted attack the selection rows"
        " are eights, and right is three. Thin lines: one seed through the paper's number of iterations."
    )
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, by=__name__)}")
    return figure


def drawings(inputs: Sources) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """(file name, what draws it) of the figures that the profile has."""
    if not inputs.params[FAMILY]["methods"]:
        return
    yield "poisoning", partial(by_points, inputs)
    yield "poisoning-under-way", partial(under_way, inputs)
    if has(inputs, "lower-steps"):
        yield "figure-5c", partial(effect_of_steps, inputs)
    for data in inputs.params[FAMILY]["data"]:
        attack = attack_of(inputs, data)
        yield f"figure-6-{attack}", partial(poisons, inputs, attack)
