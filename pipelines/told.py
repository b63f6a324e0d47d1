"""Sentences of the pages, made from the numbers: what agrees with the paper, what does not, and what is known of why.

A cause is named only beside numbers that differ, and only where it is one that was established; what is left
over is said to have no known cause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines import accuracies, comparison, published
from pipelines.denoising import efforts, further, setting
from pipelines.denoising.rows import WORDS, has
from pipelines.layout import Table, listed, number, plus_minus, printed
from pipelines.published import LABELS
from pipelines.scorecard import card
from pipelines.scorecard.reasons import why
from pipelines.sources import Sources

Row = Mapping[str, Any]


def rows(table: Table) -> list[Row]:
    """The rows of a table, as numbers."""
    return [{str(key): held for key, held in row.items()} for row in table.numbers.to_dict("records")]


def panel(row: Row) -> str:
    """A panel's name."""
    if "lambda_0" in row:
        return f"λ₀ = {row['lambda_0']:g} {row['nu']} ν, T = {row['T']}"
    return f"example {row['example']}, T = {row['T']}, {row['method']}"


def panels(table: Table, preset: str) -> str:
    """How many panels agree under a preset, and each that does not, with its numbers."""
    all_rows = rows(table)
    verdicts = [row[f"{preset} verdict"] for row in all_rows]
    if comparison.NOT_COMPARABLE in verdicts:
        return f"Preset *{preset}*: the budget is cut, so the end points cannot be compared with the paper's."
    judged = [row for row, verdict in zip(all_rows, verdicts, strict=True) if verdict != comparison.NOT_PUBLISHED]
    others = [row for row in judged if row[f"{preset} verdict"] != comparison.AGREES]
    chance = (1 - comparison.CONFIDENCE) * len(judged)
    text = (
        f"Preset *{preset}*: **{len(judged) - len(others)} of {len(judged)}** panels end where the"
        f" paper's do, by the 95% interval of the difference. Were all equal, about {chance:.1f} would still"
        " fall outside."
    )
    if not others:
        return text
    lines = [
        f"- {panel(row)}: ours {_ours(row, preset)}, the paper's {number(row['paper mean'])}"
        for row in others
    ]
    return "\n".join([text, "", "These do not:", "", *lines])


def _ours(row: Row, preset: str) -> str:
    if not _known(row[f"{preset} mean"]):
        return "diverged in all trials"
    apart, width = row[f"{preset} difference"], row[f"{preset} half width"]
    return f"{number(row[f'{preset} mean'])} (difference {'+' if apart >= 0 else ''}{number(apart)} ± {number(width)})"


def transients(table: Table, preset: str) -> str:
    """How far apart the mean curves are on the way."""
    key = f"{preset} largest gap"
    known = sorted((row for row in rows(table) if _known(row[key])), key=lambda row: row[key])
    if not known:
        return ""
    middle, worst = known[len(known) // 2], known[-1]
    return (
        f"On the way, the largest gap between our mean curve and the paper's is {number(middle[key])} in the median"
        f" panel, and {number(worst[key])} in the worst one ({panel(worst)})."
    )


def _known(value: Any) -> bool:
    """Whether a cell of a table holds a number: pandas makes NaN of None in a column of numbers."""
    return value is not None and value == value


CAUSES: tuple[tuple[Callable[[Row], bool], str], ...] = (
    (
        lambda row: _known(row.get("released by first block verdict")),
        "The published curves end where ours do when the distance is measured with the first block of the matrix"
        " in the place of the second, while the costs keep both: level and spread, at every T. Measured so, a part of"
        " the null space counts, where the start of v stays. So these curves look mismeasured, and the method works.",
    ),
    (
        lambda row: row["example"] in ("3", "4"),
        "Examples 3 and 4 depend on a random matrix. The authors' code draws one for all trials of a method"
        " and does not record it, so each published panel is one draw; ours are means over twenty. The"
        " interval allows for this as far as our own draws show it.",
    ),
    (
        lambda row: row["method"] == "RMD" and row["example"] == "2",
        "RMD on example 2 swings widely for as long as it runs. Where a swinging curve stands at one given"
        " iteration is a matter of its phase, and small differences of the starts move it.",
    ),
)
"""(which panels, what is known of them); the first that fits is given."""


def causes(tables: Sequence[Table], preset: str) -> str:
    """What is known of the panels that differ, one paragraph for each cause, and those without one."""
    found: dict[str, list[str]] = {}
    for row in (row for table in tables for row in rows(table)):
        if row[f"{preset} verdict"] == comparison.DIFFERS:
            cause = next((text for fits, text in CAUSES if fits(row)), "")
            found.setdefault(cause, []).append(panel(row) + _otherwise(row, preset))
    if not found:
        return "No panel differs, so there is nothing to explain."
    lines = [f"- {text} ({'; '.join(names)})" for text, names in found.items() if text]
    if "" in found:
        lines.append(f"- No cause is known for: {'; '.join(found[''])}.")
    return "\n".join(lines)


def _otherwise(row: Row, preset: str) -> str:
    """What another measure, or the other preset, gives in a panel that differs."""
    said = []
    if _known(row.get(f"{preset} by first block mean")):
        mean, spread = row[f"{preset} by first block mean"], row[f"{preset} by first block sd"]
        verdict, paper = row[f"{preset} by first block verdict"], row["paper mean"]
        said.append(f"measured so {number(mean)} ± {number(spread)}, the paper's {number(paper)}: {verdict}")
    for name in (key.removesuffix(" verdict") for key in row if key.endswith(" verdict") and "block" not in key):
        if name != preset and row[f"{name} verdict"] == comparison.AGREES:
            said.append(f"preset *{name}* agrees, {number(row[f'{name} mean'])}")
    return f" ({'; '.join(said)})" if said else ""


def judged(inputs: Sources, *ids: str) -> str:
    """These claims in words, with all their readings; how they are judged, and the others: the scorecard."""
    lines = []
    for one in card.judged(inputs):
        if one.claim.id in ids:
            lines.append(f"- **{one.claim.id}** {one.claim.sentence}")
            for result in one.results:
                under = f", {result.label.word}" if result.label.word else ""
                reason = why(inputs, result)
                lines.append(f"    - {result.reading.name}: **{result.verdict}** ({result.evidence}{under}){reason}")
    return "\n".join([*lines, "", "All claims, with the comparisons they rest on: [scorecard](scorecard.html)."])


def times(table: Table) -> str:
    """The order of the methods' times against the paper's."""
    known = [row for row in rows(table) if row["order"]]
    counts = {
        verdict: [row for row in known if row["order"] == verdict]
        for verdict in (comparison.SAME, comparison.OTHER, comparison.OPEN, comparison.TIED)
    }
    text = (
        f"Against Penalty, one trial at a time, **{len(counts[comparison.SAME])} of {len(known)}** rows are"
        f" ordered as in the paper; {len(counts[comparison.OTHER])} are ordered the other way,"
        f" {len(counts[comparison.OPEN])} are not settled, {len(counts[comparison.TIED])} are tied in the"
        " paper itself."
    )
    others = [
        f"{panel(row)} ({number(row['one trial ratio'])}, the paper's {number(row['paper ratio'])})"
        for row in counts[comparison.OTHER]
    ]
    return f"{text} The other way: {'; '.join(others)}." if others else text


def gains(inputs: Sources) -> str:
    """Penalty against ApproxGrad, data set by data set, beside the paper's margin."""
    lines = []
    for data in inputs.params["denoising"]["data"]:
        mine, other = inputs.accuracy(data, "penalty"), inputs.accuracy(data, "approxgrad")
        if mine.mean is None or other.mean is None:
            lines.append(f"- {data}: a method diverged in all trials")
            continue
        apart = comparison.difference(mine, other)
        word = WORDS[apart.sign]
        there = (
            accuracies.published_of(data, "penalty")[0].mean
            - accuracies.published_of(data, "approxgrad")[0].mean
        )
        source, noise = accuracies.source_of(data)
        lines.append(
            f"- {data}: Penalty is {word} ApproxGrad, by {apart.value:.2f} ± {apart.half_width:.2f} points;"
            f" the paper's margin on {source.upper()} with {noise:g}% noise is {there:.2f}"
        )
    return "\n".join(lines)


def budgets(inputs: Sources) -> str:
    """How each data set's budget differs from the paper's, and that of the experiments beside other works."""
    lines = []
    for data in inputs.params["denoising"]["data"]:
        methods = inputs.params["denoising"]["methods"]
        cuts = [cut for method in methods for cut in accuracies.cuts_of(inputs, data, method)]
        said = listed(comparison.said(cuts)) if cuts else "the paper's budget"
        lines.append(f"- {data}: {said}")
    block = inputs.params["denoising"]
    for experiment in efforts.UNEQUAL:
        said = setting.cuts(inputs, experiment)
        if said:
            held = [block["cells"][experiment][one] for one in has(inputs, experiment)]
            batches = listed([f"{batch:,}" for batch in sorted({one["batch"] for one in held})])
            lines.append(f"- {further.title_of(experiment)} ({experiment}): {said}; minibatches of {batches}")
    return "\n".join(lines)


def importances(inputs: Sources) -> str:
    """What the learned importances say of the labels."""
    lines = []
    for data in inputs.params["denoising"]["data"]:
        for method in ("penalty", "approxgrad"):
            found = inputs.cell("denoising", data, method)["summary"].get("importances")
            if not found or found["area under ROC"]["mean"] is None:
                continue
            clean, corrupted, area = (
                found[name]["mean"] for name in ("mean of clean", "mean of corrupted", "area under ROC")
            )
            lines.append(
                f"- {data}, {LABELS[method]}: mean importance {number(clean)} of clean and"
                f" {number(corrupted)} of corrupted examples; area under the ROC curve {number(area, 3)}"
            )
    return "\n".join(lines)


def optimism(inputs: Sources) -> str:
    """What picking the iterate on the test set would have added."""
    gaps = {
        (data, method): best.mean - last.mean
        for data in inputs.params["denoising"]["data"]
        for method in inputs.params["denoising"]["methods"]
        for best, last in [(inputs.accuracy(data, method, "best on test"), inputs.accuracy(data, method))]
        if best.mean is not None and last.mean is not None
    }
    if not gaps:
        return ""
    (data, method), most = max(gaps.items(), key=lambda item: item[1])
    return (
        f"Picking the iterate on the test set would add up to {most:.2f} points ({data},"
        f" {LABELS[method]}). The paper prints the test accuracy every epoch and does not say"
        f" which epoch its table reports.{_easier(inputs)}"
    )


def _easier(inputs: Sources) -> str:
    """How far the accuracy on the selection split lies from that on the test set, at the last iterate."""
    gaps = []
    for data in inputs.params["denoising"]["data"]:
        for method in inputs.params["denoising"]["methods"]:
            curves = inputs.cell("denoising", data, method)["curves"]
            if curves["iteration"]:
                selection, test = (curves[f"{split} accuracy"]["mean"][-1] for split in ("selection", "test"))
                gaps.append(selection - test)
    if not gaps or min(gaps) < 0 < max(gaps):
        return ""
    low, high = sorted(map(abs, (min(gaps), max(gaps))))
    easier, what = ("easier", "above") if gaps[0] > 0 else ("harder", "below")
    return (
        f" The selection split is {easier} than the test set: at the last iterate the accuracy on it lies {low:.1f} to"
        f" {high:.1f} points {what}. So it serves to choose by, and its accuracies are never shown as results."
    )


def stopping(inputs: Sources, example: str = "ex1", steps: int = 10) -> str:
    """Where Penalty ends under each preset; they differ in several settings, the stopping test one of them, so that no
    single one of them explains the ends."""
    value = published.value(f"fig12-{example}-T{steps}-penalty")
    ends = [
        f"{plus_minus(inputs.distance(example, 'penalty', preset, steps))} under preset *{preset}*"
        for preset in inputs.params["synthetic"]["presets"]
    ]
    where = f"On example {example[2:]} at T = {steps} Penalty ends"
    several = ", which differ in several settings, not in the stopping test alone" if len(ends) > 1 else ""
    return f"{where} at {listed(ends)}{several}; the paper's figure shows {printed(value)}."
