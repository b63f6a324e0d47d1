"""Settle cells that only an edit of code made stale: `python -m pipelines.accept`; this is `make accept`.

Re-runs the first steps of each such cell, of the first of its trials (all, where they are stacked: the others are the same
program on other draws), and compares the states' hashes, the first observations and the oracle calls with those in its
record. Where all are the same, the edit did not change the mathematics: DVC is told that the record stands.
The others are left stale, and `make repro` trains them. Another processor, even one of the same name, may differ from the
record in the last bits: then the comparison is with what the sources of the record's time make of these steps here.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from tqdm import tqdm

from pipelines import attacks, earlier, families, machine, records, settings, summary
from pipelines.denoising import cells as denoising
from pipelines.errors import UserError, run
from pipelines.repro import DVC, is_missing_data, prepare_data, profile_in_use, really_changed, status, use_profile
from pipelines.settings import Cell
from pipelines.train import train

TOGETHER = 8
"""Cells that DVC is told of in one call, which takes it seconds."""


def stage_of(cell: Cell) -> str:
    """The name of a cell's training stage."""
    folder = f"pipelines/{cell.family}/{cell.profile}/dvc.yaml"
    home = f"{folder}:train_{cell.profile}"
    if cell.family == "denoising":
        first, method = cell.parts
        if first in denoising.experiments(settings.profile_params(cell.family, cell.profile)):
            return f"{folder}:{denoising.stage_of(cell.profile, first, method, cell.settings)}"
        return f"{home}_{method}@{first}"
    if cell.family in attacks.FAMILIES:
        return f"{folder}:{attacks.stage_of(cell)}"
    if cell.family == "few_shot":
        first, second = cell.parts
        named = denoising.experiments(settings.profile_params(cell.family, cell.profile))
        return f"{home}_{first}@{second}" if first in named else f"{home}_{second}@{first}"
    first, second, preset = cell.parts
    return f"{home}_ablation@{second}-{preset}" if first == "ablation" else f"{home}_{second}@{first}-{preset}"


def only_code_changed(changes: list[Any]) -> bool:
    """Whether a stage is stale, and for edited sources alone: no parameter, no data, no missing or changed record."""
    if not any(map(really_changed, changes)):
        return False
    for change in changes:
        if not isinstance(change, Mapping):
            return False
        for files in change.values():
            for path, how in files.items():
                code = path.startswith(("core/", "pipelines/")) and path.endswith(".py") and how == "modified"
                if not (is_missing_data(path, how) or code):
                    return False
    return True


def first_steps(cell: Cell) -> list[dict[str, Any]]:
    """What the sources as they stand make of the first steps of a cell's first group of trials."""
    record = train(cell, machine.device(), steps=int(cell.common["first_steps"]), groups=1)
    trials: list[dict[str, Any]] = record["trials"]
    return trials


def earlier_first_steps(cell: Cell, sources: Mapping[str, str]) -> list[dict[str, Any]]:
    """The same by the sources (path -> MD5) that the record was made with, on this machine; raises UserError where they
    cannot run."""
    # of what is imported here only the sources of the cell are earlier ones; this module needs more than those
    asked = (
        "import inspect, json, sys; from pipelines import families, machine; from pipelines.train import train;"
        "cell = families.cell(sys.argv[1], sys.argv[2], tuple(sys.argv[3:]));"
        "one = {name: 1 for name in ('groups', 'observed_groups') if name in inspect.signature(train).parameters};"
        "print(json.dumps(train(cell, machine.device(), steps=int(cell.common['first_steps']), **one)['trials']))"
    )
    with earlier.project_of(sources) as project:
        done = subprocess.run(
            [sys.executable, "-c", asked, cell.family, cell.profile, *cell.parts],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(project)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise UserError(f"the earlier sources cannot be run: {done.stderr.strip().splitlines()[-1]}")
    trials: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return trials


def difference(cell: Cell, sources: Mapping[str, str]) -> str | None:
    """What the first steps of a cell show that its record does not; None where they agree bit by bit.

    Args: sources: those the record was made with, as `earlier.locked_sources` has them.

    A record made on another processor may differ in its last bits from what the same sources make here. So where it
    differs, the sources it was made with are run here too, and it is those that must agree with the edited ones. The oracle
    calls are those of the record in any case.
    """
    record: list[dict[str, Any]] = records.read_json(cell.folder / "train.json", "make repro")["trials"]
    work = families.build(cell, machine.device())
    for index, trial in enumerate(record):
        if trial["oracle_calls"] != work.oracle_calls(index, trial["iterations"]):
            return f"trial {trial['seed']} makes other oracle calls"
    new = json.loads(json.dumps(first_steps(cell)))
    found = _apart(record, new)
    if found is None:
        return None
    try:
        return _apart(earlier_first_steps(cell, sources), new)
    except UserError as error:
        return f"{found}, and {error}"


def _apart(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> str | None:
    """The first thing in which the first steps of two lists of trials differ."""
    for one, other in zip(old[: len(new)], new, strict=True):
        if one["state_after_first_steps"] != other["state_after_first_steps"]:
            return f"the state of trial {other['seed']} differs after the first steps"
        for name, values in other["curve"].items():
            if values[0] != one["curve"].get(name, [None])[0]:
                return f"trial {other['seed']} starts with another {name}"
    return None


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.accept", description=__doc__)
    parser.add_argument("--profile", default="")
    parser.add_argument("--workers", type=int, default=2, help="cells at a time")
    given = parser.parse_args(arguments)
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # as `make repro` trains
    if given.profile:
        use_profile(given.profile)
    profile = profile_in_use()
    found = prepare_data(status(profile), profile, given.workers)
    accepted, refused = 0, 0
    for family in settings.FAMILIES:
        cells = [families.cell(family, profile, parts) for parts in summary.names(family, profile)]
        waiting = [cell for cell in cells if only_code_changed(found.get(stage_of(cell), []))]
        # read before any is committed: DVC writes the lock anew each time, and a reader could find half of it
        made_with = [earlier.locked_sources(stage_of(cell)) for cell in waiting]
        # a process for each cell, as in training: compiled programs pile up in one
        own = {"mp_context": get_context("spawn"), "max_tasks_per_child": 1, "initializer": _begin}
        with ProcessPoolExecutor(given.workers, **own) as pool:
            found_out = zip(waiting, pool.map(difference, waiting, made_with), strict=True)
            settled: list[str] = []
            try:
                for cell, why in tqdm(found_out, total=len(waiting), desc=family, disable=None):
                    if why is None:
                        settled.append(stage_of(cell))
                        accepted += 1
                    else:
                        print(f"{cell.name}: {why}; `make repro` trains it", flush=True)
                        refused += 1
                    if len(settled) == TOGETHER:
                        _commit(*settled)
                        settled.clear()
            finally:
                _commit(*settled)  # what was found out before an interruption stays
        timing = f"pipelines/{family}/{profile}/dvc.yaml:time_{profile}"
        if refused == 0 and timing in found and only_code_changed(found[timing]):
            _commit(timing)  # the same steps take the same time
    print(f"{accepted} cells settled, {refused} to be trained; now run `make repro`")
    if refused:
        sys.exit(1)


def _begin() -> None:
    """Of a worker: it ends with its parent, and keeps torch's remarks on compiling, which say nothing of results, quiet."""
    machine.end_with_parent()
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="There is a performance drop")


def _commit(*stages: str) -> None:
    if not stages:
        return
    done = subprocess.run([*DVC, "commit", "--force", *stages], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{', '.join(stages)}: dvc commit failed: {done.stderr.strip()}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
