"""Reverse-mode differentiation through T steps of gradient descent (RMD).

    v_{t+1} = v_t - rho grad_v g(u, v_t);   q_T = grad_v f(u, v_T), p_T = grad_u f(u, v_T)
    p_t = p_{t+1} - rho H_uv(v_t) q_{t+1},  q_t = q_{t+1} - rho H_vv(v_t) q_{t+1};   df/du = p_0

Source: Maclaurin et al. (2015), Franceschi et al. (2017); Mehra & Hamm (2021), Section 2.1.
"""

from __future__ import annotations

from typing import Any

from core.loops import Limit, Path, part, scan, shifted
from core.problem import Bilevel
from core.products import linearize, lower_gradient, upper_gradients
from core.trees import Tree, add_scaled


def unroll(
    problem: Bilevel, u: Tree, v: Tree, batch: Any, *, steps: int, step_size: float, limit: Limit = ()
) -> tuple[Tree, Path]:
    """(v_T, path of v_0 .. v_{T-1}): T projected gradient steps on g from v_0 = v, of which the first `limit` move."""

    def forward(v: Tree, _: Tree) -> Tree:
        return problem.project_lower(add_scaled(v, -step_size, lower_gradient(problem, u, v, batch)))

    return scan(forward, v, steps, limit, keep=True)


def backward(
    problem: Bilevel,
    u: Tree,
    v: Tree,
    path: Path,
    batch: Any,
    *,
    steps: int,
    step_size: float,
    first: int = 0,
    limit: Limit = (),
) -> Tree:
    """df(u, v_T)/du by the reverse pass over `path` from v = v_T, a tree like u.

    Projections are not differentiated, as in the authors' code.

    Args:
        first: the index of the earliest step that is differentiated. 0 is exact; the authors' code never stores v_0,
            so starts at 1.
        limit: as in `unroll`; steps beyond it are the identity.
    """
    start = upper_gradients(problem, u, v, batch)

    def pull(carry: tuple[Tree, Tree], v: Tree) -> tuple[Tree, Tree]:
        p, q = carry
        point = linearize(problem, u, v, batch)
        return add_scaled(p, -step_size, point.cross(q)), add_scaled(q, -step_size, point.hessian(q))

    if steps == first:
        return start[0]
    (p, _), _ = scan(pull, start, steps - first, shifted(limit, -first), along=part(path, first), reverse=True)
    return p


def reverse(problem: Bilevel, u: Tree, v: Tree, batch: Any = None, *, steps: int, step_size: float) -> Tree:
    """d f(u, v_T(u)) / du, a tree like u, with v_T after `steps` gradient steps on g from v.

    Where the problem projects v, the steps are projected and the projections are not differentiated.

    T gradients of g forward; one gradient of f, T gradients of g, T Hessian and T cross products backward.
    """
    end, path = unroll(problem, u, v, batch, steps=steps, step_size=step_size)
    return backward(problem, u, end, path, batch, steps=steps, step_size=step_size)


METHODS = {"reverse": reverse}
