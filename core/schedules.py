"""Step sizes and numbers of lower steps as values: functions of a counter tensor, without state of their own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.loops import Limit
from core.trees import Tree, leaves


@dataclass(frozen=True)
class Constant:
    """The same value at every iteration."""

    value: float

    def __call__(self, iteration: Tensor) -> Tensor:
        return torch.full_like(iteration, self.value, dtype=torch.float64)


@dataclass(frozen=True)
class StepDecay:
    """value * factor^floor(iteration / every): the halving of the authors' ApproxGrad, with factor 0.5.

    Attributes:
        value: at iteration 0. factor: in (0, 1]. every: iterations between two decays; 0 stands for never.
    """

    value: float
    factor: float = 0.5
    every: int = 0

    def __call__(self, iteration: Tensor) -> Tensor:
        if self.every == 0:
            return torch.full_like(iteration, self.value, dtype=torch.float64)
        decays = torch.div(iteration, self.every, rounding_mode="floor").to(torch.float64)
        return self.value * self.factor**decays


Schedule = Constant | StepDecay


def as_schedule(value: float | Schedule) -> Schedule:
    """A number stands for a constant."""
    return value if isinstance(value, Constant | StepDecay) else Constant(float(value))


def power_decay(value: float, power: float, iteration: Tensor, like: Tree) -> Tensor | float:
    """value (k + 1)^-power at iteration k, of the dtype of `like`; the number itself for power 0."""
    if power == 0:
        return value
    return (value * (iteration + 1).to(torch.float64) ** -power).to(leaves(like)[0].dtype)


def growing(first: int, growth: float, power: float, iteration: Tensor, limit: Limit) -> Limit:
    """The limit of iteration k: first + floor(growth k^power), but no more than `limit` ((): no bound of its own).

    A loop of `lower_steps` takes no more than those, whatever the limit. Nothing grows: growth 0.
    """
    steps = first + torch.floor(growth * iteration.to(torch.float64) ** power).to(torch.int64)
    return torch.minimum(steps, limit) if isinstance(limit, Tensor) else steps
