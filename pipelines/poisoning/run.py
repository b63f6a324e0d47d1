"""How a poisoning cell trains: a victim's first classifier, then the attack, and what is observed on the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core import solvers, trials
from core.products import counting
from core.trees import tree_map
from pipelines.datasets.prepared import folder_of, read_index
from pipelines.denoising.cells import data_of
from pipelines.errors import UserError
from pipelines.observations import Observation, evenly
from pipelines.poisoning import data as tensors
from pipelines.poisoning.explicit import PRODUCTS
from pipelines.poisoning.stored import load
from pipelines.records import sha256_of_file
from pipelines.settings import Cell, hint, params_path
from pipelines.solving import solver_of


class Run:
    """The trials of one poisoning cell, a trial for each number of poisons and seed; the protocol is `pipelines.train.Run`.

    Settings of a cell (pipelines/poisoning/params.yaml):

        solver, preset, settings: the attack; with 0 `iterations` (label flipping) no step is made.
        points: the numbers of poisons. weight_decay: of g. start: one of `data.STARTS`.
        iterations, evaluations: upper iterations, and how often they are looked at.
        pretrain: {epochs, step_size}: Adam on g with the first poisons, before the attack.
        retrain: the same for the fresh classifier that evaluation trains (`pipelines.poisoning.metrics`).
        data: the prepared data set, where it is not the first part of the cell's name.
        seeds: how many of the prepared seeds are trials, all.
        product: how derivatives of the clean rows are taken, one of `explicit.PRODUCTS`; generic where nothing is said.
        stacked: true to advance all trials side by side, for small data; else they go one by one, compiled.

    Raises: UserError, naming the place, for a setting that has no meaning.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        self.cell, self.device = cell, device
        self.settings: Mapping[str, Any] = cell.settings
        self.folder: Path = folder_of(cell.profile, data_of(cell), "poisoning")
        self.prepared = load(self.folder)
        self.attack = read_index(self.folder)["settings"]["attack"]
        self.points: list[int] = checked_points(cell, len(self.prepared.poison_labels[0]))
        self.most = max(self.points)
        seeds = [int(seed) for seed in self.prepared.seeds][: self.settings.get("seeds")]
        self.labels = [{"seed": seed, "points": points} for points in self.points for seed in seeds]
        self.places = [(place, points) for points in self.points for place in range(len(seeds))]
        self.stacked = bool(self.settings.get("stacked")) and len(self.labels) > 1
        every = list(range(len(self.labels)))
        self.groups = [every] if self.stacked else [[index] for index in every]
        self.iterations: int = self.settings["iterations"]
        self.record_at = evenly(self.iterations, self.settings["evaluations"])
        self.product = checked_product(cell)
        problem = PRODUCTS[self.product](self.attack, self.settings["weight_decay"])
        self.solver = solver_of(cell, problem, preset=self.settings["preset"], **self.settings["settings"])
        self.first = solvers.make("single-level", problem, lower_step_size=self.settings["pretrain"]["step_size"])
        self._attack, self._pretrain = (self._advancing(solver) for solver in (self.solver, self.first))
        self._batch: tuple[list[int], Any] | None = None

    def fingerprints(self) -> dict[str, str]:
        """Hashes of the data files this cell opens."""
        return {"train.npz": sha256_of_file(self.folder / "train.npz")}

    def start(self, group: list[int]) -> Any:
        """Poisons as they start, and a classifier trained with them."""
        some = [self.trial(index) for index in group]
        u, w = (self._together([getattr(one, name) for one in some]) for name in ("u", "w"))
        if self.iterations:
            fitted = [self.first.init(one.u, one.w) for one in some]
            w = self._pretrain(self._together(fitted), self._batch_of(group), self.settings["pretrain"]["epochs"]).v
        if not self.stacked:
            return self.solver.init(u, w)
        return trials.stack([self.solver.init(u[..., place], w[..., place]) for place in range(len(group))])

    def advance(self, state: Any, group: list[int], first: int, last: int) -> Any:
        """Upper iterations first..last-1; after each, pixels must lie in [0, 1]. Raises RuntimeError where one does not."""
        batch = self._batch_of(group)
        for iteration in range(first, last):
            state = self._attack(state, batch, 1)
            check_box(state.u, iteration)
        return state

    def observe(self, state: Any, group: list[int], iteration: int) -> list[Observation]:
        """Both costs, the accuracy on rows of neither, and at the end the poisons as bytes."""
        seen = []
        for position, index in enumerate(group):
            u, w = (trials.row(part, position) if self.stacked else part for part in (state.u, state.v))
            one, problem = self.trial(index), self.solver.problem
            right = (one.selection.x @ w.T).argmax(1) == one.selection.onehot.argmax(1)
            scalars = {
                "upper cost": float(problem.upper(u, w, one.batch)),
                "lower cost": float(problem.lower(u, w, one.batch)),
                "selection accuracy": 100.0 * float(right.float().mean()),
            }
            if hasattr(state, "rounds"):
                scalars["penalty updates"] = float(state.rounds[position] if self.stacked else state.rounds)
            arrays = {"poisons": self._images(u, self.labels[index]["points"])} if iteration == self.iterations else {}
            seen.append(Observation(iteration, scalars, arrays))
        return seen

    def oracle_calls(self, trial: int, iterations: int) -> dict[str, int]:
        """Those of one iteration, counted, times the iterations, and of the epochs before the attack."""
        one = self.trial(trial)
        with counting() as counts:
            self.solver.step(self.solver.init(one.u, one.w), one.batch)
        calls = {kind: number * iterations for kind, number in counts.items()}
        if self.iterations:
            calls["gradients_g"] += self.settings["pretrain"]["epochs"]
        return calls

    def _advancing(self, solver: Any) -> trials.Advance:
        return trials.one_by_one(trials.batched(solver)) if self.stacked else trials.advancing(solver.step)

    def trial(self, index: int) -> tensors.Trial:
        """The data of a trial, and where it starts."""
        place, points = self.places[index]
        begin = tensors.start(self.prepared, place, points, self.settings.get("start", "training"))
        return tensors.trial(self.prepared, place, begin, self.most, self.device)

    def _batch_of(self, group: list[int]) -> Any:
        """The group's data, made once."""
        if self._batch is None or self._batch[0] != group:
            self._batch = group, self._together([self.trial(index).batch for index in group])
        return self._batch[1]

    def _together(self, some: list[Any]) -> Any:
        """Trees of trials as one with a last axis of trials, each trial's numbers side by side in memory; of one itself."""
        return tree_map(lambda *parts: torch.stack(parts).movedim(0, -1), *some) if self.stacked else some[0]

    def _images(self, u: Tensor, points: int) -> np.ndarray:
        shape = self.prepared.poison_images.shape[2:]
        return np.round(255.0 * u[:points].cpu().numpy()).astype(np.uint8).reshape(points, *shape)


def checked_points(cell: Cell, prepared: int) -> list[int]:
    """The numbers of poisons of a cell; raises UserError where one is not positive or above those that were prepared."""
    points = cell.settings["points"]
    if not points or min(points) < 1 or max(points) > prepared:
        raise UserError(
            f"{_place(cell, 'points')} is {points}; it must be numbers from 1 to {prepared}, the points of its entry under"
            " `prepared`"
        )
    return list(points)


def checked_product(cell: Cell) -> str:
    """The product of a cell; raises UserError where there is none of the name."""
    product = cell.settings.get("product", "generic")
    if product not in list(PRODUCTS):
        raise UserError(
            f"{_place(cell, 'product')} is {product!r}{hint(str(product), PRODUCTS)}; there are: {', '.join(PRODUCTS)}"
        )
    return str(product)


def _place(cell: Cell, setting: str) -> str:
    """Where a setting of a cell stands."""
    return f"{params_path('poisoning')}: {'.'.join((cell.profile, 'cells', *cell.parts, setting))}"


def check_box(u: Tensor, iteration: int) -> None:
    """Raises RuntimeError where an entry left [0, 1]; not a number is no such entry, but a diverged trial."""
    if bool((u < 0).any()) or bool((u > 1).any()):
        raise RuntimeError(f"a pixel left [0, 1] in upper iteration {iteration}")
