"""Time the few-shot methods: `python -m pipelines.few_shot.timing <profile>`.

Seconds of an upper iteration of the cells that `timing` of the profile lists, on their first trial (with `query` drawings of
a class to be judged on, where it is given); of the bilevel methods also of the naive way, in which every lower step encodes
anew, and how far the encoders of both ways are apart after `compared` iterations (of `compared_tasks` tasks, where it is
given). Repetitions go round the cells, and an exclusive lock keeps other timings of this project away. Writes
results/<profile>/few_shot/timings.json. No accuracy depends on it.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch
from tqdm import tqdm

from core.trees import Tree, leaves, tree_map
from pipelines import families, machine, records, settings
from pipelines.errors import run
from pipelines.few_shot import anil, data, heads
from pipelines.few_shot.data import Batch
from pipelines.few_shot.run import Run
from pipelines.statistics import over_trials

Step = Callable[[Any, Batch], Any]
BY_FEATURES = (heads.Learner, anil.Learner)
"""The methods that encode once in an upper iteration."""


def measure(
    profile: str, cells: list[list[str]], iterations: int, repetitions: int, query: int | None = None
) -> list[dict[str, Any]]:
    """A row for each cell and way: {"cell", "way": "as trained" or "naive", "seconds_per_iteration" over repetitions}."""
    torch.set_num_threads(1)
    rows: list[tuple[list[str], str, Step, Any, list[Batch]]] = []
    for parts in cells:
        work = made(profile, parts, query)
        batches = [work.batch(work.seeds[0], number) for number in range(iterations)]
        state = started(work)
        rows.append((parts, "as trained", work.learner.step, state, batches))
        if isinstance(work.learner, BY_FEATURES):
            rows.append((parts, "naive", naive(work.learner), state, batches))
    taken: list[list[float]] = [[] for _ in rows]
    for _, _, step, state, batches in tqdm(rows, desc="start", disable=None):
        step(state, batches[0])  # what a process does once only
    for _ in tqdm(range(repetitions), desc="timing", disable=None):
        for (_, _, step, state, batches), seconds in zip(rows, taken, strict=True):
            begun = time.perf_counter()
            for batch in batches:
                state = step(state, batch)
            seconds.append((time.perf_counter() - begun) / iterations)
    return [
        {"cell": list(parts), "way": way, "seconds_per_iteration": over_trials(seconds)}
        for (parts, way, *_), seconds in zip(rows, taken, strict=True)
    ]


def apart(profile: str, parts: list[str], iterations: int, query: int | None = None, tasks: int | None = None) -> float:
    """The largest difference of an entry of the encoder between both ways after so many upper iterations, in double
    precision: in single precision Adam makes a step of its own of what rounding leaves where a gradient vanishes."""
    work = made(profile, parts, query, tasks)
    assert isinstance(work.learner, BY_FEATURES)
    state = other = doubled(started(work))
    step = naive(work.learner)
    for number in tqdm(range(iterations), desc="compared", disable=None):
        batch = doubled(work.batch(work.seeds[0], number))
        state, other = work.learner.step(state, batch), step(other, batch)
    pairs = zip(leaves(state.u), leaves(other.u), strict=True)
    return max(float((one - two).abs().max()) for one, two in pairs)


def made(profile: str, parts: list[str], query: int | None, tasks: int | None = None) -> Run:
    """The run of a cell, with so many queries of a class and tasks of a meta-batch (None: the cell's own)."""
    cell = families.cell("few_shot", profile, tuple(parts))
    given = {name: value for name, value in (("query", query), ("meta_batch", tasks)) if value is not None}
    return Run(dataclasses.replace(cell, settings={**cell.settings, **given}), machine.device())


def started(work: Run) -> Any:
    """The solver's state of the first trial before the first iteration."""
    seed = work.seeds[0]
    return work.learner.start(work.batch(seed, 0), data.draws(seed, "network"), seed)


def doubled(tree: Tree) -> Tree:
    """The same in double precision."""
    return tree_map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, tree)


def naive(learner: heads.Learner | anil.Learner) -> Step:
    """An upper iteration in which every cost encodes."""
    solver = learner.solver.naive()
    return lambda state, batch: solver.step(learner.restarted(state, batch), batch)[0]


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.few_shot.timing", description=__doc__)
    parser.add_argument("profile")
    given = parser.parse_args(arguments)
    plan = settings.profile_params("few_shot", given.profile)["timing"]
    query = plan.get("query")
    machine.end_with_parent()
    with machine.alone():
        rows = measure(given.profile, plan["cells"], plan["iterations"], plan["repetitions"], query)
    compared = [
        {
            "cell": parts,
            "iterations": plan["compared"],
            "largest difference": apart(given.profile, parts, plan["compared"], query, plan.get("compared_tasks")),
        }
        for parts in plan["cells"]
        if any(row["cell"] == parts and row["way"] == "naive" for row in rows)
    ]
    records.write_json(
        records.RESULTS / given.profile / "few_shot" / "timings.json",
        {
            "schema": records.SCHEMA,
            "profile": given.profile,
            "machine": machine.timed_on(),
            "rows": rows,
            "compared": compared,
        },
    )


if __name__ == "__main__":
    run(main)
