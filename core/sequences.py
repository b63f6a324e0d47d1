"""Sequences of the theory, as functions of an iteration counter: decaying step sizes, growing numbers of lower steps."""

from __future__ import annotations

import torch
from torch import Tensor

from core.loops import Limit
from core.trees import Tree, leaves


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
