"""What tables and figures of the clean-label attack share: which cells there are, and what was measured of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipelines import comparison, published, settings
from pipelines.clean_label import key_of
from pipelines.comparison import Cut, Difference, Estimate
from pipelines.published import LABELS, Value
from pipelines.sources import Sources
from pipelines.statistics import over_trials

FAMILY = "clean_label"
SUMMARY = ("clean_label/summary.json", "clean_label/params.yaml")
CLEAN, COLLISION = "clean", "feature-collision"
NAMES = {
    "clean": "no attack",
    "feature-collision": "Feature collision",
    "influence": "Influence functions",
    "unconstrained": "Penalty, unconstrained",
}
"""Methods that other families do not have."""
IN_FIGURE_3 = {"penalty": "penalty", "feature-collision": "shafahi"}
WITHOUT_BOUND = {
    "unconstrained": "cleanlabel-penalty-100",
    "influence": "cleanlabel-koh-57",
    "feature-collision": "cleanlabel-shafahi-100",
}
"""Method -> the published success of one poison without a bound."""
TARGETS = 590
"""Test images that the paper's victim gets right, each a target."""
SCALE = 2.0
"""The paper's pixels lie in [-1, 1]: its bounds are twice ours."""


class Share(NamedTuple):
    """k of n targets, in percent, with the ends of the 95% interval; None of no target."""

    k: int
    n: int
    percent: float | None
    low: float | None
    high: float | None

    @property
    def estimate(self) -> Estimate:
        """As a mean over targets, each 0 or 100."""
        if self.percent is None:
            return Estimate(None, None, 0)
        p = self.percent / 100
        spread = 100 * (p * (1 - p) * self.n / (self.n - 1)) ** 0.5 if self.n > 1 else None
        return Estimate(self.percent, spread, self.n)


def percent(one: Share) -> str:
    """A share as it is read."""
    return "-" if one.percent is None else f"{one.k} of {one.n}: {one.percent:.1f} [{one.low:.1f}, {one.high:.1f}]"


def label(method: str) -> str:
    """A method's name as it is read."""
    return NAMES.get(method) or LABELS[method]


def attacks(inputs: Sources) -> list[str]:
    """The methods that attack."""
    return [one for one in inputs.params[FAMILY]["methods"] if one != CLEAN]


def settings_of(inputs: Sources, data: str, method: str) -> Mapping[str, Any]:
    """What params.yaml says of a cell."""
    found: Mapping[str, Any] = inputs.params[FAMILY]["cells"][data][method]
    return found


def summary(inputs: Sources, data: str, method: str) -> Mapping[str, Any]:
    """What was measured of a cell."""
    found: Mapping[str, Any] = inputs.cell(FAMILY, data, method)["summary"]
    return found


def bounds(inputs: Sources, data: str, method: str) -> list[float | None]:
    """A cell's bounds."""
    found: list[float | None] = settings_of(inputs, data, method)["epsilons"]
    return found


def share(inputs: Sources, data: str, method: str, epsilon: float | None, classifier: str = "judge") -> Share:
    """Targets that were broken at a bound."""
    return Share(**summary(inputs, data, method)[key_of(epsilon)][classifier])


def mean_of(inputs: Sources, data: str, method: str, epsilon: float | None, measure: str) -> float | None:
    """The mean of a distance over the targets, None where it was not taken."""
    found: float | None = summary(inputs, data, method)[key_of(epsilon)][measure]["mean"]
    return found


def broken(inputs: Sources, data: str, method: str, classifier: str = "judge") -> list[tuple[float | None, float]]:
    """(smallest bound, distortion at it) of each target that was broken at any."""
    return [(one, two) for one, two in summary(inputs, data, method)["smallest"][classifier]]


def targets(inputs: Sources, data: str, method: str) -> int:
    """How many targets were attacked."""
    return max(share(inputs, data, method, one).n for one in bounds(inputs, data, method))


def as_published(inputs: Sources, data: str, method: str) -> list[tuple[float, float]]:
    """The points of Figure 3: at each bound, of the targets broken within it, the mean of their smallest bounds, and the
    percentage that they are. No point where none is."""
    found = [one for one, _ in broken(inputs, data, method) if one is not None]
    points = []
    for epsilon in bounds(inputs, data, method):
        within = [one for one in found if epsilon is not None and one <= epsilon]
        if within:
            points.append((sum(within) / len(within), 100 * len(within) / targets(inputs, data, method)))
    return points


def published_points(method: str) -> list[tuple[float, float]]:
    """The paper's points of Figure 3, in its pixels."""
    values = [published.find(f"fig3-eps{one}-{IN_FIGURE_3[method]}") for one in range(1, 17)]
    return [(float(one.setting["average_distortion"]), one.mean) for one in values if one is not None]


def paired(inputs: Sources, data: str, method: str, base: str, epsilon: float | None) -> Difference | None:
    """Success less that of another method at the same bound, in points, target by target; None where there is none."""
    every = [summary(inputs, data, one).get(key_of(epsilon)) for one in (method, base)]
    if method == base or None in every:
        return None
    mine, other = (one["by target"] for one in every)
    apart = over_trials([100.0 * (mine[target] - other[target]) for target in mine if target in other])
    return None if apart["half_width"] is None else Difference(apart["mean"], apart["half_width"], "paired")


def published_of(inputs: Sources, data: str, method: str, epsilon: float | None) -> Value | None:
    """The paper's number: without a bound, or on its own data at the same bound."""
    if epsilon is None:
        return published.find(WITHOUT_BOUND.get(method, "-"))
    if source_of(inputs, data) != "dogfish" or method not in IN_FIGURE_3:
        return None
    return published.find(f"fig3-eps{SCALE * epsilon:g}-{IN_FIGURE_3[method]}")


def source_of(inputs: Sources, data: str) -> str:
    """The source of a prepared data set."""
    return str(inputs.params[FAMILY]["prepared"][data]["source"])


def cuts(inputs: Sources, data: str, method: str) -> list[Cut]:
    """How a number falls short of the paper's; empty where it does not."""
    source, mine = source_of(inputs, data), settings_of(inputs, data, method)
    paper = settings.profile_params(FAMILY, "paper")["cells"]["dogfish"].get(method, {})
    found = [] if source == "dogfish" else [Cut(f"the data are {source}, which the paper does not use")]
    if mine.get("targets"):
        found.append(Cut("targets", mine["targets"], TARGETS))
    if mine["iterations"] < paper.get("iterations", 0):
        found.append(Cut("iterations", mine["iterations"], paper["iterations"]))
    return found


def verdict(inputs: Sources, data: str, method: str, epsilon: float | None) -> str:
    """That of `comparison.verdict`, or that there is nothing to compare with."""
    value = published_of(inputs, data, method, epsilon)
    if value is None:
        return comparison.NOT_PUBLISHED
    mine = share(inputs, data, method, epsilon).estimate
    return comparison.verdict(mine, comparison.theirs(value), cuts(inputs, data, method))
