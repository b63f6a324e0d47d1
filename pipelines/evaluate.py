"""Evaluate one cell, or all of an experiment: `python -m pipelines.evaluate <family> <profile> <part> ...`.

Reads the cell's train.json, and, alone of all stages, the sealed test labels. Writes metrics.json beside it. In the
denoising family an experiment's name alone stands for all its variants, which are evaluated in one process.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from pipelines import families, records, settings
from pipelines.errors import run
from pipelines.settings import Cell


def evaluate(family: str, profile: str, parts: tuple[str, ...]) -> dict[str, Any]:
    """The metrics of a cell: for each trial, and over the trials (mean, standard deviation, interval)."""
    return metrics_of(families.cell(family, profile, parts))


def metrics_of(cell: Cell) -> dict[str, Any]:
    """The same for a cell whose settings were read."""
    family, profile, parts = cell.family, cell.profile, cell.parts
    path = cell.folder / "train.json"
    record = records.read_json(path, f"python -m pipelines.train {family} {profile} {' '.join(parts)}")
    measured = importlib.import_module(f"pipelines.{family}.metrics").measure(cell, record)
    return {
        "schema": records.SCHEMA,
        "family": family,
        "profile": profile,
        "cell": list(parts),
        "record": records.sha256_of_file(path),
        **measured,
    }


def meant(family: str, profile: str, parts: tuple[str, ...]) -> list[Cell]:
    """The cells that the parts name: one, or all variants of an experiment."""
    if family == "denoising" and len(parts) == 1:
        params = settings.load_params(family)  # once: reading YAML takes longer than evaluating
        block = settings.profile_params(family, profile)
        variants = importlib.import_module("pipelines.denoising.cells").experiments(block).get(parts[0], [])
        if variants:
            return [
                Cell(family, profile, (parts[0], one), block["cells"][parts[0]][one], params["common"]) for one in variants
            ]
    return [families.cell(family, profile, parts)]


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.evaluate", description=__doc__)
    parser.add_argument("family")
    parser.add_argument("profile")
    parser.add_argument("parts", nargs="+")
    given = parser.parse_args(arguments)
    for cell in meant(given.family, given.profile, tuple(given.parts)):
        records.write_json(cell.folder / "metrics.json", metrics_of(cell))


if __name__ == "__main__":
    run(main)
