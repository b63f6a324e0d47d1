"""Gradient descent on the squared residual, the linear solver of the paper's Table 1 (Mehra & Hamm, 2021)."""

from __future__ import annotations

from torch import Tensor

from core.linear import Info, Matvec
from core.loops import Limit, repeat
from core.trees import Tree, add_scaled, counter, squared_norm, subtract, zeros_like


def gradient_descent(
    matvec: Matvec,
    b: Tree,
    *,
    steps: int,
    step_size: float | Tensor,
    start: Tree | None = None,
    limit: Limit = (),
) -> tuple[Tree, Info]:
    """`steps` of q <- q - step_size A (A q - b), two products each.

    With step_size < 2 / |A|^2 the error shrinks by 1 - step_size mu^2 a step along an eigenvalue mu.

    Args:
        start: None for zero. limit: how many of the steps count (a scalar tensor), or () for all.
    """

    def update(carry: tuple[Tree, Tensor]) -> tuple[Tree, Tensor]:
        gap = subtract(matvec(carry[0]), b)
        return add_scaled(carry[0], -step_size, matvec(gap)), squared_norm(gap)

    q, residual = repeat(update, (zeros_like(b) if start is None else start, squared_norm(b)), steps, limit)
    return q, Info(residual, limit if isinstance(limit, Tensor) else counter(b) + steps)
