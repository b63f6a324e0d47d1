"""Evaluate all cells of a family in one process: `python -m pipelines.evaluations <family> <profile> [--but <method>]`.

Runs the program `pipelines.evaluate` on one cell after another, so that each gets the metrics.json that evaluating it alone
writes, and libraries and parameters are read once. Where cells train in seconds, that is most of what evaluation takes.
"""

from __future__ import annotations

import argparse
import runpy
import sys

from pipelines import summary
from pipelines.errors import run

TOGETHER = ("embedded",)
"""The profiles whose stages evaluate a family's cells in one process. In the others a cell takes minutes to hours, and is
committed: there what one cell's training changes is that cell's evaluation alone."""
PROGRAM = "pipelines.evaluate"


def cells(family: str, profile: str, but: str = "") -> list[tuple[str, ...]]:
    """The parts that name each cell to evaluate: all of the family's but those of one method, which others wait for."""
    return [parts for parts in summary.names(family, profile) if parts[1] != but]


def evaluate(family: str, profile: str, parts: tuple[str, ...]) -> None:
    """What `python -m pipelines.evaluate` does with these words, in this process; raises SystemExit where it fails.

    It runs as the program it is: whom the sealed labels are opened for stays one module.
    """
    own = sys.argv
    sys.argv = [PROGRAM, family, profile, *parts]
    try:
        runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)
    finally:
        sys.argv = own


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.evaluations", description=__doc__)
    parser.add_argument("family")
    parser.add_argument("profile")
    parser.add_argument("--but", metavar="METHOD", default="", help="leave out the cells of a method")
    given = parser.parse_args(arguments)
    for parts in cells(given.family, given.profile, given.but):
        evaluate(given.family, given.profile, parts)


if __name__ == "__main__":
    run(main)
