"""What budget is missing where Penalty stays below the accuracy that it should reach: the error on classes never trained on
as a power of the upper iterations (`pipelines.few_shot.law`), and where that law would reach the aim and the published
number.

Two curves: meta-validation, and meta-test. The points of meta-test are of the first tasks alone: they give the law its
slope, and the last iterate's error on all tasks its level. A level is as uncertain as tasks scatter, of meta-test also as
iterates do about the law; how another trial would end is in it only where there are several.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipelines.drawing import canvas, caption, legend
from pipelines.few_shot.figures import CURVES
from pipelines.few_shot.law import Law, Reach, fitted
from pipelines.few_shot.tables import COSTS, FAMILY, FULL, SUMMARY, TASKS, in_training, label, ours, seconds_of, theirs
from pipelines.layout import Table, duration, number
from pipelines.records import significant
from pipelines.sources import Sources

METHOD, NAME = "penalty", "few-shot-budget"
AIMS = {"omniglot-5way-5shot": 99.0, "omniglot-5way-1shot": 97.0}
"""Accuracy in percent on meta-test that Penalty is to reach here, whatever the budget."""
WORDS = {"the aim": "the aim of", "published": "the published"}
LOOKS: dict[str, dict[str, Any]] = {
    "meta-validation": {"color": "#de8f05", "marker": "^"},
    "meta-test": {"color": "#1f3b8f", "marker": "D", "markerfacecolor": "white"},
}
FARTHEST = 100.0
"""Times the budget beyond which no axis goes."""


class Curve(NamedTuple):
    """The points of a curve, and their law.

    Attributes: iterations, errors: percent. law: None where there are too few points. tasks: that a point is made of.
    """

    split: str
    iterations: list[float]
    errors: list[float]
    law: Law | None
    tasks: int


def shown(inputs: Sources) -> list[str]:
    """The data sets of the profile that have an aim, and a trial that came to its end."""
    params = inputs.params[FAMILY]
    found = [data for data in params["data"] if data in AIMS] if METHOD in params.get("methods", []) else []
    return [data for data in found if ours(inputs, data, METHOD, "last")[0].mean is not None]


def curves(inputs: Sources, data: str) -> list[Curve]:
    """Meta-validation, and meta-test, whose law goes through the last iterate's error on all tasks."""
    cell, settings = inputs.cell(FAMILY, data, METHOD), inputs.params[FAMILY]["cells"][data][METHOD]
    prepared = inputs.params[FAMILY]["prepared"][data]
    end, width = ours(inputs, data, METHOD, "last")
    assert end.mean is not None and width is not None
    trials, every = end.n or 1, cell["summary"]["last"]["tasks"]
    found = []
    for (name, split), tasks in zip(CURVES.items(), (settings["selection_tasks"], settings["curve_tasks"]), strict=True):
        # no error at all is less than half a query
        least, whole = (50 / (many * prepared["way"] * prepared["query"] * trials) for many in (tasks, every))
        points = zip(cell["curves"]["iteration"], cell["curves"][name]["mean"], strict=True)
        known = [(float(n), max(100.0 - mean, least)) for n, mean in points if n > 0 and mean is not None]
        iterations, errors = [n for n, _ in known], [error for _, error in known]
        law, error = fitted(iterations, errors), max(100.0 - end.mean, whole)
        # the standard error of the mean over tasks, as a share of the error
        share = width / 1.96 / math.sqrt(trials) / error
        if law is not None and split == "meta-test":
            # an iterate scatters about the law too
            law = law.through(settings["iterations"], error, math.hypot(share, law.scatter))
        elif law is not None:
            law = law.loosened(share * math.sqrt(every / tasks))
        found.append(Curve(split, iterations, errors, law, tasks))
    return found


def targets(inputs: Sources, data: str) -> dict[str, float]:
    """{"the aim", "published"}: accuracy in percent."""
    value = theirs(inputs.params[FAMILY]["prepared"][data], METHOD)
    return {"the aim": AIMS[data], **({} if value is None else {"published": value.mean})}


def is_reached(inputs: Sources, data: str, target: float) -> bool:
    """Whether the selected iterate has so much on all tasks of meta-test."""
    mean = ours(inputs, data, METHOD, "selected")[0].mean
    return mean is not None and mean >= target


def seconds(inputs: Sources, data: str) -> float | None:
    """Seconds of an upper iteration on one core; where it was not timed, in training."""
    return seconds_of(inputs).get((data, METHOD)) or in_training(inputs, data, METHOD)


def table(inputs: Sources) -> Table:
    """Where the laws reach the aim and the published accuracy: a row for each data set, curve and target."""
    numbers, read = [], []
    for data in shown(inputs):
        budget, (end, width) = inputs.params[FAMILY]["cells"][data][METHOD]["iterations"], ours(inputs, data, METHOD, "last")
        for curve in curves(inputs, data):
            for target, accuracy in targets(inputs, data).items():
                reach, law, each = reach_of(curve, accuracy), curve.law, seconds(inputs, data)
                times = reach.at and reach.at / budget
                hours = each and reach.at and each * reach.at / 3600
                reached = is_reached(inputs, data, accuracy)
                numbers.append(
                    {
                        "data": data, "iterations": budget, "accuracy": end.mean, "half width over tasks": width,
                        "curve": curve.split, "exponent": law and significant(law.b),
                        "exponent half width": law and significant(law.half_width), "target": target,
                        "target accuracy": accuracy, "reached": reached, "at iterations": _round(reach.at),
                        "from": _round(reach.low), "to": _round(reach.high), "times the budget": _round(times),
                        "hours on one core": _round(hours),
                    }
                )  # fmt: skip
                read.append(
                    {
                        "data": data, "upper iterations": f"{budget:,}",
                        "ours, last": f"{number(end.mean, 2)} ± {number(width, 2)}", "curve": curve.split,
                        "exponent b": f"{law.b:.2f} ± {law.half_width:.2f}" if law else "-",
                        "target": f"{target}, {accuracy:.2f}",
                        "at upper iterations": "reached" if reached else said(reach),
                        "times the budget": "-" if reached or not times else f"{_round(times):,g}",
                        "hours on one core": "-" if reached or not hours else f"{_round(hours):,g}",
                    }
                )  # fmt: skip
    notes = [
        "The error of Penalty as a n^-b in the upper iterations n: least squares in the logarithms over the points of the"
        " curve after the start; in brackets where the 95% band of that law holds the target. The law of meta-test has the"
        " slope of its first tasks, and its level from the last iterate on all of them; meta-validation has other classes."
        " Reached: by the selected iterate on all tasks of meta-test. Hours are the iterations times the seconds of one, of"
        " one trial. A law that goes on unchanged is an assumption: the band knows how the points and the tasks scatter,"
        " nothing of what ends the law.",
    ]
    return Table(NAME, "What budget is missing", pd.DataFrame(numbers), pd.DataFrame(read), notes, _drawn_from(inputs))


def reach_of(curve: Curve, accuracy: float) -> Reach:
    """Where the curve's law has this accuracy."""
    return curve.law.reaches(100.0 - accuracy) if curve.law else Reach(None, None, None)


def said(reach: Reach) -> str:
    """A place in words: "11,000 (7,000 to 21,000)"."""
    if reach.at is None:
        return "not from this curve"
    low, high = (None if end is None else f"{_round(end):,.0f}" for end in (reach.low, reach.high))
    width = f"{low or 'any'} to {high}" if high else f"{low} or more" if low else "no end in sight"
    return f"{_round(reach.at):,.0f} ({width})"


def sentences(inputs: Sources) -> str:
    """For each data set: whether the aim is reached, by how much it is missed, and what would be needed."""
    lines = []
    for data in shown(inputs):
        settings, prepared = inputs.params[FAMILY]["cells"][data][METHOD], inputs.params[FAMILY]["prepared"][data]
        (end, width), aim = ours(inputs, data, METHOD, "selected"), AIMS[data]
        assert end.mean is not None
        tasks = settings.get("meta_batch", prepared["meta_batch"])
        done = f"{settings['iterations']:,} upper iterations of {tasks} tasks"
        head = f"*{data}*: {label(METHOD)} has {number(end.mean, 2)} ± {number(width, 2)} percent on meta-test after {done}"
        if is_reached(inputs, data, aim):
            lines.append(f"{head}: the aim of {aim:.1f} is **reached**.")
            continue
        lines.append(f"{head}: {number(aim - end.mean, 2)} points **below the aim** of {aim:.1f}.\n{_needed(inputs, data)}")
    return "\n\n".join(lines) or "No data set of this profile has an aim."


def spent(inputs: Sources) -> str:
    """What training all cells of the family took."""
    taken = [cost["cpu_seconds"] for cost in inputs.costs[FAMILY].values()]
    if not taken:
        return ""
    return (
        f"Training the {len(taken)} cells of this profile took {duration(sum(taken))} of one core, evaluations included:"
        f" {duration(sum(taken) / 2)} where two are trained at a time."
    )


def _needed(inputs: Sources, data: str) -> str:
    """What the curves say of the aim that is missed."""
    settings, prepared = inputs.params[FAMILY]["cells"][data][METHOD], inputs.params[FAMILY]["prepared"][data]
    budget, tasks = settings["iterations"], settings.get("meta_batch", prepared["meta_batch"])
    lines, aimed = [""], []
    for curve in curves(inputs, data):
        if curve.law is None:
            lines.append(f"- The curve of {curve.split} has too few points for a law.")
            continue
        words = []
        for name, accuracy in targets(inputs, data).items():
            reach = reach_of(curve, accuracy)
            more = "" if reach.at is None else f" upper iterations, {_round(reach.at / budget):,g} times this budget"
            words.append(f"{WORDS[name]} {accuracy:.2f}: {said(reach)}{more}")
            if name == "the aim" and reach.at is not None:
                aimed.append(reach.at * tasks)
        exponent = f"n^-{curve.law.b:.2f} (± {curve.law.half_width:.2f})"
        lines.append(f"- On {curve.split} the error goes as {exponent}; if it goes on so, {'; '.join(words)}.")
    full, wanted = (held.get(prepared["source"], {}).get(prepared["way"]) for held in (FULL, TASKS))
    if aimed and full and wanted:
        ends = " to ".join(dict.fromkeys(f"{_round(one):,.0f}" for one in sorted((aimed[0], aimed[-1]))))
        lines.append(f"- For the aim {ends} tasks; the released code sees {full * wanted:,}, {full:,} times {wanted}.")
    return "\n".join(lines)


def picture(inputs: Sources) -> Figure:
    """The error against upper iterations, both logarithmic: points, laws with their bands, the targets."""
    every = shown(inputs)
    figure, grid = canvas(1, len(every), 4.75 * max(len(every), 2), 3.8)
    for axes, data in zip(grid[0], every, strict=True):
        budget = inputs.params[FAMILY]["cells"][data][METHOD]["iterations"]
        found, wanted = curves(inputs, data), targets(inputs, data)
        reached = [reach_of(curve, accuracy).at for curve in found for accuracy in wanted.values()]
        last = min(max([1.5 * budget, *(1.2 * at for at in reached if at is not None)]), FARTHEST * budget)
        for curve in found:
            look = LOOKS[curve.split]
            axes.plot(curve.iterations, curve.errors, linestyle="", markersize=4, **look)
            if curve.law:
                n = np.geomspace(curve.iterations[0], last, 200)
                axes.plot(n, curve.law.error(n), color=look["color"])
                axes.fill_between(n, *curve.law.band(n), color=look["color"], alpha=0.15, linewidth=0)
        end, width = ours(inputs, data, METHOD, "last")
        assert end.mean is not None
        axes.errorbar(budget, 100 - end.mean, yerr=width, color="#1f3b8f", marker="*", markersize=9, capsize=2)
        for (name, accuracy), dashes in zip(wanted.items(), ("--", ":"), strict=False):
            axes.axhline(100 - accuracy, color="#222222", linewidth=0.8, linestyle=dashes)
            axes.annotate(f"{name}, {accuracy:.2f}", (0.02, 100 - accuracy), xycoords=("axes fraction", "data"),
                          xytext=(0, 2), textcoords="offset points", fontsize=7)  # fmt: skip
        axes.set(xscale="log", yscale="log", title=data, xlabel="upper iterations")
        ticks = [tick for tick in (0.5, 1, 2, 3, 5, 10, 20, 50) if axes.get_ylim()[0] <= tick <= axes.get_ylim()[1]]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    grid[0][0].set_ylabel("error in percent")
    shapes = [Line2D([], [], label=split, linestyle="solid", **look) for split, look in LOOKS.items()]
    star = Line2D([], [], label="meta-test, all tasks", linestyle="", marker="*", markersize=9, color="#1f3b8f")
    legend(figure, [*shapes, star])
    text = f"{label(METHOD)}: points of the curve (hollow: of the first tasks alone), a n^-b with its 95% band, that of"
    caption(figure, f"{text} meta-test through the last iterate on all tasks. {_drawn_from(inputs)}")
    return figure


def _drawn_from(inputs: Sources) -> str:
    return inputs.drawn_from(*SUMMARY, COSTS, by=__name__)


def _round(value: float | None) -> float | None:
    """Two significant digits: a law says no more."""
    return None if value is None else float(f"{value:.2g}")


DRAWN: dict[str, Callable[[Sources], Table]] = {NAME: table}


def drawn(inputs: Sources) -> list[str]:
    """The tables that a profile has."""
    return [NAME] if shown(inputs) else []


def drawings(inputs: Sources) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """(file name, what draws it) of the figures that the profile has."""
    if shown(inputs):
        yield NAME, lambda: picture(inputs)
