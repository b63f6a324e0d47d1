"""What `make repro` would run, and for how long: `python -m pipelines.plan [--profile NAME]`; this is `make plan`.

Runs nothing and writes nothing. A stage that trains stands with its cell and the seconds of one core that training took
before, or that cells of the same kind took (`pipelines.planning`).
"""

from __future__ import annotations

import argparse
from collections import Counter

from pipelines import families, planning, settings, summary
from pipelines.accept import stage_of
from pipelines.errors import run
from pipelines.repro import checked, kind_and_profile, needed_data, profile_in_use, status, to_make
from pipelines.settings import Cell

AT_ONCE = 2
"""Cells that `make repro` trains side by side."""


def lines(profile: str) -> list[str]:
    """The plan, line by line."""
    found = status(profile)
    todo = [*needed_data(found, profile, "fetch"), *to_make(found, profile)]
    if not todo:
        return [f"profile {profile} is up to date: make repro PROFILE={profile} would run nothing"]
    cells = {stage_of(cell): cell for cell in every_cell(profile)}
    known, total, unknown, said = planning.past_here(), 0.0, 0, []
    for stage in todo:
        if stage in cells:
            cell = cells[stage]
            time = planning.estimate(known, cell.family, profile, cell.parts)
            total, unknown = total + (time.seconds if time else 0.0), unknown + (time is None)
            words = f"{planning.said(time.seconds):>9}  {time.basis:<10}" if time else f"{'-':>9}  {'not known':<10}"
            said.append(f"{words}  {cell.family} {' '.join(cell.parts)}")
    others = Counter(kind_and_profile(stage)[0] for stage in todo if stage not in cells)
    stages = "1 stage" if len(todo) == 1 else f"{len(todo)} stages"
    head = f"make repro PROFILE={profile} would run {stages}, {len(said) or 'none'} of them training:"
    if said:
        more = f", and {unknown} cells of which no time is known" if unknown else ""
        said.append(f"{planning.said(total):>9}  of one core in all{more}; about half of it with {AT_ONCE} cells at a time")
    if others:
        listed = ", ".join(f"{kind} {count}" for kind, count in others.items())
        said.append(f"without training, seconds to minutes: {listed}")
    if cells.keys() & set(todo):
        said.append("and what is made of the trained cells: evaluations and summaries")
    return [head, *said]


def every_cell(profile: str) -> list[Cell]:
    """The cells of a profile's lists."""
    return [
        families.cell(family, profile, parts) for family in settings.FAMILIES for parts in summary.names(family, profile)
    ]


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.plan", description=__doc__)
    parser.add_argument("--profile", default="")
    given = parser.parse_args(arguments)
    # params.yaml stays as it is: a plan of another profile is not a switch to it
    print("\n".join(lines(checked(given.profile) if given.profile else profile_in_use())))


if __name__ == "__main__":
    run(main)
