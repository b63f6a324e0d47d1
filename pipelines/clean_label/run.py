"""How a clean-label cell trains: the victim's last layer on clean rows, then a poison for each target and bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vmap

from core import solvers, trials
from core.constraints import WithSlack
from core.products import counting
from pipelines.clean_label import data, networks
from pipelines.clean_label.baselines import ATTACKS, attacker
from pipelines.clean_label.data import CLEAN, Target
from pipelines.clean_label.problem import (
    COLLISION,
    FORMS,
    Batch,
    apart,
    at_base,
    attack,
    attack_seen,
    costs,
    distance,
    moved,
    seen,
    seen_once,
)
from pipelines.clean_label.problem import with_one as one_more
from pipelines.clean_label.stored import load
from pipelines.datasets.prepared import folder_of, read_index
from pipelines.denoising.cells import data_of
from pipelines.errors import UserError
from pipelines.observations import Observation, evenly
from pipelines.poisoning.problem import Batch as Poisoned
from pipelines.poisoning.problem import Rows, poisoning
from pipelines.poisoning.run import check_box
from pipelines.records import sha256_of, sha256_of_file
from pipelines.settings import Cell, hint, params_path
from pipelines.solving import solver_of

SMALLEST_SLACK = 1e-4
"""Of d s^2 at the start."""


class Run:
    """The trials of one clean-label cell, a trial for each target and bound; the protocol is `pipelines.train.Run`.

    Settings of a cell (pipelines/clean_label/params.yaml):

        form: one of `problem.FORMS`, or "clean": the victim without a poison, one trial of no step.
        solver, preset, settings: the attack; of "feature-collision" and "influence" the settings are those of `baselines`.
        epsilons: bounds on |u - base|, with pixels in [0, 1]; null for none.
        targets: how many of the listed targets are attacked, the first; all (at least one) where it is not there.
        base: "training" or "test", where the bases come from. attacked: "test", or "selection" where settings are chosen.
        weight_decay: of g. iterations, evaluations: upper iterations, and how often they are looked at.
        pretrain: {epochs, step_size}: Adam on clean rows, before the attack. retrain: of evaluation
            (`pipelines.clean_label.metrics`).
        images: of how many targets the poisons are recorded as images too; of all where it is not there.
        together: so many trials are advanced side by side.

    Raises: UserError, naming the place, for a setting that has no meaning.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        self.cell, self.device = cell, device
        self.settings: Mapping[str, Any] = cell.settings
        self.folder: Path = folder_of(cell.profile, data_of(cell), cell.family)
        self.form: str = self.settings["form"]
        self._check()
        self.prepared = load(self.folder)
        self.train = self._rows(self.prepared.train_features, self.prepared.train_labels)
        self.targets: list[Target] = []
        self.bounds: list[float | None] = [None]
        self.labels: list[dict[str, Any]] = [{"seed": 0}]
        self.listed: Mapping[str, list[int]] = {}
        if self.form != CLEAN:
            self.targets = self._targets()
            wanted = self.settings.get("targets", max(1, len(self.targets)))
            if wanted > len(self.targets):
                rows = f"the clean victim gets {len(self.targets)} test images right"
                if self._chosen_on:
                    rows = f"there are {len(self.targets)} selection rows"
                raise UserError(f"{self._place}.targets is {wanted}; {rows}")
            self.targets = self.targets[:wanted]
            self.bounds = list(self.settings["epsilons"])
            self.places = [(target, bound) for bound in self.bounds for target in self.targets]
            self.labels = [
                {"seed": 0, "target": target.row, "label": target.label, "epsilon": bound} for target, bound in self.places
            ]
        together = int(self.settings.get("together", len(self.labels)))
        every = range(len(self.labels))
        self.groups = [list(every[first : first + together]) for first in range(0, len(every), together)]
        self.iterations: int = self.settings["iterations"]
        self.record_at = evenly(self.iterations, self.settings["evaluations"])
        self.solver: Any = None if self.form == CLEAN else self._solver()
        self._step = None if self.solver is None else trials.one_by_one(trials.batched(self.solver))
        self._batch: tuple[list[int], Batch] | None = None

    @property
    def _place(self) -> str:
        return f"{params_path(self.cell.family)}: {'.'.join((self.cell.profile, 'cells', *self.cell.parts))}"

    @property
    def _chosen_on(self) -> bool:
        """Whether selection rows are attacked, which settings are chosen on."""
        return self.settings.get("attacked") == "selection"

    def _targets(self) -> list[Target]:
        if self._chosen_on:
            return data.of_selection(self.prepared)
        self.listed = data.listed(self.cell)
        return data.targets(self.prepared, self.listed, self.settings.get("base", "training"))

    def _check(self) -> None:
        place = self._place
        if self.form not in (*FORMS, CLEAN):
            known = ", ".join((*FORMS, CLEAN))
            raise UserError(f"{place}.form is {self.form!r}{hint(self.form, (*FORMS, CLEAN))}; there are: {known}")
        for name, wanted in data.problems(self.settings) if self.form != CLEAN else ():
            raise UserError(f"{place}.{name} is {self.settings.get(name)!r}; it must be {wanted}")

    def _rows(self, features: np.ndarray, labels: np.ndarray) -> Rows:
        x = one_more(torch.from_numpy(features)).to(self.device)
        return Rows(x, F.one_hot(torch.from_numpy(labels.astype(np.int64)), 2).float().to(self.device))

    @cached_property
    def encode(self) -> networks.Encode:
        """The victim's network."""
        made = read_index(self.folder)["settings"]
        found = networks.encoder(made["features"], made["learned"], self._channels, self.prepared.network)
        return found.to(self.device) if isinstance(found, torch.nn.Module) else found

    @property
    def _channels(self) -> int:
        shape = self.prepared.train_images.shape
        return 1 if len(shape) == 3 else shape[1]

    def _solver(self) -> Any:
        form, decay, how = self.form, self.settings["weight_decay"], self.settings["settings"]
        whole = attack(self.encode, form, self.train, decay)
        if form in ATTACKS:
            try:
                return attacker(form, whole, costs(form, self.train, decay), self.encode, how)
            except TypeError as error:
                raise UserError(f"{self._place}.settings: {error}") from error
        once = solver_of(self.cell, attack_seen(form, self.train, decay), preset=self.settings["preset"], **how)
        return seen_once(once, self.encode, whole)

    @cached_property
    def fitted(self) -> Tensor:
        """The victim's last layer on clean rows, [2, d + 1]."""
        problem = poisoning("targeted", self.settings["weight_decay"])
        nothing = torch.zeros(1, self.train.x.shape[1], device=self.device)
        count = torch.tensor(float(len(self.train.x)), device=self.device)
        batch = Poisoned(self.train, self.train, torch.zeros(1, 2, device=self.device), count.new_zeros(1), count)
        solver = solvers.make("single-level", problem, lower_step_size=self.settings["pretrain"]["step_size"])
        state = solver.init(nothing, torch.zeros(2, self.train.x.shape[1], device=self.device))
        end = trials.one_by_one(solver.step)(state, batch, self.settings["pretrain"]["epochs"])
        w: Tensor = end.v
        return w

    def fingerprints(self) -> dict[str, str]:
        """Hashes of the data file this cell opens, and of the list of targets."""
        found = {"train.npz": sha256_of_file(self.folder / "train.npz")}
        return {**found, "targets": sha256_of(dict(self.listed))} if self.form != CLEAN else found

    def start(self, group: list[int]) -> Any:
        """Poisons at their bases, and the victim's clean classifier; of the clean cell that alone."""
        if self.form == CLEAN:
            return solvers.make("single-level", poisoning("targeted", 0.0)).init(self.fitted.new_zeros(1), self.fitted)
        starts = []
        for index in group:
            batch = self.batch(index)
            u = at_base(batch, SMALLEST_SLACK) if self.form == "constrained" else batch.base
            starts.append(self.solver.init(u, self.fitted))
        return trials.stack(starts)

    def advance(self, state: Any, group: list[int], first: int, last: int) -> Any:
        """Upper iterations first..last-1; after each, pixels must lie in [0, 1]. Raises RuntimeError where one does not."""
        assert self._step is not None
        batch = self._batch_of(group)
        for iteration in range(first, last):
            state = self._step(state, batch, 1)
            check_box(image_of(state.u), iteration)
        return state

    def observe(self, state: Any, group: list[int], iteration: int) -> list[Observation]:
        """Costs, how far the poison and its features are, and at the end the image that is left and its features."""
        if self.form == CLEAN:
            selection = self._rows(self.prepared.selection_features, self.prepared.selection_labels)
            right = (selection.x @ state.v.T).argmax(1) == selection.onehot.argmax(1)
            return [Observation(iteration, {"selection accuracy": 100.0 * float(right.float().mean())}, {})]
        with torch.no_grad():
            columns = vmap(self._seen, in_dims=-1, out_dims=-1)(state.u, state.v, self._batch_of(group))
        found = []
        for position, index in enumerate(group):
            scalars = {name: float(column[position]) for name, column in columns.items()}
            bound = self.places[index][1]
            if bound is not None:
                scalars["violation"] = max(0.0, scalars["distance"] - bound)
            if hasattr(state, "rounds"):
                scalars["penalty updates"] = float(state.rounds[position])
            arrays: dict[str, np.ndarray] = {}
            if iteration == self.iterations and np.isfinite(list(scalars.values())).all():
                more, arrays = self._left(index, image_of(trials.row(state.u, position)))
                scalars |= more
            found.append(Observation(iteration, scalars, arrays))
        return found

    def _seen(self, u: Any, w: Tensor, batch: Batch) -> dict[str, Tensor]:
        image = image_of(u)
        found = {
            "upper cost": self.solver.problem.upper(u, w, batch),
            "lower cost": self.solver.problem.lower(u, w, batch),
            "distance": moved(image, batch).sqrt(),
            "feature distance": distance(apart(seen(self.encode, image), batch)),
        }
        if self.form != COLLISION:  # which knows no classifier
            found["margin"] = ((w @ batch.target) * (2 * batch.label - 1)).sum()
        return found

    def _left(self, index: int, u: Tensor) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """The final image's numbers, its features, and of the first targets the image, as what was added to its base."""
        target, bound = self.places[index]
        end = data.final(u.cpu().numpy(), target.base, math.inf if bound is None else bound)
        with torch.no_grad():
            features = self.encode(torch.from_numpy(unit_bytes(end.image)[None]).to(self.device))[0].cpu().numpy()
        arrays = {"features": np.frombuffer(features.astype("<f4").tobytes(), dtype=np.uint8)}
        if index % len(self.targets) < self.settings.get("images", len(self.targets)):
            arrays["poison"] = data.difference(end.image, target.base)
        return {"projection": end.projection, "rounding": end.rounding, "distortion": end.distortion}, arrays

    def oracle_calls(self, trial: int, iterations: int) -> dict[str, int]:
        """Those of one iteration, counted, times the iterations, and of the epochs before the attack."""
        if self.form == CLEAN:
            with counting() as counts:
                pass
            return {**counts, "gradients_g": self.settings["pretrain"]["epochs"]}
        if not hasattr(self, "_calls"):  # of all trials the same
            state = trials.row(self.start([trial]), 0)
            with counting() as counts:
                self.solver.step(state, self.batch(trial))
            self._calls = dict(counts)
        calls = {kind: number * iterations for kind, number in self._calls.items()}
        calls["gradients_g"] += self.settings["pretrain"]["epochs"]
        return calls

    def batch(self, index: int) -> Batch:
        """The data of a trial."""
        target, bound = self.places[index]
        return Batch(
            target=one_more(torch.from_numpy(target.features)).to(self.device),
            label=F.one_hot(torch.tensor(target.label), 2).float().to(self.device),
            base=torch.from_numpy(unit_bytes(target.base)).to(self.device),
            radius=torch.tensor(math.inf if bound is None else float(bound), device=self.device),
        )

    def _batch_of(self, group: list[int]) -> Batch:
        """The group's data, made once."""
        if self._batch is None or self._batch[0] != group:
            self._batch = group, trials.stack([self.batch(index) for index in group])
        return self._batch[1]


def image_of(u: Any) -> Tensor:
    """The image of an upper variable, with or without a slack."""
    image: Tensor = u.u if isinstance(u, WithSlack) else u
    return image


def unit_bytes(image: np.ndarray) -> np.ndarray:
    """Bytes [C, H, W] as pixels in [0, 1]."""
    return image.astype(np.float32) / np.float32(255)
