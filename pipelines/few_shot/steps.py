"""The effect of T, the lower steps of an upper iteration (the paper's Figure 5(b)): what is ours, and what is published."""

from __future__ import annotations

from pipelines import comparison, published
from pipelines.comparison import Estimate
from pipelines.few_shot.tables import FAMILY, STEPS, cuts_of
from pipelines.layout import listed
from pipelines.published import Value
from pipelines.sources import Sources

WHAT = ("acc", "time")
"""Panels of Figure 5(b), as the published numbers' names call them."""


def varied(inputs: Sources) -> dict[str, list[int]]:
    """Method -> the T of the experiment."""
    found: dict[str, list[int]] = {}
    for variant in inputs.params[FAMILY].get("experiments", {}).get(STEPS, []):
        method, _, steps = variant.rpartition("-")
        found.setdefault(method, []).append(int(steps))
    return found


def printed_at(what: str, steps: int, method: str) -> Value | None:
    """The published number of a panel, None where there is none."""
    return published.find(f"fig5b-{what}-T{steps}-{method}")


def seconds(inputs: Sources) -> dict[int, dict[str, tuple[Estimate, Estimate]]]:
    """T -> method -> (ours, published) seconds of an upper iteration, where both are known."""
    rows = inputs.timed.get(FAMILY, {}).get("rows", [])
    times = {tuple(row["cell"]): row["seconds_per_iteration"] for row in rows if row["way"] == "as trained"}
    found: dict[int, dict[str, tuple[Estimate, Estimate]]] = {}
    for method, counts in varied(inputs).items():
        for steps in counts:
            taken, value = times.get((STEPS, f"{method}-{steps}")), printed_at("time", steps, method)
            if taken is not None and value is not None:
                found.setdefault(steps, {})[method] = comparison.ours(taken), comparison.theirs(value)
    return found


def conditions(inputs: Sources) -> str:
    """In what our experiment is not the paper's: the tasks, the budget, the trials."""
    params = inputs.params[FAMILY]
    cells = [params["cells"][STEPS][variant] for variant in params["experiments"][STEPS]]
    data = sorted({cell["data"] for cell in cells})
    cuts = [cut for cell in cells for cut in cuts_of(params["prepared"][cell["data"]], cell)]
    trials = listed([str(count) for count in sorted({cell["trials"] for cell in cells})])
    there = {(value.dataset, value.setting["way"], value.setting["shot"])
             for method, counts in varied(inputs).items() for steps in counts
             if (value := printed_at("time", steps, method)) is not None}  # fmt: skip
    paper = listed([f"{name} {way}-way {shot}-shot" for name, way, shot in sorted(there)])
    word = "trial" if trials == "1" else "trials"
    budget = f" ({', '.join(said)})" if (said := comparison.said(cuts)) else ""
    return f"Ours are of {listed(data)}{budget}, {trials} {word} of a method; the paper's are of {paper}."
