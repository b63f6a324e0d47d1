"""Gradient descent on the squared residual, the linear solver of the paper's Table 1 (Mehra & Hamm, 2021)."""

from __future__ import annotations

from torch import Tensor

from core.linear import Info, Matvec, descend
from core.loops import Limit
from core.trees import Tree


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
    return descend(matvec, matvec, b, steps=steps, step_size=step_size, start=start, limit=limit)
