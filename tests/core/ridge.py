"""The ridge of a linear regression as upper variable, and its solution by the closed form.

    g = |X v - y|^2 / (2 n) + e^u |v|^2 / 2,      f = |X' v - y'|^2 / (2 m),      u a number, grad_u f = 0
"""

from __future__ import annotations

import torch
from torch import Tensor

from core import Bilevel
from tests.core.quadratics import normal, with_eigenvalues

WEIGHTS, EXAMPLES = 4, 12

# X'X / n has the eigenvalues 1 to 1.5, so that a few gradient steps solve the lower level
_orthogonal = torch.linalg.qr(normal(EXAMPLES, WEIGHTS, seed=1)).Q
_S = with_eigenvalues([1.0, 1.1, 1.3, 1.5], seed=2)
X = EXAMPLES**0.5 * _orthogonal @ torch.linalg.cholesky(_S).T
X_VALIDATION = normal(EXAMPLES, WEIGHTS, seed=3)
_truth = 2.0 * normal(WEIGHTS, seed=4)
Y = X @ _truth + 3.0 * normal(EXAMPLES, seed=5)
Y_VALIDATION = X_VALIDATION @ (0.6 * _truth)


def upper(u: Tensor, v: Tensor, batch: None) -> Tensor:
    return 0.5 * ((X_VALIDATION @ v - Y_VALIDATION) ** 2).mean()


def lower(u: Tensor, v: Tensor, batch: None) -> Tensor:
    return 0.5 * ((X @ v - Y) ** 2).mean() + 0.5 * torch.exp(u) * (v * v).sum()


PROBLEM = Bilevel(upper, lower)


def ridge(u: float | Tensor) -> Tensor:
    return torch.exp(torch.as_tensor(u, dtype=torch.float64))


def hessian(u: float | Tensor) -> Tensor:
    return X.T @ X / EXAMPLES + ridge(u) * torch.eye(WEIGHTS, dtype=torch.float64)


def lower_solution(u: float | Tensor) -> Tensor:
    """v*(u) = (X'X / n + e^u)^{-1} X'y / n."""
    return torch.linalg.solve(hessian(u), X.T @ Y / EXAMPLES)


def hypergradient(u: float | Tensor, terms: int | None = None, rho: float = 0.0) -> Tensor:
    """- e^u v*' M grad_v f with M = (X'X / n + e^u)^{-1}, or the first `terms` of its series rho sum_i (I - rho H)^i."""
    v, H = lower_solution(u), hessian(u)
    b = X_VALIDATION.T @ (X_VALIDATION @ v - Y_VALIDATION) / EXAMPLES
    if terms is None:
        return -ridge(u) * v @ torch.linalg.solve(H, b)
    total = torch.zeros_like(b)
    for _ in range(terms):
        total, b = total + rho * b, b - rho * H @ b
    return -ridge(u) * v @ total


def solution(terms: int | None = None, rho: float = 0.0) -> Tensor:
    """The root of the hypergradient, exact or cut, by bisection to machine precision."""
    low, high = -3.0, 2.0
    assert hypergradient(low, terms, rho) < 0 < hypergradient(high, terms, rho)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if hypergradient(middle, terms, rho) < 0 else (low, middle)
    return torch.tensor((low + high) / 2, dtype=torch.float64)


def minimum() -> tuple[Tensor, Tensor]:
    """(u*, v*(u*))."""
    u = solution()
    return u, lower_solution(u)


def start() -> tuple[Tensor, Tensor]:
    """Some way off."""
    return torch.tensor(1.0, dtype=torch.float64), torch.zeros(WEIGHTS, dtype=torch.float64)
