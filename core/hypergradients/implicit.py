"""The implicit hypergradient: df/du = grad_u f - H_uv q, with (H_vv + sigma I) q = grad_v f solved in a few steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from core.linear import Matvec
from core.linear.adam import adam
from core.linear.cg import conjugate_gradients, inconsistent
from core.linear.fixed_point import fixed_point
from core.linear.gd import gradient_descent
from core.linear.neumann import neumann
from core.problem import Bilevel
from core.products import linearize, upper_gradients
from core.trees import Tree, add_scaled, subtract, zeros_like
from core.validate import can_be_looked_at, place


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
    Warns: RuntimeWarning where the system has no solution (a singular H_vv, and grad_v f not in its range); not in a
        compiled program, nor under `torch.func` transforms.
    Source: Mehra & Hamm (2021), Section 2.1; Pedregosa (2016).
    """

    def solve(a: Matvec, b: Tree) -> Tree:
        q, info = conjugate_gradients(a, b, steps=steps)
        if can_be_looked_at(info.residual) and bool(inconsistent(info, b, steps=steps)):
            warnings.warn(
                f"implicit-cg: (H_vv + sigma I) q = grad_v f has no solution {place(u, v, batch)}, a residual of"
                f" {float(info.residual) ** 0.5:.2g} is left: H_vv is singular or indefinite, give a damping",
                RuntimeWarning,
                stacklevel=5,  # who called `hypergradient`
            )
        return q

    return _implicit(problem, u, v, batch, damping, solve)


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


def implicit_gd(
    problem: Bilevel,
    u: Tree,
    v: Tree,
    batch: Any = None,
    *,
    steps: int = 20,
    step_size: float = 1e-2,
    damping: float = 0.0,
) -> Tree:
    """df/du with `steps` of gradient descent on |(H_vv + sigma I) q - grad_v f|^2 / 2 from zero; a tree like u.

    With step_size < 1 / |H_vv + sigma I|^2, and mu the smallest eigenvalue of that matrix, an error of order
    (1 - step_size mu^2)^steps.

    One gradient of f and of g, 2 `steps` Hessian products, one cross product.
    Source: Mehra & Hamm (2021), Table 1.
    """
    return _implicit(
        problem, u, v, batch, damping, lambda a, b: gradient_descent(a, b, steps=steps, step_size=step_size)[0]
    )


def implicit_neumann(
    problem: Bilevel,
    u: Tree,
    v: Tree,
    batch: Any = None,
    *,
    steps: int = 20,
    step_size: float = 1e-2,
    damping: float = 0.0,
) -> Tree:
    """df/du with the first `steps` + 1 terms of the Neumann series of (H_vv + sigma I)^{-1}; a tree like u.

    With step_size < 1 / |H_vv + sigma I|, an error of order (1 - step_size mu)^(steps + 1).

    One gradient of f and of g, `steps` Hessian products, one cross product.
    Source: Lorraine et al. (2020); Ji et al. (2021).
    """
    return _implicit(problem, u, v, batch, damping, lambda a, b: neumann(a, b, steps=steps, step_size=step_size)[0])


def implicit_fixed_point(
    problem: Bilevel,
    u: Tree,
    v: Tree,
    batch: Any = None,
    *,
    steps: int = 20,
    step_size: float = 1e-2,
    damping: float = 0.0,
) -> Tree:
    """df/du with `steps` of q <- q - step_size ((H_vv + sigma I) q - grad_v f) from zero; a tree like u.

    With step_size < 1 / |H_vv + sigma I|, an error of order (1 - step_size mu)^steps. From zero, the first step makes
    the first term of the Neumann series: N steps are the series with N - 1 products.

    One gradient of f and of g, `steps` Hessian products, one cross product.
    Source: Grazzi et al. (2020), AID-FP.
    """
    return _implicit(problem, u, v, batch, damping, lambda a, b: fixed_point(a, b, steps=steps, step_size=step_size)[0])


METHODS = {
    "implicit-cg": implicit_cg,
    "implicit-adam": implicit_adam,
    "implicit-gd": implicit_gd,
    "implicit-neumann": implicit_neumann,
    "implicit-fixed-point": implicit_fixed_point,
}
