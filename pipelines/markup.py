"""Text with its signs in other tongues: Markdown as HTML with formulas in MathML, plain text as LaTeX, and a whole page."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2
from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

FOLDER = Path(__file__).resolve().parent / "page"
TEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}",
        "<": "$<$", ">": "$>$", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$", "−": "$-$", "√": r"$\surd$",
        "→": r"$\to$", "≤": r"$\le$", "≥": r"$\ge$", "∇": r"$\nabla$", "∞": r"$\infty$", "β": r"$\beta$",
        "γ": r"$\gamma$", "ε": r"$\varepsilon$", "λ": r"$\lambda$", "μ": r"$\mu$", "ν": r"$\nu$", "ρ": r"$\rho$",
        **{sign: f"$_{digit}$" for digit, sign in enumerate("₀₁₂₃₄₅₆₇₈₉")},
        "²": "$^2$", "³": "$^3$", "–": "--", "…": r"\dots{}", "\u00a0": "~",
    }
)  # fmt: skip
"""What LaTeX takes for a command, and what its fonts do not have."""


class Mathematics(IPythonRenderer):
    """Markdown with its formulas as MathML, which browsers draw without a script."""

    def block_math(self, body: str) -> str:
        return f"<p>{mathml(body, 'block')}</p>"

    def multiline_math(self, body: str) -> str:
        return self.block_math(body)

    def inline_math(self, body: str) -> str:
        return mathml(body, "inline")


def mathml(formula: str, display: str) -> str:
    """A formula in MathML, without the name space, an address that HTML does not need.

    Raises ValueError for a command that the converter does not know and would print as it stands.
    """
    drawn = re.sub(r' xmlns="[^"]*"', "", convert(formula.strip(), display=display))
    if "\\" in drawn:
        raise ValueError(f"no MathML for {formula!r}")
    return drawn


def markdown(source: str) -> str:
    """Markdown with formulas, tables and HTML, as HTML."""
    rendered = MarkdownWithMath(renderer=Mathematics(escape=False, exclude_anchor_links=True)).render(source)
    # a number is not torn from its spread
    return re.sub(r"(?<=\d) ([±/]) (?=[\d+-])", "\u00a0\\1\u00a0", str(rendered))


def tex(text: str) -> str:
    """Plain text as LaTeX, what stands between backticks in a typewriter's letters."""
    # signs of mathematics beside each other are one formula
    joined = re.sub(r"(?<!\\)\$\$", "", text.translate(TEX))
    return re.sub(r"`([^`]*)`", r"\\texttt{\1}", joined)


def shell(title: str, profile: str, body: str, links: Sequence[tuple[str, str]]) -> str:
    """A whole page around a body; `links`: (address, name), "" of the page itself."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=False, undefined=jinja2.StrictUndefined
    )
    style = (FOLDER / "style.css").read_text()
    frame = environment.get_template("shell.html")
    return frame.render(title=html.escape(title), profile=profile, body=body, links=links, style=style) + "\n"
