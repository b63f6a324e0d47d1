"""Time the denoising methods: `python -m pipelines.denoising.timing <profile>`.

Seconds of an upper iteration of the cells that `timing` of the profile lists, and of what goes before the first one
(pre-training), on their first trial; of the cells that it names as `profiled`, where the time of an upper iteration goes.
Repetitions go round the cells, and an exclusive lock keeps other timings of this project away. Writes
results/<profile>/denoising/timings.json. No accuracy depends on it.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from tqdm import tqdm

from pipelines import families, machine, records, settings
from pipelines.denoising.profiling import shares
from pipelines.denoising.run import Run
from pipelines.errors import run
from pipelines.statistics import over_trials

GROUP = [0]
"""The trial that is timed."""


def measure(profile: str, cells: list[list[str]], iterations: int, repetitions: int) -> list[dict[str, Any]]:
    """A row for each cell: {"cell", "seconds_per_iteration" over repetitions, "seconds_before"}."""
    torch.set_num_threads(1)
    works = [Run(families.cell("denoising", profile, tuple(parts)), machine.device()) for parts in cells]
    works[0].start(GROUP)  # what a process does once only
    states, before = [], []
    for work in tqdm(works, desc="start", disable=None):
        started = time.perf_counter()
        states.append(work.start(GROUP))
        before.append(time.perf_counter() - started)
        work.advance(states[-1], GROUP, 0, 1)
    taken: list[list[float]] = [[] for _ in works]
    for _ in tqdm(range(repetitions), desc="timing", disable=None):
        for work, state, seconds in zip(works, states, taken, strict=True):
            started = time.perf_counter()
            work.advance(state, GROUP, 0, iterations)
            seconds.append((time.perf_counter() - started) / iterations)
    return [
        {"cell": list(parts), "seconds_per_iteration": over_trials(seconds), "seconds_before": records.significant(start)}
        for parts, seconds, start in zip(cells, taken, before, strict=True)
    ]


def profiled(profile: str, cells: list[list[str]]) -> list[dict[str, Any]]:
    """A row for each cell: {"cell", "shares": {part: share of one upper iteration}}."""
    rows = []
    for parts in tqdm(cells, desc="profiles", disable=None):
        work = Run(families.cell("denoising", profile, tuple(parts)), machine.device())
        state = work.advance(work.start(GROUP), GROUP, 0, 1)
        found = shares(lambda work=work, state=state: work.advance(state, GROUP, 1, 2))
        rows.append({"cell": list(parts), "shares": {part: records.significant(share) for part, share in found.items()}})
    return rows


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.denoising.timing", description=__doc__)
    parser.add_argument("profile")
    given = parser.parse_args(arguments)
    plan = settings.profile_params("denoising", given.profile)["timing"]
    machine.end_with_parent()
    with machine.alone():
        rows = measure(given.profile, plan["cells"], plan["iterations"], plan["repetitions"])
        where = profiled(given.profile, plan["profiled"])
    records.write_json(
        records.RESULTS / given.profile / "denoising" / "timings.json",
        {
            "schema": records.SCHEMA,
            "profile": given.profile,
            "machine": machine.timed_on(),
            "rows": rows,
            "profiled": where,
        },
    )


if __name__ == "__main__":
    run(main)
