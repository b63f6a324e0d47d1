"""What each cell of denoising spends on the lower problem, in words: where methods are compared that do not spend alike, the
numbers stand beside the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.comparison import FULL_BUDGET
from pipelines.denoising import further
from pipelines.denoising.rows import has, label, method_of
from pipelines.denoising.setting import is_of_adam
from pipelines.layout import listed
from pipelines.sources import Sources

BATCH = 200
"""The paper's minibatch (supplement E.2)."""
REVERSE = {"lower steps": 2000, "iterations": 500}
"""Franceschi et al., 2017: gradient steps of a lower problem, and steps of the weights (their `data_hypercleaner.py`)."""
UNEQUAL = ("franceschi", "cifar10-part", "stocbio-hypercleaning")
"""Experiments whose methods do not spend alike."""


def steps_of(inputs: Sources, experiment: str, variant: str) -> tuple[int, int]:
    """Iterations of a cell, and the lower steps of each."""
    iterations = inputs.cell("denoising", experiment, variant)["curves"]["iteration"] or [0]
    cell = inputs.params["denoising"]["cells"][experiment][variant]
    return int(iterations[-1]), int(cell["settings"].get("lower_steps", 1))


def effort(inputs: Sources, experiment: str, variant: str) -> str:
    """The lower steps of a cell: how many, of which optimiser, on which minibatch, after what: "250 × 20 of Adam on 200
    examples, after 20 epochs of pre-training"."""
    cell = inputs.params["denoising"]["cells"][experiment][variant]
    iterations, steps = steps_of(inputs, experiment, variant)
    many = f"{iterations:,}" if cell["solver"] == "single-level" else f"{iterations:,} × {steps}"
    text = f"{many} of {'Adam' if is_of_adam(cell) else 'gradient descent'} on {cell['batch']:,}"
    text += ", each from a new start" if cell["settings"].get("restart") else ""
    text += f", after {cell['pretrain']['epochs']} epochs of pre-training" if "pretrain" in cell else ""
    if "weights_of" in cell:
        text += ", by a new network"
        text += f" on examples whose importance is above {cell['keep_above']:g}" if "keep_above" in cell else ", weighted"
    return text


def said(inputs: Sources, experiment: str, variants: Sequence[str]) -> str:
    """The efforts of cells that are compared, those that spend alike together; "" where all do."""
    alike = _alike(inputs, experiment, variants)
    return "" if len(alike) < 2 else f" Lower steps, and examples in each: {_told(alike)}."


def _told(alike: dict[str, list[str]]) -> str:
    return "; ".join(f"{listed(who)} {what}" for what, who in alike.items())


def _alike(inputs: Sources, experiment: str, variants: Sequence[str]) -> dict[str, list[str]]:
    """Effort -> the methods that spend it."""
    alike: dict[str, list[str]] = {}
    for variant in variants:
        data = further.data_of(inputs, experiment, variant)
        changed = [one for one in further.changed(variant, data).split(", ") if one.startswith("weights in")]
        alike.setdefault(effort(inputs, experiment, variant), []).append(", ".join([label(method_of(variant)), *changed]))
    return alike


def longer(inputs: Sources, experiment: str) -> str:
    """How long a longer run of Penalty is beside the paper's: "mnist-25: 480 upper iterations at T = 2; the paper 29,500 at
    T = 20"."""
    where = further.data_of(inputs, experiment, "penalty")
    iterations, steps = steps_of(inputs, experiment, "penalty")
    text = f"{where}: {iterations:,} upper iterations at T = {steps}"
    full = FULL_BUDGET.get(inputs.params["denoising"]["prepared"][where]["source"])
    if full:
        text += f", of the paper's {full['epochs'] * (full['training images'] // BATCH):,} at T = {full['lower steps']}"
    return text


def _searched(inputs: Sources, experiment: str) -> tuple[dict[str, list[str]], list[str]]:
    """The methods of an experiment whose lower step size was searched on its network, by the experiment at whose budget it
    was, its own before others; and the methods of which it was not."""
    block = inputs.params["denoising"]
    cells, plans = block["cells"], block.get("search", {})
    found: dict[str, list[str]] = {}
    rest: list[str] = []
    for one in (method for method in has(inputs, experiment) if method in block["methods"]):
        of_plans = [name for name, plan in plans.items() if one in plan.get("spaces", {})]
        places = sorted([*of_plans, "quirks", block["data"][0]], key=lambda name: name != experiment)
        mine = _recipe(cells[experiment][one])
        known = [name for name in places if one in cells.get(name, {}) and _recipe(cells[name][one]) == mine]
        (found.setdefault(known[0], []) if known else rest).append(one)
    return found, rest


def _recipe(cell: dict[str, Any]) -> tuple[str, float]:
    return cell["network"], cell["settings"]["lower_step_size"]


def uneven(inputs: Sources, experiment: str) -> str:
    """That some methods' step sizes were searched and others' not, or at other budgets; "" where all were at one or none."""
    found, rest = _searched(inputs, experiment)
    groups = [(_place(name, experiment), names) for name, names in found.items()]
    if len(groups) + bool(rest) < 2:
        return ""
    said = [f"that of {listed([label(one) for one in names])} {place}" for place, names in groups]
    said += [f"that of {listed([label(one) for one in rest])} was not"] if rest else []
    text = "; ".join(said).replace("that of", "the lower step size of", 1)
    return f" On {further.data_of(inputs, experiment, 'penalty')} {text}."


def _place(name: str, experiment: str) -> str:
    return f"was searched on this network {'at this budget' if name == experiment else f'at the budget of *{name}*'}"


def searched(inputs: Sources, experiment: str) -> str:
    """Which step sizes of an experiment were searched on its network, and which methods it leaves out, in words."""
    block = inputs.params["denoising"]
    cells, table = (block["cells"][name] for name in (experiment, block["data"][0]))
    found, rest = _searched(inputs, experiment)
    parts = [f"the lower step size of {_sized(names, cells)} {_place(name, experiment)}" for name, names in found.items()]
    if rest:
        known = [one for one in rest if one in table]
        other = f", where the table's search on its own network chose {_sized(known, table)}" if known else ""
        parts.append(f"not searched: {_sized(rest, cells)}{other}")
    absent = [label(one) for one in block["methods"] if one not in cells]
    parts += [f"no cell of {listed(absent)}"] if absent else []
    return f"{'; '.join(parts)}."


def _sized(methods: Sequence[str], cells: dict[str, Any]) -> str:
    return listed([f"{label(one)} ({cells[one]['settings']['lower_step_size']:g})" for one in methods])


def of_reverse(inputs: Sources) -> str:
    """How far reverse mode's own run is cut; "" where the profile has none."""
    name, variant = "franceschi", "rmd"
    if variant not in has(inputs, name):
        return ""
    iterations, steps = steps_of(inputs, name, variant)
    return (
        f" RMD's weights had {iterations} steps of the published {REVERSE['iterations']}, each after {steps} lower steps of"
        f" {REVERSE['lower steps']:,}, so its own last iterate is that of a network trained for {steps} steps."
    )
