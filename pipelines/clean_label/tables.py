"""The tables of the clean-label attack: success by bound, and the smallest bounds that broke a target (Figure 3)."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from pipelines.clean_label.rows import (
    COLLISION,
    FAMILY,
    IN_FIGURE_3,
    SCALE,
    SUMMARY,
    attacks,
    bounds,
    broken,
    label,
    mean_of,
    paired,
    percent,
    published_of,
    published_points,
    share,
    targets,
    verdict,
)
from pipelines.clean_label.told import against_influence, budget, chosen, own_classifier, stand_in, victim
from pipelines.layout import Table, interval, number, printed
from pipelines.records import significant
from pipelines.sources import Sources
from pipelines.statistics import over_trials

JUDGED = (
    "A target is broken where a fresh last layer, trained on the clean rows and the final image, calls it by the class of"
    " the base: by scikit-learn's solver at the minimum (judge), and by RMSProp as in the paper. Percent of the targets with"
    " the 95% interval of Wilson."
)
DISTANCES = (
    "Distances are Euclidean, of pixels in [0, 1]. Violation: by how much the attack's last iterate exceeds the bound;"
    " projection: how far it is moved into the ball, before it is rounded to bytes inside the ball and judged; distortion:"
    " of the image that is judged. Means over the targets."
)
MEANS = ("violation", "projection", "distortion")
PAIRED = "points, with their 95% interval, target by target"


def success(inputs: Sources) -> Table:
    """Every attack at every bound."""
    numbers, shown = [], []
    for data in inputs.params[FAMILY]["data"]:
        for method in attacks(inputs):
            for epsilon in bounds(inputs, data, method):
                value = published_of(inputs, data, method, epsilon)
                judge, other = (share(inputs, data, method, epsilon, one) for one in ("judge", "RMSProp"))
                apart = paired(inputs, data, method, COLLISION, epsilon) if COLLISION in attacks(inputs) else None
                means = {one: mean_of(inputs, data, method, epsilon, one) for one in MEANS}
                head = {"data": data, "method": label(method)}
                words = {"verdict": verdict(inputs, data, method, epsilon)}
                numbers.append({
                    **head, "bound": epsilon, "paper": value and value.mean,
                    **{f"judge {name}": part for name, part in judge._asdict().items()},
                    **{f"RMSProp {name}": part for name, part in other._asdict().items()},
                    "against feature collision": apart and significant(apart.value),
                    "against feature collision half width": apart and significant(apart.half_width),
                    **means, **words,
                })  # fmt: skip
                shown.append({
                    **head, "bound": "none" if epsilon is None else f"{epsilon:g}", "paper": printed(value),
                    "ours, judge": percent(judge), "ours, RMSProp": percent(other),
                    "against feature collision": interval(apart, 1),
                    **{name: number(one, 3) for name, one in means.items()}, **words,
                })  # fmt: skip
    notes = [JUDGED, DISTANCES, f"Against feature collision: {PAIRED}, by the judge."]
    for data in inputs.params[FAMILY]["data"]:
        notes += [victim(inputs, data), *stand_in(inputs, data)]
    notes += budget(inputs)
    for data in inputs.params[FAMILY]["data"]:
        notes += [*against_influence(inputs, data), *own_classifier(inputs, data), *chosen(inputs, data)]
    drawn_from = inputs.drawn_from(*SUMMARY, by=__name__)
    return Table("clean-label", "The clean-label attack", pd.DataFrame(numbers), pd.DataFrame(shown), notes, drawn_from)


def smallest(inputs: Sources) -> Table:
    """Figure 3 in one line for each attack: the targets that any bound broke, and the mean of their smallest bounds."""
    numbers, shown = [], []
    for data in inputs.params[FAMILY]["data"]:
        for method in attacks(inputs):
            some = [one for one in broken(inputs, data, method) if one[0] is not None]
            count = targets(inputs, data, method)
            at_bounds = [one for one in bounds(inputs, data, method) if one is not None]
            if not at_bounds:
                continue
            mean = over_trials([one for one, _ in some])["mean"]
            distortion = over_trials([one for _, one in some])["mean"]
            theirs = published_points(method)[-1][0] if method in IN_FIGURE_3 else None
            head = {"data": data, "method": label(method)}
            values = {"largest bound": max(at_bounds), "broken": len(some), "targets": count, "mean smallest bound": mean,
                      "mean distortion": distortion, "paper's mean": theirs}  # fmt: skip
            numbers.append({**head, **values})
            shown.append({
                **head, "largest bound": f"{max(at_bounds):g}", "broken": f"{len(some)} of {count}",
                "mean smallest bound, broken alone": f"of {len(some)}: {number(mean, 3)}",
                "mean distortion": f"of {len(some)}: {number(distortion, 3)}",
                "paper, all targets of dog against fish": number(theirs, 2),
            })  # fmt: skip
    notes = [
        "Means over the targets that were broken alone, by the judge: an attack that breaks more of them, the harder ones"
        " too, may have the larger mean. The paper's means are of all targets, with bounds 1 to 16 of"
        f" pixels in [-1, 1]: a bound there is {SCALE:g} times ours, and of another number of pixels.",
        *(order(inputs, data) for data in inputs.params[FAMILY]["data"] if {"penalty", COLLISION} <= set(attacks(inputs))),
    ]
    return Table("clean-label-smallest", "The smallest bounds", pd.DataFrame(numbers), pd.DataFrame(shown), notes,
                 inputs.drawn_from(*SUMMARY, by=__name__))  # fmt: skip


def order(inputs: Sources, data: str) -> str:
    """C32 in words: at how many bounds Penalty breaks at least as many targets within them as feature collision."""
    of_both = [bounds(inputs, data, method) for method in ("penalty", COLLISION)]
    at = [one for one in of_both[0] if one is not None and one in of_both[1]]
    counts = {}
    for method in ("penalty", COLLISION):
        found = [one for one, _ in broken(inputs, data, method) if one is not None]
        counts[method] = [sum(one <= bound for one in found) for bound in at]
    pairs = list(zip(counts["penalty"], counts[COLLISION], strict=True))
    return (
        f"{data}: within {sum(a >= b for a, b in pairs)} of {len(pairs)} bounds Penalty breaks at least as many targets as"
        f" feature collision, within {sum(a > b for a, b in pairs)} of these strictly more (the paper: within each at least"
        " as many)."
    )


DRAWN: dict[str, Callable[[Sources], Table]] = {"clean-label": success, "clean-label-smallest": smallest}


def drawn(inputs: Sources) -> list[str]:
    """The names of the tables that a profile has."""
    return list(DRAWN) if attacks(inputs) else []
