"""Time the synthetic solvers: `python -m pipelines.timing <profile>`.

Seconds of 10,000 upper iterations, of one trial alone and of 20 stacked, for every example, T and method. Eager rows
call one solver step after another, as the authors' code calls one session after another; compiled rows run a program of
that T. Repetitions go round the methods, so that a machine that slows down slows all of them, and an exclusive lock keeps
other timings of this project away. Writes results/<profile>/synthetic/timings.json. No result depends on it.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from core import trials
from pipelines import families, machine, records, settings
from pipelines.errors import run
from pipelines.statistics import over_trials
from pipelines.synthetic.run import Run

# the tolerance test on gradients that are there already, instead of on new ones
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {"penalty": {"reused test": {"test_gradients": "reused"}}}
"""Beside each method as it is: settings that cost another time, by method and name."""


class Timed(NamedTuple):
    """One thing to be timed: what it is, and a function that makes so many upper iterations."""

    label: dict[str, Any]
    go: Callable[[int], Any]


def prepared(profile: str, example: str, steps: int, stacked: int, compiled: bool) -> list[Timed]:
    """Every variant on one example, at one T, warm and ready to be timed in turn."""
    timed = []
    methods = settings.profile_params("synthetic", profile)["methods"]
    variants = [(method, *one) for method in methods for one in {"": {}, **VARIANTS.get(method, {})}.items()]
    for method, variant, extra in variants:
        cell = families.cell("synthetic", profile, (example, method, "released"))
        cell = dataclasses.replace(
            cell,
            settings={**cell.settings, "settings": {**cell.settings["settings"], **extra}},
            common={**cell.common, "lower_steps": [steps], "trials": stacked},
        )
        work = Run(cell, machine.device())
        state, batch = work.start(work.groups[0]), work.matrices
        if stacked == 1:
            state = trials.row(state, 0)
            batch = None if batch is None else batch[..., 0]
            step = work.solver.step
        else:
            step = trials.batched(work.solver, None if batch is None else -1)
        advance = trials.advancing(step) if compiled else trials.one_by_one(step)
        advance(state, batch, 1)
        label = {
            "example": example,
            "T": steps,
            "method": method,
            "variant": variant,
            "preset": "released",
            "stacked": stacked,
            "compiled": compiled,
        }
        timed.append(Timed(label, lambda count, a=advance, s=state, b=batch: a(s, b, count)))
    return timed


def rows(timed: list[Timed], iterations: int, repetitions: int) -> list[dict[str, Any]]:
    """A row for each: mean and spread over repetitions that go round all of them."""
    taken: list[list[float]] = [[] for _ in timed]
    for _ in range(repetitions):
        for index, one in enumerate(timed):
            started = time.perf_counter()
            one.go(iterations)
            taken[index].append((time.perf_counter() - started) * 10_000 / iterations)
    return [
        {**one.label, "seconds_per_10000": over_trials(values)} for one, values in zip(timed, taken, strict=True)
    ]


def measure(profile: str, plan: Mapping[str, Any], lower_steps: list[int]) -> list[dict[str, Any]]:
    """All rows of a profile. `plan` (params.yaml): repetitions, eager and compiled {examples, iterations}."""
    torch.set_num_threads(1)
    settings_of = [
        (example, steps, stacked, compiled)
        for compiled in ((False, True) if trials.compiler_problem() is None else (False,))
        for example in plan["compiled" if compiled else "eager"]["examples"]
        for steps in lower_steps
        for stacked in (1, 20)
    ]
    found = []
    for example, steps, stacked, compiled in tqdm(settings_of, desc="timing", disable=None):
        iterations = plan["compiled" if compiled else "eager"]["iterations"]
        found += rows(prepared(profile, example, steps, stacked, compiled), iterations, plan["repetitions"])
    return found


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.timing", description=__doc__)
    parser.add_argument("profile")
    given = parser.parse_args(arguments)
    plan = settings.profile_params("synthetic", given.profile)["timing"]
    common = settings.load_params("synthetic")["common"]
    machine.end_with_parent()
    with machine.alone():
        found = measure(given.profile, plan, common["lower_steps"])
    records.write_json(
        records.RESULTS / given.profile / "synthetic" / "timings.json",
        {"schema": records.SCHEMA, "profile": given.profile, "machine": machine.timed_on(), "rows": found},
    )


if __name__ == "__main__":
    run(main)
