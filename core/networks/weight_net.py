"""The weight net of Meta-Weight-Net (Shu et al., 2019): 1-100-1, ReLU, sigmoid, as pure functions of its parameters."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

Parameters = dict[str, Tensor]


def initial(generator: torch.Generator, hidden: int = 100, dtype: torch.dtype = torch.float32) -> Parameters:
    """Parameters at the start: every entry uniform within 1 / sqrt(fan in), as PyTorch (and so the authors' code) has it."""

    def uniform(*shape: int, fan_in: int) -> Tensor:
        return (2 * torch.rand(shape, generator=generator, dtype=dtype) - 1) / sqrt(fan_in)

    return {
        "inner.weight": uniform(hidden, fan_in=1),
        "inner.bias": uniform(hidden, fan_in=1),
        "outer.weight": uniform(hidden, fan_in=hidden),
        "outer.bias": uniform(1, fan_in=hidden),
    }


def weights(parameters: Parameters, losses: Tensor) -> Tensor:
    """V(L; Theta) in (0, 1), of the shape of `losses`."""
    hidden = torch.relu(losses[..., None] * parameters["inner.weight"] + parameters["inner.bias"])
    return torch.sigmoid(hidden @ parameters["outer.weight"] + parameters["outer.bias"])


def weighted_mean(parameters: Parameters, losses: Tensor) -> Tensor:
    """g = mean_i V(L_i; Theta) L_i of losses [B]; V's input is held fixed, so that grad_v g = mean_i V(L_i; Theta) grad L_i.

    It is no g of v alone then: its gradient in v is not that of its value.
    """
    return (weights(parameters, losses.detach()) * losses).mean()
