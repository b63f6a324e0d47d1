"""Forward-mode differentiation through T steps of gradient descent (FMD).

    v_{t+1} = v_t - rho grad_v g(u, v_t),   P_{t+1} = P_t A_{t+1} + B_{t+1},   v_0 given, P_0 = 0
    A_{t+1} = I - rho H_vv(v_t),   B_{t+1} = -rho H_uv(v_t);   df/du = grad_u f(u, v_T) + P_T grad_v f(u, v_T)

Row i of P [U, V] is dv_t / du_i. The value is that of reverse mode; the memory does not grow with T, the time does with U.

Source: Franceschi et al. (2017); Mehra & Hamm (2021), Section 2.1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from core.loops import Limit, repeat
from core.problem import Bilevel
from core.products import lower_gradient, lower_tangents, upper_gradients
from core.trees import Tree, add_scaled, dimension, dot, flatten, tree_map


def unroll_forward(
    problem: Bilevel, u: Tree, v: Tree, batch: Any, *, steps: int, step_size: float | Tensor, limit: Limit = ()
) -> tuple[Tree, Tree]:
    """(v_T, df(u, v_T)/du): T projected gradient steps on g from v_0 = v with their derivatives, trees like v and u.

    Projections are not differentiated, as in `core.hypergradients.reverse`.

    Args: limit: how many of the steps count (a scalar tensor), or () for all.
    """
    directions = basis(u)
    rows = dimension(u)

    def advance(carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
        v, tangents = carry
        change = lower_tangents(problem, u, v, batch, directions, tangents)
        v = problem.project_lower(add_scaled(v, -step_size, lower_gradient(problem, u, v, batch)))
        return v, add_scaled(tangents, -step_size, change)

    still = tree_map(lambda leaf: leaf.new_zeros((rows, *leaf.shape)), v)
    v, tangents = repeat(advance, (v, still), steps, limit)
    direct, upper_v = upper_gradients(problem, u, v, batch)
    along = vmap(lambda row: dot(row, upper_v))(tangents)
    return v, tree_map(torch.add, direct, like(along, u))


def basis(u: Tree) -> Tree:
    """The unit vectors of u as rows, in the order of its leaves: a tree like u with a leading axis [U, ...]."""
    found, rebuild = flatten(u)
    rows, first, columns = dimension(u), 0, []
    for leaf in found:
        unit = torch.eye(rows, dtype=leaf.dtype, device=leaf.device)
        columns.append(unit[:, first : first + leaf.numel()].reshape(rows, *leaf.shape))
        first += leaf.numel()
    return rebuild(columns)


def like(vector: Tensor, u: Tree) -> Tree:
    """A vector [U] as a tree like u."""
    found, rebuild = flatten(u)
    first, parts = 0, []
    for leaf in found:
        parts.append(vector[first : first + leaf.numel()].reshape(leaf.shape).to(leaf.dtype))
        first += leaf.numel()
    return rebuild(parts)


def forward(problem: Bilevel, u: Tree, v: Tree, batch: Any = None, *, steps: int, step_size: float) -> Tree:
    """d f(u, v_T(u)) / du, a tree like u, with v_T after `steps` gradient steps on g from v.

    Where the problem projects v, the steps are projected and the projections are not differentiated.

    One gradient of f; 2 T gradients of g, T U Hessian and T U cross products, U the number of entries of u.
    """
    return unroll_forward(problem, u, v, batch, steps=steps, step_size=step_size)[1]


METHODS = {"forward": forward}
