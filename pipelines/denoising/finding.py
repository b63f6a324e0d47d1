"""Whether importances find wrong labels: from nothing, against what pre-training says of them, and for a new network."""

from __future__ import annotations

from typing import Any

from pipelines import comparison
from pipelines.comparison import Estimate
from pipelines.denoising.believed import LONGER
from pipelines.denoising.rows import WORDS, beside_equal_weights, has, label, method_of, paired
from pipelines.layout import interval, listed, number
from pipelines.sources import Sources

STARTS = {"penalty": "as released", "penalty-importances-probability": "by the text"}
"""Variants of Penalty among the quirks whose importances start by what the pre-trained network says of a label."""
EQUAL = ("penalty-importances-equal", "approxgrad-importances-equal")
"""Variants whose importances start equal, so that pre-training says nothing of labels."""
AREA = "area under ROC"


def weights(inputs: Sources) -> str:
    """Whether importances find wrong labels, and what a new network makes of them."""
    places = [*inputs.params["denoising"]["data"], *(name for name in LONGER if "penalty" in has(inputs, name))]
    areas = {name: area for name in places if (area := _area(inputs, name, "penalty")) is not None}
    if not areas:
        return ""
    low, high = min(areas.values()), max(areas.values())
    text = (
        "**The importances find the wrong labels.** The area under Penalty's ROC curve is"
        f" {number(low, 3)}{f' to {number(high, 3)}' if high > low else ''} (one half is guessing, 1 is perfect)."
        f"{_by_start(inputs)}"
    )
    apart = None
    if "penalty-retrained" in has(inputs, "controls"):
        apart = paired(inputs, ("controls", "penalty-retrained"), ("quirks", "penalty"))
    if apart is not None:
        text += (
            f" A new network that is trained with them is {WORDS[apart.sign]} the iterate that learned them"
            f" ({interval(apart, 2)} points)"
        )
        even = beside_equal_weights(inputs, "penalty-retrained")
        text += (
            "; none was trained with equal weights, so what the importances give it is not shown."
            if even is None
            else f", and {WORDS[even.sign]} one that is trained as long with equal weights ({interval(even, 2)})."
        )
    return text


def _area(inputs: Sources, experiment: str, variant: str) -> float | None:
    """The area under the ROC curve at the last iterate; None where the cell has none."""
    found: dict[str, Any] = inputs.cell("denoising", experiment, variant)["summary"].get("importances") or {}
    area: float | None = found.get(AREA, {}).get("mean")
    return area


def _course(inputs: Sources, variant: str) -> tuple[str, int] | None:
    """A quirk's area before the first upper iteration, at its lowest if that is on the way, and at the end, in words; and
    the sign of its change. None where fewer than two trials or readings are known."""
    learned = inputs.cell("denoising", "quirks", variant).get("learned", {"iteration": []})
    trials, steps = inputs.accuracy("quirks", variant).n, learned["iteration"]
    if len(steps) < 2 or not trials or trials < 2:
        return None
    area = learned[AREA]
    start, end = (Estimate(area["mean"][place], area["sd"][place], trials) for place in (0, -1))
    least = min(range(len(steps)), key=lambda place: area["mean"][place])
    way = f", {number(area['mean'][least], 3)} after {steps[least]}" if 0 < least < len(steps) - 1 else ""
    said = f"{number(start.mean, 3)} before the first upper iteration{way} and {number(end.mean, 3)} after {steps[-1]}"
    return said, comparison.difference(end, start).sign


def _by_start(inputs: Sources) -> str:
    """What bilevel training finds by itself, and whether it is more than what the pre-trained network says of the labels."""
    known = has(inputs, "quirks")
    equal = {one: course for one in EQUAL if one in known and (course := _course(inputs, one))}
    given = {one: course for one in STARTS if one in known and (course := _course(inputs, one))}
    text = ""
    if equal:
        said = [f"{label(method_of(one))} {course}" for one, (course, _) in equal.items()]
        text += f" Where all start equal, it goes so: {'; '.join(said)}."
    if given:
        said = [f"{STARTS[one]} {course}{_precision(inputs, one)}" for one, (course, _) in given.items()]
        text += (
            " Where they start from what a network pre-trained on the clean split says of the labels, Penalty's is"
            f" {'; '.join(said)}{_longer(inputs)}."
        )
    plain = [
        f"{label(method_of(one))}'s is {number(area, 3)}" for one in has(inputs, "franceschi")
        if one == "rmd" and (area := _area(inputs, "franceschi", one)) is not None
    ]  # fmt: skip
    text += f" In softmax regression with nothing pre-trained {listed(plain)}." if plain else ""
    return text + _of_starts({sign for _, sign in equal.values()}, {sign for _, sign in given.values()})


def _longer(inputs: Sources) -> str:
    """Where the longer run of the recipe as released ends; "" where there is none, or of another recipe."""
    name, cells = "longer", inputs.params["denoising"]["cells"]
    area = _area(inputs, name, "penalty") if "penalty" in has(inputs, name) else None
    budget = ("epochs", "evaluations", "history")
    one, other = (
        {key: held for key, held in cells.get(place, {}).get("penalty", {}).items() if key not in budget}
        for place in (name, "quirks")
    )
    if area is None or one != other:
        return ""
    steps = inputs.cell("denoising", name, "penalty")["curves"]["iteration"][-1]
    return f"; as released, and trained for longer, {number(area, 3)} after {steps}"


def _precision(inputs: Sources, variant: str) -> str:
    found = [number(one, 3) for one in inputs.cell("denoising", "quirks", variant)["learned"]["precision"]["mean"]]
    return f" (precision {found[0]} and {found[-1]})"


def _of_starts(equal: set[int], given: set[int]) -> str:
    """What follows from the signs of the changes: of importances that start equal, and of those that start from labels."""
    if not equal and not given:
        return ""
    alone = equal == {1}
    text = " So bilevel training does find them from nothing" if alone else " So it is not shown to find them from nothing"
    if not equal:
        text = " So how much bilevel training finds from nothing is not known here"
    link = ", but" if alone else ", and"
    if given == {1}:
        return f"{text}, and adds to what the pre-trained network gave."
    if given == {-1}:
        return f"{text}{link} at this budget it ends below what the pre-trained network gave."
    if given:
        return f"{text}{link} at this budget it is not shown to add to what the pre-trained network gave."
    return f"{text}."
