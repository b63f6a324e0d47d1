"""How figures look and are written: one style, a colour and a marker for each method, stable bytes."""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path as Outline
from numpy.typing import ArrayLike
from PIL import Image, PngImagePlugin

from pipelines.published import LABELS
from pipelines.records import write_bytes

DPI = 150
FONT = "DejaVuSans"

LOOKS: dict[str, dict[str, Any]] = {
    "gd": {"color": "#7a7a7a", "linestyle": (0, (1, 1.2)), "marker": "o"},
    "rmd": {"color": "#4aa6dc", "linestyle": (0, (4, 1.2, 1, 1.2)), "marker": "s"},
    "approxgrad": {"color": "#de8f05", "linestyle": (0, (5, 1.5)), "marker": "^"},
    "penalty": {"color": "#1f3b8f", "linestyle": "solid", "marker": "D"},
    "oracle": {"color": "#029e73", "linestyle": (0, (1, 1.2)), "marker": "o"},
    "val-only": {"color": "#7a7a7a", "linestyle": (0, (5, 1.5)), "marker": "s"},
    "train-val": {"color": "#b5529b", "linestyle": (0, (4, 1.2, 1, 1.2)), "marker": "v"},
}
"""Told apart without colour too, by line and marker."""

SPARE_LOOKS: tuple[dict[str, Any], ...] = tuple(
    {"color": colour, "linestyle": linestyle, "marker": marker}
    for colour, linestyle, marker in (
        ("#029e73", (0, (3, 1)), "v"),
        ("#b5529b", (0, (6, 1, 1, 1)), "P"),
        ("#ca3a2f", (0, (2, 2)), "X"),
        ("#8c6d31", (0, (5, 1, 1, 1, 1, 1)), "*"),
        ("#000000", (0, (1, 2)), "h"),
        ("#56565b", (0, (8, 2)), "d"),
    )
)
"""For methods that the paper does not have, in the order of their names."""


def looks(methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour, line and marker of each method."""
    known = list(methods)
    others = sorted(method for method in known if method not in LOOKS)
    spare = {method: SPARE_LOOKS[place % len(SPARE_LOOKS)] for place, method in enumerate(others)}
    return {method: LOOKS.get(method) or spare[method] for method in known}


FLOORS = (1e-6, 1e-3)
"""Between which a logarithmic axis ends: below the first, iterates are at the solution."""


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Seaborn's white grid, with the font that matplotlib ships, whatever the user's own settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        sns.set_theme(
            context="paper",
            style="whitegrid",
            palette="colorblind",
            font="DejaVu Sans",
            rc={"grid.linewidth": 0.5, "axes.titlesize": 9, "lines.linewidth": 1.4},
        )
        yield


def canvas(rows: int, columns: int, width: float, height: float, **shared: Any) -> tuple[Figure, Any]:
    """A figure and its grid of axes [rows, columns]."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def caption(figure: Figure, text: str) -> None:
    """What the figure shows and what it was drawn from, small, below it."""
    width = int(figure.get_figwidth() * 20)
    figure.supxlabel("\n".join(textwrap.wrap(text, width)), fontsize=6.5, color="#444444", x=0.01, ha="left")


def legend(figure: Figure, handles: list[Line2D]) -> None:
    """One legend for all panels, above them."""
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 7), frameon=False)


def handles(methods: Iterable[str], label: Callable[[str], str] = LABELS.__getitem__) -> list[Line2D]:
    """Legend entries of methods, lines without markers; `label`: method -> what is read."""
    return [Line2D([], [], label=label(method), **{**look, "marker": ""}) for method, look in looks(methods).items()]


def published_handle() -> Line2D:
    """Legend entry of published points."""
    return Line2D(
        [], [], linestyle="", marker="o", color="#222222", markerfacecolor="white", label="published mean"
    )


def floor(curves: Iterable[list[float | None]]) -> float:
    """The power of ten below the smallest value of the curves, between FLOORS."""
    values = [value for curve in curves for value in curve if value is not None and value > 0]
    return float(np.clip(10.0 ** np.floor(np.log10(min(values, default=1.0))), *FLOORS))


def line(axes: Axes, x: ArrayLike, mean: list[float | None], sd: list[float | None], **look: Any) -> None:
    """A mean curve with a band of one standard deviation; gaps where there is no number."""
    centre = np.array([np.nan if value is None else value for value in mean], dtype=np.float64)
    spread = np.array([0.0 if value is None else value for value in sd], dtype=np.float64)
    if axes.get_yscale() == "log":
        # a curve that has reached the solution goes along the foot of the panel instead of ending
        centre = np.maximum(centre, axes.get_ylim()[0])
    axes.plot(x, centre, **{**look, "marker": ""})
    low, high = centre - spread, centre + spread
    if axes.get_yscale() == "log":
        low = np.maximum(low, axes.get_ylim()[0])
    axes.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)


def points(axes: Axes, x: ArrayLike, values: ArrayLike, resolution: float, **look: Any) -> None:
    """Published points. On a logarithmic axis those below the error of reading stand at it, pointing down."""
    place, height = np.asarray(x, dtype=np.float64), np.asarray(values, dtype=np.float64)
    face = {
        "linestyle": "",
        "color": look["color"],
        "markerfacecolor": "white",
        "markersize": 4.5,
        "zorder": 5,
    }
    at_most = (height <= resolution) & (axes.get_yscale() == "log")
    axes.plot(place[~at_most], height[~at_most], marker=look["marker"], **face)
    axes.plot(place[at_most], np.full(int(at_most.sum()), resolution), marker=7, **face)


FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("Description", {"Software": None}),
    "pdf": ("Subject", {"CreationDate": None, "Creator": None, "Producer": None}),
    "svg": ("Description", {"Date": None, "Creator": None}),
}
"""Ending -> where a file of the kind says what it was drawn from, and what would make its bytes differ."""
STABLE = {"svg.hashsalt": "penalty-bilevel", "pdf.fonttype": 42}
"""Names inside an SVG follow from its content; a PDF has fonts that journals take."""
DENSE = 100
"""Points of one scatter beyond which they are an image in PDF and SVG."""
COLOURS, SEEN = 128, 1.0
"""Colours of a PNG, and the mean error of a channel, in levels of 255, above which it is a photograph and keeps its own."""
FINE = 2
"""Decimals of a coordinate of an SVG, in points."""


def write(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, PDF and SVG, whose bytes depend on the figure alone; `path`: without an ending."""
    said = " ".join(figure.get_supxlabel().split())
    drawn_from = said[max(0, said.find("Drawn from:")) :]
    figure.draw_without_rendering()
    # once laid out, the same in all
    figure.set_layout_engine("none")
    for axes in figure.axes:
        for one in axes.collections:
            if isinstance(one, PathCollection) and len(one.get_offsets()) > DENSE:
                one.set_rasterized(True)
            elif isinstance(one, PolyCollection):
                thin(one)
    for ending, (name, metadata) in FORMATS.items():
        stream = io.BytesIO()
        with matplotlib.rc_context(STABLE):
            figure.savefig(stream, format=ending, dpi=DPI, metadata={**metadata, name: drawn_from})
        content = SMALLER.get(ending, bytes)(stream.getvalue())
        write_bytes(path.with_name(f"{path.name}.{ending}"), content)


def thin(bands: PolyCollection) -> None:
    """Leave out corners of bands that lie on the line between their neighbours, to a ninth of a pixel, as matplotlib itself
    does with the corners of lines."""
    to_pixels = bands.get_transform()
    outlines = [Outline(to_pixels.transform(one.vertices)) for one in bands.get_paths()]
    if all(np.isfinite(one.vertices).all() for one in outlines):
        kept = [one.cleaned(simplify=True) for one in outlines]
        back = to_pixels.inverted()
        bands.set_verts([back.transform(one.vertices[one.codes != Outline.STOP]) for one in kept])


def palette(content: bytes) -> bytes:
    """A PNG with a palette, a third as large, where that is not seen."""
    image = Image.open(io.BytesIO(content))
    image.load()
    full = image.convert("RGB")
    few = full.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    error = np.abs(np.asarray(few.convert("RGB"), dtype=np.int16) - np.asarray(full, dtype=np.int16)).mean()
    said, stream = PngImagePlugin.PngInfo(), io.BytesIO()
    for name, text in image.text.items():
        said.add_text(name, text)
    chosen = full if error > SEEN else few
    chosen.save(stream, "png", optimize=True, pnginfo=said, dpi=(DPI, DPI))
    return stream.getvalue()


def rounded(content: bytes) -> bytes:
    """An SVG without indentation, whose coordinates have the decimals that are seen; scales of text stay as they are, and
    of each sign are said only which it is and how far along its line."""

    def short(found: re.Match[str]) -> str:
        return LONG.sub(lambda one: f"{float(one[0]):.{FINE}f}".rstrip("0").rstrip("."), " ".join(found[0].split()))

    flat = INDENTED.sub("\n", PLACES.sub(short, content.decode()))
    return SIGN.sub(r'\1 x="\2"/>', flat).replace(f"{FONT}-", "g").encode()


PLACES = re.compile(r'\b(?:d|x|y)="[^"]*"|\btranslate\([^)]*\)')
INDENTED = re.compile(r"\n +")
SIGN = re.compile(rf'(<use xlink:href="#{FONT}[^"]*") transform="translate\(([^ ]*) 0\)"/>')
LONG = re.compile(rf"-?\d+\.\d{{{FINE + 1},}}")
SMALLER: dict[str, Callable[[bytes], bytes]] = {"png": palette, "svg": rounded}
"""Ending -> what makes a file smaller by what is not seen."""
