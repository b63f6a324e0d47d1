"""The data of a profile as a table, and the contact sheet of few-shot data as a figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipelines.drawing import canvas, caption
from pipelines.layout import Table, number
from pipelines.records import unpack
from pipelines.sources import Sources

FAMILIES = {
    "denoising": "denoising",
    "poisoning": "poisoning",
    "few_shot": "few-shot",
    "clean_label": "clean-label attack",
}
PARTS = ("train", "validation", "selection", "test")
RULES = {
    "first_rows": "first rows, a wrong class",
    "random_rows": "random rows, a wrong class",
    "uniform": "random rows, any class",
    "pair_flip": "random rows, the next class",
}


def data_sets(inputs: Sources) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(family, data set, its facts), in the order of the families and of their lists."""
    for family in FAMILIES:
        for name, found in inputs.data[family].items():
            yield family, name, found


def table(inputs: Sources) -> Table:
    """Each data set's source, classes, sizes, and what was done to its labels."""
    numbers, shown = [], []
    for family, name, found in data_sets(inputs):
        settings, few_shot = found["settings"], family == "few_shot"
        sizes = found["classes"] if few_shot else found["sizes"]
        nominal, effective = _rates(found)
        label = {"family": FAMILIES[family], "data": name, "source": settings["source"]}
        numbers.append(
            {
                **label,
                "seeds": len(settings.get("seeds", [0])),
                "classes": None if few_shot else found["classes"],
                **{f"{part} {'classes' if few_shot else 'rows'}": sizes.get(part) for part in PARTS},
                "nominal noise": nominal,
                "effective noise": effective,
                "nearest neighbour": found.get("nearest_neighbour", {}).get("accuracy"),
                **{f"classes {when} look-alikes are left out": count for when, count in _look_alikes(found)},
                "megabytes": round(found["bytes"] / 1e6, 3),
            }
        )
        parts = [f"{sizes[part]:,} {part}" for part in PARTS if sizes.get(part)]
        shown.append(
            {
                **label,
                "classes": "-" if few_shot else found["classes"],
                "rows, or classes of few-shot data": ", ".join(parts),
                "what is done": _done(family, found),
                "effective": "-" if effective is None else f"{100 * effective:.4g}%",
            }
        )
    notes = [
        "Train is what g sees, validation what f sees; selection is a clean split in neither, on which iterates and"
        " settings are chosen. Of a targeted attack the rows of validation and selection are eights, called threes."
        " Effective: the share of training labels that are wrong, or of training points that are poisons,"
        " averaged over the seeds."
    ]
    notes += _left_out(inputs)
    names = [f"{family}/data.json" for family in FAMILIES]
    drawn = inputs.drawn_from(*names, by=__name__)
    return Table("data", "The data", pd.DataFrame(numbers), pd.DataFrame(shown), notes, drawn)


def _rates(found: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Nominal and effective share of what was corrupted, where labels were."""
    if "poisons" in found:
        share = float(found["poisons"]["share of train"])
        return share, share
    if "noise" not in found:
        return None, None
    return found["noise"]["nominal"], float(np.mean(list(found["noise"]["effective"].values())))


def _look_alikes(found: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Classes before and after look-alikes were left out, of a source that keeps one of them."""
    return [(when, found["look_alikes"][when]) for when in ("before", "after")] if "look_alikes" in found else []


def _left_out(inputs: Sources) -> list[str]:
    """Why a source has fewer classes than it might; a sentence for each such source."""
    sentences = {}
    for _, _, found in data_sets(inputs):
        if "look_alikes" in found:
            (_, before), (_, after) = _look_alikes(found)
            source = found["settings"]["source"]
            least = 100 * found["look_alikes"]["least"]
            sentences[source] = (
                f"{source}: {before:,} classes before look-alikes are left out, {after:,} after. The {before - after:,} that"
                f" go differ, fitted to one size, from a class before them in less than {least:g}% of their ink (Greek Alpha"
                " from Latin A, o from O): a task with both would ask for a difference that is not drawn."
            )
    return list(sentences.values())


def _done(family: str, found: Mapping[str, Any]) -> str:
    settings = found["settings"]
    if family == "denoising":
        tail = f", long tail of factor {settings['long_tail']:g}" if settings["long_tail"] else ""
        return f"noise {settings['noise']:.0%}: {RULES[settings['rule']]}{tail}"
    if family == "poisoning":
        return f"{settings['attack']}, {settings['points']} poison points"
    if family == "clean_label":
        space = settings["features"] + ("" if settings["features"] == "pixels" else " features")
        return f"classes {settings['pair'][0]} and {settings['pair'][1]}, base nearest in {space}"
    counts = dict(_look_alikes(found))
    kept = f", {counts['after']:,} of {counts['before']:,} classes: look-alikes are left out" if counts else ""
    return f"{settings['way']}-way {settings['shot']}-shot, {settings['test_tasks']} tasks of meta-test{kept}"


def neighbours(inputs: Sources) -> str:
    """One sentence for each few-shot set on what comparing pixels achieves."""
    lines = []
    for name, found in inputs.data["few_shot"].items():
        one, settings = found["nearest_neighbour"], found["settings"]
        drawn_by = f", drawn by {' and '.join(found['made_with'])}" if found["made_with"] else ""
        lines.append(
            f"*{name}*{drawn_by}: the nearest of the {settings['way'] * settings['shot']} known images, pixel by"
            f" pixel, is of the right class in {number(one['accuracy'], 1)} ± {number(one['standard error'], 1)} percent"
            f" of the queries (mean and standard error over {one['tasks']} tasks of meta-validation; guessing gives"
            f" {100 / settings['way']:.0f})."
        )
    return "\n\n".join(lines) or "This profile has no few-shot data."


def sheets(inputs: Sources) -> dict[str, str]:
    """Name of a figure -> the few-shot set it shows."""
    return {f"sheet-{name}": name for name, found in inputs.data["few_shot"].items() if "sheet" in found}


def sheet(inputs: Sources, data: str) -> Figure:
    """An image of each of many classes, and below all images of a few."""
    packed = inputs.data["few_shot"][data]["sheet"]
    classes, few = unpack(packed["classes"]), unpack(packed["drawings"])
    columns = few.shape[1]
    rows = len(classes) // columns
    parts = [_tiled(classes[: rows * columns].reshape(rows, columns, *classes.shape[1:])), _tiled(few)]
    figure, grid = canvas(2, 1, 6.5, 6.5 * (rows + len(few)) / columns + 0.9, height_ratios=[rows, len(few)])
    titles = (f"{rows * columns} of the classes", f"{columns} images of {len(few)} classes")
    for axes, part, title in zip(grid[:, 0], parts, titles, strict=True):
        axes.imshow(255 - part, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(title)
        axes.set_axis_off()
    caption(figure, f"{data}. {inputs.drawn_from('few_shot/data.json', by=__name__)}")
    return figure


def _tiled(images: np.ndarray) -> np.ndarray:
    """Images [rows, columns, height, width] as one."""
    rows, columns, height, width = images.shape
    return images.swapaxes(1, 2).reshape(rows * height, columns * width)
