"""The paper's claims as checks on numbers, the published ones and ours by the same rules. Pure functions.

A claim is a list of parts. A part compares two means, or a mean with a limit, through the 95% interval of
comparison.py: it holds where the interval lies on the claimed side, fails where it lies on the other, else it
is not settled. The claim "holds" where every part does, "fails" where one fails, else it is "not settled";
"not measured" where the profile has no such experiment. The numbers C01, C02, ... are those of the list of
claims in the documentation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pipelines.comparison import Estimate, difference
from pipelines.published import LABELS

HOLDS, FAILS, OPEN, MISSING = "holds", "fails", "not settled", "not measured"

STALL = math.sqrt(10)
"""Where GD's and RMD's iterates of example 1 end: u = 0, v = 1, in twenty dimensions."""

READING = 0.02
"""The error of reading a distance off the figures."""

Distances = Mapping[tuple[str, int, str], Estimate]
"""(example, T, method) -> distance at 40,000 upper iterations."""

Accuracies = Mapping[tuple[str, str], Estimate]
"""(data, method) -> test accuracy in percent."""


class Part(NamedTuple):
    """One comparison: True, False or None (not settled), and how it reads."""

    holds: bool | None
    text: str


class Claim(NamedTuple):
    """A claim's verdict with its evidence."""

    id: str
    statement: str
    verdict: str
    evidence: str


def judged(identity: str, statement: str, parts: Sequence[Part]) -> Claim:
    """The verdict over all parts; the evidence names those that do not hold, or the first where all do."""
    if not parts:
        return Claim(identity, statement, MISSING, "")
    failed = [part.text for part in parts if part.holds is False]
    unsettled = [part.text for part in parts if part.holds is None]
    verdict = FAILS if failed else OPEN if unsettled else HOLDS
    count = sum(part.holds is True for part in parts)
    shown = (failed or unsettled or [parts[0].text])[:2]
    more = len(failed or unsettled) - len(shown)
    tail = f", and {more} more" if more > 0 else ""
    word = "fails: " if failed else "not settled: " if unsettled else "e.g. "
    return Claim(identity, statement, verdict, f"{count} of {len(parts)}; {word}{'; '.join(shown)}{tail}")


def below(what: str, first: Estimate, second: Estimate, name: str = "") -> Part:
    """Whether the first mean is below the second."""
    if first.mean is None or second.mean is None:
        return Part(False, f"{what}: diverged")
    sign = difference(first, second).sign
    text = f"{what}: {first.mean:.3g} < {second.mean:.3g}{name}"
    return Part(None if sign == 0 else sign < 0, text)


def below_limit(what: str, value: Estimate, limit: float, holds: bool = True) -> Part:
    """Whether a mean is below a limit, or with holds=False not below it."""
    if value.mean is None:
        return Part(False, f"{what}: diverged")
    width = value.half_width or 0.0
    under = True if value.mean + width < limit else False if value.mean - width >= limit else None
    text = f"{what}: {value.mean:.3g} {'<' if holds else 'not <'} {limit:g}"
    return Part(under if under is None or holds else not under, text)


def near(what: str, value: Estimate, target: float, tolerance: float) -> Part:
    """Whether a mean is a target, up to its interval and a tolerance."""
    if value.mean is None:
        return Part(False, f"{what}: diverged")
    return Part(
        abs(value.mean - target) <= (value.half_width or 0.0) + tolerance,
        f"{what}: {value.mean:.3g} = {target:.3g}",
    )


def not_above(what: str, first: Estimate, second: Estimate, tolerance: float) -> Part:
    """Whether the first mean is at most the second, up to a tolerance; fails where it is surely above."""
    if first.mean is None or second.mean is None:
        return Part(False, f"{what}: diverged")
    apart = difference(first, second)
    holds = (
        True if apart.value <= tolerance else None if apart.value <= apart.half_width + tolerance else False
    )
    return Part(holds, f"{what}: {first.mean:.3g} <= {second.mean:.3g}")


def synthetic_claims(distances: Distances, falling: Sequence[float | None]) -> list[Claim]:
    """C01-C05. `falling`: the mean distance of Penalty on example 2 at T = 1 every 5,000 upper iterations."""

    def at(example: str, steps: int, method: str) -> tuple[str, Estimate]:
        return f"{example} T={steps} {LABELS[method]}", distances[example, steps, method]

    pairs = list(itertools.product((5, 10), ("approxgrad", "penalty")))
    drops = [
        Part(
            before is not None and after is not None and after < before,
            f"Penalty falls between {5000 * place:,} and {5000 * (place + 1):,}",
        )
        for place, (before, after) in enumerate(itertools.pairwise(falling))
    ]
    others = [
        below_limit(*at(example, 10, method), 0.2, holds=False)
        for example, method in itertools.product(("ex3", "ex4"), ("gd", "rmd", "approxgrad"))
    ]
    steps = [
        not_above(
            f"{example} {LABELS[method]} T={more} against T={fewer}",
            distances[example, more, method],
            distances[example, fewer, method],
            READING,
        )
        for example, method, (fewer, more) in itertools.product(
            ("ex1", "ex2"), ("approxgrad", "penalty"), ((1, 5), (5, 10))
        )
    ]
    return [
        judged(
            "C01",
            "Example 1: GD and RMD stall at distance sqrt(10) for T = 5 and 10.",
            [near(*at("ex1", t, m), STALL, READING) for t, m in itertools.product((5, 10), ("gd", "rmd"))],
        ),
        judged(
            "C02",
            "Example 1: ApproxGrad and Penalty end below 0.05 for T = 5 and 10, not for T = 1.",
            [below_limit(*at("ex1", t, m), 0.05) for t, m in pairs]
            + [below_limit(*at("ex1", 1, m), 0.05, holds=False) for m in ("approxgrad", "penalty")],
        ),
        judged(
            "C03",
            "Example 2: Penalty ends below 4, falling steadily, at T = 1; ApproxGrad only from T = 10.",
            [below_limit(*at("ex2", 1, "penalty"), 4.0), *drops]
            + [below_limit(*at("ex2", t, "approxgrad"), 4.0, holds=t == 10) for t in (1, 5, 10)],
        ),
        judged(
            "C04",
            "Examples 3 and 4 (rank-deficient lower level): only Penalty ends below 0.2 at T = 10.",
            [below_limit(*at(example, 10, "penalty"), 0.2) for example in ("ex3", "ex4")] + others,
        ),
        judged("C05", "Examples 1 and 2: a larger T never hurts Penalty or ApproxGrad.", steps),
    ]


def ablation_claim(distances: Mapping[tuple[str, int], Estimate]) -> Claim:
    """Figure 7. `distances`: (variant, T) -> final distance on example 1."""
    parts = []
    for steps in (5, 10):
        means = [one.mean for (_, t), one in distances.items() if t == steps]
        known = [mean for mean in means if mean is not None]
        spread = max(known) - min(known) if known else math.inf
        parts.append(
            Part(
                len(known) == len(means) and spread < 0.05,
                f"T={steps}: they lie within {spread:.2g} of each other",
            )
        )
    return judged(
        "C33", "Example 1: lambda_0 and the multiplier hardly matter (T = 5, 10: within 0.05).", parts
    )


def timing_claim(times: Distances, examples: Sequence[str], mode: str = "") -> Claim:
    """C07. `times`: (example, T, method) -> seconds of 10,000 upper iterations."""

    def parts() -> Iterator[Part]:
        for example in examples:
            names = ("gd", "penalty", "approxgrad", "rmd")
            if all((example, 10, method) in times for method in names):
                for one, other in itertools.pairwise(names):
                    what = f"{example} {LABELS[one]} < {LABELS[other]}"
                    yield below(what, times[example, 10, one], times[example, 10, other], " s")

    return judged(
        "C07", f"Time of an upper iteration at T = 10: GD < Penalty < ApproxGrad < RMD{mode}.", list(parts())
    )


GAP = 5.0
"""Penalty is "close to Oracle" within so many points: the largest published gap is 4.6."""


def denoising_claims(accuracies: Accuracies, data: Sequence[str]) -> list[Claim]:
    """C14-C17, on the last iterates."""

    def over(better: str, worse: str, names: Sequence[str]) -> list[Part]:
        return [
            below(
                f"{name} {LABELS[worse]} < {LABELS[better]}",
                accuracies[name, worse],
                accuracies[name, better],
            )
            for name in names
        ]

    gaps = []
    for name in data:
        oracle, penalty = accuracies[name, "oracle"], accuracies[name, "penalty"]
        if oracle.mean is None or penalty.mean is None:
            gaps.append(Part(False, f"{name}: diverged"))
            continue
        apart = difference(oracle, penalty)
        low, high = apart.value - apart.half_width, apart.value + apart.half_width
        gaps.append(
            Part(
                True if high < GAP else False if low >= GAP else None,
                f"{name}: Oracle - Penalty {apart.value:.3g}",
            )
        )
    cifar = [name for name in data if name.startswith("cifar10")]
    return [
        judged("C14", "Denoising: Penalty is above ApproxGrad.", over("penalty", "approxgrad", data)),
        judged(
            "C15",
            "Denoising: Penalty is above Val-only and above Train+Val.",
            over("penalty", "val-only", data) + over("penalty", "train-val", data),
        ),
        judged("C16", f"Denoising: Penalty is within {GAP:g} points of Oracle.", gaps),
        judged("C17", "CIFAR10: ApproxGrad is below Train+Val.", over("train-val", "approxgrad", cifar)),
    ]


def accuracy_claim(finals: Mapping[str, tuple[float, float | None, float | None]]) -> Claim:
    """C18. `finals`: data -> (percent of corrupted labels, last train and validation accuracy of Penalty)."""
    parts = []
    for name, (noise, train, validation) in finals.items():
        clean = 100.0 - noise
        shown = "-" if train is None else f"{train:.3g}"
        parts.append(
            Part(train is not None and abs(train - clean) <= 2.0, f"{name}: train {shown} against {clean:g}")
        )
        shown = "-" if validation is None else f"{validation:.4g}"
        parts.append(Part(validation is not None and validation >= 99.0, f"{name}: validation {shown}"))
    return judged(
        "C18",
        "Denoising: Penalty's train accuracy ends within 2 points of the clean share, validation at 99.",
        parts,
    )
