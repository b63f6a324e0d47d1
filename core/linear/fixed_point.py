"""Fixed-point steps (Richardson iteration), the linear solver of AID-FP (Grazzi et al., 2020)."""

from __future__ import annotations

from torch import Tensor

from core.linear import Info, Matvec, descend
from core.loops import Limit
from core.trees import Tree


def fixed_point(
    matvec: Matvec,
    b: Tree,
    *,
    steps: int,
    step_size: float | Tensor,
    start: Tree | None = None,
    limit: Limit = (),
) -> tuple[Tree, Info]:
    """`steps` of q <- q - step_size (A q - b), a product each; positive definite A, step_size < 2 / |A|.

    The error shrinks by 1 - step_size mu a step along an eigenvalue mu.

    Args:
        start: None for zero. limit: how many of the steps count (a scalar tensor), or () for all.
    """
    return descend(matvec, lambda gap: gap, b, steps=steps, step_size=step_size, start=start, limit=limit)
