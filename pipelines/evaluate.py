"""Evaluate one cell: `python -m pipelines.evaluate <family> <profile> <part> ...`.

Reads the cell's train.json, and, alone of all stages, the sealed test labels. Writes metrics.json beside it.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from pipelines import families, records
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


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.evaluate", description=__doc__)
    parser.add_argument("family")
    parser.add_argument("profile")
    parser.add_argument("parts", nargs="+")
    given = parser.parse_args(arguments)
    metrics = evaluate(given.family, given.profile, tuple(given.parts))
    folder = records.cell_folder(given.profile, given.family, *given.parts)
    records.write_json(folder / "metrics.json", metrics)


if __name__ == "__main__":
    run(main)
