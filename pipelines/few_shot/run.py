"""How a few-shot cell trains: meta-batches, the iterate that meta-validation selects, and what is observed on the way."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from core import Bilevel
from core.products import counting
from core.solvers.base import Solver
from core.trees import Tree, tree_map
from pipelines.datasets.prepared import TRAINING_FILE, folder_of, read_index
from pipelines.denoising.cells import data_of
from pipelines.few_shot import data
from pipelines.few_shot.data import Batch
from pipelines.few_shot.learning import OPTIMIZERS, Making, chosen, learner
from pipelines.few_shot.stored import TEST_FILE
from pipelines.observations import Observation, evenly
from pipelines.records import sha256_of_file
from pipelines.settings import Cell, params_path
from pipelines.solving import solver_of

AT_ONCE = 20
"""Tasks in one part of an evaluation."""


class Kept(NamedTuple):
    """The state of a run.

    Attributes:
        method: the solver's state.
        selected: what was learned at the evaluation with the best accuracy on meta-validation, the earliest of equals.
        best, best_at: that accuracy, percent, and its iteration. last: the accuracy of the last evaluation.
    """

    method: Any
    selected: Tree
    best: Tensor
    best_at: Tensor
    last: Tensor


class Run:
    """The trials of one few-shot cell; the protocol is `pipelines.train.Run`.

    Settings of a cell (pipelines/few_shot/params.yaml): `form` (`pipelines.few_shot.cells.FORMS`, and what that form
    takes), `solver`, `preset`, `settings` (the solver's), `network`, `iterations`, `evaluations`, `selection_tasks` (of
    those that are prepared), `curve_tasks` (of meta-train, and of meta-test, that a point of the curve is made of). May be
    left out: `data`, the prepared data set where it is not the first part of the cell's name; `query`, drawings of a class
    that f sees, as many as meta-test asks for; `meta_batch`, tasks of an upper iteration, as prepared; `trials`, how many
    of the prepared seeds, all.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        self.cell, self.device = cell, device
        self.settings: Mapping[str, Any] = cell.settings
        self.folder = folder_of(cell.profile, data_of(cell), cell.family)
        prepared = read_index(self.folder)["settings"]
        query = self.settings.get("query", prepared["query"])
        meta_batch = self.settings.get("meta_batch", prepared["meta_batch"])
        self.source = data.load(self.folder, meta_batch, query, device)
        self.seeds = [int(seed) for seed in self.source.known.seeds][: self.settings.get("trials")]
        self.groups = [[index] for index in range(len(self.seeds))]
        self.labels = [{"seed": seed} for seed in self.seeds]
        self.iterations: int = self.settings["iterations"]
        self.record_at = evenly(self.iterations, self.settings["evaluations"])
        place = f"{params_path(cell.family)}: {'.'.join((cell.profile, 'cells', *cell.parts))}"
        self.making = Making(self.settings, self.source.shape.way, self.source.classes, self._solver, place)
        self.learner = learner(self.making)

    def fingerprints(self) -> dict[str, str]:
        """Hashes of the data files this cell opens."""
        return {name: sha256_of_file(self.folder / name) for name in (TRAINING_FILE, TEST_FILE)}

    def start(self, group: list[int]) -> Kept:
        """A fresh network, and its accuracy on meta-validation."""
        seed = self.seeds[group[0]]
        method = self.learner.start(self.batch(seed, 0), data.draws(seed, "network"), seed)
        none = torch.full((), -1.0, dtype=torch.float64)
        start = Kept(method, self.learner.learned(method), none, torch.zeros((), dtype=torch.int64), none.clone())
        return self._judged(start, group[0], 0)

    def advance(self, state: Kept, group: list[int], first: int, last: int) -> Kept:
        """Upper iterations first..last-1; meta-batches are functions of (seed, iteration), so any cut gives the same."""
        method = state.method
        for batch in data.ahead(functools.partial(self.batch, self.seeds[group[0]]), first, last):
            method = self.learner.step(method, batch)
        state = state._replace(method=method)
        return self._judged(state, group[0], last) if last in self.record_at else state

    def batch(self, seed: int, iteration: int) -> Batch:
        """The meta-batch of an upper iteration, with where its lower variables start."""
        found = self.source.meta_batch_of(seed, iteration)
        return self.learner.begin(found, data.draws(seed, f"heads of meta-batch {iteration}"))

    def observe(self, state: Kept, group: list[int], iteration: int) -> list[Observation]:
        """Accuracies on meta-train and meta-validation, and classes of queries of meta-test: at every point of the first
        tasks, at the end of all of them, by the last and by the selected iterate."""
        (index,) = group
        learned = self.learner.learned(state.method)
        scalars = {
            "selection accuracy": float(state.last),
            "train accuracy": self._accuracy(learned, self._train_tasks(self.seeds[index]), index),
        }
        if hasattr(state.method, "rounds"):
            scalars["penalty updates"] = float(state.method.rounds)
        arrays = {"curve predictions": self.classes(learned, index, self.settings["curve_tasks"])}
        if iteration in (0, self.iterations):
            arrays["embedding"] = self.embedding(learned, index)
        if iteration == self.iterations:
            every = self.source.test.support.shape[1]
            arrays["test predictions"] = arrays["selected predictions"] = self.classes(learned, index, every)
            if int(state.best_at) != iteration:
                arrays["selected predictions"] = self.classes(state.selected, index, every)
            scalars["selected iteration"] = float(state.best_at)
        return [Observation(iteration, scalars, arrays)]

    def classes(self, learned: Tree, trial: int, count: int) -> np.ndarray:
        """Classes of the queries of the first tasks of meta-test, uint8 [count, way * query]."""
        batches = [
            self.source.test_tasks(trial, first, min(first + AT_ONCE, count)) for first in range(0, count, AT_ONCE)
        ]
        said: np.ndarray = self.learner.answers(learned, batches, self.seeds[trial]).cpu().numpy().astype(np.uint8)
        return said

    def embedding(self, learned: Tree, trial: int) -> np.ndarray:
        """Two principal components of the features of the first task of meta-test, support images first, on a grid of 256
        places a side, uint8 [n, 2]."""
        task = self.source.test_tasks(trial, 0, 1)
        points = torch.cat([self.learner.features(learned, images)[0] for images in (task.support, task.query)]).double()
        points = points - points.mean(0)
        axes = torch.linalg.svd(points, full_matrices=False).Vh[:2]
        # an axis has no direction of its own
        axes = axes * torch.sign(axes.gather(1, axes.abs().argmax(1, keepdim=True)))
        placed = points @ axes.T
        extent = placed.abs().max().clamp(min=1e-12)
        found: np.ndarray = (127.5 * (1 + placed / extent)).round().to(torch.uint8).cpu().numpy()
        return found

    def oracle_calls(self, trial: int, iterations: int) -> dict[str, int]:
        """Those of one iteration, counted, times the iterations; adaptation at meta-test is not among them."""
        batch = self.batch(self.seeds[trial], 0)
        state = self.learner.start(batch, data.draws(self.seeds[trial], "network"), self.seeds[trial])
        with counting() as counts:
            self.learner.step(state, batch)
        return {kind: number * iterations for kind, number in counts.items()}

    def _judged(self, state: Kept, trial: int, iteration: int) -> Kept:
        """The state after an evaluation on meta-validation."""
        learned = self.learner.learned(state.method)
        accuracy = self._accuracy(learned, self._selection_tasks(trial), trial)
        last = torch.full((), accuracy, dtype=torch.float64)
        if not bool(last > state.best):
            return state._replace(last=last)
        kept = tree_map(torch.clone, learned)
        return state._replace(selected=kept, best=last, best_at=torch.full_like(state.best_at, iteration), last=last.clone())

    @functools.lru_cache(maxsize=1)  # noqa: B019  a run lives as long as its process
    def _selection_tasks(self, trial: int) -> Batch:
        return self.source.selection_tasks(trial, self.settings["selection_tasks"])

    @functools.lru_cache(maxsize=1)  # noqa: B019
    def _train_tasks(self, seed: int) -> Batch:
        return self.source.train_tasks(seed, self.settings["curve_tasks"])

    def _accuracy(self, learned: Tree, batch: Batch, trial: int) -> float:
        """Percent of the queries that are classified right."""
        said = self.learner.answers(learned, list(data.parts_of(batch, AT_ONCE)), self.seeds[trial])
        assert isinstance(batch.query_labels, Tensor)
        return 100.0 * float((said == batch.query_labels).double().mean())

    def _solver(self, problem: Bilevel) -> Solver:
        settings = dict(self.settings["settings"])
        for level in ("upper_optimizer", "lower_optimizer"):
            if level in settings:
                settings[level] = chosen(self.making, f"settings.{level}", OPTIMIZERS)
        return solver_of(self.cell, problem, preset=self.settings["preset"], **settings)
