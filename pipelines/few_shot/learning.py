"""What a method of few-shot learning is to the trainer, and how its settings are read."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from core import Bilevel
from core.optimizers import Adam, GradientDescent, Optimizer
from core.solvers.base import Solver
from core.trees import Tree
from pipelines.errors import UserError
from pipelines.few_shot.cells import FORMS, learner_of
from pipelines.few_shot.data import Batch

OPTIMIZERS: dict[str, Optimizer] = {"adam": Adam(), "gradient-descent": GradientDescent()}
"""By the name that a cell gives."""


class Making(NamedTuple):
    """What a learner is made of: the cell's settings, the way of its tasks, how many classes meta-training has, its solver
    for a problem, and where the cell stands in params.yaml."""

    settings: Mapping[str, Any]
    way: int
    classes: int
    solver: Callable[[Bilevel], Solver]
    place: str


class Learner(Protocol):
    """A method: how a meta-batch moves it, and how what it has learned answers."""

    def begin(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The meta-batch with where its lower variables start."""
        ...

    def start(self, batch: Batch, generator: torch.Generator, seed: int) -> Any:
        """The state before the first iteration."""
        ...

    def step(self, state: Any, batch: Batch) -> Any:
        """One upper iteration."""
        ...

    def learned(self, state: Any) -> Tree:
        """What meta-test starts from."""
        ...

    def features(self, learned: Tree, images: Tensor) -> Tensor:
        """Features [tasks, n, F] of images [tasks, n, C, side, side]."""
        ...

    def answers(self, learned: Tree, batches: list[Batch], seed: int) -> Tensor:
        """Classes [tasks, n] of the queries of all batches, whose labels are not looked at."""
        ...


def learner(making: Making) -> Learner:
    """The cell's method; raises UserError, naming the place, for a form or setting that does not exist."""
    chosen(making, "form", FORMS, "heads")
    module, name = learner_of(making.settings.get("form", "heads"))
    made: Learner = getattr(importlib.import_module(module), name)(making)
    return made


def chosen(making: Making, key: str, known: Mapping[str, Any], default: str | None = None) -> Any:
    """What a setting (`part.part` for one inside another) names; raises UserError for a name that is not known."""
    found: Any = making.settings
    for part in key.split("."):
        found = found.get(part, default) if isinstance(found, Mapping) else default
    if found not in known:
        raise UserError(f"{making.place}.{key} is {found!r}; there are: {', '.join(known)}")
    return known[found]


def number_of(value: Any) -> int:
    """A whole number of a setting."""
    return int(value)
