"""The figures of the clean-label attack: Figure 3, the images before and after, and the attack under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pipelines.clean_label import key_of
from pipelines.clean_label.rows import (
    FAMILY,
    IN_FIGURE_3,
    SUMMARY,
    as_published,
    attacks,
    bounds,
    broken,
    label,
    published_points,
    share,
    targets,
)
from pipelines.drawing import canvas, caption, handles, legend, line, looks
from pipelines.records import unpack
from pipelines.sources import Sources


def against_bounds(inputs: Sources, data: str) -> Figure:
    """Figure 3: as the paper draws it, its own points, success at each bound, and success within a measured distortion."""
    methods = attacks(inputs)
    look = looks(methods)
    figure, grid = canvas(1, 4, 12.5, 3.4, sharey=True)
    drawn, theirs, at, measured = grid[0]
    for method in methods:
        points = as_published(inputs, data, method)
        drawn.plot(*(zip(*points, strict=True) if points else ((), ())), markersize=4, **look[method])
        finite = [one for one in bounds(inputs, data, method) if one is not None]
        shares = [share(inputs, data, method, one) for one in finite]
        middle = np.array([one.percent for one in shares], dtype=np.float64)
        ends = np.array([[one.low for one in shares], [one.high for one in shares]], dtype=np.float64)
        if finite:
            at.errorbar(finite, middle, yerr=np.abs(ends - middle), capsize=2, markersize=4, **look[method])
        distortions = sorted(one for _, one in broken(inputs, data, method))
        heights = 100 * np.arange(1, len(distortions) + 1) / targets(inputs, data, method)
        measured.step([0.0, *distortions], [0.0, *heights], where="post", **{**look[method], "marker": ""})
        if method in IN_FIGURE_3:
            known = published_points(method)
            theirs.plot(*zip(*known, strict=True), **{**look[method], "markerfacecolor": "white", "markersize": 4})
    drawn.set(title=f"{data}, as published", xlabel="mean of the smallest bounds", ylabel="targets broken in percent")
    theirs.set(title="the paper, dog against fish", xlabel="the same, pixels in [-1, 1]")
    at.set(title=f"{data}, at each bound", xlabel="bound on the distortion")
    measured.set(title=f"{data}, measured", xlabel="distortion of the final image")
    drawn.set_ylim(-3, 103)
    legend(figure, [Line2D([], [], label=label(one), **look[one]) for one in methods])
    said = (
        "By the judge. First and second: at each bound, the targets broken within it against the mean of their smallest"
        " bounds. Third: with Wilson's 95% intervals. Fourth: each target at the smallest bound that broke it, or without"
        " one."
    )
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, by=__name__)}")
    return figure


def images(inputs: Sources, data: str) -> Figure:
    """Targets, bases, poisons and what was added to the bases, of the first targets that are recorded as images."""
    found = {method: inputs.cell(FAMILY, data, method).get("poisons") for method in attacks(inputs)}
    kept = {method: one for method, one in found.items() if one}
    first, pair = next(iter(kept.values())), inputs.params[FAMILY]["prepared"][data]["pair"]
    rows: list[tuple[str, NDArray[np.uint8], list[str]]] = [
        ("target", unpack(first["targets"]), [f"to be called {pair[one]}" for one in first["labels"]]),
        ("base", unpack(first["bases"]), [""] * len(first["labels"])),
    ]
    added = {method: unpack(one["poisons"]).astype(np.float64) - unpack(one["bases"]) for method, one in kept.items()}
    largest = max(1.0, *(float(np.abs(one).max()) for one in added.values()))
    for method, one in kept.items():
        words = [
            f"{'no bound' if bound is None else f'{bound:g}'}{', broken' if done else ''}"
            for bound, done in zip(one["epsilons"], one["broken"], strict=True)
        ]
        louder = np.round(127.5 * (1 + added[method] / largest)).astype(np.uint8)
        rows += [(label(method), unpack(one["poisons"]), words), ("difference", louder, [""] * len(words))]
    figure, grid = canvas(len(rows), len(first["labels"]), 8.5, 0.9 + 1.05 * len(rows))
    for row, (name, some, words) in zip(grid, rows, strict=True):
        for axes, image, word in zip(row, some, words, strict=False):
            _image(axes, image)
            axes.set_title(word, fontsize=6.5, pad=2)
        for axes in row[len(some) :]:
            axes.axis("off")
        row[0].text(-0.12, 0.5, name, transform=row[0].transAxes, rotation=90, va="center", ha="right", fontsize=6.5)
    said = (
        "Above a poison: the smallest bound that broke its target, else the largest. Differences: grey for none, black and"
        f" white for the largest, {largest / 255:.2f}."
    )
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, by=__name__)}")
    return figure


def _image(axes: Axes, image: NDArray[np.uint8]) -> None:
    """An image [C, H, W], of one channel as dark ink: its own pixels, a quarter of the bytes of smoothed ones."""
    if len(image) == 1:
        axes.imshow(image[0], cmap="gray_r", vmin=0, vmax=255, interpolation="none")
    else:
        axes.imshow(image.transpose(1, 2, 0), interpolation="none")
    axes.axis("off")


WATCHED = {
    "violation": "violation of the bound",
    "feature distance": "|r(t) - r(u)|",
    "margin": "margin of the base's class",
}


def middle(inputs: Sources, data: str, method: str) -> float | None:
    """The bound in the middle of a cell's, none where it has none."""
    finite = sorted(one for one in bounds(inputs, data, method) if one is not None)
    return finite[len(finite) // 2] if finite else None


def under_way(inputs: Sources, data: str) -> Figure:
    """Violation of the bound, distance of features and the margin of the target against upper iterations."""
    methods = attacks(inputs)
    look = looks(methods)
    figure, grid = canvas(1, len(WATCHED), 10.5, 3.4)
    for method in methods:
        every = inputs.cell(FAMILY, data, method)["curves"]
        curves = every[key_of(middle(inputs, data, method))]
        for axes, name in zip(grid[0], WATCHED, strict=True):
            if name in curves:
                line(axes, every["iteration"], **curves[name], **look[method])
    for axes, said in zip(grid[0], WATCHED.values(), strict=True):
        axes.set(xlabel="upper iterations", ylabel=said)
    legend(figure, handles(methods, label))
    said = f"{data}, at the bound in the middle of each method's: mean of the targets with a band of one s.d."
    caption(figure, f"{said} {inputs.drawn_from(*SUMMARY, by=__name__)}")
    return figure


def drawings(inputs: Sources) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """(file name, what draws it) of the figures that the profile has; the first data set's carry no name of it."""
    if not attacks(inputs):
        return
    for place, data in enumerate(inputs.params[FAMILY]["data"]):
        ending = f"-{data}" if place else ""
        yield f"figure-3{ending}", partial(against_bounds, inputs, data)
        if any("poisons" in inputs.cell(FAMILY, data, method) for method in attacks(inputs)):
            yield f"clean-label-images{ending}", partial(images, inputs, data)
        yield f"clean-label-under-way{ending}", partial(under_way, inputs, data)
