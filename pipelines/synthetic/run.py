"""How a synthetic cell trains: all trials and all T of one method on one example, stacked in one program."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch

from core import trials
from core.products import counting
from pipelines.datasets.corruption import generator
from pipelines.observations import Observation
from pipelines.records import thinned
from pipelines.settings import Cell
from pipelines.solving import solver_of
from pipelines.synthetic.problem import EXAMPLES, first_block_twice, matrix, start

EAGER_SECONDS = 2e-3
"""Rough seconds of one lower step without a compiler, for the estimate that is printed."""


def solver_settings(cell: Cell) -> dict[str, Any]:
    """A method's settings: those of the cell, then what the preset changes for this family."""
    chosen = cell.settings["settings"]
    return {**chosen, **cell.settings.get("presets", {}).get(cell.parts[2], {})}


class Run:
    """The trials of one synthetic cell; the protocol is `pipelines.train.Run`.

    A trial is a pair (T, seed). Start and matrix A depend on the seed alone, so that methods and T meet the same problem.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        common: Mapping[str, Any] = cell.common
        self.cell, self.device = cell, device
        self.example = EXAMPLES[cell.settings.get("example", cell.parts[0])]
        count = cell.settings.get("trials", common["trials"])
        self.labels = [{"seed": seed, "T": steps} for steps in common["lower_steps"] for seed in range(count)]
        self.groups = [list(range(len(self.labels)))]
        self.iterations = common["upper_iterations"]
        self.record_at = thinned(self.iterations - 1)  # the published curves end at 40,000 of 40,001 updates
        self.record_at[-1] = self.iterations
        self.solver = self._solver(max(common["lower_steps"]))
        self.matrices = None
        if self.example.rank_deficient:
            self.matrices = torch.stack([self._matrix(one["seed"]) for one in self.labels], dim=-1)
        axis = None if self.matrices is None else -1
        self._advance = trials.advancing(trials.batched(self.solver, axis))
        self._errors = torch.func.vmap(self.example.error, in_dims=(-1, -1, axis))
        self._by_first_block = None
        if self.matrices is not None and cell.settings.get("distance_by_first_block"):
            self._by_first_block = torch.func.vmap(first_block_twice, in_dims=-1, out_dims=-1)(self.matrices)
        self._calls: dict[int, dict[str, int]] = {}
        missing = trials.compiler_problem()
        if missing is not None:
            calls = sum(self.oracle_calls(len(self.labels) - 1, self.iterations).values())
            minutes = calls * EAGER_SECONDS / 60
            print(f"{cell.name}: not compiled, {missing}; about {minutes:.0f} minutes", file=sys.stderr)

    def fingerprints(self) -> dict[str, str]:
        """No data: problems are drawn from their seeds."""
        return {}

    def start(self, group: list[int]) -> Any:
        """All trials, stacked."""
        states = []
        for one in (self.labels[index] for index in group):
            u, v = start(self._generator(one["seed"], "start"))
            # one T for all needs no mask
            limit = torch.tensor(one["T"], device=self.device) if len(self.cell.common["lower_steps"]) > 1 else ()
            states.append(self.solver.init(u.to(self.device), v.to(self.device), one["seed"], limit))
        return trials.stack(states)

    def advance(self, state: Any, group: list[int], first: int, last: int) -> Any:
        """Upper iterations first..last-1."""
        return self._advance(state, self.matrices, last - first)

    def observe(self, state: Any, group: list[int], iteration: int) -> list[Observation]:
        """Each trial's distance to the solution set, and its gamma where the method has one."""
        columns = {"error": self._errors(state.u, state.v, self.matrices).tolist()}
        if hasattr(state, "rounds"):
            columns["penalty updates"] = state.rounds.tolist()
        if self._by_first_block is not None:
            columns["error by first block"] = self._errors(state.u, state.v, self._by_first_block).tolist()
        return [
            Observation(iteration, {name: values[position] for name, values in columns.items()}, {})
            for position in range(len(group))
        ]

    def oracle_calls(self, trial: int, iterations: int) -> dict[str, int]:
        """Those of one iteration at the trial's T, counted, times the iterations."""
        one = self.labels[trial]
        if one["T"] not in self._calls:
            self._calls[one["T"]] = self._counted(one)
        return {kind: number * iterations for kind, number in self._calls[one["T"]].items()}

    def _counted(self, one: Mapping[str, Any]) -> dict[str, int]:
        solver = self._solver(one["T"])
        u, v = start(self._generator(one["seed"], "start"))
        a = self._matrix(one["seed"]) if self.example.rank_deficient else None
        with counting() as counts:
            solver.step(solver.init(u.to(self.device), v.to(self.device)), a)
        return dict(counts)

    def _solver(self, lower_steps: int) -> Any:
        return solver_of(
            self.cell,
            self.example.problem,
            preset=self.cell.parts[2],
            lower_steps=lower_steps,
            **solver_settings(self.cell),
        )

    def _matrix(self, seed: int) -> torch.Tensor:
        return matrix(self._generator(seed, "matrix")).to(self.device)

    @staticmethod
    def _generator(seed: int, purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(int(generator(seed, f"synthetic {purpose}").integers(2**62)))


