"""Fixed-point steps (Richardson iteration), the linear solver of AID-FP (Grazzi et al., 2020)."""

from __future__ import annotations

from torch import Tensor

from core.linear import Info, Matvec
from core.loops import Limit, repeat
from core.trees import Tree, add_scaled, counter, squared_norm, subtract, zeros_like


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

    def update(carry: tuple[Tree, Tensor]) -> tuple[Tree, Tensor]:
        gap = subtract(matvec(carry[0]), b)
        return add_scaled(carry[0], -step_size, gap), squared_norm(gap)

    q, residual = repeat(update, (zeros_like(b) if start is None else start, squared_norm(b)), steps, limit)
    return q, Info(residual, limit if isinstance(limit, Tensor) else counter(b) + steps)
