"""The implicit hypergradient: df/du = grad_u f - H_uv q, with (H_vv + sigma I) q = grad_v f solved in a few steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.linear.adam import adam
from core.linear.cg import conjugate_gradients
from core.problem import Bilevel
from core.products import linearize, upper_gradients
from core.trees import Tree, add_scaled, subtract, zeros_like


def _implicit(problem: Bilevel, u: Tree, v: Tree, batch: Any, damping: float, solve: Callable[..., Tree]) -> Tree:
    direct, b = upper_gradients(problem, u, v, batch)
    point = linearize(problem, u, v, batch)
    q = solve(lambda x: add_scaled(point.hessian(x), damping, x), b)
    return subtract(direct, point.cross(q))


def implicit_cg(
    problem: Bilevel, u: Tree, v: Tree, batch: Any = None, *, steps: int = 20, damping: float = 0.0
) -> Tree:
    """df/du with `steps` of conjugate gradients from zero; a tree like u.

    One gradient of f and of g, `steps` Hessian products, one cross product.
    Source: Mehra & Hamm (2021), Section 2.1; Pedregosa (2016).
    """
    return _implicit(problem, u, v, batch, damping, lambda a, b: conjugate_gradients(a, b, steps=steps)[0])


def implicit_adam(
    problem: Bilevel,
    u: Tree,
    v: Tree,
    batch: Any = None,
    *,
    steps: int = 20,
    step_size: float = 1e-2,
    damping: float = 0.0,
) -> Tree:
    """df/du with `steps` of Adam on |(H_vv + sigma I) q - grad_v f|^2 from zero, the authors' solver; a tree like u.

    One gradient of f and of g, 2 `steps` Hessian products, one cross product.
    """
    return _implicit(
        problem, u, v, batch, damping, lambda a, b: adam(a, b, start=zeros_like(b), steps=steps, step_size=step_size)[0]
    )


METHODS = {"implicit-cg": implicit_cg, "implicit-adam": implicit_adam}
