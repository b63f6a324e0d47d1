"""What a claim is, and how it is judged in a profile.

A claim is a sentence in our words, its place, and one or more readings: the same sentence as it was published, under the
text's rules instead of the code's, at a longer budget, after equal tuning, on a stand-in. A reading is a list of parts, each
a contrast of quantities with the range it must lie in. The verdict of the claim is that of its first reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipelines import budget
from pipelines.scorecard import rule
from pipelines.scorecard.quantities import CellName, Computed, Limit, Quantity
from pipelines.scorecard.rule import Checked, Evidence, Range, Sample
from pipelines.sources import Sources

AS_PUBLISHED = "as published"
OTHER_DATA = "the same on other data"


@dataclass(frozen=True)
class Part:
    """One comparison: weighted quantities and the range of their sum; None: the one that the quantity brings along."""

    text: str
    terms: tuple[tuple[float, Quantity], ...]
    wanted: Range | None

    def range(self, inputs: Sources) -> Range:
        """The range it must lie in."""
        if self.wanted is not None:
            return self.wanted
        (_, quantity), *_ = self.terms
        assert isinstance(quantity, Computed)
        return quantity.wanted(inputs) or Range()


@dataclass(frozen=True)
class Reading:
    """A way to read a claim: its name, and the parts it comes to.

    Attributes:
        stand_in: what of its data is in the place of which, where other experiments use those data as their own.
        only_if: what must pass before anything is judged: of networks that have learned nothing no order says anything.
    """

    name: str
    parts: tuple[Part, ...]
    stand_in: str = ""
    only_if: Part | None = None


@dataclass(frozen=True)
class Claim:
    """A claim.

    Attributes:
        id: C01 to C43 are the paper's, S of the stocBiO slides, N of the note; the page Scorecard lists them all.
        sentence: in our words. place: where it stands. section: the part of the paper, by which claims are sorted.
        readings: the first gives the verdict. tables, figures: names of what we draw of it. page: name of its page.
        remark: what a reader should know before believing the verdict. more: further readings, of experiments that a
        profile has by any name.
    """

    id: str
    sentence: str
    place: str
    section: str
    readings: tuple[Reading, ...]
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    page: str = ""
    remark: str = ""
    more: Callable[[Sources], Sequence[Reading]] | None = None

    @property
    def quantities(self) -> list[Quantity]:
        """All that it speaks of, each once."""
        every = (term for reading in self.readings for part in reading.parts for _, term in part.terms)
        return list(dict.fromkeys(every))


# how parts are written


def below(first: Quantity, second: Quantity, by: float = 0.0) -> Part:
    """first + by < second."""
    more = f" by more than {by:g}" if by else ""
    return Part(f"{first.name} is below {second.name}{more}", ((1.0, second), (-1.0, first)), Range(low=by))


def above(first: Quantity, second: Quantity, by: float = 0.0) -> Part:
    """first > second + by."""
    more = f" by more than {by:g}" if by else ""
    return Part(f"{first.name} is above {second.name}{more}", ((1.0, first), (-1.0, second)), Range(low=by))


def not_worse(first: Quantity, second: Quantity, margin: float) -> Part:
    """first > second - margin: not inferior."""
    text = f"{first.name} is {f'at most {margin:g} below' if margin else 'no lower than'} {second.name}"
    return Part(text, ((1.0, first), (-1.0, second)), Range(low=-margin))


def not_above(first: Quantity, second: Quantity, margin: float) -> Part:
    """first < second + margin."""
    text = f"{first.name} is {f'at most {margin:g} above' if margin else 'no higher than'} {second.name}"
    return Part(text, ((1.0, first), (-1.0, second)), Range(high=margin))


def alike(first: Quantity, second: Quantity, margin: float) -> Part:
    """|first - second| < margin: equivalent."""
    text = f"{first.name} and {second.name} differ by less than {margin:g}"
    return Part(text, ((1.0, first), (-1.0, second)), Range(-margin, margin))


def times(first: Quantity, second: Quantity, factor: float) -> Part:
    """first > factor * second."""
    text = f"{first.name} is more than {f'{factor:g} times ' if factor != 1 else ''}{second.name}"
    return Part(text, ((1.0, first), (-factor, second)), Range(low=0.0))


def under(one: Quantity, limit: float) -> Part:
    """one < limit."""
    return Part(f"{one.name} is below {limit:g}", ((1.0, one), (-1.0, Limit(limit))), Range(high=0.0))


def over(one: Quantity, limit: float) -> Part:
    """one > limit."""
    return Part(f"{one.name} is above {limit:g}", ((1.0, one), (-1.0, Limit(limit))), Range(low=0.0))


def near(one: Quantity, target: float, margin: float) -> Part:
    """|one - target| < margin."""
    text = f"{one.name} is within {margin:g} of {target:.4g}"
    return Part(text, ((1.0, one), (-1.0, Limit(target))), Range(-margin, margin))


def computed(claim: str, said: str, whole: str = "") -> Part:
    """A row of demonstrations.json keeps its bound."""
    one = Computed(claim, said, whole)
    return Part(one.name, ((1.0, one),), None)


# how they are judged


@dataclass(frozen=True)
class PartResult:
    """A part in a profile: its word, its contrast, and what was lost on the way."""

    part: Part
    word: str
    evidence: Evidence | None
    wanted: Range
    diverged: int
    missing: int

    @property
    def trials(self) -> int | None:
        """How many trials bear it, None where they do not count."""
        if self.evidence is None or self.evidence.rule == "computed":
            return None
        return self.evidence.trials


@dataclass(frozen=True)
class Result:
    """A reading in a profile. `withheld`: the condition that does not pass, for which nothing is judged."""

    claim: Claim
    reading: Reading
    verdict: str
    parts: tuple[PartResult, ...]
    label: budget.Label
    withheld: PartResult | None = None

    def count(self, word: str) -> int:
        """How many parts have this word."""
        return sum(part.word == word for part in self.parts)

    @property
    def evidence(self) -> str:
        """One line: how many comparisons pass, and how many do not."""
        if self.withheld is not None:
            return "not judged, as it is not shown that the networks learn there"
        if self.verdict == rule.NOT_RUN:
            return f"none of {len(self.parts)} comparisons was run"
        said = [f"{self.count(rule.PASSES)} of {len(self.parts)} comparisons pass"]
        for word in (rule.REFUTED, rule.OPEN, rule.TOO_FEW, rule.NOT_RUN):
            if self.count(word):
                said.append(f"{self.count(word)} {word}")
        return ", ".join(said)

    @property
    def passes_so_far(self) -> bool:
        """Whether every part that was run passes, and some were not run."""
        ran = [part.word for part in self.parts if part.word != rule.NOT_RUN]
        return bool(ran) and len(ran) < len(self.parts) and all(word == rule.PASSES for word in ran)

    @property
    def deciding(self) -> list[PartResult]:
        """The parts to be shown first: those refuted, those open, those of too few trials; where there are none of them,
        those that pass."""
        words = (rule.REFUTED, rule.OPEN, rule.TOO_FEW)
        found = [part for word in words for part in self.parts if part.word == word]
        return found or [part for part in self.parts if part.word == rule.PASSES]

    @property
    def lost(self) -> tuple[int, int]:
        """Most trials that diverged, and that are missing, in a part."""
        return max((one.diverged for one in self.parts), default=0), max((one.missing for one in self.parts), default=0)

    @property
    def not_run(self) -> list[CellName]:
        """The cells that its missing parts need."""
        parts = (one.part for one in self.parts if one.word == rule.NOT_RUN)
        return list(dict.fromkeys(cell for part in parts for _, term in part.terms for cell in term.cells))


def read(inputs: Sources, claim: Claim, reading: Reading) -> Result:
    """A reading judged on our records; as published, nothing that is measured on other data than the paper's counts."""
    verdict, parts = _judged(inputs, reading, reading.parts)
    withheld = None
    if reading.only_if is not None and verdict in (rule.HOLDS, rule.FAILS, rule.OPEN):
        passed, (condition,) = _judged(inputs, reading, (reading.only_if,))
        if passed != rule.HOLDS:
            verdict, withheld = rule.OPEN, condition
            parts = tuple(one if one.word == rule.NOT_RUN else replace(one, word=rule.OPEN) for one in parts)
    run = [part for part in parts if part.word != rule.NOT_RUN]
    names = dict.fromkeys(cell for one in run for _, term in one.part.terms for cell in term.cells)
    others = {term.source for one in run for _, term in one.part.terms if term.source and not term.cells}
    label = budget.label(inputs, list(names), sorted(others), reading.stand_in)
    return Result(claim, reading, verdict, parts, label, withheld)


def _judged(inputs: Sources, reading: Reading, some: tuple[Part, ...]) -> tuple[str, tuple[PartResult, ...]]:
    """The verdict on parts of a reading, and each of them."""
    samples = [
        [(weight, None if _elsewhere(inputs, reading, term) else term.ours(inputs)) for weight, term in part.terms]
        for part in some
    ]
    tested = [_tested(part.range(inputs), each) for part, each in zip(some, samples, strict=True)]
    verdict, words = rule.judged(tested)
    return verdict, tuple(
        PartResult(part, word, None if one is None else one.evidence, part.range(inputs), *_lost(each))
        for part, word, one, each in zip(some, words, tested, samples, strict=True)
    )


def on_paper(inputs: Sources, claim: Claim) -> tuple[str, str]:
    """(verdict, note) of the same rule on the published numbers, whatever their number of trials; "" where none are."""
    reading = claim.readings[0]
    samples = [[(weight, term.theirs()) for weight, term in part.terms] for part in reading.parts]
    known = [
        (part, some) for part, some in zip(reading.parts, samples, strict=True)
        if part.wanted is not None and all(one is not None for _, one in some)
    ]  # fmt: skip
    if not known:
        return "", ""
    tested = [_tested(part.range(inputs), some) for part, some in known]
    verdict, _ = rule.judged(tested, least=0)
    bare = any(one is not None and one.evidence is not None and "stand" in one.evidence.rule for one in tested)
    some = f"on {len(known)} of {len(reading.parts)} comparisons" if len(known) < len(reading.parts) else ""
    notes = [some, "a mean without spread is taken as it stands" if bare else ""]
    return verdict, "; ".join(filter(None, notes))


def judged(inputs: Sources, claim: Claim) -> list[Result]:
    """All readings of a claim: the first, and of the others those of which something was run; what the first leaves
    out since
    it is of other data makes one of its own."""
    first = claim.readings[0]
    more = [Reading(OTHER_DATA, parts)] if (parts := _parts_elsewhere(inputs, first)) else []
    found = claim.more(inputs) if claim.more is not None else ()
    results = [read(inputs, claim, reading) for reading in (first, *more, *claim.readings[1:], *found)]
    return [results[0], *(one for one in results[1:] if one.verdict != rule.NOT_RUN)]


def _parts_elsewhere(inputs: Sources, reading: Reading) -> tuple[Part, ...]:
    return tuple(part for part in reading.parts if any(_elsewhere(inputs, reading, term) for _, term in part.terms))


def _elsewhere(inputs: Sources, reading: Reading, term: Quantity) -> bool:
    """Whether a quantity of the first reading is measured on a part of the paper's data, or on other data."""
    return reading.name == AS_PUBLISHED and any(budget.is_elsewhere(inputs, *cell) for cell in term.cells)


def _tested(wanted: Range, some: Sequence[tuple[float, Sample | None]]) -> Checked | None:
    if any(one is None for _, one in some):
        return None
    return Checked(wanted, rule.contrast([weight for weight, _ in some], [one for _, one in some if one is not None]))


def _lost(some: Sequence[tuple[float, Sample | None]]) -> tuple[int, int]:
    known = [one for _, one in some if one is not None]
    return sum(one.diverged for one in known), sum(one.missing for one in known)
