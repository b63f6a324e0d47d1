"""The tables of Figures 1, 2 and 7: where each panel's curve ends, ours beside the published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipelines import comparison, published
from pipelines.layout import Table, counted, interval, number, plus_minus, printed
from pipelines.published import LABELS, Value
from pipelines.records import significant
from pipelines.sources import Sources

MAIN_PRESET = "released"
"""The published numbers come from the authors' code, so they are compared with this preset first."""

FIGURES = {"figure-1": ("ex1", "ex2"), "figure-2": ("ex3", "ex4")}
ONE_DRAW = ("ex3", "ex4")
"""Examples whose published means belong to one matrix A."""

LAMBDAS = {"lambda0": "0", "lambda1e-4": "0.0001", "lambda1e-2": "0.01", "lambda1": "1.0"}
"""Our name of an ablation -> the published one."""

OTHER_MEASURE = "error by first block"
"""A cell's second distance, measured with the first block of A in the place of the second, where it has one."""

INPUTS = ("synthetic/summary.json", "synthetic/params.yaml")


def presets(inputs: Sources) -> list[str]:
    """The profile's presets, the main one first."""
    return sorted(inputs.params["synthetic"]["presets"], key=lambda name: (name != MAIN_PRESET, name))


def ablation(variant: str) -> tuple[str, str]:
    """The published block and lambda_0 of one of our variants: ("left", "0.01") of "lambda1e-2-nu"."""
    name = variant.removesuffix("-nu")
    return ("left" if variant.endswith("-nu") else "right"), LAMBDAS[name]


def compared(inputs: Sources, parts: tuple[str, str, str], steps: int, value: Value | None) -> dict[str, Any]:
    """What there is to say of one cell at one T beside its published number, as numbers."""
    mine, one_draw = inputs.distance(*parts, steps), parts[0] in ONE_DRAW
    cuts = comparison.synthetic_cuts(inputs.common["synthetic"])
    apart, verdict = None, comparison.NOT_PUBLISHED
    if value is not None:
        their = comparison.theirs(value)
        apart = None if mine.mean is None else comparison.difference(mine, their, one_draw)
        verdict = comparison.verdict(mine, their, cuts, one_draw)
    return {
        "mean": mine.mean,
        "sd": mine.sd,
        "n": mine.n,
        "diverged": inputs.cell("synthetic", *parts)["summary"][f"T={steps}"]["diverged"],
        "difference": apart and significant(apart.value),
        "half width": apart and significant(apart.half_width),
        "rule": apart and apart.rule,
        "verdict": verdict,
    }


def curve_gap(
    inputs: Sources, parts: tuple[str, str, str], steps: int, value: Value | None
) -> comparison.Transient | None:
    """Our mean curve against the published one; None where there is none."""
    if value is None:
        return None
    curves = inputs.cell("synthetic", *parts)["curves"]
    curve: Mapping[str, Any] = curves[f"T={steps}"]["error"]
    return comparison.transient(
        curves["iteration"],
        curve["mean"],
        curve["sd"],
        inputs.distance(*parts, steps).n or 0,
        published.curve(int(parts[0][2:]), steps, parts[1]),
        value.n_trials or 1,
        value.resolution,
        parts[0] in ONE_DRAW,
    )


def figure(inputs: Sources, name: str) -> Table:
    """Figure 1 or 2: a row for each example, T and method."""
    numbers, shown = [], []
    for example in FIGURES[name]:
        for steps in inputs.common["synthetic"]["lower_steps"]:
            for method in inputs.params["synthetic"]["methods"]:
                value = published.find(f"fig12-{example}-T{steps}-{method}")
                label = {"example": example[2:], "T": steps, "method": LABELS[method]}
                row: dict[str, Any] = {**label, "paper mean": value and value.mean, "paper sd": value and value.sd}
                read: dict[str, Any] = {**label, "paper": printed(value)}
                for preset in presets(inputs):
                    parts = (example, method, preset)
                    found = compared(inputs, parts, steps, value)
                    gap = curve_gap(inputs, parts, steps, value)
                    row |= {f"{preset} {key}": held for key, held in found.items()}
                    row |= {f"{preset} {key}": held for key, held in _by_first_block(inputs, parts, steps, value).items()}
                    row[f"{preset} largest gap"] = gap and significant(gap.largest)
                    read[f"ours, {preset}"] = plus_minus(inputs.distance(*parts, steps))
                    read[f"verdict, {preset}"] = found["verdict"]
                    if preset == MAIN_PRESET:
                        read["difference"] = _difference(found)
                        read["largest gap of the curves"] = _gap(gap)
                numbers.append(row)
                shown.append(read)
    notes = [
        "Distance to the nearest solution after 40,000 upper iterations, mean ± s.d. over trials. Difference:"
        f" ours (preset {MAIN_PRESET}) less the paper's, with its 95% interval. Largest gap: between the mean"
        " curves, at which of the nine published places, and how many of them lie inside the band."
    ]
    if name == "figure-2":
        notes.append("The published means belong to one draw of the matrix A, ours are means over draws.")
    return _table(inputs, name, "final distances", numbers, shown, notes)


def _by_first_block(
    inputs: Sources, parts: tuple[str, str, str], steps: int, value: Value | None
) -> dict[str, Any]:
    """A cell's other distance beside the published one, where it has one."""
    if value is None or OTHER_MEASURE not in inputs.cell("synthetic", *parts)["summary"][f"T={steps}"]:
        return {}
    mine, cuts = inputs.distance(*parts, steps, by=OTHER_MEASURE), comparison.synthetic_cuts(inputs.common["synthetic"])
    verdict = comparison.verdict(mine, comparison.theirs(value), cuts, one_draw=True)
    return {"by first block mean": mine.mean, "by first block sd": mine.sd, "by first block verdict": verdict}


def figure_7(inputs: Sources) -> Table:
    """Figure 7: the ablation of lambda_0 and of the multiplier nu."""
    numbers, shown = [], []
    for steps in inputs.common["synthetic"]["lower_steps"]:
        for variant in inputs.params["synthetic"]["variants"]:
            block, lambda_0 = ablation(variant)
            value = published.value(f"fig7-{block}-T{steps}-lam{lambda_0}")
            nu = "with" if block == "left" else "without"
            row: dict[str, Any] = {
                "T": steps,
                "lambda_0": float(lambda_0),
                "nu": nu,
                "paper mean": value.mean,
            }
            read: dict[str, Any] = {
                "T": steps,
                "lambda_0": f"{float(lambda_0):g}",
                "nu": nu,
                "paper": printed(value),
            }
            for preset in presets(inputs):
                found = compared(inputs, ("ablation", variant, preset), steps, value)
                row |= {f"{preset} {key}": held for key, held in found.items()}
                read[f"ours, {preset}"] = plus_minus(inputs.distance("ablation", variant, preset, steps))
                read[f"verdict, {preset}"] = found["verdict"]
                if preset == MAIN_PRESET:
                    read["difference"] = _difference(found)
            numbers.append(row)
            shown.append(read)
    notes = [
        "Distance to the solution of example 1 after 40,000 upper iterations, mean ± s.d. over trials. The"
        " published spread is not known: ours stands in for it. The figure does not say which block is the"
        " one with nu; its caption names it first, so the left one is taken to be it."
    ]
    return _table(inputs, "figure-7", "lambda_0 and the multiplier nu on example 1", numbers, shown, notes)


def _difference(found: Mapping[str, Any]) -> str:
    if found["difference"] is None:
        return "-"
    return interval(comparison.Difference(found["difference"], found["half width"], found["rule"]))


def _gap(gap: comparison.Transient | None) -> str:
    if gap is None:
        return "-"
    return f"{number(gap.largest)} at {gap.at:,.0f} ({gap.inside} of {gap.places} inside)"


def _table(
    inputs: Sources, name: str, what: str, numbers: list[Any], shown: list[Any], notes: list[str]
) -> Table:
    frame = pd.DataFrame(numbers)
    notes += [counted(list(frame[f"{preset} verdict"]), f"Preset {preset}") for preset in presets(inputs)]
    title = f"{name.replace('-', ' ').capitalize()}: {what}"
    return Table(name, title, frame, pd.DataFrame(shown), notes, inputs.drawn_from(*INPUTS, by=__name__))
