"""The ledger: `python -m pipelines.theory.ledger <profile>`.

Every estimator and every solver on every analytic problem, drawn from several seeds, float64, against the exact
hypergradient. An estimator is asked at v*: after n steps it must give the vector that n steps give by dense matrices, and
where f is linear along the slowest mode its error must fall by the factor that is derived. A solver is held with u in place:
the step in u that it would take where it comes to rest is the hypergradient it follows, and the factor by which it comes
there must be the derived one. Writes results/<profile>/theory/ledger.json, the worst seed of each problem.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from core import hypergradient, solvers
from core.optimizers import GradientDescent
from pipelines import machine, records
from pipelines.errors import run
from pipelines.theory.contraction import LOWER_STEPS
from pipelines.theory.entries import ADAM_ROUNDS, ESTIMATORS, SOLVERS, WEIGHT, Entry, Estimator
from pipelines.theory.problems import MAKERS, Analytic
from pipelines.theory.resting import Rest, at_rest
from pipelines.theory.settings import load

EXACT, ORDER, BIAS, OTHER = "exact", "order as derived", "bias as derived", "DIFFERS"
SAME = "as torch's Adam"
"""Of a method that has no law: step by step it is what another implementation gives."""
NO_REST = "NO REST FOUND"
"""Of a solver: Newton's method ends nowhere near its start, or its step does not stay there; a failure like `OTHER`."""
OUTSIDE = "does not apply"
"""A problem of another form than the solver's, or one on which its theory says nothing."""
ROUNDING = 1e-8
"""Relative error below which a float64 result counts as exact: condition numbers go up to 1e4."""
NEAR = 0.1
"""How far a rate, or an exponent, may lie from the derived one, relative."""
AT_ONCE = 1e-3
"""A factor below which a mode counts as gone in a step, so that no rate can be seen."""


def rate(factor: float) -> float:
    """-ln of a factor: what a step takes from the logarithm of an error."""
    return -math.log(max(factor, AT_ONCE))


def near(measured: float, derived: float) -> bool:
    """Whether a rate or an exponent is the derived one."""
    return abs(measured - derived) <= NEAR * abs(derived)


def row_of(method: str, verdict: str = OUTSIDE, **more: Any) -> dict[str, Any]:
    """A row, None where it has nothing to say.

    steps: of an estimator. error: relative. rate: of a step, or of an upper iteration. exponent: of the weight.
    """
    empty = dict.fromkeys(("steps", "error", "rate", "derived rate", "exponent"))
    return {"method": method, **empty, **more, "verdict": verdict}


def relative(p: Analytic, found: Tensor, wanted: Tensor) -> float:
    """|found - wanted| / |exact|."""
    return float((found - wanted).norm() / p.exact.norm())


def estimator_row(p: Analytic, one: Estimator, most: int) -> dict[str, Any]:
    """An estimator on a problem, after `most` steps or as many as its law can be seen in."""
    n = most if one.steps is None else one.steps(p)
    slow, least = p.along_the_slowest_mode()
    factor = None if one.factor is None else max(one.factor(least / p.largest), 0.0)
    if factor is not None:
        # before rounding hides the law
        n = 2 if factor < 1e-6 else min(most, math.ceil(math.log(1e-7) / math.log(factor)))

    def after(p: Analytic, steps: int) -> Tensor:
        found: Tensor = hypergradient(p.problem, p.u, p.v, method=one.method, **one.settings(p, steps))
        return found

    found = after(p, n)
    row = row_of(one.method, steps=n, error=p.relative_error(found))
    right = relative(p, found, one.predicted(p, n)) < ROUNDING
    if factor is not None and factor > AT_ONCE:
        first, last = (slow.relative_error(after(slow, steps)) for steps in (n // 2, n))
        measured = (last / first) ** (1 / (n - n // 2))
        row |= {"rate": rate(measured), "derived rate": rate(factor)}
        right = right and near(rate(measured), rate(factor))
    if not right:
        return {**row, "verdict": OTHER}
    if row["error"] < ROUNDING:
        return {**row, "verdict": EXACT}
    return {**row, "verdict": ORDER if factor is not None else SAME if one.reference else BIAS}


def made(p: Analytic, entry: Entry, weight: float) -> Any:
    """The solver, with steps of size 1 along the hypergradient."""
    solver: Any = solvers.make(
        entry.solver, p.problem, upper_step_size=1.0, lower_steps=LOWER_STEPS, **entry.settings(p, weight)
    )
    return dataclasses.replace(solver, upper_optimizer=GradientDescent()) if hasattr(solver, "upper_optimizer") else solver


def rest_of(p: Analytic, entry: Entry, weight: float) -> Rest:
    """Where a solver rests; see `resting.at_rest`."""
    start = p.v if entry.start is None else entry.start(p, weight)
    return at_rest(made(p, entry, weight), p, start, entry.kept, traced=entry.traced)


def followed(p: Analytic, entry: Entry, rounds: int) -> Tensor:
    """The hypergradient that a solver follows in the last of so many upper iterations from v*, u put back after each."""
    solver = made(p, entry, 1.0)
    state = moved = solver.init(p.u, p.v)
    for _ in range(rounds):
        moved, _ = solver.step(state)
        state = moved._replace(u=p.u)
    found: Tensor = p.u - moved.u
    return found


def solver_row(p: Analytic, entry: Entry) -> dict[str, Any]:
    """A solver on a problem: its error at rest, and how fast it comes there."""
    if entry.reason or not entry.applies(p):
        return row_of(entry.name)
    wanted = p.exact if entry.predicted is None else entry.predicted(p)
    if entry.reference:
        found = followed(p, entry, ADAM_ROUNDS)
        verdict = SAME if relative(p, found, wanted) < ROUNDING else OTHER
        return row_of(entry.name, verdict, steps=ADAM_ROUNDS, error=p.relative_error(found))
    unit = entry.unit or entry.held
    weight = 1.0 if unit is None else WEIGHT * unit(p)
    try:
        rest = rest_of(p, entry, weight)
        doubled = rest_of(p, entry, 2 * weight) if entry.unit is not None else rest
    except ArithmeticError:
        return row_of(entry.name, NO_REST)
    factor = entry.factor(p, weight, rest.v)
    row = row_of(entry.name, error=p.relative_error(rest.direction))
    row |= {"rate": rate(rest.factor), "derived rate": rate(factor)}
    right = rest.factor < 1 and near(rate(rest.factor), rate(factor))
    gap = relative(p, rest.direction, wanted)
    if entry.unit is not None:
        row["exponent"] = math.log2(relative(p, doubled.direction, wanted) / gap)
        right = right and near(row["exponent"], -1.0)
    else:
        right = right and gap < ROUNDING
    if not right:
        return {**row, "verdict": OTHER}
    return {**row, "verdict": ORDER if entry.unit is not None else EXACT if row["error"] < ROUNDING else BIAS}


def worst(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the rows of one method on several draws of a problem: one that fails, else that of the largest error, with the
    number of those to which its theory applies."""
    there = [row for row in rows if row["verdict"] != OUTSIDE]
    bad = (OTHER, NO_REST)
    found = max(there, key=lambda row: (row["verdict"] in bad, row["error"] or 0.0), default=rows[0])
    return {**found, "seeds": len(there)}


def of_problem(index: int, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All rows of one problem."""
    torch.set_num_threads(plan["threads"])
    drawn = [MAKERS[index](plan["seed"] + place) for place in range(plan["seeds"])]
    tables = []
    for p in drawn:
        found = [{"kind": "estimator", **estimator_row(p, one, plan["estimator_steps"])} for one in ESTIMATORS]
        found += [{"kind": "solver", **solver_row(p, entry)} for entry in SOLVERS]
        condition = records.significant(p.largest / p.smallest, 3)
        tables.append([{"problem": p.name, "condition": condition, **row} for row in found])
    return [
        {name: records.significant(value, 3) if isinstance(value, float) else value for name, value in worst(rows).items()}
        for rows in zip(*tables, strict=True)
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
