"""What claims speak of: each quantity knows its name, its cells, our sample of it and the published one.

A sample of ours is made of a cell's trials as summary.json has them; None where the profile has no such cell. A diverged
trial stands in it with the worst value of its kind.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipelines import comparison, published
from pipelines.comparison import Estimate
from pipelines.denoising.rows import label as denoising_label
from pipelines.denoising.rows import method_of
from pipelines.distances import LAMBDAS, MAIN_PRESET
from pipelines.few_shot.tables import label as few_shot_label
from pipelines.layout import printed
from pipelines.published import LABELS
from pipelines.scorecard.rule import Range, Sample, exactly
from pipelines.sources import Sources
from pipelines.statistics import over_trials

CellName = tuple[str, tuple[str, ...]]
"""(family, parts)."""

FARTHEST = 5.5 * math.sqrt(40)
"""No point of the box is farther from a solution of the synthetic examples: a diverged trial's distance."""


class Quantity(Protocol):
    """Something that has a number, with us and perhaps in print."""

    @property
    def name(self) -> str: ...
    @property
    def cells(self) -> tuple[CellName, ...]:
        """The cells it is measured of; () for what no cell trains."""
    @property
    def source(self) -> str:
        """The file of results it is read from, or of published numbers."""
    def ours(self, inputs: Sources) -> Sample | None: ...
    def theirs(self) -> Sample | None: ...


GROUPS = {
    "mnist": "MNIST", "cifar10": "CIFAR-10", "svhn": "SVHN", "digits": "digits", "cifar10-part": "a part of CIFAR-10",
    "longer": "the longer run, 25% wrong", "longer-50": "the longer run, 50% wrong",
    "tuned": "equal tuning, softmax regression", "tuned-quarter": "equal tuning, convolutional network",
    "franceschi": "softmax regression", "quirks": "quirks", "wrn": "WRN-28-10", "lower-steps": "MNIST, T varied",
    "long-tail": "long tail", "reweighting": "reweighting of digits", "stocbio-hypercleaning": "hyper-cleaning",
}  # fmt: skip
"""What a group of denoising cells is called."""


def group_name(group: str) -> str:
    """A data set with its noise, or an experiment, as it is read."""
    source, _, noise = group.rpartition("-")
    if group not in GROUPS and noise.isdigit() and source in GROUPS:
        return f"{GROUPS[source]}, {noise}% wrong"
    return GROUPS.get(group, group)


def cell_name(group: str, variant: str) -> str:
    """A cell of the denoising family as it is read: "Penalty, same split, final (softmax regression)"."""
    method = method_of(variant)
    rest = variant.removeprefix(method).removeprefix("-")
    more = f", T = {rest}" if group == "lower-steps" else f", {rest.replace('-', ' ')}" if rest else ""
    return f"{denoising_label(method)}{more} ({group_name(group)})"


def quoted(identity: str | None) -> Sample | None:
    """A published number; None where there is none."""
    value = None if identity is None else published.find(identity)
    return None if value is None else Sample(comparison.theirs(value), printed=printed(value))


def found(inputs: Sources, family: str, parts: tuple[str, ...]) -> Mapping[str, Any] | None:
    """A cell of summary.json, None where the profile does not list it."""
    cell: Mapping[str, Any] | None = inputs.cells.get(family, {}).get("-".join(parts))
    return cell


def wanted(inputs: Sources, family: str, parts: tuple[str, ...]) -> int:
    """How many trials params.yaml asks of a cell (of poisoning, for each number of poisons)."""
    settings = inputs.params[family]["cells"][parts[0]][parts[1]]
    if family == "synthetic":
        return int(settings.get("trials", inputs.common[family]["trials"]))
    seeds = inputs.params[family]["prepared"][settings.get("data", parts[0])]["seeds"]
    return len(seeds[: settings.get("trials" if family == "few_shot" else "seeds")])


def sample(values: Mapping[str, float | None], asked: int, worst: float) -> Sample:
    """Of trials by name, None for a diverged one."""
    filled = {name: worst if value is None or not math.isfinite(value) else value for name, value in values.items()}
    lost = sum(value is None or not math.isfinite(value) for value in values.values())
    over = over_trials(list(filled.values()))
    estimate = Estimate(over["mean"], over["sd"], over["n"])
    return Sample(estimate, filled, diverged=lost, missing=max(0, asked - len(values)))


def of_trials(cell: Mapping[str, Any], *path: str, **where: Any) -> dict[str, float | None]:
    """Seed -> the number at `path` of its trial, None for one that did not finish; `where`: T=5, points=60."""
    values: dict[str, float | None] = {}
    for trial in cell["trials"]:
        if all(trial.get(name) == held for name, held in where.items()):
            held: Any = trial if trial["status"] == "finished" else None
            for name in path:
                held = held.get(name) if isinstance(held, Mapping) else None
            values[str(trial["seed"])] = held
    return values


def of_curve(cell: Mapping[str, Any], name: str, at: float | None = None) -> Sample | None:
    """A mean curve at an iteration (None: its end), linear between its points, with the spread there."""
    curves = cell["curves"]
    if name not in curves or not curves["iteration"]:
        return None
    count = sum(trial["status"] == "finished" for trial in cell["trials"])
    lost = len(cell["trials"]) - count
    mean, sd = (curves[name][key] for key in ("mean", "sd"))
    if any(value is None for value in mean):
        return Sample(Estimate(None), diverged=max(1, lost))
    place = curves["iteration"][-1] if at is None else at
    spread = [0.0 if value is None else value for value in sd]
    values = (float(np.interp(place, curves["iteration"], line)) for line in (mean, spread))
    return Sample(Estimate(*values, count), diverged=lost)


@dataclass(frozen=True)
class Limit:
    """A number that a claim names."""

    value: float
    name: str = ""
    cells: tuple[CellName, ...] = ()
    source: str = ""

    def ours(self, inputs: Sources) -> Sample | None:
        return exactly(self.value)

    def theirs(self) -> Sample | None:
        return exactly(self.value)


@dataclass(frozen=True)
class Quoted:
    """A published number that is not computed here: the paper quotes others' or its own."""

    identity: str
    cells: tuple[CellName, ...] = ()
    source: str = "published/paper_results.yaml"

    @property
    def name(self) -> str:
        return f"{published.value(self.identity).method} as published"

    def ours(self, inputs: Sources) -> Sample | None:
        return quoted(self.identity)

    def theirs(self) -> Sample | None:
        return quoted(self.identity)


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
        cell = found(inputs, "synthetic", self.parts)
        if cell is None:
            return None
        return sample(of_trials(cell, "last", "error", T=self.steps), wanted(inputs, "synthetic", self.parts), FARTHEST)

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
        return f"after {5000 * self.place:,} upper iterations"

    @property
    def cells(self) -> tuple[CellName, ...]:
        return (("synthetic", ("ex2", "penalty", self.preset)),)

    def ours(self, inputs: Sources) -> Sample | None:
        cell = found(inputs, "synthetic", ("ex2", "penalty", self.preset))
        if cell is None:
            return None
        there = {**cell, "curves": {"iteration": cell["curves"]["iteration"], **cell["curves"]["T=1"]},
                 "trials": [trial for trial in cell["trials"] if trial["T"] == 1]}  # fmt: skip
        return of_curve(there, "error", 5000.0 * self.place)

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
        return f"{LABELS[self.method]} on example {self.example[2:]}, T = {self.steps}"

    def ours(self, inputs: Sources) -> Sample | None:
        for row in inputs.timings["rows"]:
            key = (row["example"], row["method"], row["T"], row["preset"], row["variant"], row["compiled"], row["stacked"])
            if key == (self.example, self.method, self.steps, MAIN_PRESET, "", False, 1):
                return Sample(comparison.ours(row["seconds_per_10000"]))
        return None

    def theirs(self) -> Sample | None:
        return quoted(f"time-{self.example}-T{self.steps}-{self.method}")


@dataclass(frozen=True)
class Accuracy:
    """The test accuracy of a denoising cell, last iterate; `identity` of its published number."""

    group: str
    variant: str
    identity: str | None = None
    source: str = "denoising/summary.json"

    @property
    def name(self) -> str:
        return cell_name(self.group, self.variant)

    @property
    def cells(self) -> tuple[CellName, ...]:
        return (("denoising", (self.group, self.variant)),)

    def ours(self, inputs: Sources) -> Sample | None:
        cell = found(inputs, "denoising", (self.group, self.variant))
        if cell is None:
            return None
        values = of_trials(cell, "last", "test accuracy")
        return sample(values, wanted(inputs, "denoising", (self.group, self.variant)), 0.0)

    def theirs(self) -> Sample | None:
        return quoted(self.identity)


@dataclass(frozen=True)
class AtTheEnd:
    """The end of another curve of a denoising cell, over its trials."""

    group: str
    variant: str
    curve: str
    published_split: str = ""
    source: str = "denoising/summary.json"

    @property
    def name(self) -> str:
        return f"{self.curve} of {cell_name(self.group, self.variant)}"

    @property
    def cells(self) -> tuple[CellName, ...]:
        return (("denoising", (self.group, self.variant)),)

    def ours(self, inputs: Sources) -> Sample | None:
        cell = found(inputs, "denoising", (self.group, self.variant))
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
        return f"{self.curve} of {cell_name(self.group, self.variant)} at equal time"

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
        what = cell_name(self.group, self.variant) if self.family == "denoising" else f"{self.variant} ({self.group})"
        return f"an upper iteration of {what}"

    @property
    def source(self) -> str:
        return f"{self.family}/costs.json"

    @property
    def cells(self) -> tuple[CellName, ...]:
        return ((self.family, (self.group, self.variant)),)

    def ours(self, inputs: Sources) -> Sample | None:
        for row in inputs.timed.get(self.family, {}).get("rows", []):
            if tuple(row["cell"]) == (self.group, self.variant) and row.get("way", "as trained") == "as trained":
                return Sample(comparison.ours(row["seconds_per_iteration"]))
        return None

    def theirs(self) -> Sample | None:
        return quoted(self.identity)


@dataclass(frozen=True)
class FewShot:
    """The accuracy of a few-shot cell on meta-test tasks, selected iterate."""

    group: str
    variant: str
    identity: str | None = None
    source: str = "few_shot/summary.json"

    @property
    def name(self) -> str:
        return f"{few_shot_label(self.variant)} ({self.group})"

    @property
    def cells(self) -> tuple[CellName, ...]:
        return (("few_shot", (self.group, self.variant)),)

    def ours(self, inputs: Sources) -> Sample | None:
        cell = found(inputs, "few_shot", (self.group, self.variant))
        if cell is None:
            return None
        values = of_trials(cell, "selected", "test accuracy")
        return sample(values, wanted(inputs, "few_shot", (self.group, self.variant)), 0.0)

    def theirs(self) -> Sample | None:
        return quoted(self.identity)


@dataclass(frozen=True)
class Attack:
    """What a poisoning cell does with so many poisons, by the judge: test accuracy, or of a targeted attack its success."""

    group: str
    variant: str
    points: int
    targeted: bool = False
    identity: str | None = None
    source: str = "poisoning/summary.json"

    @property
    def name(self) -> str:
        return f"{LABELS[self.variant]} with {self.points} poisons ({self.group})"

    @property
    def cells(self) -> tuple[CellName, ...]:
        return (("poisoning", (self.group, self.variant)),)

    def ours(self, inputs: Sources) -> Sample | None:
        cell = found(inputs, "poisoning", (self.group, self.variant))
        if cell is None:
            return None
        measure = "attack success" if self.targeted else "test accuracy"
        values = of_trials(cell, "judge", measure, points=self.points)
        # an attack that came to no number did the least harm there is
        return sample(values, wanted(inputs, "poisoning", (self.group, self.variant)), 0.0 if self.targeted else 100.0)

    def theirs(self) -> Sample | None:
        return quoted(self.identity)


BOUNDS = {
    r"at most (\S+)": lambda number: Range(high=number * (1 + 1e-9)),
    r"at least (\S+)": lambda number: Range(low=number * (1 - 1e-9)),
    r"(\S+) ± (\S+)": lambda middle, off: Range(middle - off * (1 + 1e-9), middle + off * (1 + 1e-9)),
}
"""How demonstrations.json writes a bound -> the range it means, its ends included."""


@dataclass(frozen=True)
class Computed:
    """A number that the theory family computed, with the bound it holds it against.

    Attributes: claim, said: the row of demonstrations.json, by its claim and the text it begins with.
    """

    claim: str
    said: str
    source: str = "theory/demonstrations.json"
    cells: tuple[CellName, ...] = ()

    @property
    def name(self) -> str:
        return self.said

    def row(self, inputs: Sources) -> Mapping[str, Any] | None:
        for one in inputs.theory["demonstrations"]["rows"]:
            if one["claim"] == self.claim and one["computed"].startswith(self.said):
                row: Mapping[str, Any] = one
                return row
        return None

    def ours(self, inputs: Sources) -> Sample | None:
        row = self.row(inputs)
        return None if row is None else exactly(row["number"])

    def wanted(self, inputs: Sources) -> Range | None:
        """The range of its bound; None where the profile has no such row. Raises ValueError for words it does not know."""
        row = self.row(inputs)
        if row is None:
            return None
        for pattern, made in BOUNDS.items():
            match = re.fullmatch(pattern, row["bound"])
            if match:
                return made(*map(float, match.groups()))
        raise ValueError(f"no range in {row['bound']!r}")

    def theirs(self) -> Sample | None:
        return None


@dataclass(frozen=True)
class Exponent:
    """How bytes or seconds of an upper iteration grow with T, U or V."""

    method: str
    what: str
    varied: str
    cells: tuple[CellName, ...] = ()

    @property
    def name(self) -> str:
        return f"exponent of {self.varied} in the {self.what} of {LABELS[self.method]}"

    @property
    def source(self) -> str:
        return f"theory/{'memory' if self.what == 'space' else 'timings'}.json"

    def ours(self, inputs: Sources) -> Sample | None:
        for row in inputs.theory["memory" if self.what == "space" else "timings"]["rows"]:
            if (row["method"], row["varied"]) == (self.method, self.varied):
                return exactly(row["exponent"])
        return None

    def theirs(self) -> Sample | None:
        return None


@dataclass(frozen=True)
class NotBuilt:
    """What no cell of any profile measures; `work`: what would have to be measured."""

    name: str
    work: str
    identity: str | None = None
    cells: tuple[CellName, ...] = ()
    source: str = ""

    def ours(self, inputs: Sources) -> Sample | None:
        return None

    def theirs(self) -> Sample | None:
        return quoted(self.identity)
