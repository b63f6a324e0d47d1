"""Train one denoising cell with several workers, each on its part of every minibatch:

    torchrun --nproc-per-node 2 -m pipelines.denoising.parallel <profile> <data> <method>

Worker 0 is `pipelines.train` itself: it writes the records and checkpoints, and tells the others which part of the training
to do with it. They hold the same state. The record is that of one process but for rounding; it says how many workers there
were beside the hashes of the data. All of the workers see the data, on a disk of their own or a shared one.

After an interruption the same command goes on from the last checkpoint. torchrun does that by itself with --max-restarts,
given TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 (pytorch issue 135712).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from core.parallel import data_parallel, workers
from core.trees import tree_map
from pipelines import families, machine, train
from pipelines.denoising import run as denoising
from pipelines.errors import UserError, run
from pipelines.observations import Observation
from pipelines.settings import Cell, params_path

COMMAND = "torchrun --nproc-per-node <workers> -m pipelines.denoising.parallel <profile> <data> <method>"


class Shared(denoising.Run):
    """The trials of a cell, whose network is run by all workers together.

    Raises: UserError where the workers do not divide a minibatch, or the cell asks for dropout.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        batch = int(cell.settings["batch"])
        if batch % workers():
            place = ".".join((cell.profile, "cells", *cell.parts, "batch"))
            where = f"{params_path('denoising')}: {place}"
            raise UserError(f"{workers()} workers do not divide a minibatch of {batch} ({where})")
        if cell.settings.get("dropout"):
            raise UserError(f"{' '.join(cell.parts)} trains with dropout, whose masks are of a whole minibatch: one process")
        super().__init__(cell, device)

    def fingerprints(self) -> dict[str, str]:
        return {**super().fingerprints(), "workers": str(workers())}

    def observe(self, state: Any, group: list[int], iteration: int) -> list[Observation]:
        """As in one process; raises RuntimeError where the workers' states are no longer the same."""
        hashes: list[Any] = [None] * workers()
        dist.all_gather_object(hashes, train.state_hashes(state, 1, stacked=False))
        if any(one != hashes[0] for one in hashes):
            raise RuntimeError(f"the workers have come apart by iteration {iteration}: they must be machines of one kind")
        return super().observe(state, group, iteration)

    def _chosen(self, key: str, known: Any, make: Any, default: str | None = None) -> Any:
        chosen = super()._chosen(key, known, make, default)
        return data_parallel(chosen) if key == "network" else chosen


class Leading(Shared):
    """The same on worker 0: what it is asked for, the others do too."""

    def __init__(self, cell: Cell, device: torch.device) -> None:
        super().__init__(cell, device)
        self._state: Any = None
        _send(cell)

    def start(self, group: list[int]) -> Any:
        _send(("start", (), (group,)))
        self._state = super().start(group)
        return self._state

    def advance(self, state: Any, group: list[int], first: int, last: int) -> Any:
        self._with_state("advance", state, group, first, last)
        self._state = super().advance(state, group, first, last)
        return self._state

    def observe(self, state: Any, group: list[int], iteration: int) -> list[Observation]:
        self._with_state("observe", state, group, iteration)
        return super().observe(state, group, iteration)

    def oracle_calls(self, trial: int, iterations: int) -> dict[str, int]:
        _send(("oracle_calls", (), (trial, iterations)))
        return super().oracle_calls(trial, iterations)

    def _with_state(self, name: str, state: Any, *rest: Any) -> None:
        # the others have the state they came to last; one from a checkpoint is new to them
        new = () if state is self._state else (tree_map(lambda leaf: leaf.cpu(), state),)
        self._state = state
        _send((name, new, rest))


def follow() -> None:
    """What the other workers do: all that worker 0 asks for, until it has finished or is gone."""
    device = machine.device()
    cell = _received()
    torch.set_num_threads(cell.common["threads"])
    torch.set_deterministic_debug_mode("error")
    work, state = Shared(cell, device), None
    while (asked := _received()) is not None:
        name, new, rest = asked
        if new:
            state = tree_map(lambda leaf: leaf.to(device), new[0])
        done = getattr(work, name)(*((state,) if name in ("advance", "observe") else ()), *rest)
        if name in ("start", "advance"):
            state = done


def lead(arguments: list[str] | None) -> None:
    """What worker 0 does: `pipelines.train`, with the shared trials in the place of the family's own."""
    parser = argparse.ArgumentParser(prog=COMMAND, usage=COMMAND)
    parser.add_argument("profile")
    parser.add_argument("parts", nargs="+", help="what names the cell, as in params.yaml: data and method")
    given = parser.parse_args(arguments)
    families.cell("denoising", given.profile, tuple(given.parts))
    denoising.Run = Leading  # type: ignore[misc]  # which `families.build` looks up
    train.main(["denoising", given.profile, *given.parts])
    _send(None)


def _send(asked: Any) -> None:
    dist.broadcast_object_list([asked], src=0, device=torch.device("cpu"))


def _received() -> Any:
    """What worker 0 sends; where it has ended before its time, so does this worker: the reason has been told there."""
    asked = [None]
    try:
        dist.broadcast_object_list(asked, src=0, device=torch.device("cpu"))
    except RuntimeError:
        sys.exit(1)
    return asked[0]


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    if not dist.is_torchelastic_launched():
        raise UserError(f"start this with `{COMMAND}`")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    machine.end_with_parent()
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    if dist.get_rank() > 0:
        follow()
    else:
        try:
            lead(arguments)
        except UserError as error:
            _put_last(f"error: {error}")
            raise
    dist.destroy_process_group()


def _put_last(message: str) -> None:
    """Have torchrun end its own report of a failure with this line."""
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        told = {"message": message, "extraInfo": {"timestamp": str(int(time.time()))}}
        Path(path).write_text(json.dumps({"message": told}))


if __name__ == "__main__":
    run(main)
