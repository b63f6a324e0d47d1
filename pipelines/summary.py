"""Gather a family's metrics: `python -m pipelines.summary <family> <profile> [--costs]`.

Writes results/<profile>/<family>/summary.json (from every cell's metrics.json), or with --costs costs.json (from every
run.json, and the timings of a family other than synthetic, where a profile takes them): what is measured of a machine stays
apart from results.
"""

from __future__ import annotations

import argparse
from typing import Any

from pipelines import families, records, settings
from pipelines.denoising import cells as denoising
from pipelines.errors import run


def names(family: str, profile: str) -> list[tuple[str, ...]]:
    """The cells of a family in a profile, by the lists of its params.yaml."""
    block = settings.profile_params(family, profile)
    if family != "synthetic":
        return list(denoising.names(block))
    pairs = [(example, method) for example in block["examples"] for method in block["methods"]]
    pairs += [(ablation, variant) for ablation in block["ablations"] for variant in block["variants"]]
    return [(*pair, preset) for pair in pairs for preset in block["presets"]]


def is_timed(family: str, profile: str) -> bool:
    """Whether costs.json holds timings: the synthetic family's are drawn from their own file, and where no cell is listed,
    nothing is timed."""
    return family != "synthetic" and "timing" in settings.profile_params(family, profile) and bool(names(family, profile))


def gathered(family: str, profile: str, file: str, keys: tuple[str, ...], more: tuple[str, ...] = ()) -> dict[str, Any]:
    """{cell: {key: ...}} from a file of every cell, and those of `more` that it has; raises UserError naming the command
    for a missing one."""
    cells = {}
    for parts in names(family, profile):
        cell = families.cell(family, profile, parts)
        command = "evaluate" if file == "metrics.json" else "train"
        record = records.read_json(
            cell.folder / file, f"python -m pipelines.{command} {family} {profile} {' '.join(parts)}"
        )
        wanted = [*keys, *(key for key in more if key in record)]
        cells[cell.name] = {"parts": list(parts), **{key: record[key] for key in wanted}}
    return cells


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.summary", description=__doc__)
    parser.add_argument("family")
    parser.add_argument("profile")
    parser.add_argument("--costs", action="store_true")
    given = parser.parse_args(arguments)
    if given.costs:
        keys = ("seconds", "cpu_seconds", "peak_memory_bytes", "device", "commit", "date")
        cells = gathered(given.family, given.profile, "run.json", keys)
    else:
        keys, more = ("record", "summary", "curves"), ("learned", "poisons")
        cells = gathered(given.family, given.profile, "metrics.json", keys, more)
    name = "costs.json" if given.costs else "summary.json"
    folder = records.RESULTS / given.profile / given.family
    whole = {"schema": records.SCHEMA, "family": given.family, "profile": given.profile, "cells": cells}
    if given.costs and is_timed(given.family, given.profile):
        made_by = f"python -m pipelines.{given.family}.timing {given.profile}"
        whole["timings"] = records.read_json(folder / "timings.json", made_by)
    records.write_json(folder / name, whole)


if __name__ == "__main__":
    run(main)
