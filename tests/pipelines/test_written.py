"""Tables for a paper and as pages, and their numbers as macros: whole, escaped, and the same as the comma-separated ones."""

from __future__ import annotations

import re
from pathlib import Path

import made_up
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from pipelines import macros, markup, sources, tables
from pipelines.errors import UserError
from pipelines.layout import LONG, Table

MACRO = re.compile(r"\\newcommand\{\\([A-Za-z]+)\}\{(.*)\}")
POWER = re.compile(r"\\ensuremath\{([-\d.]+)(?:\\times 10\^\{(-?\d+)\})?\}")


def value(text: str) -> float:
    """What a macro holds, as a number."""
    found = POWER.fullmatch(text)
    return float(f"{found[1]}e{found[2] or 0}") if found else float(text)


def balanced(text: str) -> bool:
    """Whether braces and environments open and close in turn, and mathematics too; what is escaped does not count."""
    bare = re.sub(r"\\\\|\\[&%$#_{}]", "", re.sub(r"(?m)(?<!\\)%.*$", "", text))
    depth = 0
    for sign in re.findall(r"[{}]", bare):
        depth += 1 if sign == "{" else -1
        if depth < 0:
            return False
    environments: list[str] = []
    for word, name in re.findall(r"\\(begin|end)\{(\w+)\}", bare):
        if word == "begin":
            environments.append(name)
        elif not environments or environments.pop() != name:
            return False
    return depth == 0 and not environments and bare.count("$") % 2 == 0


def made(profile: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> list[Table]:
    made_up.write_params(place)
    monkeypatch.chdir(place)
    made_up.write_results(place, profile)
    inputs = sources.load(profile)
    return [tables.draw(inputs, name) for name in tables.drawn(inputs)]


@pytest.mark.parametrize("profile", ["cpu", "embedded"])
def test_all_tables_for_a_paper(profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made(profile, tmp_path, monkeypatch)
    for table in found:
        text = table.latex()
        assert text.isascii() and balanced(text), table.name
        environment = "longtable" if len(table.shown) > LONG else "table"
        assert text.count(f"\\begin{{{environment}}}") == 1
        assert all(f"\\{rule}rule" in text for rule in ("top", "mid", "bottom"))
        start = text.rindex("\\endlastfoot" if environment == "longtable" else "\\midrule")
        body = text[start : text.rindex("\\par\\footnotesize")]
        rows = [line for line in body.splitlines() if line.endswith(r" \\")]
        assert len(rows) == len(table.shown), table.name
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} <= {len(table.shown.columns) - 1}
        # the first row, cell by cell, and every note
        if rows:
            assert rows[0] == " & ".join(markup.tex(str(cell)) for cell in table.shown.iloc[0]) + r" \\"
        assert all(markup.tex(note) in text for note in table.notes)
        page = BeautifulSoup(table.page(profile), "html.parser")
        cells = [[cell.get_text() for cell in row.find_all("td")] for row in page.select("tbody tr")]
        assert len(cells) == len(table.shown) and all(len(row) == len(table.shown.columns) for row in cells)
        assert [head.get_text() for head in page.select("thead th")] == list(map(str, table.shown.columns))
        assert page.select_one("p:last-of-type").get_text() == table.drawn_from
    text = macros.text(found, "Drawn from: nothing.")
    assert balanced(text) and text.isascii()
    names = [line[1] for line in map(MACRO.fullmatch, text.splitlines()) if line]
    assert len(names) == len(set(names)) == text.count("\\newcommand") > 500


def test_the_committed_tables_have_a_macro_for_every_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    inputs = sources.load("cpu")
    found = [tables.draw(inputs, name) for name in tables.drawn(inputs)]
    lines = macros.text(found, inputs.drawn_from(by="pipelines.macros")).splitlines()
    parts = {table.name: lines[lines.index(f"% {table.name}") + 1 :] for table in found}
    for table in found:
        numbers = [
            float(cell) for row in table.numbers.drop(columns=macros.keys(table.numbers)).itertuples(index=False)
            for cell in row if isinstance(cell, int | float) and not isinstance(cell, bool) and pd.notna(cell)
        ]  # fmt: skip
        held = [MACRO.fullmatch(line) for line in parts[table.name][: len(numbers)]]
        assert [value(line[2]) if line else None for line in held] == pytest.approx(numbers, rel=1e-11), table.name
        assert not MACRO.fullmatch(parts[table.name][len(numbers)])
    assert r"\newcommand{\DenoisingMnistTwoFivePenaltyLastMean}" in "\n".join(lines)
    assert all(table.latex().isascii() and balanced(table.latex()) for table in found)


def test_names_of_macros() -> None:
    assert macros.letters("T = 0.5, λ₀") == "TZeroPointFiveLambdaZero"
    assert [macros.letters(text) for text in ("1e-4", "1e4", "-3", "mnist-25", "C01")] == [
        "OneEMinusFour", "OneEFour", "MinusThree", "MnistTwoFive", "CZeroOne",
    ]  # fmt: skip
    frame = pd.DataFrame({"T": [1, 5, 5], "method": ["GD", "GD", "RMD"], "mean": [2.0, None, -1e-7], "n": [3, 4, 5]})
    table = Table("figure-1", "t", frame, frame, [], "")
    assert macros.of_table(table) == [
        ("FigureOneTOneGDMean", 2.0), ("FigureOneTOneGDN", 3.0), ("FigureOneTFiveGDN", 4.0),
        ("FigureOneTFiveRMDMean", -1e-7), ("FigureOneTFiveRMDN", 5.0),
    ]  # fmt: skip
    assert [macros.written(one) for one in (2.0, -1e-7, -0.5)] == [
        "2", r"\ensuremath{-1\times 10^{-7}}", r"\ensuremath{-0.5}"
    ]
    sentences = pd.DataFrame({"id": ["C01", "C01"], "part": ["a word " * 10, "b word " * 10], "value": [1.0, 2.0]})
    found = macros.of_table(Table("parts", "t", sentences, sentences, [], ""))
    assert found == [("PartsCZeroOneRowOneValue", 1.0), ("PartsCZeroOneRowTwoValue", 2.0)]
    same = pd.DataFrame({"a": ["x", "x"], "b": [1.0, 1.0]})
    assert macros.of_table(Table("s", "t", same, same, [], "")) == [("SRowOneB", 1.0), ("SRowTwoB", 1.0)]
    with pytest.raises(UserError, match="two numbers of table s would be the macro SXB"):
        both = pd.DataFrame({"a": ["x"], "b": [1.0], "b!": [2.0]})
        macros.text([Table("s", "t", both, both, [], "")], "")


def test_what_latex_takes_for_a_command() -> None:
    assert markup.tex(r"50% of a_b & {c} #1 $2 ~^\ <|>") == (
        r"50\% of a\_b \& \{c\} \#1 \$2 \textasciitilde{}\textasciicircum{}\textbackslash{} $<$\textbar{}$>$"
    )
    assert markup.tex("λ₀ = 3 ± 1, `a_b`") == r"$\lambda_0$ = 3 $\pm$ 1, \texttt{a\_b}"
    assert markup.tex("$±") == r"\$$\pm$"
    frame = pd.DataFrame([{"a_b": "x&y"}])
    text = Table("t", "T & U", frame, frame, ["note_1"], "Drawn from: a_b.").latex()
    assert r"a\_b \\" in text and r"x\&y \\" in text and r"\caption{T \& U}" in text and r"note\_1" in text
    assert text.endswith("\\end{table}\n% Drawn from: a_b.\n") and balanced(text)
    assert not balanced("{") and not balanced("}{") and not balanced("\\begin{a}\\end{b}") and not balanced("$")
