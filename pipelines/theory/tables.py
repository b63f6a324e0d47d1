"""The tables of the theory page: claims computed, the ledger of hypergradients, and the paper's Table 1 as measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipelines.layout import Table, number
from pipelines.sources import Sources

PUBLISHED = {
    "fmd": {"time": "O(cUT)", "space": "O(UV)"},
    "rmd": {"time": "O(cT)", "space": "O(U + VT)"},
    "approxgrad": {"time": "O(cT)", "space": "O(U + V)"},
    "penalty": {"time": "O(cT)", "space": "O(U + V)"},
}
"""The paper's Table 1; c is the cost of a gradient or a product. It does not list K-RMD."""

DERIVED = {
    "fmd": {"time": {"T": 1, "U": 1, "V": 1}, "space": {"T": 0, "U": 1, "V": 1}},
    "rmd": {"time": {"T": 1, "U": 0, "V": 1}, "space": {"T": 1, "U": 0, "V": 1}},
    "k-rmd": {"time": {"T": 1, "U": 0, "V": 1}, "space": {"T": 0, "U": 0, "V": 1}},
    "approxgrad": {"time": {"T": 1, "U": 0, "V": 1}, "space": {"T": 0, "U": 0, "V": 1}},
    "penalty": {"time": {"T": 1, "U": 0, "V": 1}, "space": {"T": 0, "U": 0, "V": 1}},
}
"""The exponents that those orders mean on our problem, where c grows like U + V and V is much larger than U."""

NAMES = {"fmd": "FMD", "rmd": "RMD", "k-rmd": "K-RMD, K = 2", "approxgrad": "ApproxGrad", "penalty": "Penalty"}
NEAR = {"space": 0.1, "time": 0.35}
"""How far a measured exponent may lie from the derived one: bytes are counted, seconds are measured."""


def exponents(inputs: Sources, what: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    """(method, what varies) -> row of memory.json ("space") or timings.json ("time")."""
    rows = inputs.theory["memory" if what == "space" else "timings"]["rows"]
    return {(row["method"], row["varied"]): row for row in rows}


def complexity(inputs: Sources) -> Table:
    """Table 1: a row for each method, published orders and measured exponents."""
    numbers, shown = [], []
    found = {what: exponents(inputs, what) for what in ("time", "space")}
    for method, name in NAMES.items():
        row: dict[str, Any] = {"method": name}
        read: dict[str, Any] = {"method": name}
        for what, rows in found.items():
            read[f"paper, {what}"] = row[f"paper {what}"] = PUBLISHED.get(method, {}).get(what, "-")
            measured = {varied: rows[method, varied]["exponent"] for varied in ("T", "U", "V")}
            row |= {f"{what} exponent of {varied}": value for varied, value in measured.items()}
            wanted = DERIVED[method][what]
            apart = [varied for varied, value in measured.items() if abs(value - wanted[varied]) > NEAR[what]]
            row[f"{what} verdict"] = "agrees" if not apart else f"differs in {', '.join(apart)}"
            read[f"{what}: T, U, V"] = ", ".join(number(value) for value in measured.values())
            read[f"{what} verdict"] = row[f"{what} verdict"]
        numbers.append(row)
        shown.append(read)
    device = inputs.theory["timings"]["machine"].get("device", "an unknown device")
    notes = [
        "Exponents of what grows when T, U or V doubles, the others held, for one upper iteration on a problem"
        " whose gradients and products cost O(U + V), V much larger than U. Space: bytes of all tensors alive at once,"
        f" counted. Time: seconds, measured on {device}; a cost that grows by less than a quarter over an eightfold"
        " size counts as constant.",
    ]
    drawn = inputs.drawn_from("theory/memory.json", "theory/timings.json", by=__name__)
    return Table("table-1", "Table 1: time and space", pd.DataFrame(numbers), pd.DataFrame(shown), notes, drawn)


def ledger(inputs: Sources) -> Table:
    """A row for each estimator and solver, a column for each problem."""
    rows = inputs.theory["ledger"]["rows"]
    most = max(row["seeds"] for row in rows)
    shown: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        line = shown.setdefault((row["kind"], row["method"]), {"": row["kind"], "method": row["method"]})
        error = "" if row["error"] is None else f"{row['error']:.1g}, "
        some = f" ({row['seeds']} of {most} draws)" if 0 < row["seeds"] < most else ""
        line[row["problem"]] = f"{error}{row['verdict']}{some}"
    verdicts = [row["verdict"] for row in rows]
    counts = "; ".join(f"{verdict}: {verdicts.count(verdict)}" for verdict in dict.fromkeys(verdicts))
    notes = [
        "Relative error against grad_u f - H_uv H_vv^{-1} grad_v f at v*, float64, and what it says; of several draws of a"
        " problem the worst. Exact: below 1e-8. Order as derived: of an estimator, the vector after n steps is the one that"
        " theory gives for n, to 1e-8; of a solver, its error falls as 1 / weight, the exponent within 10%. Bias as derived:"
        " the vector is the wrong one that theory gives, to 1e-8. As torch's Adam: there is no law, but the vector is what"
        " as many steps of torch.optim's Adam give. Differs: any of it fails. No rest found: a solver that stays nowhere."
        " Does not apply: the solver's problem has another form, or, for BOME, the barrier is not met and its weight grows"
        " without bound.",
        "A solver's entry is where it comes to rest with u held, however many iterations that would take: the rest is found"
        " by Newton's method on its own step. The rate at which it comes there, and that of an estimator's steps along the"
        " slowest mode, are in the table's csv (-ln of the factor of a step or an iteration) beside the derived ones, and an"
        " entry whose rate is more than 10% off differs too.",
        f"{len(rows)} entries. {counts}.",
    ]
    drawn = inputs.drawn_from("theory/ledger.json", by=__name__)
    return Table("ledger", "Ledger of hypergradients", pd.DataFrame(rows), pd.DataFrame(list(shown.values())), notes, drawn)


def demonstrations(inputs: Sources) -> Table:
    """A row for each number that a demonstration held against its bound."""
    rows = inputs.theory["demonstrations"]["rows"]
    shown = [{**row, "number": "-" if row["number"] is None else f"{row['number']:.3g}"} for row in rows]
    verdicts = [row["verdict"] for row in rows]
    counts = "; ".join(f"{verdict}: {verdicts.count(verdict)}" for verdict in dict.fromkeys(verdicts))
    notes = [
        "Claims are numbered as on the page Scorecard. C06: RMD converges at T = 100. C09: Lemma 3."
        " C10: Theorem 2. C11: lambda acts as a damping lambda/gamma. C12, C43: multipliers make a finite gamma enough."
        " C36: the optimistic solution is found. C37: no projection is needed. C38: Adam solves the linear system as well as"
        " conjugate gradients. A bound that does not hold is shown, not left out: it says where a claim ends.",
        f"{len(rows)} numbers. {counts}.",
    ]
    drawn = inputs.drawn_from("theory/demonstrations.json", by=__name__)
    return Table("demonstrations", "Claims, computed", pd.DataFrame(rows), pd.DataFrame(shown), notes, drawn)
