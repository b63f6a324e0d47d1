"""Conjugate gradients (Hestenes & Stiefel, 1952)."""

from __future__ import annotations

import torch

from core.linear import Info, Matvec
from core.trees import Tree, add_scaled, counter, dot, squared_norm, where, zeros_like


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
