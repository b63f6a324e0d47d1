"""Truncated reverse-mode differentiation (K-RMD): the reverse pass goes back over the last K of T steps only.

    T times:  v_{t+1} = v_t - rho grad_v g(u, v_t), keeping v_{T-K} .. v_{T-1};   q_T = grad_v f, p_T = grad_u f at (u, v_T)
    p_t = p_{t+1} - rho H_uv(v_t) q_{t+1},  q_t = q_{t+1} - rho H_vv(v_t) q_{t+1}  for t = T-1 .. T-K;   df/du = p_{T-K}

Memory of K iterates instead of T; where g is strongly convex with modulus mu, a bias of order (1 - rho mu)^K. K = T is
reverse mode; K = 1, with a lower step for each upper one, is the T1-T2 of Luketina et al. (2016).

Source: Shaban et al. (2019).
"""

from __future__ import annotations

from typing import Any

from core.hypergradients.reverse import backward, unroll
from core.loops import Limit, repeat, shifted
from core.problem import Bilevel
from core.products import lower_gradient
from core.trees import Tree, add_scaled


def unroll_truncated(
    problem: Bilevel,
    u: Tree,
    v: Tree,
    batch: Any,
    *,
    steps: int,
    step_size: float,
    kept: int,
    limit: Limit = (),
) -> tuple[Tree, Tree]:
    """(v_T, df(u, v_T)/du through the last `kept` steps), trees like v and u.

    Projections are not differentiated, as in `core.hypergradients.reverse`.

    Args:
        kept: K, the last steps that are differentiated; all of them where it is more than `steps`.
        limit: how many of the steps count (a scalar tensor), or () for all; the last K of those are differentiated.

    Raises: ValueError for a negative `kept`.
    """
    if kept < 0:
        raise ValueError(f"kept is at least 0, not {kept}")
    kept = min(kept, steps)

    def advance(v: Tree) -> Tree:
        return problem.project_lower(add_scaled(v, -step_size, lower_gradient(problem, u, v, batch)))

    if steps > kept:
        # of L steps that count, L - K are taken here; none where L < K, and the rest below
        v = repeat(advance, v, steps - kept, shifted(limit, -kept))
    end, path = unroll(problem, u, v, batch, steps=kept, step_size=step_size, limit=limit) if kept else (v, [])
    return end, backward(problem, u, end, path, batch, steps=kept, step_size=step_size, limit=limit)


def truncated(
    problem: Bilevel, u: Tree, v: Tree, batch: Any = None, *, steps: int, step_size: float, kept: int
) -> Tree:
    """d f(u, v_T(u)) / du through the last `kept` of `steps` gradient steps on g from v, a tree like u.

    T gradients of g forward; one gradient of f, K gradients of g, K Hessian and K cross products backward.

    Raises: ValueError for a negative `kept`.
    """
    return unroll_truncated(problem, u, v, batch, steps=steps, step_size=step_size, kept=kept)[1]


METHODS = {"truncated": truncated}
