"""Conjugate gradients (Hestenes & Stiefel, 1952)."""

from __future__ import annotations

import torch
from torch import Tensor

from core.linear import Info, Matvec
from core.loops import Limit, repeat
from core.trees import Tree, add_scaled, dot, squared_norm, where, zeros_like


def conjugate_gradients(
    matvec: Matvec, b: Tree, *, steps: int, tolerance: float = 0.0, limit: Limit = ()
) -> tuple[Tree, Info]:
    """Conjugate gradients from zero (Hestenes & Stiefel, 1952), for positive semi-definite A and b in its range.

    `steps` products whatever happens: once the residual is within `tolerance` (times |b|, at least 16 units of
    rounding), or the direction has no curvature, everything is frozen by a mask, since on a singular A the recurrence
    converges and then departs. Where b is not in the range of A, no solution exists (see `inconsistent`): add damping.

    Args: limit: how many of the steps count (a scalar tensor), or () for all.
    """
    limits = torch.finfo(squared_norm(b).dtype)
    floor = _floor(b, tolerance)

    def update(carry: tuple[Tree, Tree, Tree, Tensor, Tensor, Tensor]) -> tuple[Tree, Tree, Tree, Tensor, Tensor, Tensor]:
        q, r, p, rho, taken, largest = carry
        image = matvec(p)
        curvature, size = dot(p, image), squared_norm(p)
        # below the rounding of the largest curvature met, a curvature is that of a direction A does not see
        alive = (rho > floor) & (curvature > 16 * limits.eps * largest * size)
        largest = torch.where(alive, torch.maximum(largest, curvature / torch.where(alive, size, 1)), largest)
        length = torch.where(alive, rho / torch.where(alive, curvature, torch.ones_like(curvature)), 0)
        q = add_scaled(q, length, p)
        r = add_scaled(r, -length, image)
        new_rho = torch.where(alive, squared_norm(r), rho)
        ratio = torch.where(alive, new_rho / torch.where(rho > 0, rho, torch.ones_like(rho)), 0)
        p = where(alive, add_scaled(r, ratio, p), p)
        return q, r, p, new_rho, taken + alive.to(torch.int64), largest

    rho = squared_norm(b)
    # made from rho, so that a batch of systems counts each its own steps
    taken = torch.zeros_like(rho, dtype=torch.int64)
    q, _, _, rho, taken, _ = repeat(update, (zeros_like(b), b, b, rho, taken, torch.zeros_like(rho)), steps, limit)
    return q, Info(rho, taken)


def inconsistent(info: Info, b: Tree, *, steps: int, tolerance: float = 0.0) -> Tensor:
    """Whether the solver stopped before its steps were through at a residual above its tolerance: no direction that was left
    had curvature, so b is not in the range of A. A scalar boolean tensor."""
    return (info.steps < steps) & (info.residual > _floor(b, tolerance))


def _floor(b: Tree, tolerance: float) -> Tensor:
    """The squared residual at which a system is taken for solved."""
    limits = torch.finfo(squared_norm(b).dtype)
    return limits.tiny + max(tolerance, 16 * limits.eps) ** 2 * squared_norm(b)
