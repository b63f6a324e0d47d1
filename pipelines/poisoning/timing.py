"""Time the poisoning methods: `python -m pipelines.poisoning.timing <profile>`.

Seconds of an upper iteration of the cells that `timing` of the profile lists, on their first trial alone, beside two bounds:
the time of reading the clean rows as often as the iteration's derivatives must, and that of the matrix products they take. A
derivative reads its rows twice, forward and backward; the poisons, which are few, are left out. Repetitions go round the
cells, and an exclusive lock keeps other timings of this project away. Cells under `compared` are timed with each of
`products` too, in turn with the rest. Writes results/<profile>/poisoning/timings.json. No accuracy depends on it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from pipelines import families, machine, records, settings
from pipelines.errors import run
from pipelines.poisoning.run import Run
from pipelines.settings import Cell
from pipelines.statistics import over_trials

GROUP = [0]
"""The trial that is timed."""
REPEATED = 50


def fastest(action: Callable[[], object], count: int = REPEATED) -> float:
    """The least seconds of an action: what it takes undisturbed."""
    least = float("inf")
    for _ in range(count):
        started = time.perf_counter()
        action()
        least = min(least, time.perf_counter() - started)
    return least


def bounds(x: Tensor, validation: Tensor, calls: Mapping[str, int]) -> dict[str, float]:
    """Seconds of reading rows [n, d], and of the products, that the oracle calls of an iteration need.

    A gradient of g and a Hessian product read the training rows there and back, a gradient of f the validation rows.
    """
    passes = ((x, calls["gradients_g"] + calls["hessian_products"]), (validation, calls["gradients_f"]))
    found = {"reading": 0.0, "products": 0.0}
    for rows, count in passes:
        w, r = torch.ones(10, rows.shape[1]), torch.ones(len(rows), 10)
        found["reading"] += 2 * count * fastest(rows.sum)
        there, back = (fastest(partial(torch.mm, *pair)) for pair in ((rows, w.T), (r.T, rows)))
        found["products"] += count * (there + back)
    return found


def single(parts: Sequence[str], profile: str, product: str | None = None) -> Run:
    """A cell's run that advances its trials one by one, as a large one does; `product`: another than its own."""
    cell = families.cell("poisoning", profile, tuple(parts))
    chosen = {**cell.settings, "stacked": False, **({} if product is None else {"product": product})}
    return Run(Cell(cell.family, cell.profile, cell.parts, chosen, cell.common), machine.device())


def speed(work: Run, seconds: Sequence[float]) -> dict[str, Any]:
    """What repetitions say: {"seconds_per_iteration", "lower_steps_per_second" of the fastest}."""
    return {
        "seconds_per_iteration": over_trials(seconds),
        "lower_steps_per_second": records.significant(work.solver.lower_steps / min(seconds)),
    }


def measure(profile: str, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each cell: {"cell", "seconds_per_iteration" over repetitions, "lower_steps", "lower_steps_per_second",
    "bounds"}, of a compared one also {"product": its own, "products": {name: the two speeds}}.

    Args: plan: {"cells", "iterations", "repetitions"}, and perhaps {"compared": some of the cells, "products": names}.
    """
    torch.set_num_threads(1)
    cells = [tuple(parts) for parts in plan["cells"]]
    iterations = plan["iterations"]
    compared = [tuple(parts) for parts in plan.get("compared", [])]
    works = [single(parts, profile) for parts in cells]
    own = {parts: work.product for parts, work in zip(cells, works, strict=True)}
    others = [(parts, product) for parts in compared for product in plan["products"] if product != own[parts]]
    works += [single(parts, profile, product) for parts, product in others]
    states = []
    for work in tqdm(works, desc="start", disable=None):
        states.append(work.advance(work.start(GROUP), GROUP, 0, 1))  # what a process does once only
    taken: list[list[float]] = [[] for _ in works]
    for _ in tqdm(range(plan["repetitions"]), desc="timing", disable=None):
        for work, state, seconds in zip(works, states, taken, strict=True):
            started = time.perf_counter()
            work.advance(state, GROUP, 0, iterations)
            seconds.append((time.perf_counter() - started) / iterations)
    rows = []
    for work, parts, seconds in zip(works, cells, taken, strict=False):  # the others come after
        calls = {kind: number - work.oracle_calls(0, 0)[kind] for kind, number in work.oracle_calls(0, 1).items()}
        batch = work.trial(0).batch
        limits = bounds(batch.train.x, batch.validation.x, calls)
        row = {
            "cell": list(parts),
            **speed(work, seconds),
            "lower_steps": work.solver.lower_steps,
            "bounds": {name: records.significant(value) for name, value in limits.items()},
        }
        if parts in compared:
            further = zip(others, works[len(cells) :], taken[len(cells) :], strict=True)
            found = {product: speed(one, its) for (of, product), one, its in further if of == parts}
            row |= {"product": work.product, "products": {work.product: speed(work, seconds), **found}}
        rows.append(row)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.poisoning.timing", description=__doc__)
    parser.add_argument("profile")
    given = parser.parse_args(arguments)
    plan = settings.profile_params("poisoning", given.profile)["timing"]
    machine.end_with_parent()
    with machine.alone():
        rows = measure(given.profile, plan)
    whole = {"schema": records.SCHEMA, "profile": given.profile, "machine": machine.timed_on(), "rows": rows}
    records.write_json(records.RESULTS / given.profile / "poisoning" / "timings.json", whole)


if __name__ == "__main__":
    run(main)
