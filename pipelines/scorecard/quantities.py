"""What claims speak of: each quantity knows its name, its cells, our sample of it and the published one.

Here those that no cell trains; those of cells stand in `pipelines.scorecard.measured`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines import published
from pipelines.published import LABELS
from pipelines.scorecard.rule import Range, Sample, exactly
from pipelines.scorecard.samples import quoted
from pipelines.sources import Sources

CellName = tuple[str, tuple[str, ...]]
"""(family, parts)."""


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


BOUNDS = {
    r"at most (\S+)": lambda number: Range(high=number * (1 + 1e-9)),
    r"at least (\S+)": lambda number: Range(low=number * (1 - 1e-9)),
    r"(\S+) ± (\S+)": lambda middle, off: Range(middle - off * (1 + 1e-9), middle + off * (1 + 1e-9)),
}
"""How demonstrations.json writes a bound -> the range it means, its ends included."""


SYMBOLS = {
    "grad_u f~": "the penalised cost's gradient in u", "grad_v g": "∇g", "gamma_0": "γ₀", "gamma": "γ", "lambda": "λ",
    "rho": "ρ",
}  # fmt: skip
"""How demonstrations.json writes a letter -> how the claims do."""


def in_letters(text: str) -> str:
    """A line of demonstrations.json in the letters of the claims."""
    for written, letter in SYMBOLS.items():
        text = text.replace(written, letter)
    return text


@dataclass(frozen=True)
class Computed:
    """A number that the theory family computed, with the bound it holds it against.

    Attributes: claim, said: the row of demonstrations.json, by its claim and the text it begins with. whole: what it is
    called where its own line speaks of the line before it; the row's line else.
    """

    claim: str
    said: str
    whole: str = ""
    source: str = "theory/demonstrations.json"
    cells: tuple[CellName, ...] = ()

    @property
    def name(self) -> str:
        return in_letters(self.whole or self.said)

    def called(self, inputs: Sources) -> str:
        """Its whole name, which may have numbers of the profile."""
        row = self.row(inputs)
        return self.name if self.whole or row is None else in_letters(row["computed"])

    def needed(self, inputs: Sources) -> str:
        """Its name with its bound."""
        row = self.row(inputs)
        if row is None:
            return self.name
        middle, within, off = row["bound"].partition(" ± ")
        return f"{self.called(inputs)}: {f'within {off} of {middle}' if within else middle}"

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
