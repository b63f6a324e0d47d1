"""The page `scorecard`: the story, the claims by verdict, and the rule. One file without a script: choosing verdicts and
sections is done by radio buttons and style alone, so that it works from disk and prints whole."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipelines import records, tracking
from pipelines.denoising.rows import tuned
from pipelines.scorecard import rule
from pipelines.scorecard.card import LAST, RULE, Judged, counts, judged, to_run
from pipelines.scorecard.claim import PartResult
from pipelines.scorecard.quantities import CellName, Limit, Quantity
from pipelines.scorecard.reasons import amount, called, needed, outcome, why
from pipelines.scorecard.story import story
from pipelines.sources import MADE_BY, REPORTS, Sources

NAME, TITLE = "scorecard", "Scorecard"
SHOWN = 3
"""Parts, records and commands of a claim that are shown; tables have all."""
ALL = "all"
PARTS = "../tables/claim-parts.md"
TRAIN = "python -m pipelines.train {family} {profile} {cell}"


def slug(text: str) -> str:
    """A name for a class: "does not hold" -> "does-not-hold"."""
    return "-".join(text.lower().split())


def body(inputs: Sources, markdown: object) -> str:
    """The page without its frame. `markdown`: text -> HTML."""
    assert callable(markdown)
    found = judged(inputs)
    return "\n".join(
        [
            f"<h1>{TITLE}: what of this paper holds</h1>",
            f'<div class="story">{markdown(story(inputs, found))}</div>',
            "<h2>The claims</h2>",
            claims(inputs, found),
            '<h2 id="rule">The rule</h2>',
            f"<p>{html.escape(RULE)} In full: <code>pipelines/scorecard/rule.py</code>; every comparison with its bounds:"
            f" {_link(PARTS, 'claim-parts')} ({_link(PARTS.replace('.md', '.csv'), 'numbers')}).</p>",
            labels(),
        ]
    )


def labels() -> str:
    """What the words on the page mean: those beside a verdict, and those in the claims."""
    beside = {
        "full budget": "the paper's iterations, trials' settings and data",
        "cut budget": "the paper's data, fewer iterations or training images",
        "a part of the data": "some of the paper's data set, never called by its name",
        "stand-in data": "other data in the place of the paper's",
        "timed here": "seconds of one machine: orders and ratios alone are judged",
        "computed": "no network is trained: numbers of small problems in float64, some of them means over starts, held"
        " against a limit as they stand, without confidence bounds",
    }
    used = {
        "C": f"claims of the paper up to {LAST}; those after it are of other works, named beside each claim",
        "S": "claims of the slides <i>Bilevel Optimization: Convergence Analysis and Enhanced Design</i> (K. Ji, J. Yang,"
        " Y. Liang, 2021), in short the stocBiO slides",
        "N, the note": "<i>Learning to Reweight and Bilevel Optimization</i> by Sixu Li, a text on this paper of which"
        " no address is known; claim C43 is of it too",
        "T": "steps in v for each one in u",
        "γ, γ₀": "the weight of the penalty, and where it starts; it grows while it runs",
        "λ, λ₀": "the share of g that is added to the steps in v, and where it starts; it shrinks while it runs",
        "ν": "the multiplier of an augmented Lagrangian, beside the penalty",
        "ρ": "the step size in v",
        "by the text's rules": "what the text says where the released code does otherwise; its preset is called described",
        "Val-only, Train+Val, Oracle": "training on the clean validation set, on it and all noisy labels, and on the right"
        " labels",
        "hypergradient": "df/du along the lower solution v*(u)",
        "poisons": "points added to the training data to do harm: untargeted, to the accuracy; targeted, that eights be read"
        " as threes; clean-label, one image with its right label for one target",
        "McNemar": "two shares of the same cases are compared by the cases of which they say different things",
    }  # fmt: skip
    parts = []
    for title, some, anchor in (("The words beside a verdict", beside, ' id="words"'), ("Words in the claims", used, "")):
        rows = "".join(f"<dt>{word}</dt><dd>{text}</dd>" for word, text in some.items())
        parts.append(f'<h3{anchor}>{title}</h3><dl class="words">{rows}</dl>')
    return "\n".join(parts)


def claims(inputs: Sources, found: Sequence[Judged]) -> str:
    """The buttons and the list."""
    many, sections = counts(found), list(dict.fromkeys(one.claim.section for one in found))
    verdicts = [(ALL, f"all {len(found)}"), *((word, f"{word} ({count})") for word, count in many.items())]
    parts = ['<section class="claims">', style(sections)]
    parts += _buttons("verdict", "v", verdicts)
    parts += _buttons("section", "s", [(ALL, "the whole paper"), *((one, one) for one in sections)])
    # by verdict, then by number
    order = {word: place for place, word in enumerate(rule.VERDICTS)}
    ordered = sorted(found, key=lambda one: order[one.first.verdict])
    parts += ['<div class="list">', *(card(inputs, one) for one in ordered), "</div>", "</section>"]
    return "\n".join(parts)


def _buttons(name: str, short: str, choices: Iterable[tuple[str, str]]) -> list[str]:
    lines = []
    for value, text in choices:
        checked = " checked" if value == ALL else ""
        identity = f"{short}-{slug(value)}"
        lines.append(f'<input type="radio" name="{name}" id="{identity}"{checked}><label for="{identity}">{text}</label>')
    return [*lines, '<span class="break"></span>']


def style(sections: Sequence[str]) -> str:
    """A rule for each button: it hides the claims of others."""
    names = [("v", word) for word in rule.VERDICTS] + [("s", section) for section in sections]
    rules = "".join(
        f"#{name}:checked ~ .list > .claim:not(.{name}) {{ display: none; }}\n"
        for name in (f"{kind}-{slug(word)}" for kind, word in names)
    )
    return f"<style>\n@media screen {{\n{rules}}}\n</style>"


def card(inputs: Sources, one: Judged) -> str:
    """One claim."""
    claim, first = one.claim, one.first
    parts = [
        f'<article class="claim v-{slug(first.verdict)} s-{slug(claim.section)}" id="{claim.id}">',
        f'<p class="verdict"><b class="is-{slug(first.verdict)}">{first.verdict}</b>{_label(first.label.word)}'
        f'<span class="place">{html.escape(claim.place)}</span></p>',
        f"<h3>{claim.id}: {html.escape(claim.sentence)}</h3>",
    ]
    if first.label.said and first.verdict != rule.NOT_RUN:
        parts.append(f"<p>Basis: {html.escape(first.label.said)}. {html.escape(first.evidence)}.{_trouble(one)}</p>")
    if first.deciding:
        parts.append(_evidence(inputs, first.deciding))
    run = to_run(inputs, first)
    if run.said:
        word = "Not run" if first.verdict == rule.NOT_RUN else "To run the rest"
        parts.append(f"<p>{word}: {_code(run.said)}.</p>")
    others = [
        f"<li>{html.escape(two.reading.name)}: <b>{two.verdict}</b>{_label(two.label.word)} {html.escape(two.evidence)}"
        f"{html.escape(why(inputs, two))}</li>"
        for two in one.results[1:]
    ]
    if others:
        parts.append(f"<p>Other readings:</p><ul>{''.join(others)}</ul>")
    if one.paper[0]:
        note = f" ({html.escape(one.paper[1])})" if one.paper[1] else ""
        parts.append(f"<p>The paper's own numbers, by the same rule: {one.paper[0]}{note}.</p>")
    if claim.remark:
        parts.append(f"<p>{html.escape(claim.remark)}</p>")
    parts.append(_links(inputs, one))
    return "\n".join([*parts, "</article>"])


def _label(word: str) -> str:
    return f' <span class="label">{word}</span>' if word else ""


def _trouble(one: Judged) -> str:
    return f' <b class="trouble">{one.trouble}</b>.' if one.trouble else ""


def _code(text: str) -> str:
    """Escaped, with what stands between backticks as code."""
    pieces = html.escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces))


def _evidence(inputs: Sources, deciding: Sequence[PartResult]) -> str:
    """The parts that decided, and the numbers they are made of, the published beside ours."""
    items = [
        f"<li>{html.escape(needed(inputs, part))}. Here {html.escape(outcome(part))}: <b>{part.word}</b>{_how(part)}</li>"
        for part in deciding[:SHOWN]
    ]
    if len(deciding) > SHOWN:
        items.append(f'<li>and {len(deciding) - SHOWN} more: {_link(PARTS, "claim-parts")}</li>')
    terms = [term for part in deciding[:SHOWN] for _, term in part.part.terms if not isinstance(term, Limit)]
    rows = "".join(_row(inputs, term) for term in dict.fromkeys(terms))
    table = f"<table><thead><tr><th></th><th>ours</th><th>published</th></tr></thead><tbody>{rows}</tbody></table>"
    return f"<ul>{''.join(items)}</ul>{table}"


def _how(part: PartResult) -> str:
    if part.trials is None or part.evidence is None:
        return ""
    return f" <small>({html.escape(part.evidence.rule)}, {part.trials} trials)</small>"


def _row(inputs: Sources, term: Quantity) -> str:
    mine, theirs = term.ours(inputs), term.theirs()
    cells = [html.escape(called(inputs, term))]
    for one in (mine, theirs):
        if one is None:
            cells.append("-")
            continue
        text = amount(one)
        if one.estimate.sd is None and not one.exact and one is not mine:
            text += ", without spread"
        many = f" (n = {one.estimate.n})" if one.estimate.n else ""
        cells.append(text.replace(" ± ", "\u00a0±\u00a0") + many)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _tables(inputs: Sources, one: Judged) -> list[str]:
    """The claim's tables, those of equal tuning where further readings are of it."""
    return list(dict.fromkeys([*one.claim.tables, *(tuned(inputs) if one.claim.more is not None else [])]))


def _links(inputs: Sources, one: Judged) -> str:
    """Table, figure, page, records, runs, and the command that makes them again."""
    groups = {
        "Tables": _drawn(inputs, "tables", [f"{name}.md" for name in _tables(inputs, one)]),
        "Figures": _drawn(inputs, "figures", [f"{name}.png" for name in one.claim.figures]),
        "Page": [_link(f"{one.claim.page}.html", one.claim.page)] if one.claim.page else [],
    }
    cells = [
        cell for result in one.results for part in result.parts if part.word != rule.NOT_RUN
        for _, term in part.part.terms for cell in term.cells
    ]  # fmt: skip
    cells = list(dict.fromkeys(cells))
    files = dict.fromkeys(
        term.source for result in one.results for part in result.parts if part.word != rule.NOT_RUN
        for _, term in part.part.terms if term.source and not term.cells and not term.source.startswith("published")
    )  # fmt: skip
    results = os.path.relpath(records.RESULTS / inputs.profile, REPORTS / inputs.profile / "pages")
    groups["Records"] = [_record(inputs, cell) for cell in cells[:SHOWN]]
    groups["Records"] += [_link(f"{results}/{name}", name) for name in files]
    groups["MLflow"] = [f"{tracking.experiment_of(family, parts[0])} / {'-'.join(parts)}" for family, parts in cells[:SHOWN]]
    commands = [
        TRAIN.format(family=family, profile=inputs.profile, cell=" ".join(parts)) for family, parts in cells[:SHOWN]
    ]
    commands += [_made_by(inputs, name) for name in files]
    groups["Command"] = [f"<code>{html.escape(command)}</code>" for command in commands]
    more = len(cells) - SHOWN
    for name in ("Records", "MLflow", "Command"):
        if more > 0:
            groups[name].append(f"and {more} more cells" if name != "Command" else f"or all: <code>make repro"
            f" PROFILE={inputs.profile}</code>")
    items = [f"<dt>{name}</dt><dd>{'; '.join(held)}</dd>" for name, held in groups.items() if held]
    return f'<dl class="links">{"".join(items)}</dl>'


def _drawn(inputs: Sources, kind: str, names: Sequence[str]) -> list[str]:
    """Links to what was drawn; a profile without an experiment has not its table."""
    there = REPORTS / inputs.profile / kind
    return [_link(f"../{kind}/{name}", name.partition(".")[0]) for name in names if (there / name).exists()]


def _link(to: str, text: str) -> str:
    return f'<a href="{html.escape(to)}">{html.escape(text)}</a>'


def _record(inputs: Sources, cell: CellName) -> str:
    family, parts = cell
    folder = records.cell_folder(inputs.profile, family, *parts)
    to = os.path.relpath(folder / "metrics.json", REPORTS / inputs.profile / "pages")
    return _link(Path(to).as_posix(), f"{family}/{'-'.join(parts)}")


def _made_by(inputs: Sources, name: str) -> str:
    family, _, file = name.partition("/")
    pattern = MADE_BY.get(file.removesuffix(".json") if family == "theory" else file, "make repro PROFILE={profile}")
    return pattern.format(family=family, profile=inputs.profile)
