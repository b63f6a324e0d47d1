"""How numbers are written in a table, and a table in Markdown and as comma-separated values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from pipelines import comparison
from pipelines.comparison import Estimate
from pipelines.published import Value


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
