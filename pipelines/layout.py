"""How numbers are written in a table, and a table in Markdown, as comma-separated values, in LaTeX and as a page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from pipelines import comparison, markup
from pipelines.comparison import Estimate
from pipelines.published import Value

LONG = 45
"""Rows that a page of paper holds."""
WIDE = 36
"""Signs beyond which a cell is broken into lines."""


class Table(NamedTuple):
    """A table: rows as numbers, rows as read, what is said below it, and the inputs it was drawn from."""

    name: str
    title: str
    numbers: pd.DataFrame
    shown: pd.DataFrame
    notes: Sequence[str]
    drawn_from: str

    def markdown(self) -> str:
        """The table, its notes, and the line that says what it was drawn from."""
        # "|" would end a cell
        body = self.shown.map(lambda cell: str(cell).replace("|", "\\|"))
        lines = body.to_markdown(index=False, disable_numparse=True)
        return "\n\n".join([lines, *self.notes, self.drawn_from]) + "\n"

    def csv(self) -> str:
        """The numbers, and as a last line, a comment, what they were drawn from."""
        return str(self.numbers.to_csv(index=False, lineterminator="\n")) + f"# {self.drawn_from}\n"

    def latex(self) -> str:
        """What is read, for a paper with booktabs (and longtable, where it is longer than a page): body, notes, inputs."""
        shown = self.shown.map(str)
        wide = [shown[name].str.len().max() > WIDE for name in shown]
        style = shown.style.hide(axis="index").format(markup.tex).format_index(markup.tex, axis="columns")
        long = len(shown) > LONG
        body = style.to_latex(
            column_format="".join("p{5cm}" if one else "l" for one in wide),
            environment="longtable" if long else "table",
            position_float=None if long else "centering",
            caption=markup.tex(self.title),
            label=f"tab:{self.name}",
            hrules=True,
        )
        below = ["\\par\\footnotesize", *map(markup.tex, [*self.notes, self.drawn_from])]
        notes = "{" + "\n\n".join(below) + "\\par}\n"
        packages = "booktabs,longtable" if long else "booktabs"
        # notes are kept with what floats
        end = "\\end{table}\n"
        whole = body + notes if long else body.removesuffix(end) + notes + end
        return f"% \\usepackage{{{packages}}}\n{whole}% {self.drawn_from}\n"

    def page(self, profile: str) -> str:
        """A page of its own, of what is read."""
        body = f'<h1>{html.escape(self.title)}</h1>\n<div class="output_subarea">\n{markup.markdown(self.markdown())}</div>'
        return markup.shell(self.title, profile, body, [("../index.html", "All results")])

    def files(self, profile: str) -> dict[str, str]:
        """{ending: content} of all its files."""
        return {"md": self.markdown(), "csv": self.csv(), "tex": self.latex(), "html": self.page(profile)}


def number(value: float | None, decimals: int | None = None) -> str:
    """With the decimals asked for; else two, or two significant digits where it is small."""
    if value is None:
        return "-"
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def plus_minus(one: Estimate, decimals: int | None = None) -> str:
    """Mean and standard deviation; "diverged" where no trial finished."""
    if one.mean is None:
        return "diverged"
    if decimals is None and one.sd is not None:
        decimals = _decimals(abs(one.mean), one.sd)
    return " ± ".join(number(part, decimals) for part in (one.mean, one.sd) if part is not None)


def _decimals(mean: float, spread: float) -> int | None:
    """Two, or four where mean and spread are small; None (significant digits) where four show nothing."""
    larger = max(mean, spread)
    if larger >= 0.1 or larger == 0:
        return 2
    return 4 if larger >= 0.001 else None


def printed(value: Value | None) -> str:
    """A published number as it was printed, "-" for none."""
    if value is None:
        return "-"
    return plus_minus(comparison.theirs(value), value.decimals)


def interval(apart: comparison.Difference | None, decimals: int | None = None) -> str:
    """A difference with the half width of its interval."""
    if apart is None:
        return "-"
    sign = "+" if apart.value >= 0 else ""
    return f"{sign}{number(apart.value, decimals)} ± {number(apart.half_width, decimals)}"


def counted(verdicts: Sequence[str], what: str) -> str:
    """How many agree, and how many would differ by chance."""
    judged = [one for one in verdicts if one not in (comparison.NOT_COMPARABLE, comparison.NOT_PUBLISHED)]
    agree = sum(one == comparison.AGREES for one in judged)
    chance = (1 - comparison.CONFIDENCE) * len(judged)
    return (
        f"{what}: {agree} of {len(judged)} agree; were all equal, {chance:.1f} would still differ by chance."
    )


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def duration(seconds: float | None) -> str:
    """Seconds in words."""
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
