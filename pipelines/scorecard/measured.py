"""Quantities of cells: final distances, accuracies, the harm of attacks, and times (`pipelines.scorecard.quantities`)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipelines import comparison, published
from pipelines.comparison import Estimate
from pipelines.denoising.rows import label as denoising_label
from pipelines.denoising.rows import method_of
from pipelines.distances import LAMBDAS, MAIN_PRESET
from pipelines.few_shot.tables import FIRST_TASKS
from pipelines.few_shot.tables import label as few_shot_label
from pipelines.groups import group_name
from pipelines.poisoning.rows import label as attack_label
from pipelines.published import LABELS
from pipelines.scorecard.quantities import CellName
from pipelines.scorecard.rule import Sample
from pipelines.scorecard.samples import found, of_cell, of_curve, quoted
from pipelines.sources import Sources
from pipelines.synthetic.metrics import EVERY, FALLING

FARTHEST = 5.5 * math.sqrt(40)
"""No point of the box is farther from a solution of the synthetic examples: a diverged trial's distance."""

TASKS = {
    "omniglot": "Omniglot", "mini-imagenet": "mini-ImageNet", "mini-imagenet-lite": "a part of mini-ImageNet",
    "fc100": "FC100", "glyphs": "drawn letters",
    "meta-learners": "further meta-learners", "one-task": "the term of one task", "lower-steps": "T varied",
}  # fmt: skip
"""What a few-shot data set, or an experiment of that family, is called."""
CURVES = {"selection loss": "loss on held-out images"}
"""What a curve is called where its own name says less."""
SECONDS = " s"


def cell_name(group: str, variant: str) -> str:
    """A cell of the denoising family as it is read: "Penalty, same split, final (softmax regression)"."""
    method = method_of(variant)
    rest = variant.removeprefix(method).removeprefix("-")
    wrong = f"{rest}% of labels drawn anew" if group == "stocbio-hypercleaning" else rest.replace("-", " ")
    more = f", T = {rest}" if group == "lower-steps" else f", {wrong}" if rest else ""
    return f"{denoising_label(method)}{more} ({group_name(group)})"


def attacker(variant: str) -> str:
    """A poisoning cell as it is read: "gamma0-10" is Penalty with γ₀ = 10, "penalty-50" Penalty with T = 50."""
    name, _, number = variant.rpartition("-")
    if variant == "nu-without":
        return "Penalty without ν"
    if name in ("gamma0", "lambda0"):
        return f"Penalty with {'γ₀' if name == 'gamma0' else 'λ₀'} = {number}"
    return f"{attack_label(name)}, T = {number}," if number.isdigit() else attack_label(variant)


def tasks_name(group: str) -> str:
    """A few-shot data set, or an experiment, as it is read: "Omniglot, 5-way 1-shot"."""
    match = re.fullmatch(r"(.+)-(\d+)way-(\d+)shot", group)
    return f"{TASKS[match[1]]}, {match[2]}-way {match[3]}-shot" if match else TASKS[group]


def learner(group: str, variant: str) -> str:
    """A few-shot cell as it is read; "lower-steps" is the name of an experiment in other families too."""
    if group != "lower-steps":
        return f"{few_shot_label(variant)} ({tasks_name(group)})"
    method, _, steps = variant.rpartition("-")
    return f"{few_shot_label(method)}, T = {steps} (few-shot learning, T varied)"


READ: Mapping[str, Callable[[str, str], str]] = {
    "denoising": cell_name,
    "few_shot": learner,
    "poisoning": lambda group, variant: f"{attacker(variant)} ({group_name(group)})",
}
"""Family -> what a cell of it is called."""


@dataclass(frozen=True)
class Distance:
    """The final distance on a synthetic example."""

    example: str
    method: str
    steps: int
    preset: str = MAIN_PRESET
    source: str = "synthetic/summary.json"

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.example, self.method, self.preset)

    @property
    def name(self) -> str:
        if self.example != "ablation":
            return f"{LABELS[self.method]} on example {self.example[2:]}, T = {self.steps}"
        lambda_0 = f"{float(LAMBDAS[self.method.removesuffix('-nu')]):g}"
        return f"Penalty with λ₀ = {lambda_0}{' and ν' if self.method.endswith('-nu') else ''}, T = {self.steps}"

    @property
    def cells(self) -> tuple[CellName, ...]:
        return (("synthetic", self.parts),)

    def ours(self, inputs: Sources) -> Sample | None:
        return of_cell(inputs, "synthetic", self.parts, FARTHEST, "last", "error", T=self.steps)

    def theirs(self) -> Sample | None:
        if self.example != "ablation":
            return quoted(f"fig12-{self.example}-T{self.steps}-{self.method}")
        block = "left" if self.method.endswith("-nu") else "right"
        return quoted(f"fig7-{block}-T{self.steps}-lam{LAMBDAS[self.method.removesuffix('-nu')]}")


@dataclass(frozen=True)
class OnTheWay:
    """The mean distance on example 2 at T = 1 of Penalty, at one of the nine places the figure is read at."""

    place: int
    preset: str = MAIN_PRESET
    source: str = "synthetic/summary.json"

    @property
    def name(self) -> str:
        return f"Penalty on example 2, T = 1, after {EVERY * self.place:,} upper iterations"

    @property
    def cells(self) -> tuple[CellName, ...]:
        return (("synthetic", (*FALLING, self.preset)),)

    def ours(self, inputs: Sources) -> Sample | None:
        ((family, parts),) = self.cells
        return of_cell(inputs, family, parts, FARTHEST, "on the way", str(EVERY * self.place), T=1)

    def theirs(self) -> Sample | None:
        return Sample(Estimate(published.curve(2, 1, "penalty").mean[self.place]))


@dataclass(frozen=True)
class Seconds:
    """Seconds of 10,000 upper iterations on a synthetic example: one trial, not compiled, as the paper took them."""

    example: str
    method: str
    steps: int
    source: str = "synthetic/timings.json"
    cells: tuple[CellName, ...] = ()

    @property
    def name(self) -> str:
        method, example = LABELS[self.method], self.example[2:]
        return f"the time of 10,000 upper iterations of {method} on example {example}, T = {self.steps}"

    def ours(self, inputs: Sources) -> Sample | None:
        for row in inputs.timings["rows"]:
            key = (row["example"], row["method"], row["T"], row["preset"], row["variant"], row["compiled"], row["stacked"])
            if key == (self.example, self.method, self.steps, MAIN_PRESET, "", False, 1):
                return Sample(comparison.ours(row["seconds_per_10000"]), unit=SECONDS)
        return None

    def theirs(self) -> Sample | None:
        return quoted(f"time-{self.example}-T{self.steps}-{self.method}", SECONDS)


@dataclass(frozen=True)
class OfCell:
    """A number of one cell's trials.

    Attributes: family: of the cell, whose group (a data set, or an experiment) and variant are its name.
    """

    family: ClassVar[str]
    group: str
    variant: str

    @property
    def parts(self) -> tuple[str, str]:
        return (self.group, self.variant)

    @property
    def cells(self) -> tuple[CellName, ...]:
        return ((self.family, self.parts),)

    @property
    def source(self) -> str:
        return f"{self.family}/summary.json"


@dataclass(frozen=True)
class Accuracy(OfCell):
    """The test accuracy of a denoising cell, last iterate; `identity` of its published number."""

    family = "denoising"
    identity: str | None = None

    @property
    def name(self) -> str:
        return cell_name(self.group, self.variant)

    def ours(self, inputs: Sources) -> Sample | None:
        return of_cell(inputs, self.family, self.parts, 0.0, "last", "test accuracy")

    def theirs(self) -> Sample | None:
        return quoted(self.identity)


@dataclass(frozen=True)
class AtTheEnd(OfCell):
    """The end of another curve of a denoising cell, over its trials."""

    family = "denoising"
    curve: str
    published_split: str = ""

    @property
    def name(self) -> str:
        return f"{CURVES.get(self.curve, self.curve)} of {cell_name(self.group, self.variant)}"

    def ours(self, inputs: Sources) -> Sample | None:
        cell = found(inputs, self.family, self.parts)
        return None if cell is None else of_curve(cell, self.curve)

    def theirs(self) -> Sample | None:
        if not self.published_split:
            return None
        return Sample(Estimate(published.accuracy_curve(self.published_split, method_of(self.variant)).mean[-1]))


@dataclass(frozen=True)
class AtEqualTime:
    """A curve of a cell when the faster of some cells was done: at so many of its own measured seconds.

    Attributes: among: the cells that share the time, this one among them. identity, at: the published number, or the time of
        a published curve (of Figure 4a, in seconds).
    """

    family: str
    group: str
    variant: str
    among: tuple[str, ...]
    curve: str
    identity: str | None = None
    at: float | None = None
    source: str = "denoising/summary.json"

    @property
    def name(self) -> str:
        return f"{CURVES.get(self.curve, self.curve)} of {cell_name(self.group, self.variant)} at equal time"

    @property
    def cells(self) -> tuple[CellName, ...]:
        return ((self.family, (self.group, self.variant)),)

    def ours(self, inputs: Sources) -> Sample | None:
        rows = inputs.timed[self.family].get("rows", []) if self.family in inputs.timed else []
        seconds = {tuple(row["cell"]): row["seconds_per_iteration"]["mean"] for row in rows}
        each = {}
        for variant in self.among:
            cell = found(inputs, self.family, (self.group, variant))
            if cell is None or (self.group, variant) not in seconds or not cell["curves"]["iteration"]:
                return None
            each[variant] = seconds[self.group, variant] * cell["curves"]["iteration"][-1]
        at = min(each.values()) / seconds[self.group, self.variant]
        return of_curve(inputs.cells[self.family][f"{self.group}-{self.variant}"], self.curve, at)

    def theirs(self) -> Sample | None:
        if self.identity is not None or self.at is None:
            return quoted(self.identity)
        line = published.accuracy_curve("test", method_of(self.variant))
        return Sample(Estimate(float(np.interp(self.at, line.x, line.mean))))


@dataclass(frozen=True)
class IterationTime:
    """Seconds of an upper iteration of a cell."""

    family: str
    group: str
    variant: str
    identity: str | None = None

    @property
    def name(self) -> str:
        return f"the time of an upper iteration of {READ[self.family](self.group, self.variant)}"

    @property
    def source(self) -> str:
        return f"{self.family}/costs.json"

    @property
    def cells(self) -> tuple[CellName, ...]:
        return ((self.family, (self.group, self.variant)),)

    def ours(self, inputs: Sources) -> Sample | None:
        for row in inputs.timed.get(self.family, {}).get("rows", []):
            if tuple(row["cell"]) == (self.group, self.variant) and row.get("way", "as trained") == "as trained":
                return Sample(comparison.ours(row["seconds_per_iteration"]), unit=SECONDS)
        return None

    def theirs(self) -> Sample | None:
        return quoted(self.identity, SECONDS)


@dataclass(frozen=True)
class FewShot(OfCell):
    """The accuracy of a few-shot cell on meta-test tasks, selected iterate."""

    family = "few_shot"
    identity: str | None = None

    @property
    def name(self) -> str:
        return learner(self.group, self.variant)

    def ours(self, inputs: Sources) -> Sample | None:
        return of_cell(inputs, self.family, self.parts, 0.0, "selected", "test accuracy")

    def theirs(self) -> Sample | None:
        return quoted(self.identity)


@dataclass(frozen=True)
class FewShotAfter(OfCell):
    """The accuracy of a few-shot cell on the first tasks of meta-test after so many upper iterations."""

    family = "few_shot"
    iteration: float

    @property
    def name(self) -> str:
        return f"{few_shot_label(self.variant)} ({tasks_name(self.group)}, {self.iteration:g} iterations)"

    def ours(self, inputs: Sources) -> Sample | None:
        cell = found(inputs, self.family, self.parts)
        # a run that is shorter has nothing to show there
        if cell is None or not cell["curves"]["iteration"] or cell["curves"]["iteration"][-1] < self.iteration:
            return None
        return of_curve(cell, FIRST_TASKS, self.iteration)

    def theirs(self) -> Sample | None:
        return None


@dataclass(frozen=True)
class Attack(OfCell):
    """What a poisoning cell does with so many poisons, by the judge: test accuracy, or of a targeted attack its success."""

    family = "poisoning"
    points: int
    targeted: bool = False
    identity: str | None = None

    @property
    def name(self) -> str:
        kind = f"{'targeted' if self.targeted else 'untargeted'} attack{', digits' * self.group.startswith('digits')}"
        return f"{attacker(self.variant)} with {self.points} poisons ({kind})"

    def ours(self, inputs: Sources) -> Sample | None:
        # an attack that came to no number did the least harm there is
        measure, worst = ("attack success", 0.0) if self.targeted else ("test accuracy", 100.0)
        return of_cell(inputs, self.family, self.parts, worst, "judge", measure, points=self.points)

    def theirs(self) -> Sample | None:
        return quoted(self.identity)
