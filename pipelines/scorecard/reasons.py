"""What a comparison rests on, in words made of its numbers: what the claim needs, what came out here, what is published.

A contrast is computed as a sum (`pipelines.scorecard.rule`); a reader is told the numbers it is made of: of a mean held
against a limit the mean itself, of two shares of the same cases the cases that tell the two apart.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.layout import number, plus_minus
from pipelines.scorecard import rule
from pipelines.scorecard.claim import PartResult, Result
from pipelines.scorecard.quantities import Computed, Limit, Quantity
from pipelines.scorecard.rule import Evidence, Sample
from pipelines.sources import Sources

AS_THEY_STAND = ("computed", "means as they stand")
"""Rules whose number is its own bound."""
INTERVAL = f"{1 - 2 * rule.ALPHA:.0%} interval"
"""What two one-sided bounds, each at the level of a verdict, come to."""
LISTED = 2
"""Comparisons of a word that are told one by one."""


def called(inputs: Sources, term: Quantity) -> str:
    """A quantity's name; of what is computed the whole line of its table."""
    return term.called(inputs) if isinstance(term, Computed) else term.name


def needed(inputs: Sources, part: PartResult) -> str:
    """What the claim needs of a comparison."""
    (_, term), *_ = part.part.terms
    return term.needed(inputs) if isinstance(term, Computed) else part.part.text


def amount(one: Sample | None) -> str:
    """A sample as it is read: mean and standard deviation, of shares so many of how many."""
    if one is None:
        return "not run"
    if one.printed:
        return f"{one.printed}{one.unit}"
    if one.cases:
        return f"{sum(one.cases.values())} of {len(one.cases)}"
    if one.estimate.mean is None:
        return "no number"
    return f"{one.estimate.mean:.3g}" if one.exact else f"{plus_minus(one.estimate)}{one.unit}"


def outcome(part: PartResult) -> str:
    """The number that was judged, with its one-sided bounds at the level of a verdict: together a two-sided interval that
    misses the truth twice as often."""
    evidence = part.evidence
    if evidence is None:
        return rule.NOT_RUN if part.word == rule.NOT_RUN else "no number"
    if evidence.rule.startswith("McNemar"):
        if not evidence.trials:
            return "no case tells the two apart"
        ends = [f"{100 * (one + 0.5):.0f}" for one in (evidence.value, *evidence.bounds(rule.ALPHA))]
        return f"{ends[0]}% of the {evidence.trials} cases that tell the two apart, {INTERVAL} {ends[1]} to {ends[2]}%"
    measured = _measured(part)
    if len(measured) == 1:
        limit = sum(held * term.value for held, term in part.part.terms if isinstance(term, Limit))
        return _bounded(evidence, -limit, 1, _percent if evidence.rule == "Wilson" else _short)
    weight = measured[0][0]
    if all(abs(one) == 1 for one, _ in measured):
        return f"difference {_bounded(evidence, 0.0, weight, _signed)}"
    return f"margin {_bounded(evidence, 0.0, 1, _signed)}"


def because(inputs: Sources, part: PartResult) -> str:
    """In one sentence: what the claim needs, what came out here, and what is published."""
    terms = [term for _, term in _measured(part)]
    samples, theirs = [term.ours(inputs) for term in terms], [term.theirs() for term in terms]
    if len(terms) > 2:
        here = ", ".join(f"{term.name}: {amount(one)}" for term, one in zip(terms, samples, strict=True))
    else:
        here = " and ".join(map(amount, samples))
    # a mean that is clearly on one side of a limit needs no bounds
    if len(terms) > 1 or part.word == rule.OPEN or any(one is not None and one.cases for one in samples):
        here += f" ({_ratio(part, samples) or outcome(part)})"
    if part.word == rule.TOO_FEW:
        mcnemar = part.evidence is not None and part.evidence.rule.startswith("McNemar")
        trials = f"trial{'s' * (part.trials != 1)}"
        here += f", of {part.trials} {'such cases' if mcnemar else trials}, where a verdict takes {rule.LEAST}"
    said = [f"needed: {needed(inputs, part)}", f"here: {here}"]
    if theirs and None not in theirs:
        said.append(f"published: {' and '.join(map(amount, theirs))}")
    return "; ".join(said)


def decided(inputs: Sources, result: Result) -> str:
    """Why a reading has its verdict: the first of the comparisons that decided in full. Beside one that is refuted, others
    that do not pass in brief, by their words, and of a word with many how many more there are; else their number. Of a
    reading that is not judged, the condition that does not pass."""
    if result.withheld is not None:
        return because(inputs, result.withheld)
    first, *more = result.deciding
    said = [because(inputs, first)]
    if first.word != rule.REFUTED:
        return "; ".join(said + [f"and {len(more)} more of {len(result.parts)} comparisons"] * bool(more))
    for word in dict.fromkeys(part.word for part in more):
        some = [part for part in more if part.word == word]
        told = [_brief(inputs, part) for part in some[:LISTED]]
        rest = [f"{len(some) - LISTED} more of {len(result.parts)} comparisons"] * (len(some) > LISTED)
        said.append(f"and {'also ' * (word == first.word)}{word}: {', and '.join(told + rest)}")
    return "; ".join(said)


def _brief(inputs: Sources, part: PartResult) -> str:
    """What a comparison needs, and the numbers it has."""
    here = " and ".join(amount(term.ours(inputs)) for _, term in _measured(part))
    return f"{needed(inputs, part)} (here: {here})"


def why(inputs: Sources, result: Result) -> str:
    """The same of a reading that does not hold or is not settled, to be put behind its verdict; "" of others."""
    if result.verdict not in (rule.FAILS, rule.OPEN) or result.passes_so_far:
        return ""
    return f"; {decided(inputs, result)}"


def _measured(part: PartResult) -> list[tuple[float, Quantity]]:
    """(weight, quantity) of what is no limit; of two the one that the sentence names first."""
    found = [(weight, term) for weight, term in part.part.terms if not isinstance(term, Limit)]
    if len(found) == 2:
        # of two names that begin alike the longer one is meant
        found.sort(key=lambda pair: (part.part.text.find(pair[1].name), -len(pair[1].name)))
    return found


def _ratio(part: PartResult, samples: list[Sample | None]) -> str:
    """Of a part that says so many times: how many times it is; "" for others."""
    weights = [weight for weight, _ in _measured(part)]
    means = [one.estimate.mean if one is not None else None for one in samples]
    if len(weights) != 2 or abs(weights[1]) == 1 or None in means or not means[1]:
        return ""
    return f"{number((means[0] or 0.0) / means[1])} times"


def _bounded(evidence: Evidence, shift: float, sign: float, said: Callable[[float], str]) -> str:
    """A contrast, moved or turned around, with its bounds."""
    low, high = evidence.bounds(rule.ALPHA)
    ends = [said(sign * one + shift) for one in ((low, high) if sign > 0 else (high, low))]
    value = said(sign * evidence.value + shift)
    return value if evidence.rule in AS_THEY_STAND else f"{value}, {INTERVAL} {ends[0]} to {ends[1]}"


def _short(value: float) -> str:
    return f"{value:.3g}"


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else ''}{number(value)}"
