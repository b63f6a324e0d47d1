"""Draw the tables of a profile: `python -m pipelines.tables <profile>`.

Writes reports/<profile>/tables/<name>.md and .html, to be read, .tex, for a paper, and .csv, the same rows as numbers, which
numbers.tex has as macros (macros.py): wall-clock
(synthetic/tables.py), figure-1, figure-2, figure-7 (distances.py), denoising (the
paper's Table 3, in the published version Table 2), those of its experiments where a profile has them
(denoising/tables.py), few-shot (the paper's Table 4, in the published version Table 3; few_shot/tables.py), Tables 5 and 6
(poisoning/tables.py), the clean-label attack (clean_label/tables.py), table-1, ledger and demonstrations (theory/tables.py),
data (datasheet.py), claims and claim-parts (scorecard/card.py), costs (costs.py), and results, the table of the README
(headline.py). The rules behind a verdict stand in comparison.py (of a number beside a published one) and scorecard/rule.py
(of a claim).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from pipelines import accuracies, costs, datasheet, distances, headline, macros
from pipelines.clean_label import tables as clean_label
from pipelines.denoising import tables as experiments
from pipelines.errors import run
from pipelines.few_shot import missing as few_shot_budget
from pipelines.few_shot import tables as few_shot
from pipelines.layout import Table
from pipelines.poisoning import tables as poisoned
from pipelines.records import write_bytes
from pipelines.scorecard import card
from pipelines.sources import CODE, REPORTS, Sources, load
from pipelines.synthetic import tables as synthetic
from pipelines.theory import tables as theory

DRAWN = (
    *("wall-clock", "figure-1", "figure-2", "figure-7", "denoising"),
    *("table-1", "ledger", "demonstrations", "data", "claims", "claim-parts", "costs", "results"),
)
"""The names of the tables that every profile has."""


def drawn(inputs: Sources) -> list[str]:
    """The names of all tables of a profile."""
    families = (experiments, few_shot, few_shot_budget, poisoned, clean_label)
    return [*DRAWN, *(name for family in families for name in family.drawn(inputs))]


def draw(inputs: Sources, name: str) -> Table:
    """One of the tables, by name."""
    if name in distances.FIGURES:
        return distances.figure(inputs, name)
    drawing: dict[str, Callable[[Sources], Table]] = {
        "wall-clock": synthetic.wall_clock,
        "figure-7": distances.figure_7,
        "denoising": accuracies.table,
        "table-1": theory.complexity,
        "ledger": theory.ledger,
        "data": datasheet.table,
        "demonstrations": theory.demonstrations,
        "claims": card.table,
        "claim-parts": card.parts_table,
        "costs": costs.table,
        "results": lambda inputs: headline.table(inputs, synthetic.as_published(inputs)),
        **experiments.drawing(inputs),
        **few_shot.DRAWN,
        **few_shot_budget.DRAWN,
        **poisoned.DRAWN,
        **clean_label.DRAWN,
    }
    return drawing[name](inputs)


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.tables", description=__doc__)
    parser.add_argument("profile")
    given = parser.parse_args(arguments)
    inputs = load(given.profile)
    folder = REPORTS / given.profile / "tables"
    tables = [draw(inputs, name) for name in drawn(inputs)]
    for table in tables:
        for ending, text in table.files(given.profile).items():
            write_bytes(folder / f"{table.name}.{ending}", text.encode())
    write_bytes(folder / macros.FILE, macros.text(tables, card.drawn_from(inputs, CODE)).encode())


if __name__ == "__main__":
    run(main)
