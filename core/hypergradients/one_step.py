"""One step's derivative in place of the solution's: the identity, times a step size eta, stands for the inverse Hessian.

    df/du ~ grad_u f - eta H_uv grad_v f, all at the given (u, v)

This is the T1-T2 of Luketina et al. (2016), and the one-step differentiation of Bolte et al. (2023), which differentiates
one step v - eta grad_v g(u, v) of an algorithm as if v did not depend on u. Both take H_uv one lower step before v_T, where
the last step began: that is `truncated` with kept = 1. Here it is taken at v itself; at a lower solution, and wherever H_uv
is constant, the two agree.

At v*(u) the error is H_uv (H_vv^{-1} - eta I) grad_v f: no number of lower steps removes it. With eta <= 1/L and
mu I <= H_vv <= L I it is at most |H_uv| |grad_v f| (1 - eta mu) / mu. It is the Neumann series with no product.
"""

from __future__ import annotations

from typing import Any

from core.problem import Bilevel
from core.products import linearize, upper_gradients
from core.trees import Tree, add_scaled


def one_step(problem: Bilevel, u: Tree, v: Tree, batch: Any = None, *, step_size: float) -> Tree:
    """grad_u f - `step_size` H_uv grad_v f at (u, v), a tree like u.

    One gradient of f and of g, one cross product.

    Args: step_size: eta; that of the lower steps, in the sources.
    """
    direct, upper_v = upper_gradients(problem, u, v, batch)
    cross = linearize(problem, u, v, batch).cross(upper_v)
    return add_scaled(direct, -step_size, cross)


METHODS = {"one-step": one_step}
