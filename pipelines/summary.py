"""Gather a family's metrics: `python -m pipelines.summary <family> <profile> [--costs]`.

Writes results/<profile>/<family>/summary.json (from every cell's metrics.json; its means are those of the trials
there), or with --costs costs.json (from every
run.json, and the timings of a family other than synthetic, where a profile takes them): what is measured of a machine stays
apart from results.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines import families, records, settings
from pipelines.denoising import cells as denoising
from pipelines.errors import run
from pipelines.statistics import over_trials


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
        if "trials" in record:
            trials = _numbers(record["trials"])
            cells[cell.name] |= {"trials": trials, "summary": followed(record["summary"], trials)}
    return cells


def _numbers(held: Any) -> Any:
    """The same with None for what is no number: NaN is not JSON."""
    if isinstance(held, Mapping):
        return {key: _numbers(one) for key, one in held.items()}
    if isinstance(held, list):
        return [_numbers(one) for one in held]
    return None if isinstance(held, float) and not math.isfinite(held) else held


def followed(summary: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], path: tuple[str, ...] = ()) -> dict[str, Any]:
    """A summary in which every mean over trials is that of the trials that stand beside it, so that what is drawn follows
    them; what the trials do not hold stays. A trial that did not finish is in no mean, and counted.

    Args: path: the keys that lead here; one such as "T=5" names some of the trials.
    """
    finished = [trial for trial in trials if trial["status"] == "finished"]
    found: dict[str, Any] = {}
    for key, held in summary.items():
        name, _, value = key.partition("=")
        some = [trial for trial in trials if str(trial[name]) == value] if value else trials
        if key == "diverged":
            found[key] = len(trials) - len(finished)
        elif key == "by seed":
            found[key] = {str(trial["seed"]): _by_seed(trial) for trial in finished}
        elif isinstance(held, Mapping) and held.keys() == over_trials([]).keys():
            found[key] = _mean(finished, (*path, key), held)
        elif isinstance(held, Mapping):
            found[key] = followed(held, some, path if value else (*path, key))
        else:
            found[key] = held
    return found


def _by_seed(trial: Mapping[str, Any]) -> Any:
    """What experiments are paired by: of an attack all that the judge says, else the accuracy at the end."""
    return trial["judge"] if "judge" in trial else trial["last"]["test accuracy"]


def _mean(finished: Sequence[Mapping[str, Any]], path: tuple[str, ...], before: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mean over trials of what lies at the path in each, or in each's last iterate; as before where there is none."""
    values = []
    for trial in finished:
        held: Any = trial if path[0] in trial else trial.get("last", {})
        for key in path:
            if not isinstance(held, Mapping) or key not in held:
                return before
            held = held[key]
        values.append(held)
    return over_trials(values)


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.summary", description=__doc__)
    parser.add_argument("family")
    parser.add_argument("profile")
    parser.add_argument("--costs", action="store_true")
    given = parser.parse_args(arguments)
    if given.costs:
        keys = ("seconds", "cpu_seconds", "peak_memory_bytes", "device", "commit", "date")
        cells = gathered(given.family, given.profile, "run.json", keys, ("peak_device_memory_bytes",))
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
