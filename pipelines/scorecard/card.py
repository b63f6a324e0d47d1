"""All claims of a profile, judged: the tables `claims`, a row for each claim, and `claim-parts`, a row for each
comparison."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from pipelines import budget, planning, settings
from pipelines.layout import Table
from pipelines.records import significant
from pipelines.scorecard import claim as claims
from pipelines.scorecard import rule
from pipelines.scorecard.claim import Claim, Result
from pipelines.scorecard.declared import CLAIMS
from pipelines.scorecard.quantities import CellName, NotBuilt
from pipelines.sources import Sources

RULE = (
    "Each claim is a list of comparisons, its parts."
    f" It holds where the lower {1 - rule.ALPHA:.0%} confidence bound of every part passes; it"
    f" does not hold where a part is refuted at {rule.ALPHA:g} over the number of parts (Holm's steps); else, and"
    f" where a part was not run, it is undecided. Bounds are one-sided, each by itself at {1 - rule.ALPHA:.0%}, so that"
    f" \"from ... to\" is a {1 - 2 * rule.ALPHA:.0%} interval: Student's t at every number of trials, of paired differences"
    " where seeds are shared, else Welch's; Wilson's of a share of cases, McNemar's exact test of two shares of the same"
    " cases; equivalence with the margin that the claim states."
    f" No verdict from fewer than {rule.LEAST} trials. A trial that diverged counts as the worst"
    " value there is; a missing one is left out, and said. A published mean is as wide as its own spread and trials say; one"
    " without is taken as it stands."
)
LAST = "C38"
"""The last claim of the list that is the paper's; those after it, and all of S and N, are of other works."""
FIRM = {budget.FULL: "at full budget", budget.COMPUTED: "computed", budget.TIMED: "timed here"}
"""Labels under which a verdict is one on the paper, and how they are read."""
VERBS = {
    rule.HOLDS: ("holds", "hold"), rule.FAILS: ("does not hold", "do not hold"),
    rule.OPEN: ("is undecided", "are undecided"), rule.NOT_RUN: ("was not run", "were not run"),
}  # fmt: skip
"""Verdict -> what is said of one claim, and of several."""


class Standing(NamedTuple):
    """Where a claim stands: its number, its verdict, and the label that stands beside it ("-" or "" for none)."""

    id: str
    verdict: str
    under: str

    @property
    def is_the_papers(self) -> bool:
        """Whether the paper claims it."""
        return self.id.startswith("C") and self.id <= LAST

    @property
    def is_cut(self) -> bool:
        """Whether the budget or the data fall short of the paper's, so that the verdict is none on the paper."""
        return self.under not in (*FIRM, budget.NONE, "-")


def standings(found: Iterable[Judged]) -> list[Standing]:
    """Of all claims."""
    return [Standing(one.claim.id, one.first.verdict, one.first.label.word) for one in found]


def standings_in(text: str) -> list[Standing]:
    """The same out of the drawn table `claims.csv`."""
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("#")]
    return [Standing(row["id"], row["verdict"], row["under"]) for row in csv.DictReader(lines)]


def said_counts(some: Sequence[Standing]) -> str:
    """How many claims have each verdict, the paper's apart from those of other works, and how many of those that are settled
    rest on a cut budget."""
    papers = [one for one in some if one.is_the_papers]
    others = [one for one in some if not one.is_the_papers]
    said = []
    for verdict in rule.VERDICTS:
        these = [one for one in papers if one.verdict == verdict]
        words = f"{len(these)} {VERBS[verdict][len(these) != 1]}"
        settled = verdict in (rule.HOLDS, rule.FAILS)
        said.append(f"**{words}**{_budgets(these)}" if settled else words)
    text = f"Of the paper's {len(papers)} claims {', '.join(said[:-1])} and {said[-1]}."
    if any(one.is_cut for one in papers):
        text += " A verdict at a cut budget is none on the paper."
    if not others:
        return text
    counted = {verdict: sum(one.verdict == verdict for one in others) for verdict in rule.VERDICTS}
    words = ", ".join(f"{count} {VERBS[verdict][count != 1]}" for verdict, count in counted.items() if count)
    return f"{text} {len(others)} more {'is' if len(others) == 1 else 'are'} of other works: {words}."


def _budgets(some: Sequence[Standing]) -> str:
    """Of claims with one verdict: how many at the paper's budget, how many at less; "" for no claim."""
    under = [one.under for one in some if not one.is_cut]
    parts = [f"{under.count(label)} {words}" for label, words in FIRM.items() if label in under]
    cut = len(some) - len(under)
    parts += [f"{cut} at a cut budget"] if cut else []
    return f" ({', '.join(parts)})" if parts else ""


class Judged(NamedTuple):
    """A claim with its readings, the first of which gives its verdict, and what the paper's own numbers say of it."""

    claim: Claim
    results: Sequence[Result]
    paper: tuple[str, str]

    @property
    def first(self) -> Result:
        return self.results[0]

    @property
    def others(self) -> str:
        """The verdicts of the further readings."""
        return "; ".join(f"{one.reading.name}: {one.verdict}" for one in self.results[1:])

    @property
    def trouble(self) -> str:
        """Trials that diverged or are missing, in words; "" for none."""
        lost = [one.lost for one in self.results]
        diverged, missing = (max(column) for column in zip(*lost, strict=True))
        said = [f"{diverged} diverged"] * bool(diverged) + [f"{missing} missing"] * bool(missing)
        return f"trials: {', '.join(said)}" if said else ""


def judged(inputs: Sources) -> tuple[Judged, ...]:
    """Every claim on the records of a profile, in the order of their numbers."""
    return tuple(Judged(one, claims.judged(inputs, one), claims.on_paper(inputs, one)) for one in CLAIMS)


def counts(found: Iterable[Judged]) -> dict[str, int]:
    """How many claims have each verdict."""
    every = [one.first.verdict for one in found]
    return {verdict: every.count(verdict) for verdict in rule.VERDICTS}


class Run(NamedTuple):
    """What would run the missing parts of a claim.

    Attributes: commands: profile -> what to say. cells: (profile, cell, its time). unlisted: those that a profile describes
    and does not list. unbuilt: what no cell measures.
    """

    commands: Sequence[str]
    cells: Sequence[tuple[str, CellName, planning.Time | None]]
    unlisted: Sequence[str]
    unbuilt: Sequence[str]

    @property
    def time(self) -> str:
        """Of one core, for all cells of which something is known."""
        known = [time.seconds for _, _, time in self.cells if time is not None]
        if not known:
            return "time not known"
        some = f" for {len(known)} of them" if len(known) < len(self.cells) else ""
        return f"about {planning.said(sum(known))} of one core{some}"

    @property
    def said(self) -> str:
        """In one line."""
        parts = []
        if self.cells:
            cells = f"{len(self.cells)} cell{'s' * (len(self.cells) > 1)}"
            parts.append(f"{' and '.join(f'`{command}`' for command in self.commands)}: {cells}, {self.time}")
        if self.unlisted:
            parts.append(f"after listing {', '.join(self.unlisted)}")
        if self.unbuilt:
            parts.append(f"no cell measures {', '.join(self.unbuilt)}")
        return "; ".join(parts)


def to_run(inputs: Sources, result: Result) -> Run:
    """The commands for what was not run; a cell is run in this profile if it is described there, else in cpu or paper."""
    cells, commands, unlisted, known = [], [], [], planning.past(inputs)
    for family, parts in result.not_run:
        profile, listed = _where(inputs.profile, family, parts)
        if profile:
            commands.append(f"make repro PROFILE={profile}" if listed else f"make stages && make repro PROFILE={profile}")
            cells.append((profile, (family, parts), planning.estimate(known, family, profile, parts)))
            if not listed:
                unlisted.append(f"{parts[-1]} under {profile} in pipelines/{family}/params.yaml")
    missing = (one.part for one in result.parts if one.word == rule.NOT_RUN)
    unbuilt = [term.work for part in missing for _, term in part.terms if isinstance(term, NotBuilt)]
    return Run(*(list(dict.fromkeys(some)) for some in (commands, cells, unlisted, unbuilt)))


def _where(profile: str, family: str, parts: tuple[str, ...]) -> tuple[str, bool]:
    """(the profile that describes a cell, this one first, whether its lists name it); ("", False) for none."""
    for name in dict.fromkeys((profile, "cpu", "paper")):
        block = settings.profile_params(family, name)
        if parts[1] in block["cells"].get(parts[0], {}):
            if family == "synthetic":
                return name, True
            lists = block["methods"] if parts[0] in block["data"] else block.get("experiments", {}).get(parts[0], [])
            return name, parts[1] in lists
    return "", False


def table(inputs: Sources) -> Table:
    """A row for each claim."""
    numbers, shown, every = [], [], judged(inputs)
    for one in every:
        first, run = one.first, to_run(inputs, one.first)
        paper = f"{one.paper[0]} ({one.paper[1]})" if one.paper[1] else one.paper[0]
        row: dict[str, Any] = {"id": one.claim.id, "claim": one.claim.sentence, "place": one.claim.place}
        row |= {"verdict": first.verdict, "under": first.label.word, "budget": first.label.said}
        row |= {"evidence": first.evidence, "trouble": one.trouble, "other readings": one.others}
        row |= {"the paper's own numbers": paper, "what would run the rest": run.said}
        numbers.append(row)
        evidence = "; ".join(filter(None, (first.evidence, one.trouble)))
        shown.append(
            {"id": one.claim.id, "claim": one.claim.sentence, "verdict": first.verdict, "under": first.label.word or "-",
             "evidence": evidence, "other readings": one.others or "-", "the paper's own numbers": paper or "-"}
        )  # fmt: skip
    found = counts(every)
    total = ", ".join(f"{verdict} {count}" for verdict, count in found.items())
    notes = [f"{len(shown)} claims: {total}.", RULE]
    return Table("claims", "Claims", pd.DataFrame(numbers), pd.DataFrame(shown), notes, drawn_from(inputs))


def parts_table(inputs: Sources) -> Table:
    """A row for each comparison of each reading that was run."""
    numbers, shown = [], []
    for one in judged(inputs):
        for result in one.results:
            for part in result.parts:
                low, high = part.evidence.bounds(rule.ALPHA) if part.evidence else (None, None)
                head = {"id": one.claim.id, "reading": result.reading.name, "part": part.part.text}
                value = part.evidence and significant(part.evidence.value)
                bounds = [None if bound is None else significant(bound) for bound in (low, high)]
                ends = [None if end is None else significant(end) for end in (part.wanted.low, part.wanted.high)]
                row = {
                    "value": value, "lower bound": bounds[0], "upper bound": bounds[1], "above": ends[0], "below": ends[1],
                    "rule": part.evidence and part.evidence.rule, "trials": part.trials, "diverged": part.diverged,
                    "missing": part.missing, "word": part.word,
                }  # fmt: skip
                numbers.append({**head, **row})
                shown.append({**head, **{name: "-" if held is None else held for name, held in row.items()}})
    notes = [
        f"Value: the contrast, positive where it is larger as the part says; its {1 - rule.ALPHA:.0%} one-sided"
        f" bounds; above,"
        " below: where it must lie. Trials: how many bear it."
    ]
    frames = pd.DataFrame(numbers), pd.DataFrame(shown)
    return Table("claim-parts", "Claims, comparison by comparison", *frames, notes, drawn_from(inputs))


def drawn_from(inputs: Sources, by: str | Sequence[str] = __name__) -> str:
    """Everything but the facts of the data, and the searches of settings."""
    names = [name for name in inputs.hashes if not name.startswith("published/") and "/search/" not in name]
    return inputs.drawn_from(*(name for name in names if not name.endswith("data.json")), by=by)
