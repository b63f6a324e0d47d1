"""The paper's claims on the method itself, computed: `python -m pipelines.theory.demonstrations <profile>`.

A demonstration is a file of its own subject, which derives what is to come out and holds a number against it. Float64, one
thread, the same on every run. Writes results/<profile>/theory/demonstrations.json: rows of claim, number, bound and verdict,
and the curves of the figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tqdm import tqdm

from pipelines import machine, records
from pipelines.errors import run
from pipelines.theory.checks import Demonstration
from pipelines.theory.constrained import inequality, kkt
from pipelines.theory.finite_weight import at_a_finite_weight
from pipelines.theory.linear_systems import linear_systems
from pipelines.theory.long_reverse import long_reverse
from pipelines.theory.optimistic import optimistic
from pipelines.theory.settings import load

ALL: tuple[Callable[[Mapping[str, Any]], Demonstration], ...] = (
    at_a_finite_weight,
    kkt,
    inequality,
    optimistic,
    linear_systems,
    long_reverse,
)
SOLVERS = ("penalty", "approxgrad", "rmd")
"""The solvers that are run."""


def shown(plan: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(rows, curves) of all demonstrations."""
    rows: list[dict[str, Any]] = []
    curves: dict[str, Any] = {}
    for one in tqdm(ALL, desc="demonstrations", disable=None):
        found = one(plan)
        rows += [check.row() for check in found.checks]
        for name, lines in found.curves.items():
            curves[name] = {line: list(map(records.significant, values)) for line, values in lines.items()}
    return rows, curves


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.theory.demonstrations", description=__doc__)
    parser.add_argument("profile")
    given = parser.parse_args(arguments)
    plan = load(given.profile, "demonstrations")
    torch.set_num_threads(plan["threads"])
    machine.end_with_parent()
    rows, curves = shown(plan)
    records.write_json(
        records.RESULTS / given.profile / "theory" / "demonstrations.json",
        {"schema": records.SCHEMA, "profile": given.profile, "rows": rows, "curves": curves},
    )


if __name__ == "__main__":
    run(main)
