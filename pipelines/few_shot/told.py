"""Sentences of the page on few-shot learning, made from the numbers."""

from __future__ import annotations

from pipelines.comparison import difference
from pipelines.few_shot.tables import FAMILY, label, ours
from pipelines.layout import listed, number
from pipelines.sources import Sources


def results(inputs: Sources) -> str:
    """What the methods reach on each data set, best first, and how far above comparing pixels."""
    params = inputs.params[FAMILY]
    lines = []
    for data in params["data"]:
        found = {method: ours(inputs, data, method, "selected") for method in params["methods"]}
        ends = [(one.mean, width or 0.0, method) for method, (one, width) in found.items() if one.mean is not None]
        reached = sorted(ends, reverse=True)
        said = listed([f"{label(method)} {number(mean, 1)} ± {number(width, 1)}" for mean, width, method in reached])
        near = inputs.data[FAMILY].get(data, {}).get("nearest_neighbour")
        below = f" The nearest drawing, pixel by pixel, gives {number(near['accuracy'], 1)}." if near else ""
        more = f"{below}{_fallen(inputs, data)}{_settled(inputs, data)}"
        lines.append(f"*{data}*, selected iterates, percent with the 95% interval over tasks: {said}.{more}")
    return "\n\n".join(lines) or "This profile trains no few-shot cells."


def _fallen(inputs: Sources, data: str) -> str:
    """The methods that end below their selected iterate, further than both intervals over tasks reach."""
    said = []
    for method in inputs.params[FAMILY]["methods"]:
        (last, width), (best, its) = (ours(inputs, data, method, iterate) for iterate in ("last", "selected"))
        if last.mean is not None and best.mean is not None and best.mean - last.mean > (width or 0.0) + (its or 0.0):
            said.append(f"{label(method)} ends at {number(last.mean, 1)}")
    return f" Training went on past its best: {listed(said)}." if said else ""


def _settled(inputs: Sources, data: str) -> str:
    """Whether Penalty and ApproxGrad are told apart over trials; nothing where there is one trial."""
    methods = inputs.params[FAMILY]["methods"]
    if not {"penalty", "approxgrad"} <= set(methods):
        return ""
    first, second = (ours(inputs, data, method, "selected")[0] for method in ("penalty", "approxgrad"))
    if first.mean is None or second.mean is None or first.half_width is None or second.half_width is None:
        return " One trial of a method says nothing of how another one would end."
    words = {1: "above", -1: "below", 0: "not told apart from"}
    return f" Over trials Penalty is {words[difference(first, second).sign]} ApproxGrad."
