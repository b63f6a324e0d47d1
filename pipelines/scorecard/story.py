"""The story in one page for a hurried reader: what is compared, what holds, what does not and why, what was unequal, what
the released code does.

Every number is read from the records, every verdict is the rule's. What the authors' code does is written down here, since
it was found by reading it; what it changes is said from the experiments, where a profile has them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines import told
from pipelines.denoising.told import effect
from pipelines.scorecard import rule
from pipelines.scorecard.card import Judged, said_counts, standings, to_run
from pipelines.scorecard.reasons import because, decided
from pipelines.sources import Sources

ABOUT = (
    "The paper is *Penalty Method for Inversion-Free Deep Bilevel Optimization* (A. Mehra and J. Hamm, ACML 2021). An upper"
    " variable u is chosen so that a cost f is small where a lower variable v, trained by T steps for each one of u, solves"
    " a problem g that depends on u. **Penalty**, the paper's method, adds γ/2 |∇g|² to f instead of solving for v. Its"
    " rivals are **ApproxGrad**, which solves a linear system for the gradient in u, **RMD**, which goes back through the T"
    " steps, and **GD**, which leaves out that v depends on u."
)
WORDS = {rule.PASSES: "confirmed", rule.REFUTED: "refuted", rule.OPEN: "not told apart"}
"""Of a lead."""
CUT = "†"
"""Marks a claim whose verdict rests on less than the paper's budget or data."""
READING = (
    "How to read on: a claim is a list of comparisons. It **holds** where every one of them passes at"
    f" {1 - rule.ALPHA:.0%}, and **does not hold** where one is refuted; it is **undecided** where the trials do not tell,"
    " or a comparison was not run. A claim of many comparisons asks more of each refutation, so it may be undecided where"
    " one of them by itself does not hold. *Needed* is what the claim says of one comparison (± is a margin there), *here*"
    " what came out, *published* what the paper prints (± is the s.d. over trials in both). \"From ... to\" are one-sided"
    f" bounds, each by itself at {1 - rule.ALPHA:.0%}: together a {1 - 2 * rule.ALPHA:.0%} interval. A verdict is by the"
    " settings of the released code, where another reading (the text's rules, a longer budget, equal tuning) is not named."
    " [The words](#words) and [the rule](#rule) stand at the end."
)


def story(inputs: Sources, found: Sequence[Judged]) -> str:
    """The whole, as Markdown."""
    return "\n\n".join(
        [
            ABOUT, summary(inputs, found), overview(found), READING,
            "### What holds", holding(inputs, found),
            "### What does not hold", failing(inputs, found),
            "### What is undecided, and what was not run", open_ones(inputs, found),
            "### What was unequal in the comparison", unequal(inputs, found),
            "### What we found in the released code", released(inputs),
        ]
    )  # fmt: skip


def summary(inputs: Sources, found: Sequence[Judged]) -> str:
    """The count of verdicts, and what a budget means for them."""
    said = {
        "embedded": "Nothing here was computed on the paper's image data: what stands in for them is said at every verdict.",
        "cpu": "The synthetic examples are at the paper's full scale; images are the paper's where no part or stand-in"
        " is named, and their budgets are cut, which is said at every verdict: a short budget can turn the order of two"
        " methods.",
        "paper": "Budgets are the paper's, but where a verdict says otherwise.",
    }[inputs.profile]
    return f"{said_counts(standings(found))} This is profile *{inputs.profile}*. {said}"


def overview(found: Sequence[Judged], page: str = "") -> str:
    """The numbers of the claims by part of the paper and verdict, as a table in Markdown, those marked whose budget is cut;
    `page`: the address of the scorecard."""
    cut = {one.id for one in standings(found) if one.is_cut}
    lines = ["| part of the paper | " + " | ".join(rule.VERDICTS) + " |", "|:--" * (len(rule.VERDICTS) + 1) + "|"]
    for section in dict.fromkeys(one.claim.section for one in found):
        cells = [
            ", ".join(
                _link(one, page) + CUT * (one.claim.id in cut)
                for one in found if (one.claim.section, one.first.verdict) == (section, verdict)
            )
            for verdict in rule.VERDICTS
        ]  # fmt: skip
        lines.append(f"| {section} | " + " | ".join(cell or "-" for cell in cells) + " |")
    if cut:
        lines += ["", f"{CUT} at a cut budget, on a part of the data or on other data: no verdict on the paper."]
    return "\n".join(lines)


def _link(one: Judged, page: str = "") -> str:
    return f"[{one.claim.id}]({page}#{one.claim.id})"


def _head(one: Judged) -> str:
    """Number, part of the paper, budget, sentence."""
    under = ", ".join(filter(None, (one.claim.section, one.first.label.word)))
    return f"- {_link(one)} *({under})* {one.claim.sentence}"


def _others(one: Judged) -> str:
    """The readings whose verdict is another."""
    apart = [f"{two.reading.name}: {two.verdict}" for two in one.results[1:] if two.verdict != one.first.verdict]
    return f" But {'; '.join(apart)}." if apart else ""


def _upper(text: str) -> str:
    """With a capital at the start."""
    return text[:1].upper() + text[1:]


def _remark(one: Judged) -> str:
    """What a reader should know before believing the verdict."""
    return f" {one.claim.remark}" if one.claim.remark else ""


def holding(inputs: Sources, found: Sequence[Judged]) -> str:
    """The claims that hold, each with a comparison it rests on, and where another reading says otherwise."""
    lines = []
    for one in found:
        if one.first.verdict == rule.HOLDS:
            why, count = because(inputs, one.first.deciding[0]), len(one.first.parts)
            many = f"All {count} comparisons pass; the first" if count > 1 else "Its one comparison passes;"
            lines.append(f"{_head(one)} {many} {why}.{_others(one)}{_remark(one)}")
    return "\n".join(lines) or "None."


def failing(inputs: Sources, found: Sequence[Judged]) -> str:
    """The claims that do not hold, with a comparison that is refuted, and where another reading says otherwise."""
    lines = [
        f"{_head(one)} **Refuted.** {_upper(decided(inputs, one.first))}.{_others(one)}{_remark(one)}"
        for one in found if one.first.verdict == rule.FAILS
    ]  # fmt: skip
    return "\n".join(lines) or "None."


def open_ones(inputs: Sources, found: Sequence[Judged]) -> str:
    """Undecided claims with the reason, and those not run with what would run them."""
    lines = []
    for one in found:
        if one.first.verdict == rule.OPEN and one.first.passes_so_far:
            rest = to_run(inputs, one.first).said
            lines.append(f"{_head(one)} **Passes so far:** {one.first.evidence}; {rest}.{_others(one)}{_remark(one)}")
        elif one.first.verdict == rule.OPEN:
            lines.append(f"{_head(one)} **Open.** {_upper(decided(inputs, one.first))}.{_others(one)}{_remark(one)}")
    for one in found:
        if one.first.verdict == rule.NOT_RUN:
            lines.append(f"{_head(one)} **Not run:** {to_run(inputs, one.first).said}.{_others(one)}{_remark(one)}")
    return "\n".join(lines) or "None."


def unequal(inputs: Sources, found: Sequence[Judged]) -> str:
    """How the methods were not compared on equal terms, and what becomes of a claim where they are."""
    by_id = {one.claim.id: one for one in found}
    tuned = [(one.reading.name, part) for one in by_id["C14"].results if "tuning" in one.reading.name for part in one.parts]
    lines = [
        "- Denoising: ApproxGrad's lower step sizes are 10 to 100 times smaller than Penalty's, and its settings stand"
        " in the"
        " code alone."
    ]
    if tuned:
        lines[0] += " Penalty's lead (claim C14) after equal tuning:"
        lines += [
            f"    - {name}: *{WORDS.get(part.word, part.word)}*. {_upper(because(inputs, part))}." for name, part in tuned
        ]
    one_step = effect(inputs, "approxgrad-one-step")
    lines.append(f"- CIFAR-10: ApproxGrad's script takes one lower step where Penalty's takes 20.{one_step}")
    longer = [one for one in by_id["C06"].results if "step size" in one.reading.name]
    lines.append(
        "- Synthetic examples: RMD takes plain gradient steps at the sizes that the other methods give to Adam."
        + "".join(f" That it converges at T = 100 (claim C06), {one.reading.name}: {one.verdict}." for one in longer)
    )
    lines.append(
        "- Few-shot learning: the released ApproxGrad moves the shared layers by the second-order term of one task alone of"
        " those of an upper step; a new task's last layer is fitted with step size 1e-3 for Penalty and 1e-2 for ApproxGrad."
    )
    lines.append("- Poisoning: RMD's numbers are those its authors published, whole percents; no run of the paper's.")
    return "\n".join(lines)


def released(inputs: Sources) -> str:
    """What the authors' code does that the text does not say, and what it changes."""
    lines = [
        "- The stopping test squares norms twice, so the tolerance is met early."
        + effect(inputs, "penalty-test-power-2"),
        f"- Further rules of the code differ from the text's. {told.stopping(inputs)}",
        "- RMD's reverse pass leaves out the first lower step: at T = 1 it is plain gradient descent on f.",
        "- The published curve of ApproxGrad on example 3 fits a distance measured with the wrong block of the matrix.",
        "- Adam's moments of an importance belong to a place in the minibatch, not to the example."
        + effect(inputs, "penalty-moments-example"),
        "- Importances are rescaled after every epoch." + effect(inputs, "penalty-not-renormalised"),
        "- On SVHN the last minibatch is counted as full: accuracies are printed as their 0.99359 part.",
        "- Dropout is listed and, as far as reading tells, never active in bilevel training.",
        "- Few-shot: batch norm takes the statistics of the queries it is asked about.",
        "- The targeted poisoning by ApproxGrad has a stray bracket and does not run.",
    ]  # fmt: skip
    return "\n".join(lines)
