"""Quantities of the clean-label attack: shares of targets that one poison breaks, ours case by case, by the judge."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.clean_label.rows import SCALE, label
from pipelines.comparison import Estimate
from pipelines.scorecard.measured import OfCell
from pipelines.scorecard.quantities import Quoted
from pipelines.scorecard.rule import Sample
from pipelines.scorecard.samples import found, quoted
from pipelines.sources import Sources

ON = {
    "dogfish": "dog against fish", "dogfish-imagenette": "dogs and fish of Imagenette",
    "digits-4-9": "fours and nines of digits", "mnist-4-9": "fours and nines of MNIST",
}  # fmt: skip
"""What a data set is called."""


def as_share(sample: Sample | None) -> Sample | None:
    """A published percentage as a share of one."""
    if sample is None or sample.estimate.mean is None:
        return None
    return Sample(Estimate(sample.estimate.mean / 100), printed=sample.printed, unit="%")


@dataclass(frozen=True)
class Broken(OfCell):
    """The share of targets broken within a bound, in pixels of [0, 1]: as in Figure 3 at that bound or a smaller one.

    Attributes: bound: None for the attack without a bound, alone. identity: of the published percentage.
    """

    family = "clean_label"
    bound: float | None
    identity: str | None = None

    @property
    def name(self) -> str:
        within = "without a bound" if self.bound is None else f"within {self.bound:g}"
        return f"the success of {label(self.variant)} {within} ({ON.get(self.group, self.group)})"

    def ours(self, inputs: Sources) -> Sample | None:
        cell = found(inputs, self.family, self.parts)
        if cell is None:
            return None
        cases: dict[str, bool] = {}
        lost: dict[str, bool] = {}
        for trial in cell["trials"]:
            if self._counts(trial["epsilon"]):
                name, finished = str(trial["target"]), trial["status"] == "finished"
                cases[name] = cases.get(name, False) or (finished and bool(trial["judge"]))
                lost[name] = lost.get(name, False) or not finished
        if not cases:
            return None
        share = sum(cases.values()) / len(cases)
        return Sample(Estimate(share, None, len(cases)), cases=cases, diverged=sum(lost.values()))

    def _counts(self, epsilon: float | None) -> bool:
        if self.bound is None or epsilon is None:
            return self.bound is epsilon
        return epsilon <= self.bound or math.isclose(epsilon, self.bound)

    def theirs(self) -> Sample | None:
        return as_share(quoted(self.identity))


@dataclass(frozen=True)
class QuotedShare(Quoted):
    """A published percentage as a share, taken as it stands."""

    def ours(self, inputs: Sources) -> Sample | None:
        share = as_share(quoted(self.identity))
        return None if share is None else Sample(share.estimate, exact=True, printed=share.printed, unit=share.unit)

    def theirs(self) -> Sample | None:
        return as_share(quoted(self.identity))


def published_bound(number: int) -> float:
    """A bound of Figure 3, of pixels in [-1, 1], in ours."""
    return number / SCALE
