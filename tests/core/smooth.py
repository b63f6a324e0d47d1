"""A small tanh network whose training weights and ridge are the upper variable: smooth, and not quadratic."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad, hessian

from core import Bilevel
from tests.core.quadratics import normal

EXAMPLES, HIDDEN = 6, 3
UPPER, LOWER = EXAMPLES + 1, 4 * HIDDEN + 1

_x, _y = normal(EXAMPLES, 2, seed=1), normal(EXAMPLES, seed=2)
_x_validation, _y_validation = normal(8, 2, seed=3), normal(8, seed=4)


def predictions(v: Tensor, x: Tensor) -> Tensor:
    inner, bias, outer = v[: 2 * HIDDEN].reshape(2, HIDDEN), v[2 * HIDDEN : 3 * HIDDEN], v[3 * HIDDEN : -1]
    return torch.tanh(x @ inner + bias) @ outer + v[-1]


def lower(u: Tensor, v: Tensor, batch: None) -> Tensor:
    """Weighted squares, and a ridge exp(u_6) / 2."""
    squares = (predictions(v, _x) - _y) ** 2
    return (torch.sigmoid(u[:EXAMPLES]) * squares).mean() + 0.5 * torch.exp(u[EXAMPLES]) * (v * v).sum()


def upper(u: Tensor, v: Tensor, batch: None) -> Tensor:
    return ((predictions(v, _x_validation) - _y_validation) ** 2).mean() + 0.05 * (u * u).sum()


PROBLEM = Bilevel(upper, lower)


def start() -> tuple[Tensor, Tensor]:
    u = 0.3 * normal(UPPER, seed=5)
    u[EXAMPLES] = -4.5
    return u, 0.5 * normal(LOWER, seed=6)


def newton(u: Tensor, v: Tensor, steps: int) -> Tensor:
    """Newton's method on grad_v g = 0."""
    for _ in range(steps):
        v = v - torch.linalg.solve(hessian(lower, argnums=1)(u, v, None), grad(lower, argnums=1)(u, v, None))
    return v


def lower_solution(u: Tensor, v: Tensor) -> Tensor:
    """v*(u), a local minimum to machine precision: gradient steps, then Newton's."""
    for _ in range(400):
        v = v - 0.3 * grad(lower, argnums=1)(u, v, None)
    return newton(u, v, 6)


def central_differences(function: object, u: Tensor, step: float = 1e-5) -> Tensor:
    """d function / du, an error of order step^2."""
    assert callable(function)
    rows = step * torch.eye(len(u), dtype=u.dtype)
    return torch.stack([(function(u + row) - function(u - row)) / (2 * step) for row in rows])
