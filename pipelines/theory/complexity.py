"""The paper's Table 1, measured: `python -m pipelines.theory.complexity <profile> memory|time`.

One upper iteration of each method on a problem of U upper and V lower variables whose gradients and products cost O(U + V):
its oracle calls and the most bytes its tensors hold (memory.json, the same on every machine), or its seconds (timings.json),
as T, U and V grow one at a time. An exponent is that of what grows: p of a + b size^p, whatever the constant a.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor
from tqdm import tqdm

from core import Bilevel, solvers
from core.accounting import peak_bytes
from core.products import counting
from pipelines import machine, records
from pipelines.errors import run
from pipelines.theory.settings import load

METHODS: Mapping[str, Mapping[str, Any]] = {
    "fmd": {},
    "rmd": {},
    "k-rmd": {"kept": 2},
    "approxgrad": {"linear_solver": "gd", "solver_step_size": 1e-2},
    "penalty": {},
}
"""The methods of Table 1, with gradient descent in ApproxGrad as there, and K-RMD, which the paper does not list."""


def problem(upper: int, lower: int) -> tuple[Bilevel, Tensor, Tensor]:
    """f = |v - 1|^2/2, g = sum_j log cosh(v_j - u_{j mod U}) + v_j^2/2, from u = 1/2, v = 0; float64."""
    place = torch.arange(lower) % upper

    def g(u: Tensor, v: Tensor, batch: None) -> Tensor:
        gap = v - u[place.to(u.device)]
        return (torch.log(torch.cosh(gap)) + 0.5 * v * v).sum()

    u = torch.full((upper,), 0.5, dtype=torch.float64)
    return Bilevel(lambda u, v, batch: 0.5 * ((v - 1) ** 2).sum(), g), u, torch.zeros(lower, dtype=torch.float64)


def sizes(plan: Mapping[str, Any]) -> Iterator[tuple[str, int, dict[str, int]]]:
    """(what varies, its value, all three sizes)."""
    for varied, values in plan["grids"].items():
        for value in values:
            yield varied, value, {**plan["base"], varied: value}


def prepared(method: str, size: Mapping[str, int]) -> tuple[Any, Any]:
    """(solver, state) of a method at these sizes."""
    made, u, v = problem(size["U"], size["V"])
    steps = {"upper_step_size": 1e-3, "lower_step_size": 1e-2}
    solver = solvers.make(method, made, lower_steps=size["T"], **steps, **METHODS[method])
    return solver, solver.init(u, v)


def memory(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Bytes and oracle calls of one step, by method and what varies."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for varied, value, size in tqdm(list(sizes(plan)), desc="memory", disable=None):
        for method in METHODS:
            solver, state = prepared(method, size)
            with counting() as calls:
                solver.step(state)
            bytes_held = peak_bytes(lambda solver=solver, state=state: solver.step(state))
            new: dict[str, Any] = {"method": method, "varied": varied, "values": [], "bytes": [], "calls": []}
            row = rows.setdefault((method, varied), new)
            row["values"].append(value)
            row["bytes"].append(bytes_held)
            row["calls"].append(sum(calls.values()))
    return [{**row, "exponent": exponent(row["values"], row["bytes"])} for row in rows.values()]


def seconds(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Seconds of one step, the median of repetitions in which the methods take turns; small sizes, cheap and noisy, are
    repeated more."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for varied, value, size in tqdm(list(sizes(plan)), desc="time", disable=None):
        ready = {method: prepared(method, size) for method in METHODS}
        taken: dict[str, list[float]] = {method: [] for method in METHODS}
        again = plan["repetitions"][plan["grids"][varied].index(value)]
        for repetition in range(again + 1):
            for method, (solver, state) in ready.items():
                started = time.perf_counter()
                solver.step(state)
                if repetition > 0:  # the first one warms up
                    taken[method].append(time.perf_counter() - started)
        for method, times in taken.items():
            row = rows.setdefault((method, varied), {"method": method, "varied": varied, "values": [], "seconds": []})
            row["values"].append(value)
            row["seconds"].append(records.significant(statistics.median(times)))
    return [{**row, "exponent": exponent(row["values"], row["seconds"])} for row in rows.values()]


def exponent(values: Sequence[int], costs: Sequence[float]) -> float:
    """p of cost = a + b size^p with a, b >= 0, by least squares of relative errors over all sizes, to 0.01; 0 where the
    cost grows by less than a quarter over all sizes.

    Errors of time are a share of it, so that each size weighs the same. The increments alone would not do: of three at sizes
    that double, a line fitted in logarithms has the slope of the first and the last, and the first is a small difference of
    two noisy numbers.
    """
    if costs[-1] < 1.25 * costs[0]:
        return 0.0
    cost = np.asarray(costs, dtype=np.float64)
    sizes = np.asarray(values, dtype=np.float64) / values[-1]

    def misfit(p: float) -> float:
        columns = np.stack([np.ones_like(sizes), sizes**p], axis=1) / cost[:, None]
        return float(nnls(columns, np.ones_like(cost))[1])

    return float(round(min(np.arange(1, 401) / 100, key=misfit), 2))


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.theory.complexity", description=__doc__)
    parser.add_argument("profile")
    parser.add_argument("what", choices=["memory", "time"])
    given = parser.parse_args(arguments)
    plan = load(given.profile, "complexity")
    torch.set_num_threads(plan["threads"])
    machine.end_with_parent()
    folder = records.RESULTS / given.profile / "theory"
    head = {"schema": records.SCHEMA, "profile": given.profile}
    if given.what == "memory":
        records.write_json(folder / "memory.json", {**head, "rows": memory(plan)})
        return
    with machine.alone():
        rows = seconds(plan)
    records.write_json(folder / "timings.json", {**head, "machine": machine.timed_on(), "rows": rows})


if __name__ == "__main__":
    run(main)
