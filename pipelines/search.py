"""Choose step sizes on the selection split: `python -m pipelines.search denoising <profile>`.

Where a profile's budget is cut, the published step sizes no longer fit it. Every method then searches the same grid of
its step sizes (`search` in the family's params.yaml), on data of tuning seeds that no reported trial uses, and takes the
one with the best accuracy on the selection split at the last iterate; ties go to the earlier grid point. No test label is
read. Writes pipelines/<family>/search/<profile>.json; params.yaml is changed by hand, and a test compares the two.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipelines import machine, records, settings
from pipelines.errors import run
from pipelines.settings import Cell
from pipelines.train import train


def place(family: str, profile: str) -> Path:
    """Where a search is recorded: beside the parameters that were chosen by it, in git for every profile."""
    return settings.params_path(family).parent / "search" / f"{profile}.json"


def grid(space: Mapping[str, list[Any]], solver_settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The points of the grid over those settings that the solver has, in the order of the file."""
    names = [name for name in space if name in solver_settings]
    for values in itertools.product(*(space[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def with_point(cell: Cell, point: Mapping[str, Any], tied: Mapping[str, str]) -> Cell:
    """The cell at a grid point; `tied` names settings that follow another, {solver_step_size: lower_step_size}."""
    inner = {**cell.settings["settings"], **point}
    inner.update({name: inner[other] for name, other in tied.items() if name in inner})
    return dataclasses.replace(cell, settings={**cell.settings, "settings": inner, "evaluations": 1})


def score(record: Mapping[str, Any]) -> float:
    """Mean accuracy on the selection split at the last iterate, in percent; -1 where a trial diverged."""
    if any(trial["status"] != "finished" for trial in record["trials"]):
        return -1.0
    last = [trial["curve"]["selection accuracy"][-1] for trial in record["trials"]]
    return sum(last) / len(last)


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.search", description=__doc__)
    parser.add_argument("family", choices=["denoising"])
    parser.add_argument("profile")
    parser.add_argument("methods", nargs="*", help="search these alone, and keep what is recorded of the others")
    given = parser.parse_args(arguments)
    block = settings.profile_params(given.family, given.profile)
    space, tied = block["search"]["space"], block["search"]["tied"]
    path = place(given.family, given.profile)
    for method in given.methods or block["methods"]:
        cell = settings.cell(given.family, given.profile, "tuning", method)
        points = list(grid(space, cell.settings["settings"]))
        scores = [
            score(train(with_point(cell, point, tied), machine.device(), steps=10**9))
            for point in tqdm(points, desc=method, disable=None)
        ]
        best = max(range(len(points)), key=lambda index: scores[index])
        table = [{**point, "selection accuracy": value} for point, value in zip(points, scores, strict=True)]
        print(f"{method}: {points[best]} ({scores[best]:.2f}% of the selection split)", flush=True)
        # read again for each method: searches of several methods may run side by side
        found: dict[str, Any] = records.read_json(path, "")["methods"] if path.exists() else {}
        found[method] = {"chosen": points[best], "tried": table}
        ordered = {name: found[name] for name in block["methods"] if name in found}
        records.write_json(path, {"space": space, "tied": tied, "methods": ordered})


if __name__ == "__main__":
    run(main)
