"""How a denoising cell trains: data, pre-training, importances, epochs, and what is observed on the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from core import solvers
from core.networks.classifiers import NETWORKS, Network, Parameters
from core.optimizers import SparseAdam
from core.products import counting
from pipelines.datasets.corruption import generator
from pipelines.datasets.prepared import folder_of
from pipelines.denoising import data as tensors
from pipelines.denoising.problem import denoising, importances, training, unconstrained
from pipelines.observations import Observation, evenly
from pipelines.records import sha256_of_file
from pipelines.settings import Cell
from pipelines.solving import solver_of

EVALUATED_AT_ONCE = 500  # images in one forward pass of an evaluation


class Prepared(NamedTuple):
    """One trial, ready to go: its data and its solver."""

    data: tensors.Data
    solver: Any
    pretraining: Any
    """The solver that trains the network on the validation split first, where the method wants it; else None."""
    count: int
    """Minibatches in an epoch."""


class Run:
    """The trials of one denoising cell; the protocol is `pipelines.train.Run`.

    Settings of a cell (pipelines/denoising/params.yaml): `solver`, `preset`, `settings` (the solver's), `use` (which
    data it trains on), `network`, `batch`, `epochs`, `evaluations`; for bilevel solvers `pretrain` {epochs, step_size}
    on the validation split, `importances` {agree, disagree} or "probability", `renormalise`, `moments`.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        self.cell, self.device = cell, device
        self.settings: Mapping[str, Any] = cell.settings
        self.folder: Path = folder_of(cell.profile, cell.parts[0])
        self.source = tensors.load(self.folder, self.settings["use"])
        self.network: Network = NETWORKS[self.settings["network"]]()
        self.seeds = [int(seed) for seed in self.source.prepared.seeds]
        self.groups = [[index] for index in range(len(self.seeds))]
        self.bilevel = self.settings["solver"] != "single-level"
        self._ready: dict[int, Prepared] = {}
        self.iterations = self._trial(0).count * self.settings["epochs"]
        self.record_at = evenly(self.iterations, self.settings["evaluations"])
        self.labels = [{"seed": seed} for seed in self.seeds]

    def fingerprints(self) -> dict[str, str]:
        """Hashes of the data files this cell opens."""
        names = ("train.npz", "oracle.npz") if self.settings["use"] == "oracle" else ("train.npz",)
        return {name: sha256_of_file(self.folder / name) for name in names}

    def start(self, group: list[int]) -> Any:
        """The state before the first iteration: a fresh network, pre-trained on validation for bilevel solvers."""
        (index,) = group
        trial, seed = self._trial(index), self.seeds[index]
        draws = torch.Generator().manual_seed(int(generator(seed, "network").integers(2**62)))
        v = {name: leaf.to(self.device) for name, leaf in self.network.initial(draws).items()}
        if not self.bilevel:
            return trial.solver.init(torch.zeros((), device=self.device), v, seed)
        v = self._pretrained(index, v)
        return trial.solver.init(unconstrained(self._first_importances(trial, v)), v, seed)

    def advance(self, state: Any, group: list[int], first: int, last: int) -> Any:
        """Upper iterations first..last-1; minibatches are functions of (seed, epoch), so any cut gives the same."""
        (index,) = group
        trial = self._trial(index)
        batches, epoch = iter(()), -1
        for iteration in range(first, last):
            if iteration // trial.count != epoch:
                epoch = iteration // trial.count
                batches = tensors.epoch(trial.data, self.settings["batch"], self.seeds[index], epoch)
                for _ in range(iteration % trial.count):
                    next(batches)
            state, _ = trial.solver.step(state, next(batches))
            if self.settings.get("renormalise") and (iteration + 1) % trial.count == 0:
                weights = importances(state.u)
                state = state._replace(u=unconstrained(0.5 * weights / weights.mean()))
        return state

    def observe(self, state: Any, group: list[int], iteration: int) -> list[Observation]:
        """Accuracies on what training may see, and predictions for the test images."""
        data = self._trial(group[0]).data
        scalars = {
            "selection accuracy": self._accuracy(state.v, data.selection),
            "validation accuracy": self._accuracy(state.v, data.validation),
            "train accuracy": self._accuracy(state.v, data.train),
        }
        if self.bilevel:
            scalars["mean importance"] = float(importances(state.u).mean())
        arrays = {"test predictions": self._classes(state.v, data.test_images).astype(np.uint8)}
        if self.bilevel and iteration == self.iterations:
            arrays["importances"] = np.round(255 * importances(state.u).cpu().numpy()).astype(np.uint8)
        return [Observation(iteration, scalars, arrays)]

    def oracle_calls(self, trial: int, iterations: int) -> dict[str, int]:
        """Those of one iteration, counted, times the iterations; pre-training included."""
        ready = self._trial(trial)
        v = self.network.initial(torch.Generator().manual_seed(0))
        v = {name: leaf.to(self.device) for name, leaf in v.items()}
        u = torch.zeros(len(ready.data.train.labels), device=self.device)
        batch = next(tensors.epoch(ready.data, self.settings["batch"], self.seeds[trial], 0))
        with counting() as counts:
            ready.solver.step(ready.solver.init(u, v), batch)
        calls = {kind: number * iterations for kind, number in counts.items()}
        if self.bilevel:
            pretrain = self.settings["pretrain"]
            calls["gradients_f"] += pretrain["epochs"] * (len(ready.data.validation.labels) // self.settings["batch"])
        return calls

    def _trial(self, index: int) -> Prepared:
        if index not in self._ready:
            self._ready.clear()  # one trial's data at a time
            data = self.source.trial(index, self.settings["use"], self.device)
            problem = (denoising if self.bilevel else training)(self.network)
            extra: dict[str, Any] = {}
            if self.bilevel:
                extra["upper_optimizer"] = SparseAdam(self.settings["moments"], self.settings["batch"])
            chosen = {**self.settings["settings"], **extra}
            solver = solver_of(self.cell, problem, preset=self.settings["preset"], **chosen)
            pretraining = None
            if self.bilevel:
                step_size = self.settings["pretrain"]["step_size"]
                pretraining = solvers.make("single-level", training(self.network), lower_step_size=step_size)
            self._ready[index] = Prepared(data, solver, pretraining, len(data.train.labels) // self.settings["batch"])
        return self._ready[index]

    def _pretrained(self, index: int, v: Parameters) -> Parameters:
        """v after training on the validation split alone."""
        pretrain = self.settings["pretrain"]
        data = self._trial(index).data
        solver = self._trial(index).pretraining
        state = solver.init(torch.zeros((), device=self.device), v)
        alone = data._replace(train=data.validation)
        for number in range(pretrain["epochs"]):
            for batch in tensors.epoch(alone, self.settings["batch"], self.seeds[index], -1 - number):
                state, _ = solver.step(state, batch)
        pretrained: Parameters = state.v
        return pretrained

    def _first_importances(self, trial: Prepared, v: Parameters) -> Tensor:
        """Importances at the start [n]: by the pre-trained network's agreement with a label, as released, or its
        probability of the label, as described."""
        rule, labels = self.settings["importances"], trial.data.train.labels
        scores = self._scores(v, trial.data.train.images)
        if rule == "probability":
            return torch.softmax(scores, dim=1).gather(1, labels[:, None])[:, 0]
        agrees = scores.argmax(dim=1) == labels
        return torch.where(agrees, float(rule["agree"]), float(rule["disagree"]))

    def _scores(self, v: Parameters, images: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([self.network.logits(v, part) for part in images.split(EVALUATED_AT_ONCE)])

    def _classes(self, v: Parameters, images: Tensor) -> np.ndarray:
        return self._scores(v, images).argmax(dim=1).cpu().numpy()

    def _accuracy(self, v: Parameters, split: tensors.Split) -> float:
        """Percent of a split's labels that are predicted."""
        return 100.0 * float((self._scores(v, split.images).argmax(dim=1) == split.labels).float().mean())
