"""Under what an experiment was run, in words of its parameters, and how far that falls short of the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines import budget, comparison
from pipelines.denoising import cells
from pipelines.denoising.rows import has, label, method_of
from pipelines.denoising.told import NETWORKS
from pipelines.layout import listed
from pipelines.sources import Sources

NAMES = {"softmax": "softmax regression", **NETWORKS}
WITH_ADAM = ("approxgrad", "penalty", "single-level")
"""Solvers whose lower steps are Adam's unless a cell names another optimiser; those of all others are plain gradients."""


def network(inputs: Sources, experiment: str) -> str:
    """The network of an experiment, as it is read."""
    found = dict.fromkeys(one["network"] for one in _cells(inputs, experiment).values())
    return listed([NAMES.get(name, f"the network {name}") for name in found])


def setting(inputs: Sources, experiment: str) -> str:
    """Data, network and budget: "mnist-25, softmax regression on 2,000 images, T = 5, 10 epochs of minibatches of 100"."""
    found = _cells(inputs, experiment).values()
    sets = dict.fromkeys(one["data"] for one in found)
    sizes = {inputs.params["denoising"]["prepared"][one]["train_size"] for one in sets}
    images = {f"{size:,}" for size in sizes if size}
    on = f" on {listed(sorted(images))} images" if images else ""
    steps = _values(one["settings"].get("lower_steps") for one in found)
    said = [", ".join(sets), f"{network(inputs, experiment)}{on}", f"T = {steps}" if steps else ""]
    epochs, batch = (_values(one.get(name) for one in found) for name in ("epochs", "batch"))
    said.append(f"{epochs} epochs of minibatches of {batch}")
    return ", ".join(filter(None, said)).replace(" 1 epochs", " 1 epoch")


def of_the_paper(source: str = "mnist", steps: bool = True) -> str:
    """The same of the paper's own; `steps`: with its T."""
    full = comparison.FULL_BUDGET[source]
    with_t = f" T = {full['lower steps']}," if steps else ""
    return f"its network on {full['training images']:,} images,{with_t} {full['epochs']} epochs"


def iterations(inputs: Sources, experiment: str, *variants: str) -> str:
    """How many upper iterations cells of an experiment end with, all for none: "20", or "480 to 1,920"."""
    some = variants or has(inputs, experiment)
    ends = {(inputs.cell("denoising", experiment, one)["curves"]["iteration"] or [0])[-1] for one in some}
    low, high = min(ends), max(ends)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def same_at_every_t(inputs: Sources) -> str:
    """Of which T the step sizes of all T are, where those are the ones of the methods as released; "" else."""
    base, found = _cells(inputs, "quirks"), _cells(inputs, "lower-steps")
    known = {variant: base.get(method_of(variant)) for variant in found}
    if not found or any(one is None or _sizes(one) != _sizes(found[name]) for name, one in known.items()):
        return ""
    steps = _values(one["settings"]["lower_steps"] for one in known.values() if one is not None)
    searched = "quirks" in inputs.params["denoising"].get("search", {})
    chosen = "were searched" if searched else "are those of the methods as released"
    return f"Step sizes {chosen} at T = {steps} alone and are the same at every T, so they may suit the others less."


def untrained(inputs: Sources, experiment: str) -> list[str]:
    """The variants whose selected iterate is in no trial better or worse than the one before any upper iteration, by their
    mean and spread."""
    found = []
    for variant in has(inputs, experiment):
        curves = inputs.cell("denoising", experiment, variant)["curves"]
        selected = inputs.accuracy(experiment, variant, "selected")
        if curves["iteration"][:1] == [0] and selected.mean is not None:
            first = curves["test accuracy"]["mean"][0], curves["test accuracy"]["sd"][0]
            found += [variant] if (selected.mean, selected.sd) == first else []
    return found


def optimisers(inputs: Sources, experiment: str) -> str:
    """Whose lower steps are of Adam, and whose of plain gradients."""
    plain = [label(one) for one in plain_descent(inputs, experiment)]
    return f"Lower steps are Adam's, but plain gradient steps of {listed(plain)}" if plain else "Lower steps are Adam's"


def plain_descent(inputs: Sources, experiment: str) -> list[str]:
    """The variants whose lower steps are of plain gradients."""
    return [one for one, cell in _cells(inputs, experiment).items() if not is_of_adam(cell)]


def is_of_adam(cell: Mapping[str, Any]) -> bool:
    """Whether a cell's lower steps are Adam's; else they are plain gradient steps, with momentum or without."""
    return bool(cell.get("lower_optimizer", "adam" if cell["solver"] in WITH_ADAM else "gradient-descent") == "adam")


def cuts(inputs: Sources, experiment: str) -> str:
    """How its cells fall short of the same in the profile `paper`, those that do so alike together: "50 of 500 epochs
    (Oracle and Val-only); 20 of 500 iterations and 50 of 2,000 lower steps (RMD)"; "" where none does."""
    found: dict[str, list[str]] = {}
    for variant in has(inputs, experiment):
        known = budget.cuts_of(inputs, "denoising", (experiment, variant))
        cut = [one for one in known if one.full or "network" in one.what]  # else the paper has no such cell
        parts = cells.from_of(_cells(inputs, experiment)[variant])
        name = f"the last fit after {label(method_of(variant))}" if parts else label(method_of(variant))
        if cut and name not in found.setdefault(listed(comparison.said(cut)), []):
            found[listed(comparison.said(cut))].append(name)
    return "; ".join(f"{said} ({listed(names)})" for said, names in found.items())


def _cells(inputs: Sources, experiment: str) -> Mapping[str, Mapping[str, Any]]:
    """The parameters of the variants that the profile has."""
    held = inputs.params["denoising"]["cells"].get(experiment, {})
    return {variant: held[variant] for variant in has(inputs, experiment)}


def _sizes(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in cell["settings"].items() if name != "lower_steps"}


def _values(some: Any) -> str:
    """Numbers each once, from small to large: "1, 10 and 20"; None is none."""
    return listed([f"{value:,}" for value in sorted({one for one in some if one is not None})])
