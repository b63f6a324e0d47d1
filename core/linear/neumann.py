"""The truncated Neumann series (Lorraine et al., 2020; Ji et al., 2021)."""

from __future__ import annotations

from torch import Tensor

from core.linear import Info, Matvec
from core.loops import Limit, repeat
from core.trees import Tree, add_scaled, counter, scaled, squared_norm


def neumann(
    matvec: Matvec, b: Tree, *, steps: int, step_size: float | Tensor, limit: Limit = ()
) -> tuple[Tree, Info]:
    """eta sum_{i=0}^{Q} (I - eta A)^i b with eta = `step_size` and Q = `steps` products.

    The error is (I - eta A)^{Q+1} A^{-1} b, for positive definite A and eta < 2 / |A|.
    The residual that is returned is the last term: A times the sum before it, less b.

    Args: limit: how many of the products count (a scalar tensor), or () for all.
    """

    def update(carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
        total, term = carry
        term = add_scaled(term, -step_size, matvec(term))
        return add_scaled(total, step_size, term), term

    total, term = repeat(update, (scaled(step_size, b), b), steps, limit)
    return total, Info(squared_norm(term), limit if isinstance(limit, Tensor) else counter(b) + steps)
