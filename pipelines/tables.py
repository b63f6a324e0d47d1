"""Draw the tables of a profile: `python -m pipelines.tables <profile>`.

Writes reports/<profile>/tables/<name>.md and .html, to be read, .tex, for a paper, and .csv, the same rows as numbers, which
numbers.tex has as macros (macros.py): wall-clock
(the paper's Table 2, in the supplement Table 4), figure-1, figure-2, figure-7 (distances.py), denoising (the
paper's Table 3, in the published version Table 2), those of its experiments where a profile has them
(denoising/tables.py), few-shot (the paper's Table 4, in the published version Table 3; few_shot/tables.py), Tables 5 and 6
(poisoning/tables.py), the clean-label attack (clean_label/tables.py), table-1, ledger and demonstrations (theory/tables.py),
data (datasheet.py), claims and claim-parts (scorecard/card.py), costs (costs.py), and results, the table of the README
(headline.py). The rules behind a verdict stand in comparison.py (of a number beside a published one) and scorecard/rule.py
(of a claim).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from pipelines import accuracies, comparison, costs, datasheet, distances, headline, macros, published
from pipelines.clean_label import tables as clean_label
from pipelines.comparison import Estimate
from pipelines.denoising import tables as experiments
from pipelines.errors import run
from pipelines.few_shot import tables as few_shot
from pipelines.layout import Table, number, plus_minus, printed
from pipelines.poisoning import tables as poisoned
from pipelines.published import LABELS, Value
from pipelines.records import significant, write_bytes
from pipelines.scorecard import card
from pipelines.sources import REPORTS, Sources, load
from pipelines.theory import tables as theory

MODES = {
    (False, 1): "one trial",
    (False, 20): "20 stacked",
    (True, 1): "one trial, compiled",
    (True, 20): "20 stacked, compiled",
}
"""(compiled, trials stacked) of the timings; the first is how the paper's were taken."""

Times = Mapping[tuple[Any, ...], Estimate]
"""(example, T, method, variant, compiled, stacked) -> seconds of 10,000 upper iterations."""


def times(inputs: Sources) -> Times:
    """The rows of timings.json."""
    keys = ("example", "T", "method", "variant", "compiled", "stacked")
    rows = [row for row in inputs.timings["rows"] if row["preset"] == distances.MAIN_PRESET]
    return {tuple(row[key] for key in keys): comparison.ours(row["seconds_per_10000"]) for row in rows}


def as_published(inputs: Sources) -> dict[tuple[str, int, str], Estimate]:
    """(example, T, method) -> seconds, taken as the paper took them: one trial, not compiled."""
    return {key[:3]: one for key, one in times(inputs).items() if key[3:] == ("", False, 1)}


def wall_clock(inputs: Sources) -> Table:
    """Seconds of 10,000 upper iterations and their ratio to Penalty's, by example, T and method."""
    measured = times(inputs)
    # the paper's methods in its order, then others by name
    methods = [*LABELS, *sorted({key[2] for key in measured} - set(LABELS))]
    found = sorted({key[:4] for key in measured}, key=lambda key: (*key[:2], methods.index(key[2]), key[3]))
    numbers, shown = [], []
    for example, steps, method, variant in found:
        value = published.find(f"time-{example}-T{steps}-{method}")
        reference = published.value(f"time-{example}-T{steps}-penalty")
        name = LABELS[method] + (f" ({variant})" if variant else "")
        label = {"example": example[2:], "T": steps, "method": name}
        ratio = value and significant(value.mean / reference.mean)
        row: dict[str, Any] = {**label, "paper seconds": value and value.mean, "paper ratio": ratio}
        read: dict[str, Any] = {**label, "paper": f"{printed(value)} ({number(ratio)})" if value else "-"}
        for (compiled, stacked), mode in MODES.items():
            mine = measured.get((example, steps, method, variant, compiled, stacked))
            base = measured.get((example, steps, "penalty", "", compiled, stacked))
            ratio = significant(mine.mean / base.mean) if mine and base and mine.mean and base.mean else None
            row |= {
                f"{mode} seconds": mine and mine.mean,
                f"{mode} sd": mine and mine.sd,
                f"{mode} ratio": ratio,
            }
            read[mode] = "-" if mine is None else f"{plus_minus(mine)} ({number(ratio)})"
            if (compiled, stacked) == (False, 1):
                row["order"] = "" if variant else _against_penalty(mine, base, value, reference)
        read["against Penalty"] = row["order"] or "-"
        numbers.append(row)
        shown.append(read)
    notes = [
        "Seconds of 10,000 upper iterations, mean ± s.d. over repetitions, in brackets the ratio to Penalty"
        " of the same column. Stacked: seconds for all 20 trials together. Seconds of different machines"
        " are not comparable, ratios are. Against Penalty: whether the method is faster or slower than"
        " Penalty as in the paper (one trial, not compiled, as the paper's were taken). Reused test: the"
        " tolerance test takes the gradients that the step made, instead of new ones.",
        f"Measured on {inputs.timings['machine'].get('device', 'an unknown device')}.",
    ]
    drawn = inputs.drawn_from("synthetic/timings.json")
    return Table("wall-clock", "Wall clock", pd.DataFrame(numbers), pd.DataFrame(shown), notes, drawn)


def _against_penalty(mine: Estimate | None, base: Estimate | None, value: Value | None, reference: Value) -> str:
    if value is None or value is reference or mine is None or base is None:
        return ""
    return comparison.order((mine, base), (comparison.theirs(value), comparison.theirs(reference)))


DRAWN = (
    *("wall-clock", "figure-1", "figure-2", "figure-7", "denoising"),
    *("table-1", "ledger", "demonstrations", "data", "claims", "claim-parts", "costs", "results"),
)
"""The names of the tables that every profile has."""


def drawn(inputs: Sources) -> list[str]:
    """The names of all tables of a profile."""
    return [*DRAWN, *experiments.drawn(inputs), *few_shot.drawn(inputs), *poisoned.drawn(inputs), *clean_label.drawn(inputs)]


def draw(inputs: Sources, name: str) -> Table:
    """One of the tables, by name."""
    if name in distances.FIGURES:
        return distances.figure(inputs, name)
    drawing: dict[str, Callable[[Sources], Table]] = {
        "wall-clock": wall_clock,
        "figure-7": distances.figure_7,
        "denoising": accuracies.table,
        "table-1": theory.complexity,
        "ledger": theory.ledger,
        "data": datasheet.table,
        "demonstrations": theory.demonstrations,
        "claims": card.table,
        "claim-parts": card.parts_table,
        "costs": costs.table,
        "results": lambda inputs: headline.table(inputs, as_published(inputs)),
        **experiments.DRAWN,
        **few_shot.DRAWN,
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
    write_bytes(folder / macros.FILE, macros.text(tables, card.drawn_from(inputs)).encode())


if __name__ == "__main__":
    run(main)
