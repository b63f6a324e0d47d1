"""Equal tuning of six methods: what the plan of a search gave to each of them, what the search found, and the table of the
methods after it.

A plan has one space for all methods, or one for each (`spaces`), with the names of `pipelines.search.with_point`: a
coordinate is a setting of the solver, or stands for one of its own (`means`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pipelines.comparison import Difference
from pipelines.denoising.rows import (
    AGAINST_PENALTY,
    WORDS,
    accuracies,
    against_penalty,
    as_numbers,
    data,
    has,
    label,
    paired,
    table,
)
from pipelines.denoising.setting import optimisers, plain_descent
from pipelines.layout import Table, interval, listed, plus_minus
from pipelines.settings import profile_params
from pipelines.sources import Sources

CHANCE = 10.0
"""Percent of images that a guess among ten classes gets right."""
LEARNT = CHANCE + 5.0
"""A network that gets no more than this right has not learned."""
EDGE = 0.1
"""So near an end of its range, as a share of its width in the logarithm, a value lies at an edge."""
SCORE = "selection accuracy"

Range = tuple[float, float]


def plan_of(inputs: Sources, experiment: str) -> Mapping[str, Any]:
    """What the profile says of the search of an experiment; {} for nothing."""
    found: Mapping[str, Any] = inputs.params["denoising"].get("search", {}).get(experiment, {})
    return found


def space_of(inputs: Sources, experiment: str, method: str) -> dict[str, tuple[str, Range]]:
    """Coordinate -> the setting that it is of a method, and its range; of those that the method has."""
    plan = plan_of(inputs, experiment)
    held = inputs.params["denoising"]["cells"][experiment][method]["settings"]
    space = plan["spaces"].get(method, {}) if "spaces" in plan else plan.get("space", {})
    own = {name: plan.get("means", {}).get(name, {method: name}).get(method) for name in space}
    return {name: (own[name], (one["low"], one["high"])) for name, one in space.items() if own[name] in held}


def points(inputs: Sources, experiment: str) -> str:
    """How wide a search was: "20 points on 2 trials"; "" where none is planned."""
    plan = plan_of(inputs, experiment)
    if not plan.get("draws"):
        return ""
    return f"{plan['draws']} points on {_trials(inputs, plan)}"


def _trials(inputs: Sources, plan: Mapping[str, Any]) -> str:
    seeds = len(inputs.params["denoising"]["prepared"][plan["data"]]["seeds"])
    return f"{seeds} {'trial' if seeds == 1 else 'trials'}"


def own_ranges(inputs: Sources, experiment: str) -> list[str]:
    """The ranges that are not the same for all methods: "lower_step_size of stocBiO 0.003 to 0.3, of the others 0.0001 to
    0.01"."""
    found: dict[str, dict[Range, list[str]]] = {}
    for method in has(inputs, experiment):
        for name, (_, ends) in space_of(inputs, experiment, method).items():
            found.setdefault(name, {}).setdefault(ends, []).append(label(method))
    said = []
    for name, ranges in found.items():
        (usual, _), *others = sorted(ranges.items(), key=lambda one: -len(one[1]))
        parts = [f"of {listed(names)} {_ends(ends)}" for ends, names in others]
        said += [f"{name} {', '.join(parts)}, of the others {_ends(usual)}"] if parts else []
    return said


def _ends(ends: Range) -> str:
    return f"{ends[0]:g} to {ends[1]:g}"


def coordinates(inputs: Sources, experiment: str) -> list[str]:
    """What was searched, in words: "lower_step_size", "upper_step_size (not of L2RW)", "solver_step_size of ApproxGrad",
    "one of damping of ApproxGrad, gamma_0 of Penalty, ..."."""
    methods = has(inputs, experiment)
    holders: dict[str, dict[str, list[str]]] = {}
    for method in methods:
        for name, (own, _) in space_of(inputs, experiment, method).items():
            holders.setdefault(name, {}).setdefault(own, []).append(label(method))
    said = []
    for owns in holders.values():
        (own, names), *more = owns.items()
        rest = [label(one) for one in methods if label(one) not in names]
        if more:
            said.append(f"one of {listed([f'{one} of {listed(some)}' for one, some in owns.items()])}")
        elif len(names) > len(rest):
            said.append(own + f" (not of {listed(rest)})" * bool(rest))
        else:
            said.append(f"{own} of {listed(names)}")
    return said


def tied(inputs: Sources, experiment: str) -> dict[str, list[str]]:
    """Setting -> those that follow it and were not searched."""
    found: dict[str, list[str]] = {}
    for name, other in plan_of(inputs, experiment).get("tied", {}).items():
        found.setdefault(other, []).append(name)
    return found


def solver_is_tied(inputs: Sources, experiment: str) -> bool:
    """Whether ApproxGrad's step size of the linear system is that of the lower problem."""
    return "solver_step_size" in plan_of(inputs, experiment).get("tied", {})


def descent(inputs: Sources, experiment: str) -> str:
    """On which range of step sizes those that descend by plain gradients were searched: "the same range of step sizes", or
    "a range of their own"; "" where all have Adam."""
    plain, plan = plain_descent(inputs, experiment), plan_of(inputs, experiment)
    if not plain or not plan:
        return ""
    sizes = {one: space_of(inputs, experiment, one).get("lower_step_size") for one in has(inputs, experiment)}
    others = {sizes[one] for one in sizes if one not in plain}
    if {sizes[one] for one in plain} <= others:
        return "the same range of step sizes"
    return f"a range of {'its' if len(plain) == 1 else 'their'} own"


def found(inputs: Sources, experiment: str) -> Mapping[str, Any]:
    """Method -> what the search found and all that it tried; {} where no search of all methods by this plan is recorded."""
    record = inputs.searches.get(experiment, {})
    plan = {name: value for name, value in record.items() if name != "methods"}
    whole = bool(record) and set(has(inputs, experiment)) <= set(record["methods"])
    return record["methods"] if whole and plan == plan_of(inputs, experiment) else {}


def unlearnt(result: Mapping[str, Any]) -> int:
    """How many points of a method did not learn; those that diverged are among them."""
    return sum(row[SCORE] <= LEARNT for row in result["tried"])


def edges(inputs: Sources, experiment: str, method: str) -> list[str]:
    """The settings whose chosen value lies at an edge of its range, and at which."""
    said = []
    chosen = found(inputs, experiment)[method]["chosen"]
    for name, (own, (low, high)) in space_of(inputs, experiment, method).items():
        share = math.log(chosen[name] / low) / math.log(high / low)
        said += [f"{own} (lower)"] if share < EDGE else [f"{own} (upper)"] if share > 1 - EDGE else []
    return said


def tuned(inputs: Sources, experiment: str = "tuned") -> Table:
    """Methods after the same search, beside what they give as released."""
    numbers, shown = [], []
    untuned = has(inputs, "quirks") if data(inputs, "quirks") == data(inputs, experiment) else []
    results = found(inputs, experiment)
    for method in has(inputs, experiment):
        row, read = accuracies(inputs, experiment, method)
        apart = against_penalty(inputs, experiment, method)
        before = inputs.accuracy("quirks", method) if method in untuned else None
        head = {"method": label(method)}
        of_search: dict[str, Any] = {}
        if results:
            tried, bad = len(results[method]["tried"]), unlearnt(results[method])
            at = ", ".join(edges(inputs, experiment, method))
            of_search = {"at an edge": at or "-", "did not learn": f"{bad} of {tried}"}
            row |= {"points": tried, "points that did not learn": bad, "at an edge": at}
        numbers.append({**head, "as released mean": before and before.mean, **row, **as_numbers(apart)})
        held = inputs.params["denoising"]["cells"][experiment][method]["settings"]
        chosen = [f"{own} {held[own]:g}" for own, _ in space_of(inputs, experiment, method).values()]
        shown.append(
            {
                **head,
                "chosen": ", ".join(chosen),
                **of_search,
                **({"as released": plus_minus(before, 2) if before else "-"} if untuned else {}),
                **read,
                "against Penalty": interval(apart, 2),
                "verdict": "-" if apart is None else WORDS[apart.sign].removesuffix(" from"),
            }
        )
    notes = [*_of_plan(inputs, experiment, bool(untuned)), *_of_record(results), *_too_thin(inputs, experiment)]
    more = [f"denoising/search/{inputs.profile}-{experiment}.json"] if results else []
    return table(inputs, experiment, "Equal tuning", numbers, shown, notes, *more)


def fallen_below(inputs: Sources, experiment: str) -> dict[str, Difference]:
    """The methods whose tuned cell lies below their cell as released, with how far; {} where no cell as released has these
    data and this network."""
    if data(inputs, "quirks") != data(inputs, experiment):
        return {}
    both = [one for one in has(inputs, experiment) if one in has(inputs, "quirks")]
    found = {one: paired(inputs, (experiment, one), ("quirks", one)) for one in both}
    return {one: apart for one, apart in found.items() if apart is not None and apart.sign == -1}


def _of_plan(inputs: Sources, experiment: str, released: bool) -> list[str]:
    """Notes on what was searched and what was not."""
    plan, own = plan_of(inputs, experiment), own_ranges(inputs, experiment)
    said = f"On {data(inputs, experiment)}. "
    if plan:
        one = "of one space, the same for all" if not own else f"of one space but for its ranges ({'; '.join(own)})"
        said += (
            f"Every method had {plan['draws']} points {one}, on {_trials(inputs, plan)} of other seeds, and took the one"
            " with the best accuracy on the selection split, which is in neither cost."
        )
    said += " As released: the cell of the same name among the quirks." if released else ""
    ties = [f"{listed(names)}, the same as {other}" for other, names in tied(inputs, experiment).items()]
    times = _of_script() if solver_is_tied(inputs, experiment) else ""
    searched = f"Searched: {'; '.join(coordinates(inputs, experiment))}. " if plan else ""
    fixed = f"Not searched: {'; '.join(ties)}{times}. " if ties else ""
    where = descent(inputs, experiment)
    on = f", on {where}" if where else ""
    return [f"{said}{AGAINST_PENALTY}", f"{searched}{fixed}{optimisers(inputs, experiment)}{on}."]


def _of_script() -> str:
    """What the tie of ApproxGrad's two step sizes leaves out."""
    script = profile_params("denoising", "paper")["cells"]["quirks"]["approxgrad"]["settings"]
    times = script["solver_step_size"] / script["lower_step_size"]
    return f" (in ApproxGrad's released script solver_step_size is {times:g} times lower_step_size)"


def _of_record(results: Mapping[str, Any]) -> list[str]:
    if not results:
        return []
    return [
        f"At an edge: the chosen values within {EDGE:.0%} of an end of their range, in the logarithm; beyond it may lie"
        f" better ones. Did not learn: the points that end at {LEARNT:g}% or less of the selection split, where a guess gets"
        f" {CHANCE:g}%, and those that diverged."
    ]


def _too_thin(inputs: Sources, experiment: str) -> list[str]:
    """A note where a method lies below what it gives without the search."""
    fallen = [f"{label(one)} ({interval(apart, 2)} points)" for one, apart in fallen_below(inputs, experiment).items()]
    if not fallen:
        return []
    return [
        f"The search is too small: after it {listed(fallen)} is below the same method as released, so margins over it are"
        " those of what so few points found, and not of the methods."
    ]
