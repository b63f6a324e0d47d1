"""The ledger: `python -m pipelines.theory.ledger <profile>`.

Every estimator and every solver on every analytic problem, float64, against the exact hypergradient. An estimator is asked
at v*. A solver runs with u held in place, so that v and what else it keeps come to rest; the step that it would then take is
the hypergradient it follows. Writes results/<profile>/theory/ledger.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from core import hypergradient, solvers
from core.optimizers import GradientDescent
from core.trees import leaves
from pipelines import machine, records
from pipelines.errors import run
from pipelines.theory.entries import ESTIMATORS, LOWER_STEPS, SOLVERS, UPPER_STEP, WEIGHT, Entry, Estimator
from pipelines.theory.problems import MAKERS, Analytic
from pipelines.theory.settings import load

EXACT, ORDER, BIAS, UNSETTLED, OTHER = "exact", "order as derived", "bias as derived", "not at rest yet", "DIFFERS"
OUTSIDE = "does not apply"
"""A problem of another form than the solver's, or one on which its theory says nothing."""
ROUNDING = 1e-8
"""Relative error below which a float64 result counts as exact: condition numbers go up to 1e4."""


def estimator_row(p: Analytic, one: Estimator, most: int) -> dict[str, Any]:
    """An estimator on a problem: errors after n/2 and n steps, and the factor of a step, measured and derived."""
    n = most
    factor = None if one.factor is None else max(one.factor(p), 0.0)
    if factor is not None:
        # before rounding hides the law
        n = 2 if factor < 1e-6 else min(most, math.ceil(math.log(1e-7) / math.log(factor)))
    steps = (max(1, n // 2), n)
    found = [hypergradient(p.problem, p.u, p.v, method=one.method, **one.settings(p, count)) for count in steps]
    errors = [p.relative_error(vector) for vector in found]
    row = {"method": one.method, "steps": steps[1], "error": errors[1], "measured": None, "derived": None}
    if one.predicted is not None:
        gap = float((found[1] - one.predicted(p)).norm() / p.exact.norm())
        return {**row, "verdict": EXACT if errors[1] < ROUNDING else BIAS if gap < ROUNDING else OTHER}
    if errors[1] < ROUNDING:
        return {**row, "verdict": EXACT}
    if factor is None:
        return {**row, "verdict": UNSETTLED}
    slope = math.log(errors[1] / errors[0]) / (steps[1] - steps[0])
    row |= {"measured": math.exp(slope), "derived": factor}
    if abs(slope / math.log(factor) - 1) < 0.1:
        return {**row, "verdict": ORDER}
    # the slowest mode shows once the others, at least a tenth faster, have died out
    seen = -math.log(factor) * steps[0]
    return {**row, "verdict": OTHER if seen > 5 else UNSETTLED}


def followed(p: Analytic, entry: Entry, rounds: int, weight: float) -> tuple[Tensor, Tensor]:
    """The hypergradient that a solver follows after half of so many upper iterations with u held in place, and after all."""
    settings = dict(entry.settings(p, weight))
    solver: Any = solvers.make(entry.solver, p.problem, upper_step_size=UPPER_STEP, lower_steps=LOWER_STEPS, **settings)
    if hasattr(solver, "upper_optimizer"):
        solver = dataclasses.replace(solver, upper_optimizer=GradientDescent())
    state, found = solver.init(p.u, p.v), {}
    for count in range(1, rounds + 1):
        before, (moved, _) = state, solver.step(state)
        state = moved._replace(u=p.u)
        if count in (rounds // 2, rounds):
            found[count] = (p.u - moved.u) / UPPER_STEP
        if same(before, state):
            # what repeats itself to the bit does so for good: with u held nothing else depends on the iteration
            return found.get(rounds // 2, (p.u - moved.u) / UPPER_STEP), (p.u - moved.u) / UPPER_STEP
    return found[rounds // 2], found[rounds]


def same(one: Any, other: Any) -> bool:
    """Whether two states are the same numbers, their counters aside."""
    pairs = zip(leaves(one), leaves(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs if a.is_floating_point())


def solver_row(p: Analytic, entry: Entry, rounds: int) -> dict[str, Any]:
    """A solver on a problem: its error at rest, and half-way there."""
    # what stands still may be a mode too slow to be seen: rates go down to 1/condition^2 a lower step
    needed = 10 * (p.largest / p.smallest) ** 2 / LOWER_STEPS
    rounds *= entry.patience if needed <= rounds * entry.patience else 1
    row = {"method": entry.name, "steps": rounds, "error": None, "measured": None, "derived": None}
    if entry.reason or not entry.applies(p):
        return {**row, "steps": 0, "verdict": OUTSIDE}
    half, found = followed(p, entry, rounds, WEIGHT)
    error, before = p.relative_error(found), p.relative_error(half)
    row["error"] = error
    resting = needed <= rounds and float((found - half).norm() / p.exact.norm()) <= max(1e-3 * error, ROUNDING)
    if error < ROUNDING:
        return {**row, "verdict": EXACT}
    wanted = p.exact if entry.predicted is None else entry.predicted(p)
    gap = float((found - wanted).norm() / p.exact.norm())
    if entry.of_order:
        if not resting:
            return {**row, "verdict": UNSETTLED}
        doubled = float((followed(p, entry, rounds, 2 * WEIGHT)[1] - wanted).norm() / p.exact.norm())
        row |= {"measured": doubled / gap, "derived": 0.5}
        return {**row, "verdict": ORDER if abs(doubled / gap - 0.5) < 0.05 else OTHER}
    if entry.predicted is not None:
        return {**row, "verdict": BIAS if gap < 1e-6 * max(1.0, error) else OTHER if resting else UNSETTLED}
    return {**row, "verdict": OTHER if resting and error > before / 2 else UNSETTLED}


def of_problem(index: int, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All rows of one problem."""
    torch.set_num_threads(plan["threads"])
    p = MAKERS[index](plan["seed"])
    found = [{"kind": "estimator", **estimator_row(p, one, plan["estimator_steps"])} for one in ESTIMATORS]
    found += [{"kind": "solver", **solver_row(p, entry, plan["solver_rounds"])} for entry in SOLVERS]
    return [
        {
            "problem": p.name,
            "condition": records.significant(p.largest / p.smallest, 3),
            **{name: records.significant(value, 3) if isinstance(value, float) else value for name, value in row.items()},
        }
        for row in found
    ]


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.theory.ledger", description=__doc__)
    parser.add_argument("profile")
    parser.add_argument("--workers", type=int, default=2, help="problems at a time")
    given = parser.parse_args(arguments)
    plan = load(given.profile, "ledger")
    machine.end_with_parent()
    count = len(MAKERS)
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        tables = pool.map(of_problem, range(count), [plan] * count)
        rows = [row for table in tqdm(tables, total=count, desc="ledger", disable=None) for row in table]
    records.write_json(
        records.RESULTS / given.profile / "theory" / "ledger.json",
        {"schema": records.SCHEMA, "profile": given.profile, "rows": rows},
    )


if __name__ == "__main__":
    run(main)
