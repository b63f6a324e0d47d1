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


def evaluate(family: str, profile: str, parts: tuple[str, ...]) -> dict[str, Any]:
    """The metrics of a cell: for each trial, and over the trials (mean, standard deviation, interval)."""
    cell = families.cell(family, profile, parts)
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


def meant(family: str, profile: str, parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The cells that the parts name: one, or all variants of an experiment."""
    if family == "denoising" and len(parts) == 1:
        cells = importlib.import_module("pipelines.denoising.cells")
        variants = cells.experiments(settings.profile_params(family, profile)).get(parts[0], [])
        if variants:
            return [(parts[0], variant) for variant in variants]
    return [parts]


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.evaluate", description=__doc__)
    parser.add_argument("family")
    parser.add_argument("profile")
    parser.add_argument("parts", nargs="+")
    given = parser.parse_args(arguments)
    for parts in meant(given.family, given.profile, tuple(given.parts)):
        metrics = evaluate(given.family, given.profile, parts)
        records.write_json(records.cell_folder(given.profile, given.family, *parts) / "metrics.json", metrics)


if __name__ == "__main__":
    run(main)
