"""The story in one page for a hurried reader: what holds, what does not, what was unequal, what the released code does.

Every number is read from the records, every verdict is the rule's. What the authors' code does is written down here, since
it was found by reading it; what it changes is said from the experiments, where a profile has them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines import told
from pipelines.denoising.rows import has, is_idle, quirk
from pipelines.layout import interval
from pipelines.scorecard import rule
from pipelines.scorecard.card import Judged, counts
from pipelines.scorecard.claim import PartResult
from pipelines.sources import Sources


def story(inputs: Sources, found: Sequence[Judged]) -> str:
    """The whole, as Markdown."""
    return "\n\n".join(
        [
            summary(inputs, found),
            "### What holds", holding(found),
            "### What does not hold", failing(found),
            "### What is undecided, and what was not run", open_ones(found),
            "### What was unequal in the comparison", unequal(inputs, found),
            "### What we found in the released code", released(inputs),
        ]
    )  # fmt: skip


def summary(inputs: Sources, found: Sequence[Judged]) -> str:
    """The count of verdicts, and what a budget means for them."""
    many = counts(found)
    said = {
        "embedded": "Nothing here was computed on the paper's image data: what stands in for them is said at every verdict.",
        "cpu": "The synthetic examples are at the paper's full scale; images are the paper's where no part or stand-in"
        " is named,"
        " and their budgets are cut, which is said at every verdict: a short budget can turn the order of two methods.",
        "paper": "Budgets are the paper's, but where a verdict says otherwise.",
    }[inputs.profile]
    return (
        f"Of {len(found)} claims **{many[rule.HOLDS]} hold**, **{many[rule.FAILS]} do not hold**, {many[rule.OPEN]}"
        f" are undecided"
        f" and {many[rule.NOT_RUN]} were not run, in profile *{inputs.profile}*. {said}"
    )


def _link(one: Judged) -> str:
    return f"[{one.claim.id}](#{one.claim.id})"


def _under(one: Judged) -> str:
    return f" *({one.first.label.word})*" if one.first.label.word else ""


def holding(found: Sequence[Judged]) -> str:
    """The claims that hold, each with its label, and where another reading says otherwise."""
    lines = []
    for one in found:
        if one.first.verdict == rule.HOLDS:
            apart = [f"{two.reading.name}: {two.verdict}" for two in one.results[1:] if two.verdict != rule.HOLDS]
            more = f" But {'; '.join(apart)}." if apart else ""
            lines.append(f"- {_link(one)}{_under(one)} {one.claim.sentence}{more}")
    return "\n".join(lines) or "None."


def failing(found: Sequence[Judged]) -> str:
    """The claims that do not hold, with the parts that are refuted, and where another reading says otherwise."""
    lines = []
    for one in found:
        if one.first.verdict == rule.FAILS:
            parts = [part for part in one.first.parts if part.word == rule.REFUTED]
            why = "; ".join(map(in_short, parts[:2])) + (f"; and {len(parts) - 2} more" if len(parts) > 2 else "")
            apart = [f"{two.reading.name}: {two.verdict}" for two in one.results[1:] if two.verdict != rule.FAILS]
            more = f" But {'; '.join(apart)}." if apart else ""
            lines.append(f"- {_link(one)}{_under(one)} {one.claim.sentence} **Refuted** {why}.{more}")
    return "\n".join(lines) or "None."


def in_short(part: PartResult) -> str:
    """A part and how far off it is."""
    return f"that {part.part.text} ({_apart(part)})"


def _apart(part: PartResult) -> str:
    if part.evidence is None:
        return "no number"
    if part.evidence.rule == "computed":
        return f"it is {part.evidence.value:.3g}"
    low, high = part.evidence.bounds(rule.ALPHA)
    return f"difference {part.evidence.value:+.3g}, from {low:+.3g} to {high:+.3g}"


def open_ones(found: Sequence[Judged]) -> str:
    """Undecided claims by their reason, and the numbers of those not run."""
    undecided = [one for one in found if one.first.verdict == rule.OPEN]
    so_far = [one for one in undecided if one.first.passes_so_far]
    others = [one for one in undecided if one not in so_far]
    missing = [one for one in found if one.first.verdict == rule.NOT_RUN]
    lines = []
    if so_far:
        lines.append("- Every part that was run passes, but some were not run: " + _listed(so_far) + ".")
    if others:
        lines.append("- Not told apart, or too few trials: " + _listed(others) + ".")
    if missing:
        lines.append(
            "- Not run: " + ", ".join(map(_link, missing)) + ". Each says below what would run it, and for how long."
        )
    return "\n".join(lines) or "None."


def _listed(some: Sequence[Judged]) -> str:
    return ", ".join(f"{_link(one)} ({one.first.evidence})" for one in some)


def unequal(inputs: Sources, found: Sequence[Judged]) -> str:
    """How the methods were not compared on equal terms, and what becomes of a claim where they are."""
    by_id = {one.claim.id: one for one in found}
    tuned = next((one for one in by_id["C14"].results if "tuning" in one.reading.name), None)
    lines = [
        "- Denoising: ApproxGrad's lower step sizes are 10 to 100 times smaller than Penalty's, and its settings stand"
        " in the"
        " code alone."
    ]
    if tuned:
        said = "; ".join(f"{part.part.text}: {part.word} ({_apart(part)})" for part in tuned.parts)
        lines[0] += f" After equal tuning: {said}."
    one_step = _effect(inputs, "approxgrad-one-step")
    lines.append(f"- CIFAR-10: ApproxGrad's script takes one lower step where Penalty's takes 20.{one_step}")
    longer = next((one for one in by_id["C06"].results if "step size" in one.reading.name), None)
    lines.append(
        "- Synthetic examples: RMD takes plain gradient steps at the sizes that the other methods give to Adam."
        + (f" With a lower step size of 0.05 and T = 100 it converges: {longer.verdict}." if longer else "")
    )
    lines.append(
        "- Few-shot learning: the released ApproxGrad moves the encoder by the implicit term of one task of a"
        " meta-batch; heads"
        " are fitted at meta-test by 1e-3 for Penalty and 1e-2 for ApproxGrad."
    )
    lines.append("- Poisoning: RMD's numbers are those its authors published, whole percents; no run of the paper's.")
    return "\n".join(lines)


def released(inputs: Sources) -> str:
    """What the authors' code does that the text does not say, and what it changes."""
    lines = [
        "- The stopping test squares norms twice, so the tolerance is met early."
        + _effect(inputs, "penalty-test-power-2") + f" {told.stopping(inputs)}",
        "- RMD's reverse pass leaves out the first lower step: at T = 1 it is plain gradient descent on f.",
        "- The published curve of ApproxGrad on example 3 fits a distance measured with the wrong block of the matrix.",
        "- Adam's moments of an importance belong to a place in the minibatch, not to the example."
        + _effect(inputs, "penalty-moments-example"),
        "- Importances are rescaled after every epoch." + _effect(inputs, "penalty-not-renormalised"),
        "- On SVHN the last minibatch is counted as full: accuracies are printed as their 0.99359 part.",
        "- Dropout is listed and, as far as reading tells, never active in bilevel training.",
        "- Few-shot: batch norm takes the statistics of the queries it is asked about.",
        "- The targeted poisoning by ApproxGrad has a stray bracket and does not run.",
    ]  # fmt: skip
    return "\n".join(lines)


def _effect(inputs: Sources, variant: str) -> str:
    """What a quirk changes in points of test accuracy, "" where the profile does not have it."""
    if variant not in has(inputs, "quirks"):
        return ""
    apart = quirk(inputs, variant)
    if apart is None:
        return ""
    if is_idle(apart):
        return " Changing it alone: no trial moves within this budget."
    return f" Changing it alone: {interval(apart, 2)} points of test accuracy."
