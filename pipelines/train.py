"""Train one cell: `python -m pipelines.train <family> <profile> <part> <part> [<part>]`.

Writes results/<profile>/<family>/<cell>/train.json (deterministic; no test label was read) and run.json (seconds, memory,
machine). Goes on from its last checkpoint after an interruption, with the same bytes in the end; ends when the process
that started it dies.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from typing import Any, Protocol

import torch

from core.trees import leaves
from core.trials import row
from pipelines import checkpoints, families, machine, records
from pipelines.errors import run
from pipelines.live import Live, live
from pipelines.observations import Observation, collected
from pipelines.settings import Cell


class Run(Protocol):
    """What a family gives the trainer for one cell.

    Trials are advanced in groups: all stacked in one, or one by one. `labels` says of each trial what tells it from the
    others (its seed, its T).
    """

    groups: list[list[int]]
    labels: list[dict[str, Any]]
    iterations: int
    record_at: list[int]

    def fingerprints(self) -> dict[str, str]:
        """Hashes of the data that is opened."""
        ...

    def start(self, group: list[int]) -> Any:
        """The solver's state (stacked, where the group holds several) before the first iteration."""
        ...

    def advance(self, state: Any, group: list[int], first: int, last: int) -> Any:
        """Upper iterations first..last-1."""
        ...

    def observe(self, state: Any, group: list[int], iteration: int) -> list[Observation]:
        """One observation for each trial of the group."""
        ...

    def oracle_calls(self, trial: int, iterations: int) -> dict[str, int]:
        """Calls by kind of a trial over so many iterations."""
        ...


CHECKPOINT_SECONDS = 20.0


def train(
    cell: Cell,
    device: torch.device,
    steps: int | None = None,
    report: Live | None = None,
    groups: int | None = None,
) -> dict[str, Any]:
    """The record of a cell.

    Args:
        steps: stop each trial after so many iterations, and keep no checkpoint: for `accept`, which compares the
            hashes of the first steps.
        report: who is told of the observations as they are made.
        groups: train so many groups of trials, the first; the record then holds those alone. None for all.
    """
    torch.set_num_threads(cell.common["threads"])
    # not use_deterministic_algorithms, which imports the whole compiler for a setting that `core.trials` makes itself
    torch.set_deterministic_debug_mode("error")
    work = families.build(cell, device)
    probe = int(cell.common["first_steps"])
    last = work.iterations if steps is None else min(steps, work.iterations)
    fingerprints = work.fingerprints()
    trials: list[dict[str, Any]] = [{} for _ in work.labels]
    with checkpoints.opened(checkpoint_key(cell, device, fingerprints), enabled=steps is None) as folder:
        done = 0
        for number, group in enumerate(work.groups[:groups]):
            saved = folder.load(number)
            if saved is None:
                saved = {"iteration": 0, "state": work.start(group), "seen": [[] for _ in group], "hashes": None}
            _advance(work, group, saved, last, probe, lambda state, n=number: folder.save(n, state), report, done)
            done += len(group)
            for position, trial in enumerate(group):
                trials[trial] = _trial_record(work, trial, saved, position, probe)
    return {
        "schema": records.SCHEMA,
        **cell.configuration,
        "configuration_hash": cell.configuration_hash,
        "data": fingerprints,
        "first_steps": probe,
        "trials": [trial for trial in trials if trial],
    }


def checkpoint_key(cell: Cell, device: torch.device, fingerprints: dict[str, str]) -> str:
    """All that determines a record: a checkpoint of anything else is not gone on from."""
    return records.sha256_of([cell.configuration_hash, fingerprints, machine.source_hash(), str(device)])


def _advance(
    work: Run,
    group: list[int],
    saved: dict[str, Any],
    last: int,
    probe: int,
    save: Any,
    report: Live | None,
    done: int,
) -> None:
    """Bring a group from where it stands to iteration `last`, observing and saving it on the way."""
    stops = sorted({stop for stop in work.record_at if stop <= last} | {min(probe, last), last})
    saved_at = time.monotonic()
    if "finite" in saved:
        return  # this group had ended when its checkpoint was written
    for stop in stops:
        while saved["iteration"] < stop:
            # pieces of one length whatever the checkpoints, so that they cannot matter
            target = min(stop, saved["iteration"] + max(1, work.iterations // 50))
            saved["state"] = work.advance(saved["state"], group, saved["iteration"], target)
            saved["iteration"] = target
            if report is not None:
                report.progress(done * work.iterations + len(group) * target, len(work.labels) * work.iterations)
            if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                save(saved)
                saved_at = time.monotonic()
        if saved["hashes"] is None and stop >= min(probe, last):
            saved["hashes"] = state_hashes(saved["state"], len(group), stacked=len(group) > 1)
        if stop in work.record_at and _next_unseen(saved) <= stop:
            for position, one in enumerate(work.observe(saved["state"], group, stop)):
                saved["seen"][position].append(one)
                if report is not None:
                    report.observed(group[position], one)
        if len(group) == 1 and not _finite(saved["state"], 1)[0]:
            break  # a diverged trial has nothing more to say
    saved["finite"] = _finite(saved["state"], len(group))
    save(saved)


def _next_unseen(saved: dict[str, Any]) -> int:
    seen = saved["seen"][0]
    return seen[-1].iteration + 1 if seen else 0


def _trial_record(work: Run, trial: int, saved: dict[str, Any], position: int, probe: int) -> dict[str, Any]:
    finite = saved["finite"][position] and all(
        records.finite(one.scalars.values()) for one in saved["seen"][position]
    )
    return {
        **work.labels[trial],
        "status": "finished" if finite else "diverged",
        "iterations": saved["iteration"],
        "state_after_first_steps": saved["hashes"][position],
        "oracle_calls": work.oracle_calls(trial, saved["iteration"]),
        **collected(saved["seen"][position]),
    }


def state_hashes(state: Any, trials: int, stacked: bool) -> list[str]:
    """SHA-256 of each trial's part of a state, tensor by tensor."""
    hashes = []
    for index in range(trials):
        digest = hashlib.sha256()
        for leaf in leaves(row(state, index) if stacked else state):
            part = leaf.detach().cpu().contiguous()
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
            digest.update(part.numpy().tobytes())
        hashes.append(digest.hexdigest())
    return hashes


def _finite(state: Any, trials: int) -> list[bool]:
    """Whether all numbers of each trial are finite."""
    ok = torch.ones(trials, dtype=torch.bool)
    for leaf in leaves(state):
        if leaf.is_floating_point():
            good = torch.isfinite(leaf.detach()).cpu()
            ok &= good.reshape(-1, trials).all(dim=0) if trials > 1 else good.all()
    return [bool(one) for one in ok]


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.train", description=__doc__)
    parser.add_argument("family")
    parser.add_argument("profile")
    parser.add_argument("parts", nargs="+", help="what names the cell, as in params.yaml: data and method, ...")
    given = parser.parse_args(arguments)
    cell = families.cell(given.family, given.profile, tuple(given.parts))
    machine.end_with_parent()
    device = machine.device()
    started = time.perf_counter()
    with live(cell, device) as report:
        record = train(cell, device, report=report)
        path = cell.folder / "train.json"
        records.write_json(path, record)
        seconds = time.perf_counter() - started
        records.write_json(cell.folder / "run.json", machine.describe(device, seconds))
        report.finished(path)
    checkpoints.forget(checkpoint_key(cell, device, record["data"]))
    diverged = [trial for trial in record["trials"] if trial["status"] != "finished"]
    if diverged:
        print(f"{cell.name}: {len(diverged)} of {len(record['trials'])} trials diverged", file=sys.stderr)


if __name__ == "__main__":
    run(main)
