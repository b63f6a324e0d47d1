"""Sentences of the page on poisoning, made from the numbers: how attacks are judged, what is cut, and what that changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines import comparison
from pipelines.comparison import Cut
from pipelines.layout import listed, number, plus_minus
from pipelines.poisoning.rows import (
    FAMILY,
    FLIPPING,
    Place,
    attack_of,
    by_seed,
    clean,
    continued,
    cuts,
    has,
    in_full,
    in_the_paper,
    label,
    method_of,
    paired,
    places,
    settings_of,
    strength,
)
from pipelines.sources import Sources


def judged(inputs: Sources, *parts: str) -> str:
    """What the two columns of numbers are, with the epochs of the second; `parts`: a cell that has them."""
    have, full = (one["retrain"]["epochs"] for one in (settings_of(inputs, *parts), in_the_paper()))
    epochs = f"{have:,} of its {full:,} epochs" if have < full else f"{have:,} epochs"
    return (
        "Percent, mean ± s.d. over seeds: of an untargeted attack the test accuracy after it, of a targeted one the share"
        " of eights that are called threes. A fresh classifier is trained on the clean rows and the recorded poisons: by"
        f" scikit-learn's solver to the minimum (judge), and by Adam as in the paper, {epochs}."
    )


def short(inputs: Sources, every: Sequence[Place]) -> str:
    """The cuts of numbers in words, by method where methods are cut unequally; "" where none is cut."""
    found: dict[str, list[Cut]] = {}
    for place in every:
        found.setdefault(label(method_of(inputs, place)), []).extend(cuts(inputs, place))
    words = {method: listed(comparison.said(some)) for method, some in found.items() if some}
    if len(set(words.values())) < 2:
        return next(iter(words.values()), "")
    return "; ".join(f"{method} {said}" for method, said in words.items())


def budget(inputs: Sources, every: Sequence[Place]) -> list[str]:
    """The same as a note, if there is something to note."""
    said = short(inputs, every)
    return [f"Not comparable with the paper's numbers: {said}."] if said else []


def unfinished(inputs: Sources) -> list[str]:
    """What the iterations that are left out still change, against the spread over seeds, and where the methods end."""
    every = continued(inputs)
    if not every:
        return []
    said: dict[bool, list[str]] = {True: [], False: []}
    for one in every:
        change = (
            f"{label(one.method)} on {one.data} ({one.full - one.cut:+.2f} points after {one.iterations:,} of"
            f" {one.iterations_in_full:,}, s.d. {number(one.spread, 2)})"
        )
        said[one.is_unfinished].append(change)
    words = []
    if said[True]:
        words.append(
            "Cut before it has converged, by one seed that goes on: the iterations left out change more than the s.d. over"
            f" seeds of {listed(said[True])}."
        )
    if said[False]:
        words.append(f"They change no more than that of {listed(said[False])}.")
    ends, unequal = [], []
    for data in dict.fromkeys(one.data for one in every):
        said_of = [
            f"{label(place.parts[-1])} at {number(mean, 2)}"
            for place in in_full(inputs, data) for mean in by_seed(inputs, place).values()
        ]  # fmt: skip
        steps = {one: settings_of(inputs, data, one)["iterations"] for one in inputs.params[FAMILY]["methods"]}
        cut = {one: count for one, count in steps.items() if count}  # label flipping has none
        for method in (one for one, count in cut.items() if count >= in_the_paper()["iterations"]):
            whole = plus_minus(strength(inputs, places(inputs, data, method)[-1]), 2)
            said_of.append(f"{label(method)}, in full in the table, at {whole} over all seeds")
        ends.append(f"on {data} {listed(said_of)}")
        if len(set(cut.values())) > 1:
            unequal.append(data)
    words.append(f"In full that seed ends, {'; '.join(ends)}.")
    if unequal:
        words.append(
            f"On {listed(unequal)} the methods are cut unequally: their order in the table is not that of methods run in"
            " full."
        )
    return [" ".join(words)]


def strengths(inputs: Sources) -> list[str]:
    """C24 to C26 in words: whether attacks grow with the number of poisons, and beat label flipping."""
    said = []
    for data in inputs.params[FAMILY]["data"]:
        sign = -1 if attack_of(inputs, data) == "untargeted" else 1
        begin = clean(inputs, data, inputs.params[FAMILY]["methods"][0])
        words = [f"{data}, without poisons {plus_minus(begin, 2)}"]
        for method in inputs.params[FAMILY]["methods"]:
            if method == FLIPPING:
                continue
            every = places(inputs, data, method)
            means = [strength(inputs, place).mean for place in every]
            grows = all(
                a is not None and b is not None and sign * (b - a) > 0 for a, b in zip(means, means[1:], strict=False)
            )
            apart = [paired(inputs, place, Place((data, FLIPPING), place.points)) for place in every]
            stronger = sum(one is not None and one.sign == sign for one in apart)
            grown = "grows with every step" if grows else "does not grow with every step"
            words.append(f"{label(method)} {grown}, beats label flipping at {stronger} of {len(every)} percentages")
        said.append("; ".join(words) + ".")
    return said


def reached(method: str, steps: int, speed: float, limits: Mapping[str, float]) -> str:
    """Lower steps a second at the table's own T as a share of each bound; `limits`: name -> lower steps a second."""
    shares = listed([f"{100 * speed / limit:.0f}% of the bound by {name}" for name, limit in limits.items()])
    return f"{label(method)} at T = {steps} takes {number(speed, 0)} lower steps a second: {shares}."


def by_product(method: str, row: Mapping[str, Any]) -> str:
    """Which product is the fastest, by how much, and which the cell has; "" for a row that compares none. Where the interval
    over repetitions holds zero, none is."""
    speeds = {name: one["lower_steps_per_second"] for name, one in row.get("products", {}).items()}
    if len(speeds) < 2:
        return ""
    best = max(speeds, key=lambda name: speeds[name])
    own = row["product"]
    seconds = {name: comparison.ours(row["products"][name]["seconds_per_iteration"]) for name in (own, best)}
    said = listed([f"{number(speed, 0)} with the {name} product" for name, speed in speeds.items()])
    if best != own and comparison.difference(seconds[own], seconds[best]).sign == 0:
        return f"{label(method)}: {said}; by the time of an iteration none is told apart from what the cells have, {own}."
    more = "" if best == own else f", {100 * (speeds[best] / speeds[own] - 1):.0f}% faster than what the cells have, {own}"
    return f"{label(method)}: {said}; {best} is the fastest{more or ' and what the cells have'}."


def described(inputs: Sources) -> list[str]:
    """Whose step sizes a described ApproxGrad has, of which the text gives none, and what they change beside Penalty's."""
    experiment = "described-targeted"
    if not {"approxgrad", "penalty"} <= set(has(inputs, experiment)):
        return []
    data = next(one for one in inputs.params[FAMILY]["data"] if attack_of(inputs, one) == "targeted")
    mine, released = (settings_of(inputs, one, "approxgrad")["settings"] for one in (experiment, data))
    moves = []
    for method in ("approxgrad", "penalty"):
        points = settings_of(inputs, experiment, method)["points"][-1]
        ends = [strength(inputs, Place((one, method), points)).mean for one in (data, experiment)]
        steps = [settings_of(inputs, one, method)["iterations"] for one in (data, experiment)]
        after = f" (after {steps[0]:,} and {steps[1]:,} upper iterations)" if steps[0] != steps[1] else ""
        moves.append(f"that of {label(method)} from {number(ends[0], 1)} to {number(ends[1], 1)}{after}")
    return [
        "The text gives no step sizes of ApproxGrad. Its described targeted attack takes Penalty's lower step size,"
        f" {mine['lower_step_size']:g} where the code has {released['lower_step_size']:g}, with the code's upper"
        f" {mine['upper_step_size']:g} and that of its linear solver, {mine['solver_step_size']:g}: a mixture that nobody"
        f" published. From released to described the attack's success goes, {listed(moves)}."
    ]
