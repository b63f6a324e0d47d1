r"""The numbers of all tables as LaTeX macros: `\FigureOneExampleOneTFivePenaltyReleasedMean`.

A name is that of the table, of the row and of the column, digits in words. A row is named by the fewest of its first columns
that tell it from others; where those are sentences, or do not, by its place among the rows named alike. What a table has as
text alone (results, claims) are numbers of other tables.
"""

from __future__ import annotations

import math
import numbers
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from pipelines.errors import UserError
from pipelines.layout import WIDE, Table

FILE = "numbers.tex"
WORDS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
SIGNS = {"%": " percent ", "=": " ", "+": " plus ", ">": " above ", "<": " below "}


def letters(text: str) -> str:
    """A text in letters alone, a capital at the start of each word: "T = 0.5, λ" is TZeroPointFiveLambda."""
    text = re.sub(r"(?<=\d)\.(?=\d)", " point ", text)
    text = re.sub(r"(?<=\de)-(?=\d)|(?<![\w)])-(?=\d)", " minus ", text)
    for sign, word in SIGNS.items():
        text = text.replace(sign, word)
    plain = "".join(map(_ascii, unicodedata.normalize("NFKD", text)))
    words = re.findall(r"[A-Za-z]+|\d", plain)
    return "".join(WORDS[int(word)] if word.isdigit() else word[0].upper() + word[1:] for word in words)


def _ascii(sign: str) -> str:
    """A sign, or of a Greek letter its name."""
    if sign.isascii() or not sign.isalpha():
        return sign
    return f" {unicodedata.name(sign).split()[-1].lower().replace('lamda', 'lambda')} "


def keys(frame: pd.DataFrame) -> list[str]:
    """The fewest leading columns that tell the rows apart; none where two rows are the same."""
    for many in range(1, len(frame.columns) + 1):
        first = frame.iloc[:, :many]
        if not first.duplicated().any():
            return list(first.columns)
    return []


def rows(frame: pd.DataFrame) -> list[str]:
    """The names of the rows."""
    columns, seen = keys(frame), Counter[str]()
    names = []
    for row in frame[columns].to_dict("records"):
        name = "".join(_label(str(column), row[column]) for column in columns if not _sentence(row[column]))
        seen[name] += 1
        names.append((name, seen[name]))
    return [f"{name}Row{letters(str(place))}" if seen[name] > 1 else name for name, place in names]


def _sentence(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell) > WIDE and len(cell.split()) > 4


def _label(column: str, cell: Any) -> str:
    """A cell that names its row: with the column's name where it is a number."""
    if _is_number(cell):
        cell = f"{float(cell):g}"
    text = "" if pd.isna(cell) else str(cell)
    return letters(column) + letters(text) if re.fullmatch(r"\W*\d[\W\d]*", text) else letters(text)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, numbers.Real) and not isinstance(cell, bool) and math.isfinite(float(cell))


def of_table(table: Table) -> list[tuple[str, float]]:
    """(name, number) of every number of a table that does not name its row."""
    frame, found = table.numbers, []
    named = keys(frame)
    for name, row in zip(rows(frame), frame.to_dict("records"), strict=True):
        for column, cell in row.items():
            if column not in named and _is_number(cell):
                found.append((letters(table.name) + name + letters(str(column)), float(cell)))
    return found


def written(value: float) -> str:
    """A number in LaTeX, with all digits that the table has."""
    digits, _, power = f"{value:.12g}".partition("e")
    if power:
        return rf"\ensuremath{{{digits}\times 10^{{{int(power)}}}}}"
    return rf"\ensuremath{{{digits}}}" if value < 0 else digits


def text(tables: Iterable[Table], drawn_from: str) -> str:
    """The file; raises UserError for a name that two numbers have."""
    lines = ["% One macro for each number of the tables, with all digits of their .csv: \\input{numbers.tex}"]
    seen: set[str] = set()
    for table in tables:
        found: Sequence[tuple[str, float]] = of_table(table)
        lines += [f"% {table.name}", *(f"\\newcommand{{\\{name}}}{{{written(value)}}}" for name, value in found)]
        for name, _ in found:
            if name in seen:
                raise UserError(f"two numbers of table {table.name} would be the macro {name}: give a row or column of it"
                                " another name")  # fmt: skip
            seen.add(name)
    return "\n".join([*lines, f"% {drawn_from}"]) + "\n"
