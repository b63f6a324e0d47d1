"""Settle cells that only an edit of code made stale: `python -m pipelines.accept`; this is `make accept`.

Re-runs the first steps of each such cell, and compares the states' hashes, and the first observations, with those in its
record. Where all are the same, the edit did not change the mathematics: DVC is told that the record stands. The others
are left stale, and `make repro` trains them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from tqdm import tqdm

from pipelines import families, machine, records, settings, summary
from pipelines.errors import run
from pipelines.repro import DVC, is_missing_data, profile_in_use, status
from pipelines.settings import Cell
from pipelines.train import train


def stage_of(cell: Cell) -> str:
    """The name of a cell's training stage."""
    home = f"pipelines/{cell.family}/dvc.yaml:train_{cell.profile}"
    if cell.family == "denoising":
        data, method = cell.parts
        return f"{home}_{method}@{data}"
    first, second, preset = cell.parts
    return f"{home}_ablation@{second}-{preset}" if first == "ablation" else f"{home}_{second}@{first}-{preset}"


def only_code_changed(changes: list[Any]) -> bool:
    """Whether a stage is stale for edited sources alone: no parameter, no data, no missing or changed record."""
    for change in changes:
        if not isinstance(change, Mapping):
            return False
        for files in change.values():
            for path, how in files.items():
                code = path.startswith(("core/", "pipelines/")) and path.endswith(".py") and how == "modified"
                if not (is_missing_data(path, how) or code):
                    return False
    return True


def difference(cell: Cell) -> str | None:
    """What the first steps of a cell show that its record does not; None where they agree bit by bit."""
    record = records.read_json(cell.folder / "train.json", "make repro")
    again = json.loads(json.dumps(train(cell, machine.device(), steps=int(cell.common["first_steps"]))))
    work = families.build(cell, machine.device())
    for index, (old, new) in enumerate(zip(record["trials"], again["trials"], strict=True)):
        if old["state_after_first_steps"] != new["state_after_first_steps"]:
            return f"the state of trial {old['seed']} differs after {record['first_steps']} steps"
        if old["oracle_calls"] != work.oracle_calls(index, old["iterations"]):
            return f"trial {old['seed']} makes other oracle calls"
        for name, values in new["curve"].items():
            if values[0] != old["curve"].get(name, [None])[0]:
                return f"trial {old['seed']} starts with another {name}"
    return None


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.accept", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="cells at a time")
    given = parser.parse_args(arguments)
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # as `make repro` trains
    profile = profile_in_use()
    found = status()
    accepted, refused = 0, 0
    for family in settings.FAMILIES:
        cells = [families.cell(family, profile, parts) for parts in summary.names(family, profile)]
        waiting = [cell for cell in cells if stage_of(cell) in found and only_code_changed(found[stage_of(cell)])]
        # a process for each cell, as in training: compiled programs pile up in one
        with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
            found_out = zip(waiting, pool.map(difference, waiting), strict=True)
            for cell, why in tqdm(found_out, total=len(waiting), desc=family, disable=None):
                if why is None:
                    _commit(stage_of(cell))
                    accepted += 1
                else:
                    print(f"{cell.name}: {why}; `make repro` trains it", flush=True)
                    refused += 1
        timing = f"pipelines/{family}/dvc.yaml:time_{profile}"
        if refused == 0 and timing in found and only_code_changed(found[timing]):
            _commit(timing)  # the same steps take the same time
    print(f"{accepted} cells settled, {refused} to be trained; now run `make repro`")
    if refused:
        sys.exit(1)


def _commit(stage: str) -> None:
    done = subprocess.run([*DVC, "commit", "--force", stage], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{stage}: dvc commit failed: {done.stderr.strip()}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
