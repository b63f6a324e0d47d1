"""Adam on the squared residual, the authors' linear solver."""

from __future__ import annotations

from torch import Tensor

from core.linear import Info, Matvec
from core.loops import Limit, repeat
from core.optimizers import Adam, AdamState
from core.trees import Tree, counter, scaled, squared_norm, subtract


def adam(
    matvec: Matvec,
    b: Tree,
    *,
    start: Tree,
    steps: int,
    step_size: float | Tensor,
    state: AdamState | None = None,
    limit: Limit = (),
) -> tuple[Tree, Info, AdamState]:
    """`steps` of Adam on |A q - b|^2 from `start`, two products a step (gradient 2 A (A q - b)).

    Args:
        state: Adam's moments, for a solve that goes on from an earlier one.
        limit: how many of the steps count (a scalar tensor), or None for all.
    """
    rule = Adam()

    def update(carry: tuple[Tree, AdamState, Tensor]) -> tuple[Tree, AdamState, Tensor]:
        q, memory, _ = carry
        gap = subtract(matvec(q), b)
        q, memory = rule.update(scaled(2.0, matvec(gap)), memory, q, step_size)
        return q, memory, squared_norm(gap)

    first = (start, rule.init(start) if state is None else state, squared_norm(b))
    q, memory, residual = repeat(update, first, steps, limit)
    return q, Info(residual, limit if isinstance(limit, Tensor) else counter(b) + steps), memory
