"""The verdict between our number and the published one. Pure functions; the rules, in full:

Two means over independent trials. Let d = ours - published. The interval of d is Welch's, at 95%:

    d +- t(0.975, k) * sqrt(s1^2 / n1 + s2^2 / n2) + r,    k by Welch and Satterthwaite,

with r the published number's resolution: the error of reading it off a figure, or half a unit of its last
digit. "agrees": the interval holds 0; "differs": it does not. Overlap of two separate intervals, or "within
one published s.d.", are not used: the first is far from a 5% test, the second asks how trials scatter where
the question is how means do. An interval that holds 0 because it is wide says little, so the tables show it,
and say how many of many panels would differ by chance alone (one in twenty).

Where less is known:
    one spread missing (Figure 7, or a single trial of ours): the other stands in, with its degrees of
    freedom; the published number of trials missing: d within two published s.d.; no spread on either side: d
    within r.
One draw (Figures 1 and 2, examples 3 and 4): the authors' code draws the matrix A once for all trials of a
method, ours once for every trial. Their mean is then one draw of what varies with A, which their s.d. does
not show, and the interval is that of a further draw:  d +- t(0.975, n - 1) * s * sqrt(1 + 1 / n) + r,  with
our s, n.

A curve: its last point as above. The transient: the largest distance between the mean curves at the published
places, and at how many of them it stays inside a band that holds for all places at once (the same interval
with 0.05 divided among them; the published spread is known at the last place only, so ours stands in for it).

Order: two methods are ordered where the interval of their difference leaves 0 out. "same order": published
and ours are ordered alike. "other order": the other way. "not settled": ours hold 0. "tied in the paper":
theirs do.

Budgets: a number from a cut budget is "not comparable" with one from the full budget, however near it lies;
only orders and claims are judged there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from pipelines.published import Curve, Value

AGREES, DIFFERS, DIVERGED, NOT_COMPARABLE = "agrees", "differs", "diverged", "not comparable"
NOT_PUBLISHED = "not in the paper"
SAME, OTHER, OPEN, TIED = "same order", "other order", "not settled", "tied in the paper"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over n trials with their standard deviation; `mean` is None where no trial finished."""

    mean: float | None
    sd: float | None = None
    n: int | None = None
    resolution: float = 0.0

    @property
    def half_width(self) -> float | None:
        """Of the 95% interval of the mean, without the resolution; None where it is not known."""
        if self.sd is None or self.n is None or self.n < 2:
            return None
        return quantile(self.n - 1) * self.sd / math.sqrt(self.n)


@dataclass(frozen=True)
class Difference:
    """One mean less another: 0 is in it where |value| <= half_width."""

    value: float
    half_width: float
    rule: str

    @property
    def sign(self) -> int:
        """-1 or 1 where the interval lies on one side of 0, else 0."""
        if abs(self.value) <= self.half_width * (1 + 1e-9):
            return 0
        return 1 if self.value > 0 else -1


@dataclass(frozen=True)
class Transient:
    """Our mean curve against the published one at the published places."""

    largest: float
    at: float
    inside: int
    places: int


class Cut(NamedTuple):
    """One way in which a budget falls short of the paper's."""

    what: str
    have: int = 0
    full: int = 0


def ours(entry: Mapping[str, Any]) -> Estimate:
    """Of {"mean", "sd", "n", "half_width"}, as `statistics.over_trials` writes it."""
    return Estimate(entry["mean"], entry["sd"], entry["n"])


def theirs(value: Value) -> Estimate:
    """Of a published value."""
    return Estimate(value.mean, value.sd, value.n_trials, value.resolution)


def quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Student's t for a two-sided interval."""
    return float(stats.t.ppf(0.5 + confidence / 2, freedom))


def difference(
    first: Estimate, second: Estimate, one_draw: bool = False, confidence: float = CONFIDENCE
) -> Difference:
    """first - second with its interval, by the module's rules; `second` is the published one, if one is.

    Raises ValueError where one of them has no mean.
    """
    if first.mean is None or second.mean is None:
        raise ValueError("a mean over no trials cannot be compared")
    value = first.mean - second.mean
    resolution = first.resolution + second.resolution
    if one_draw and first.half_width is not None:
        assert first.sd is not None and first.n is not None
        width = quantile(first.n - 1, confidence) * first.sd * math.sqrt(1 + 1 / first.n)
        return Difference(value, width + resolution, "one draw")
    known = [one for one in (first, second) if one.half_width is not None]
    if len(known) == 2:
        width = _welch(first, second, confidence)
        return Difference(value, width + resolution, "Welch")
    if known and first.n and second.n:
        spread, count = known[0].sd, known[0].n
        assert spread is not None and count is not None
        width = quantile(count - 1, confidence) * spread * math.sqrt(1 / first.n + 1 / second.n)
        return Difference(value, width + resolution, "one spread for both")
    if second.sd is not None:
        return Difference(value, 2 * second.sd + resolution, "two published s.d.")
    return Difference(value, resolution, "resolution")


def _welch(first: Estimate, second: Estimate, confidence: float) -> float:
    parts = []
    for one in (first, second):
        assert one.sd is not None and one.n is not None
        parts.append((one.sd**2 / one.n, one.n - 1))
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(part**2 / count for part, count in parts)
    return quantile(freedom, confidence) * math.sqrt(variance)


def verdict(mine: Estimate, published: Estimate, cuts: Sequence[Cut] = (), one_draw: bool = False) -> str:
    """agrees, differs, diverged (no trial of ours finished), or not comparable (`cuts`: of the budget)."""
    if cuts:
        return NOT_COMPARABLE
    if mine.mean is None:
        return DIVERGED
    return AGREES if difference(mine, published, one_draw).sign == 0 else DIFFERS


def order(ours_pair: tuple[Estimate, Estimate], published_pair: tuple[Estimate, Estimate]) -> str:
    """Whether two methods are ordered as in the paper: same order, other order, not settled, or tied."""
    if any(one.mean is None for one in ours_pair):
        return DIVERGED
    there = difference(*published_pair).sign
    if there == 0:
        return TIED
    here = difference(*ours_pair).sign
    return OPEN if here == 0 else SAME if here == there else OTHER


def transient(
    iterations: Sequence[float],
    mean: Sequence[float | None],
    sd: Sequence[float | None],
    trials: int,
    published: Curve,
    published_trials: int,
    resolution: float,
    one_draw: bool = False,
) -> Transient | None:
    """Our mean curve, linear between its points, at the published places; None where it holds no number."""
    if any(value is None for value in mean) or trials < 1:
        return None
    places = np.asarray(published.x)
    here = np.interp(places, iterations, np.asarray(mean, dtype=np.float64))
    spread = np.interp(places, iterations, [0.0 if value is None else value for value in sd])
    apart = np.abs(here - np.asarray(published.mean))
    level = 1 - (1 - CONFIDENCE) / len(places)
    scale = math.sqrt(1 + 1 / trials) if one_draw else math.sqrt(1 / trials + 1 / published_trials)
    factor = quantile(trials - 1, level) * scale if trials > 1 else 0.0
    worst = int(np.argmax(apart))
    return Transient(
        largest=float(apart[worst]),
        at=float(places[worst]),
        inside=int((apart <= factor * spread + resolution).sum()),
        places=len(places),
    )


FULL_BUDGET = {
    "mnist": {"training images": 59000, "epochs": 100, "lower steps": 20},
    # the released script of ApproxGrad has one lower step there
    "cifar10": {"training images": 40000, "epochs": 200, "lower steps": 20, "lower steps of approxgrad": 1},
    "svhn": {"training images": 72200, "epochs": 100, "lower steps": 20},
}
"""The paper's budget for denoising (supplement E.2); baselines have no lower steps."""
PAPERS = ("training images",)
"""Of these the paper has more than we could take: our selection split comes out of them."""


def denoising_cuts(prepared: Mapping[str, Any], cell: Mapping[str, Any]) -> list[Cut]:
    """How a denoising cell's budget falls short of the paper's; empty where it does not.

    Args: prepared: the data set's block of params.yaml (source, train_size). cell: the cell's settings.
    """
    source = prepared["source"]
    if source not in FULL_BUDGET:
        return [Cut(f"the data are {source}, which the paper does not use")]
    full = dict(FULL_BUDGET[source])
    full["lower steps"] = full.get(f"lower steps of {cell.get('solver')}", full["lower steps"])
    have = {
        "training images": prepared["train_size"] or full["training images"],
        "epochs": cell["epochs"],
        "lower steps": cell["settings"].get("lower_steps", full["lower steps"]),
    }
    return [Cut(name, held, full[name]) for name, held in have.items() if held < full[name]]


def synthetic_cuts(common: Mapping[str, Any], full: int = 40000) -> list[Cut]:
    """How the synthetic budget falls short of the paper's 40,000 upper iterations; empty where not."""
    have = common["upper_iterations"]
    return [] if have >= full else [Cut("upper iterations", have, full)]


def said(cuts: Sequence[Cut]) -> list[str]:
    """Cuts of several cells in words, one for each kind: "2 to 20 of 100 epochs"."""
    words = []
    for what in dict.fromkeys(cut.what for cut in cuts):
        these = sorted({cut for cut in cuts if cut.what == what})
        low, high, full = these[0].have, these[-1].have, these[0].full
        spanned = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        of = "of the paper's" if what in PAPERS else "of"
        words.append(f"{spanned} {of} {full:,} {what}" if full else what)
    return words
