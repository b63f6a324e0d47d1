"""What a single difference between text and released code changes in denoising, in words, with what it was measured on."""

from __future__ import annotations

from typing import Any

from pipelines.comparison import CONFIDENCE, Difference
from pipelines.denoising.rows import has, is_idle, method_of, quirk
from pipelines.groups import group_name
from pipelines.layout import number
from pipelines.sources import Sources

QUIRKS = "quirks"
NETWORKS = {"mnist-quarter": "a quarter of the network"}
"""Networks that are parts of the paper's."""


def basis(inputs: Sources, experiment: str = QUIRKS) -> str:
    """Data, network and budget of an experiment: "MNIST (25% wrong, a quarter of the network, 3 epochs)"."""
    cells = inputs.params["denoising"]["cells"].get(experiment, {})
    return " and ".join(dict.fromkeys(_basis(one, experiment) for one in cells.values()))


def _basis(cell: dict[str, Any], experiment: str) -> str:
    name, _, wrong = group_name(cell.get("data", experiment)).partition(", ")
    network = NETWORKS.get(cell["network"], f"the network {cell['network']}")
    inside = [one for one in (wrong, network, f"{cell['epochs']} epochs") if one]
    return f"{name} ({', '.join(inside)})"


def from_to(apart: Difference, decimals: int = 2) -> str:
    """A difference with both ends of its interval: "-0.70 (95%: from -3.16 to +1.76)"."""
    low, high = apart.value - apart.half_width, apart.value + apart.half_width
    value, *ends = (f"{'+' if one >= 0 else ''}{number(one, decimals)}" for one in (apart.value, low, high))
    return f"{value} ({CONFIDENCE:.0%}: from {' to '.join(ends)})"


def effect(inputs: Sources, variant: str) -> str:
    """What a quirk changes in points of test accuracy, and where; "" where the profile does not have it."""
    if variant not in has(inputs, QUIRKS):
        return ""
    apart = quirk(inputs, variant)
    if apart is None:
        return ""
    change = _steps(inputs, variant) or "changing it alone"
    said = "no trial moves" if is_idle(apart) else f"{from_to(apart)} points of test accuracy"
    return f" On {basis(inputs)}, {change}: {said}."


def _steps(inputs: Sources, variant: str) -> str:
    """The lower steps of a variant that has others than its method as released; "" of one that has as many."""
    cells = inputs.params["denoising"]["cells"][QUIRKS]
    mine, base = (cells[one]["settings"]["lower_steps"] for one in (variant, method_of(variant)))
    return f"{mine} lower step{'s' * (mine > 1)} instead of {base}" if mine != base else ""
