"""The table of the wall clock: the paper's Table 2, in the supplement Table 4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipelines import comparison, distances, published
from pipelines.comparison import Estimate
from pipelines.layout import Table, number, plus_minus, printed
from pipelines.published import LABELS, Value
from pipelines.records import significant
from pipelines.sources import Sources

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
    drawn = inputs.drawn_from("synthetic/timings.json", by=__name__)
    return Table("wall-clock", "Wall clock", pd.DataFrame(numbers), pd.DataFrame(shown), notes, drawn)


def _against_penalty(mine: Estimate | None, base: Estimate | None, value: Value | None, reference: Value) -> str:
    if value is None or value is reference or mine is None or base is None:
        return ""
    return comparison.order((mine, base), (comparison.theirs(value), comparison.theirs(reference)))
