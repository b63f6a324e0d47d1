"""How a denoising cell trains: data, pre-training, importances, epochs, and what is observed on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core import Bilevel, solvers
from core.networks import dropout, registry
from core.networks.classifiers import Network, Parameters
from core.optimizers import SparseAdam
from core.products import counting
from pipelines.datasets.corruption import generator
from pipelines.datasets.prepared import folder_of
from pipelines.denoising import data as tensors
from pipelines.denoising import forms
from pipelines.denoising.cells import AUGMENTED, data_of
from pipelines.denoising.optimizing import OPTIMIZERS, with_recipe
from pipelines.denoising.pixels import PIXELS
from pipelines.denoising.problem import importances, training, unconstrained, weighted_training
from pipelines.denoising.randomness import Randomness, augmentation
from pipelines.denoising.retraining import recorded_weights
from pipelines.denoising.weighting import RULES, weighted_by_rule
from pipelines.errors import UserError
from pipelines.observations import Observation, evenly
from pipelines.records import sha256_of, sha256_of_file
from pipelines.settings import Cell, params_path
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
    data it trains on), `network`, `batch`, `epochs` or `iterations`, `evaluations`. May be left out:

        data: the prepared data set, where it is not the first part of the cell's name.
        pixels: what becomes of the bytes of an image (`pipelines.denoising.pixels.PIXELS`), "unit".
        augment: of the minibatches, not in pre-training (`pipelines.denoising.augmentation`), none.
        dropout: true to train with the dropout layers of the paper's networks (`core.networks.dropout`).
        form, form_settings: how the problem is posed (`pipelines.denoising.forms.MAKERS`), "importances", and what that
            form takes.
        pretrain: {epochs, step_size} on the validation split, for bilevel solvers; none.
        importances: at the start, {agree, disagree} by the pre-trained network's agreement with a label, or "probability";
            one half each.
        renormalise: true for importances of mean one half after every epoch; for the form "importances" alone.
        moments: Adam's moments of the importances by "position" in the minibatch or by "example"; the solver's optimiser.
        lower_optimizer, upper_optimizer: a key of `pipelines.denoising.optimizing.OPTIMIZERS`, the solver's own.
        lower_recipe, upper_recipe: {weight_decay, boundaries or after_epochs, factor} of that optimiser
            (`optimizing.with_recipe`).
        draws: "roles" for minibatches of their own for each role of a stochastic solver, "shared" for the epoch's pair.
        losses: true to observe the mean cross entropy of the validation split, which is f, and of the selection split,
            which is in neither cost.
        history: true to record the importances at every evaluation, not the last alone.
        weights_of: [part, part] of the bilevel cell whose recorded importances plain training takes as weights; with
            `use: both` validation examples have weight one. keep_above: weight one above this importance, zero below.
        weighting: weights of plain training by a rule (`pipelines.denoising.weighting.RULES`).

    Raises: UserError, naming the place and what there is, for a setting that does not exist or has no meaning.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        self.cell, self.device = cell, device
        self.settings: Mapping[str, Any] = cell.settings
        self.folder: Path = folder_of(cell.profile, data_of(cell))
        pixels = self._chosen("pixels", PIXELS, PIXELS.__getitem__, "unit")
        self.source = tensors.load(self.folder, self.settings["use"], pixels)
        self.network: Network = self._chosen("network", registry.MODULES, registry.make)
        if self.settings.get("dropout"):
            self.network = self._valid("dropout", lambda: dropout.with_dropout(self.settings["network"], self.network))
        options = self.settings.get("form_settings", {})
        made = self._chosen("form", forms.MAKERS, forms.MAKERS.__getitem__, "importances")
        self.form: forms.Form = self._valid("form_settings", lambda: made(**options))
        if self.settings.get("renormalise") and self.settings.get("form", "importances") != "importances":
            raise UserError(f"{self._place('renormalise')} is true; it is for the form importances alone")
        self.randomness = Randomness(
            self._chosen("augment", AUGMENTED, augmentation) if "augment" in self.settings else None,
            bool(self.settings.get("dropout")) or "weighting" in self.settings,
        )
        self.seeds = [int(seed) for seed in self.source.prepared.seeds]
        self.weights = recorded_weights(cell, self.seeds)
        self.groups = [[index] for index in range(len(self.seeds))]
        self.bilevel = self.settings["solver"] != "single-level"
        self._ready: dict[int, Prepared] = {}
        if len([key for key in ("epochs", "iterations") if self.settings.get(key) is not None]) != 1:
            raise UserError(f"{self._place('epochs')}: give either epochs or iterations")
        self.iterations: int = self.settings.get("iterations") or self._trial(0).count * self.settings["epochs"]
        self.record_at = evenly(self.iterations, self.settings["evaluations"])
        self.labels = [{"seed": seed} for seed in self.seeds]

    def fingerprints(self) -> dict[str, str]:
        """Hashes of the data files this cell opens."""
        names = ("train.npz", "oracle.npz") if self.settings["use"] == "oracle" else ("train.npz",)
        found = {name: sha256_of_file(self.folder / name) for name in names}
        if self.weights is not None:
            found["importances"] = sha256_of([one.tolist() for one in self.weights])
        return found

    def start(self, group: list[int]) -> Any:
        """The state before the first iteration: a fresh network, pre-trained on validation for bilevel solvers."""
        (index,) = group
        trial, seed = self._trial(index), self.seeds[index]
        draws = torch.Generator().manual_seed(int(generator(seed, "network").integers(2**62)))
        v = {name: leaf.to(self.device) for name, leaf in self.network.initial(draws).items()}
        if not self.bilevel:
            return trial.solver.init(self._fixed_weights(trial, index), v, seed)
        v = self._pretrained(index, v)
        return trial.solver.init(self.form.start(self._first_importances(trial, v), draws), v, seed)

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
            state, _ = trial.solver.step(state, self._batch(trial, next(batches), index, iteration))
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
        if self.settings.get("losses"):
            for name, split in (("selection", data.selection), ("validation", data.validation)):
                scalars[f"{name} loss"] = float(self._losses(state.v, split).mean())
        arrays = {"test predictions": self._classes(state.v, data.test_images).astype(np.uint8)}
        if self.bilevel:
            weights = self.form.weights(state.u, lambda: self._losses(state.v, data.train), self.settings["batch"])
            scalars["mean importance"] = float(weights.mean())
            if iteration == self.iterations or self.settings.get("history"):
                arrays["importances"] = np.round(255 * weights.cpu().numpy()).astype(np.uint8)
        return [Observation(iteration, scalars, arrays)]

    def oracle_calls(self, trial: int, iterations: int) -> dict[str, int]:
        """Those of one iteration, counted, times the iterations; pre-training included."""
        ready = self._trial(trial)
        v = self.network.initial(torch.Generator().manual_seed(0))
        v = {name: leaf.to(self.device) for name, leaf in v.items()}
        first = torch.full((len(ready.data.train.labels),), 0.5, device=self.device)
        u = self.form.start(first, torch.Generator().manual_seed(0)) if self.bilevel else first
        batch = next(tensors.epoch(ready.data, self.settings["batch"], self.seeds[trial], 0))
        batch = self._batch(ready, batch, trial, 0)
        with counting() as counts:
            ready.solver.step(ready.solver.init(u, v), batch)
        calls = {kind: number * iterations for kind, number in counts.items()}
        if ready.pretraining is not None:
            epochs: int = self.settings["pretrain"]["epochs"]
            calls["gradients_f"] += epochs * (len(ready.data.validation.labels) // self.settings["batch"])
        return calls

    def _trial(self, index: int) -> Prepared:
        if index not in self._ready:
            self._ready.clear()  # one trial's data at a time
            data = self.source.trial(index, self.settings["use"], self.device)
            count = len(data.train.labels) // self.settings["batch"]
            if count < 1:
                what = f"{len(data.train.labels)} examples to train on make no minibatch"
                raise UserError(f"{self._place('batch')} is {self.settings['batch']}: {what}")
            options = {
                f"{level}_optimizer": self._optimizer(level, count) for level in ("lower", "upper")
                if f"{level}_optimizer" in self.settings
            }  # fmt: skip
            if self.bilevel and "moments" in self.settings:
                options["upper_optimizer"] = SparseAdam(self.settings["moments"], self.settings["batch"])
            chosen = {**self.settings["settings"], **options}
            solver = solver_of(self.cell, self._problem(data), preset=self.settings["preset"], **chosen)
            pretraining = None
            if self.bilevel and "pretrain" in self.settings:
                step_size = self.settings["pretrain"]["step_size"]
                pretraining = solvers.make("single-level", training(self.network), lower_step_size=step_size)
            self._ready[index] = Prepared(data, solver, pretraining, count)
        return self._ready[index]

    def _problem(self, data: tensors.Data) -> Bilevel:
        """What a trial solves; for plain training f is not used."""
        if self.bilevel:
            return self.form.problem(self.network)
        if self.weights is not None:
            return weighted_training(self.network)
        if "weighting" in self.settings:
            rule = self._chosen("weighting", RULES, RULES.__getitem__)
            return weighted_by_rule(self.network, rule, float((data.train.labels == 1).float().mean()))
        return training(self.network)

    def _optimizer(self, level: str, count: int) -> Any:
        """The optimiser that the cell names for a level, with its recipe; `count` minibatches are an epoch."""
        rule = self._chosen(f"{level}_optimizer", OPTIMIZERS, OPTIMIZERS.__getitem__)
        updates = count * (self.settings["settings"].get("lower_steps", 1) if level == "lower" else 1)
        recipe = self.settings.get(f"{level}_recipe")
        return self._valid(f"{level}_recipe", lambda: with_recipe(rule, recipe, updates))

    def _place(self, key: str) -> str:
        return f"{params_path('denoising')}: {'.'.join((self.cell.profile, 'cells', *self.cell.parts, key))}"

    def _chosen(self, key: str, known: Collection[str], make: Callable[[str], Any], default: str | None = None) -> Any:
        """What a setting names; raises UserError, naming its place and what there is, for a name that is not known."""
        name = self.settings.get(key, default)
        if name not in known:
            raise UserError(f"{self._place(key)} is {name!r}; there are: {', '.join(sorted(known))}")
        return make(name)

    def _valid(self, key: str, make: Callable[[], Any]) -> Any:
        """What `make` makes of a setting; raises UserError, naming its place, for what it does not take."""
        try:
            return make()
        except (TypeError, ValueError) as error:
            raise UserError(f"{self._place(key)} is {self.settings.get(key)!r}: {error}") from error

    def _batch(self, trial: Prepared, batch: tensors.Batch, index: int, iteration: int) -> Any:
        """What the solver takes: the epoch's pair of minibatches, or one for each of its roles."""
        seed, found = self.seeds[index], batch
        if self.settings.get("draws", "shared") != "shared":
            found = tensors.by_role(trial.data, batch, trial.solver.draws(), seed, iteration)
        return self.randomness.iteration(found, seed, iteration)

    def _fixed_weights(self, trial: Prepared, index: int) -> Tensor:
        """u of plain training: the recorded weights, validation examples behind them one; nothing, where there are none."""
        if self.weights is None:
            return torch.zeros((), device=self.device)
        weights = torch.ones(len(trial.data.train.labels), device=self.device)
        weights[: len(self.weights[index])] = torch.from_numpy(self.weights[index]).to(weights)
        return weights

    def _pretrained(self, index: int, v: Parameters) -> Parameters:
        """v after training on the validation split alone, where the cell asks for it."""
        data, solver, seed = self._trial(index).data, self._trial(index).pretraining, self.seeds[index]
        if solver is None:
            return v
        state = solver.init(torch.zeros((), device=self.device), v)
        alone = data._replace(train=data.validation)
        for number in range(self.settings["pretrain"]["epochs"]):
            for place, batch in enumerate(tensors.epoch(alone, self.settings["batch"], seed, -1 - number)):
                batch = self.randomness.of(batch, seed, f"pre-training, {number}, {place}", augment=False)
                state, _ = solver.step(state, batch)
        pretrained: Parameters = state.v
        return pretrained

    def _first_importances(self, trial: Prepared, v: Parameters) -> Tensor:
        """Importances at the start [n]: by the pre-trained network's agreement with a label, as released, its probability of
        the label, as described, or one half each."""
        rule, labels = self.settings.get("importances"), trial.data.train.labels
        if rule is None:
            return torch.full((len(labels),), 0.5, device=self.device)
        scores = self._scores(v, trial.data.train.images)
        if rule == "probability":
            return torch.softmax(scores, dim=1).gather(1, labels[:, None])[:, 0]
        agrees = scores.argmax(dim=1) == labels
        return torch.where(agrees, float(rule["agree"]), float(rule["disagree"]))

    def _scores(self, v: Parameters, images: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([self.network.logits(v, part) for part in images.split(EVALUATED_AT_ONCE)])

    def _losses(self, v: Parameters, split: tensors.Split) -> Tensor:
        return F.cross_entropy(self._scores(v, split.images), split.labels, reduction="none")

    def _classes(self, v: Parameters, images: Tensor) -> np.ndarray:
        return self._scores(v, images).argmax(dim=1).cpu().numpy()

    def _accuracy(self, v: Parameters, split: tensors.Split) -> float:
        """Percent of a split's labels that are predicted."""
        return 100.0 * float((self._scores(v, split.images).argmax(dim=1) == split.labels).float().mean())
