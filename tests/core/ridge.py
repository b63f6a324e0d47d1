"""The ridge of a regression as upper variable: u = log ridge, v = coefficients; grad_u f = 0, and all is in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from core import Bilevel
from tests.core.quadratics import normal

FEATURES, TRAINING, VALIDATION = 4, 12, 30
_x, _x_validation = normal(TRAINING, FEATURES, seed=31), normal(VALIDATION, FEATURES, seed=32)
_true = normal(FEATURES, seed=33)
_y = _x @ _true + 1.5 * normal(TRAINING, seed=34)
_y_validation = _x_validation @ _true + 0.2 * normal(VALIDATION, seed=35)


def lower(u: Tensor, v: Tensor, batch: None) -> Tensor:
    """Mean squares, and the ridge exp(u) / 2."""
    return 0.5 * ((_x @ v - _y) ** 2).mean() + 0.5 * torch.exp(u).sum() * (v @ v)


def upper(u: Tensor, v: Tensor, batch: None) -> Tensor:
    return 0.5 * ((_x_validation @ v - _y_validation) ** 2).mean() + 0 * u.sum()


PROBLEM = Bilevel(upper, lower, project_upper=lambda u: u.clamp(-6.0, 6.0))


def start() -> tuple[Tensor, Tensor]:
    return torch.tensor([1.0], dtype=torch.float64), torch.zeros(FEATURES, dtype=torch.float64)


def _hessian(u: Tensor) -> Tensor:
    return _x.T @ _x / TRAINING + torch.exp(u).sum() * torch.eye(FEATURES, dtype=torch.float64)


def lower_solution(u: Tensor) -> Tensor:
    """v*(u)."""
    return torch.linalg.solve(_hessian(u), _x.T @ _y / TRAINING)


def hypergradient(u: Tensor) -> Tensor:
    """df/du at (u, v*(u)): -exp(u) v' H^{-1} grad_v f."""
    v = lower_solution(u)
    toward = _x_validation.T @ (_x_validation @ v - _y_validation) / VALIDATION
    return -torch.exp(u) * (v @ torch.linalg.solve(_hessian(u), toward))


def solution() -> tuple[Tensor, Tensor]:
    """(u*, v*): the root of the hypergradient, by bisection."""
    low, high = torch.tensor([-6.0], dtype=torch.float64), torch.tensor([6.0], dtype=torch.float64)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if hypergradient(middle) < 0 else (low, middle)
    return low, lower_solution(low)
