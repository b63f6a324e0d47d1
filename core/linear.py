"""Small iterative solvers of A q = b for a symmetric A given by its products: `solve(matvec, b) -> (q, info)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from core.loops import Limit, repeat
from core.optimizers import Adam, AdamState
from core.trees import Tree, add_scaled, counter, dot, scaled, squared_norm, subtract, where, zeros_like

Matvec = Callable[[Tree], Tree]


class Info(NamedTuple):
    """What a linear solver says of its answer."""

    residual: Tensor
    """|A q - b|^2, as the solver's own recurrence has it."""
    steps: Tensor
    """Steps taken before convergence."""


def conjugate_gradients(matvec: Matvec, b: Tree, *, steps: int, tolerance: float = 0.0) -> tuple[Tree, Info]:
    """Conjugate gradients from zero (Hestenes & Stiefel, 1952), for positive semi-definite A and b in its range.

    `steps` products whatever happens: once the residual is within `tolerance` (times |b|, at least 16 units of
    rounding), or the direction has no curvature, everything is frozen by a mask, since on a singular A the recurrence
    converges and then departs. Where b is not in the range of A, no solution exists: add damping.
    """
    q, r = zeros_like(b), b
    p, rho = r, squared_norm(r)
    limits = torch.finfo(rho.dtype)
    floor = limits.tiny + max(tolerance, 16 * limits.eps) ** 2 * rho
    taken = counter(b)
    for _ in range(steps):
        image = matvec(p)
        curvature = dot(p, image)
        alive = (rho > floor) & (curvature > 0)
        length = torch.where(alive, rho / torch.where(alive, curvature, torch.ones_like(curvature)), 0)
        q = add_scaled(q, length, p)
        r = add_scaled(r, -length, image)
        new_rho = torch.where(alive, squared_norm(r), rho)
        ratio = torch.where(alive, new_rho / torch.where(rho > 0, rho, torch.ones_like(rho)), 0)
        p = where(alive, add_scaled(r, ratio, p), p)
        rho, taken = new_rho, taken + alive.to(torch.int64)
    return q, Info(rho, taken)


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
