"""The tables of poisoning: Table 5 by attack, Table 6 and the effect of T, the text's settings, and the speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from pipelines import comparison, published
from pipelines.layout import Table, interval, listed, number, plus_minus, printed
from pipelines.poisoning.rows import (
    COSTS,
    FAMILY,
    FLIPPING,
    MEASURED,
    SUMMARY,
    Place,
    as_numbers,
    attack_of,
    clean,
    continued,
    data_of,
    has,
    in_the_paper,
    label,
    paired,
    percent,
    places,
    published_at,
    published_of,
    settings_of,
    strength,
    verdict,
)
from pipelines.poisoning.told import budget, by_product, judged, reached, strengths, unfinished
from pipelines.poisoning.told import described as how_described
from pipelines.published import LABELS
from pipelines.records import significant
from pipelines.sources import Sources

PAIRED = "with their 95% intervals, paired by seed"


def _columns(inputs: Sources, place: Place) -> tuple[dict[str, Any], dict[str, Any]]:
    """What both classifiers say, as numbers and as read."""
    row: dict[str, Any] = {}
    read: dict[str, Any] = {}
    for classifier in ("judge", "Adam"):
        one = strength(inputs, place, classifier)
        row |= {f"{classifier} mean": one.mean, f"{classifier} sd": one.sd, f"{classifier} n": one.n}
        read[f"ours, {classifier}"] = plus_minus(one, 2)
    return row, read


def table(
    inputs: Sources, name: str, title: str, numbers: list[Any], shown: list[Any], notes: list[str], *more: str
) -> Table:
    """The table, with what it was drawn from; `more`: further files of results."""
    drawn = inputs.drawn_from(*SUMMARY, *more, by=__name__)
    return Table(name, title, pd.DataFrame(numbers), pd.DataFrame(shown), notes, drawn)


PUBLISHED_ONLY = "published only"


def attacks(inputs: Sources) -> Table:
    """Table 5: every method at every percentage, and the numbers of those that are published only."""
    numbers, shown = [], []
    every = []
    methods = inputs.params[FAMILY]["methods"]
    for data in inputs.params[FAMILY]["data"]:
        for points in settings_of(inputs, data, methods[0])["points"]:
            for method in methods:
                place = Place((data, method), points)
                value = published_of(inputs, place)
                flipped = None if method == FLIPPING else paired(inputs, place, Place((data, FLIPPING), points))
                row, read = _columns(inputs, place)
                head = {"data": data, "%": percent(inputs, data, points), "method": label(method)}
                words = {"verdict": verdict(inputs, place, value), "against Penalty": _order(inputs, place, value)}
                have, full = settings_of(inputs, data, method)["iterations"], in_the_paper()["iterations"]
                numbers.append(
                    {**head, "points": points, "iterations": have, "paper mean": value and value.mean,
                     "paper sd": value and value.sd, **row, **as_numbers(flipped, "against label flipping"), **words}
                )  # fmt: skip
                shown.append(
                    {**head, "iterations": f"{have:,} of {full:,}" if have else "-", "paper": printed(value), **read,
                     "against label flipping": interval(flipped, 2), **words}
                )  # fmt: skip
                every.append(place)
            for method in (one for one in LABELS if one not in methods):
                value = published_at(inputs, data, points, method)
                if value is None:
                    continue
                head = {"data": data, "%": percent(inputs, data, points), "method": label(method)}
                numbers.append({**head, "points": points, "paper mean": value.mean, "paper sd": value.sd,
                                "verdict": PUBLISHED_ONLY})  # fmt: skip
                shown.append({**dict.fromkeys(shown[-1], "-"), **head, "paper": printed(value),
                              "verdict": PUBLISHED_ONLY})  # fmt: skip
    notes = [judged(inputs, *every[0].parts), f"Against label flipping: points, {PAIRED}.", *strengths(inputs)]
    if any(row["verdict"] == PUBLISHED_ONLY for row in shown):
        notes.append("Published only: a method that this profile does not run.")
    notes += [*budget(inputs, every), *unfinished(inputs)]
    return table(inputs, "poisoning", "Data poisoning", numbers, shown, notes)


def _order(inputs: Sources, place: Place, value: published.Value | None) -> str:
    """Whether a method and Penalty are ordered as in the paper."""
    if place.parts[-1] == "penalty" or value is None:
        return "-"
    base = Place((place.parts[0], "penalty"), place.points)
    theirs = published_of(inputs, base)
    if theirs is None:
        return "-"
    mine = strength(inputs, place), strength(inputs, base)
    return comparison.order(mine, (comparison.theirs(value), comparison.theirs(theirs)))


CHOSEN = ("lambda0-100", "nu-with", "gamma0-10")
"""Table 6: what the paper chose; its number is that of Table 5."""
LETTERS = {"lambda0": "λ₀", "gamma0": "γ₀"}


def base_of(inputs: Sources, method: str = "penalty") -> Place:
    """The method at the most poisons of the first data set, which Table 6 and Figure 5(c) vary."""
    return places(inputs, inputs.params[FAMILY]["data"][0], method)[-1]


def ablation(inputs: Sources) -> Table:
    """Table 6: one setting of Penalty changed at a time."""
    base = base_of(inputs)
    numbers, shown = [], []
    every = []
    chosen = settings_of(inputs, *base.parts)["settings"]
    for variant in ("", *has(inputs, "ablation")):
        place = Place(("ablation", variant), base.points) if variant else base
        every.append(place)
        value = published.find(f"abl-{variant or CHOSEN[0]}")
        apart = paired(inputs, place, base) if variant else None
        row, read = _columns(inputs, place)
        name, _, to = variant.partition("-")
        head = {"changed": f"{LETTERS[name]} = {to}" if name in LETTERS else f"{to} ν" if name else "nothing"}
        numbers.append({**head, "paper mean": value and value.mean, "paper sd": value and value.sd, **row,
                        **as_numbers(apart, "effect"), "verdict": verdict(inputs, place, value)})  # fmt: skip
        shown.append({**head, "paper": printed(value), **read, "effect": interval(apart, 2),
                      "verdict": verdict(inputs, place, value)})  # fmt: skip
    notes = [
        f"On {base.parts[0]} with {base.points} poisons; where nothing is changed, λ₀ = {chosen['lambda_0']:g},"
        f" γ₀ = {chosen['gamma_0']:g} and ν is used. {judged(inputs, *base.parts)}",
        f"Effect: points against nothing changed, {PAIRED}.",
        *budget(inputs, every),
    ]
    return table(inputs, "poisoning-ablation", "Settings of Penalty", numbers, shown, notes)


def by_steps(inputs: Sources, method: str) -> dict[int, Place]:
    """T -> the number of a method at it, the table's own among them, in order."""
    base = base_of(inputs, method)
    found = {int(settings_of(inputs, *base.parts)["settings"]["lower_steps"]): base}
    for variant in has(inputs, "lower-steps"):
        name, _, steps = variant.rpartition("-")
        if name == method:
            found[int(steps)] = Place(("lower-steps", variant), base.points)
    return dict(sorted(found.items()))


def methods_by_steps(inputs: Sources) -> list[str]:
    """The methods of which T is varied."""
    return list(dict.fromkeys(one.rpartition("-")[0] for one in has(inputs, "lower-steps")))


def timed(inputs: Sources) -> dict[tuple[str, ...], dict[str, Any]]:
    """Cell -> its row of timings.json."""
    return {tuple(row["cell"]): row for row in inputs.timed[FAMILY].get("rows", [])}


def lower_steps(inputs: Sources) -> Table:
    """Figure 5(c) as a table, and the speed of the lower steps against its bounds."""
    numbers, shown = [], []
    every, shares, products = [], [], []
    rows = timed(inputs)
    base = base_of(inputs)
    own = settings_of(inputs, *base.parts)["settings"]["lower_steps"]
    for method in methods_by_steps(inputs):
        for steps, place in by_steps(inputs, method).items():
            value = published.find(f"fig5c-acc-T{steps}-{method}")
            seconds = published.find(f"fig5c-time-T{steps}-{method}")
            row, read = _columns(inputs, place)
            time = rows.get(place.parts, {})
            mine = comparison.ours(time["seconds_per_iteration"]) if time else None
            speed, limits = time.get("lower_steps_per_second"), time.get("bounds", {})
            head: dict[str, Any] = {"method": label(method), "T": steps}
            bound = {f"bound by {name}": round(steps / limits[name], 1) for name in limits}
            judgement = verdict(inputs, place, value)
            every.append(place)
            if steps == own and speed is not None:
                shares.append(reached(method, steps, speed, {name: steps / limits[name] for name in limits}))
                products.append(by_product(method, time))
            numbers.append({**head, "paper mean": value and value.mean, **row, "paper seconds": seconds and seconds.mean,
                            "seconds": mine and mine.mean, "lower steps a second": speed, **bound,
                            "verdict": judgement})  # fmt: skip
            shown.append(
                {**head, "paper": printed(value), **read, "paper, s": printed(seconds),
                 "ours, s": number(mine.mean, 4) if mine else "-",
                 "lower steps a second": number(speed, 0), **{name: number(one, 0) for name, one in bound.items()},
                 "verdict": judgement}
            )  # fmt: skip
    notes = [
        f"On {base.parts[0]} with {base.points} poisons; a method has as many upper iterations at every T."
        f" {judged(inputs, *base.parts)}",
        *(f"{one} More lower steps may also make up for what is cut." for one in budget(inputs, every)),
        "Seconds of an upper iteration, one trial alone. Bounds on lower steps a second, all work of an upper iteration"
        " shared out over its lower steps: by reading the clean rows as often as its derivatives must, twice each, and by"
        " the matrix products alone.",
        *([" ".join(shares)] if shares else []),
        *([f"Lower steps a second by product. {' '.join(filter(None, products))}"] if any(products) else []),
    ]
    return table(inputs, "poisoning-lower-steps", "Effect of T on poisoning", numbers, shown, notes, COSTS)


def described(inputs: Sources) -> Table:
    """The text's settings beside the released code's, at the most poisons."""
    numbers, shown = [], []
    every = []
    for data in inputs.params[FAMILY]["data"]:
        attack = attack_of(inputs, data)
        experiment = f"described-{attack}"
        for method in has(inputs, experiment):
            points = settings_of(inputs, experiment, method)["points"][-1]
            for name, parts in (("released", (data, method)), ("described", (experiment, method))):
                place = Place(parts, points)
                every.append(place)
                row, read = _columns(inputs, place)
                head = {"attack": attack, "method": label(method), "settings": name,
                        "weight decay": settings_of(inputs, *parts)["weight_decay"],
                        "iterations": settings_of(inputs, *parts)["iterations"],
                        "data": data_of(inputs, *parts)}  # fmt: skip
                start = clean(inputs, *parts)
                numbers.append({**head, "clean mean": start.mean, "clean sd": start.sd, **row})
                shown.append({**head, "without poisons": plus_minus(start, 2), **read})
    measured = listed(sorted(set(MEASURED.values())))
    notes = [
        f"With the most poisons. {judged(inputs, *every[0].parts)} Measured: {measured}.",
        *budget(inputs, every),
        *how_described(inputs),
    ]
    return table(inputs, "poisoning-described", "Poisoning as described and as released", numbers, shown, notes)


def converged(inputs: Sources) -> Table:
    """One seed through the paper's upper iterations beside the same seed after as many as its cell has."""
    numbers, shown = [], []
    every = continued(inputs)
    for one in every:
        value = published_at(inputs, one.data, one.points, one.method)
        head = {"data": one.data, "method": label(one.method), "seed": one.seed}
        further = one.full - one.cut
        numbers.append({**head, "iterations": one.iterations, "mean": one.cut, "iterations in full": one.iterations_in_full,
                        "mean in full": one.full, "further": significant(further), "sd over seeds": one.spread,
                        "paper mean": value and value.mean, "paper sd": value and value.sd})  # fmt: skip
        shown.append({**head, "iterations": f"{one.iterations:,} of {one.iterations_in_full:,}", "cut": number(one.cut, 2),
                      "in full": number(one.full, 2), "further": number(further, 2),
                      "s.d. over seeds": number(one.spread, 2), "paper": printed(value)})  # fmt: skip
    notes = [
        f"With the most poisons, by the judge. {judged(inputs, every[0].data, every[0].method)}",
        "Further: what the iterations that are left out would still change, in points; beside it the spread over seeds of"
        " the cell as it is.",
        *unfinished(inputs),
    ]
    return table(inputs, "poisoning-converged", "Whether the attacks have converged", numbers, shown, notes)


DRAWN: dict[str, Callable[[Sources], Table]] = {
    "poisoning": attacks,
    "poisoning-ablation": ablation,
    "poisoning-lower-steps": lower_steps,
    "poisoning-described": described,
    "poisoning-converged": converged,
}
NEEDED = {
    "poisoning-ablation": "ablation",
    "poisoning-lower-steps": "lower-steps",
    "poisoning-described": "described-untargeted",
    "poisoning-converged": "converged",
}
"""Table -> the experiment without which a profile does not have it."""


def drawn(inputs: Sources) -> list[str]:
    """The names of the tables that a profile has."""
    if not inputs.params[FAMILY]["methods"]:
        return []
    return [name for name in DRAWN if name not in NEEDED or has(inputs, NEEDED[name])]
