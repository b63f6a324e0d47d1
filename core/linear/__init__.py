"""Small iterative solvers of A q = b for a symmetric A given by its products: `solve(matvec, b) -> (q, info)`.

A file for each; import the function from its file, so that a solver depends on the linear solver it uses, not on all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from core.loops import Limit, repeat
from core.trees import Tree, add_scaled, counter, squared_norm, subtract, zeros_like

Matvec = Callable[[Tree], Tree]


class Info(NamedTuple):
    """What a linear solver says of its answer."""

    residual: Tensor
    """|A q - b|^2, as the solver's own recurrence has it."""
    steps: Tensor
    """Steps taken before convergence."""


def descend(
    matvec: Matvec,
    along: Matvec,
    b: Tree,
    *,
    steps: int,
    step_size: float | Tensor,
    start: Tree | None = None,
    limit: Limit = (),
) -> tuple[Tree, Info]:
    """`steps` of q <- q - step_size along(A q - b).

    Args:
        start: None for zero. limit: how many of the steps count (a scalar tensor), or () for all.
    """

    def update(carry: tuple[Tree, Tensor]) -> tuple[Tree, Tensor]:
        gap = subtract(matvec(carry[0]), b)
        return add_scaled(carry[0], -step_size, along(gap)), squared_norm(gap)

    q, residual = repeat(update, (zeros_like(b) if start is None else start, squared_norm(b)), steps, limit)
    return q, Info(residual, limit if isinstance(limit, Tensor) else counter(b) + steps)
