"""Forward-mode differentiation (Franceschi et al., 2017; Mehra & Hamm, 2021, Section 2.1 and Table 1).

    T times:  P <- P (I - rho H_vv) - rho H_uv,   v <- v - rho grad_v g,   both at the same v, from P = 0
    once:     u <- u - sigma (grad_u f + P grad_v f)

P = dv_T/du has a row for each entry of u: U tangents, and no path. The hypergradient is that of reverse mode over all T
steps. v starts each round where the last one ended; projections are not differentiated, as in reverse mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.loops import Limit, repeat
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.products import lower_gradient, lower_tangents, upper_gradients
from core.solvers.base import Metrics, check_lower_steps, one_shared_batch
from core.trees import Tree, add_scaled, counter, dimension, flatten, leaves, squared_norm, tree_map
from core.validate import check_start


class FMDState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    upper_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class FMD:
    """Hyper-parameters.

    Attributes:
        lower_steps: v-updates for each u-update [T].
        upper_step_size, lower_step_size: [sigma, rho]; the lower steps are plain gradient descent.
        upper_optimizer: how the hypergradient becomes a step.
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-4
    upper_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> FMDState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        return FMDState(u, v, self.upper_optimizer.init(u), counter(v), limit)

    def step(self, state: FMDState, batch: Any = None) -> tuple[FMDState, Metrics]:
        """One u-update after T v-updates. See `core.solvers.base.Solver.step`."""
        problem, u, rho = self.problem, state.u, self.lower_step_size
        directions = identity_rows(u)

        def forward(carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
            v, tangents = carry
            change = lower_tangents(problem, u, v, batch, directions, tangents)
            moved = problem.project_lower(add_scaled(v, -rho, lower_gradient(problem, u, v, batch)))
            return moved, add_scaled(tangents, -rho, change)

        rows = dimension(u)
        start = tree_map(lambda leaf: torch.zeros_like(leaf).expand(rows, *leaf.shape).clone(), state.v)
        v, tangents = repeat(forward, (state.v, start), self.lower_steps, state.limit)

        direct, upper_v = upper_gradients(problem, u, v, batch)
        gradient = add_scaled(direct, 1.0, assembled(tangents, upper_v, u))
        u, memory = self.upper_optimizer.update(
            gradient, state.upper_optimizer, u, self.upper_step_size, problem.visited(batch)
        )
        state = FMDState(problem.project_upper(u), v, memory, state.iteration + 1, state.limit)
        return state, {"upper_gradient": squared_norm(gradient)}


def identity_rows(u: Tree) -> Tree:
    """The unit vectors of the space of u, a tree like u with a leading axis of them [U, ...]."""
    tensors, rebuild = flatten(u)
    rows, rest, first = dimension(u), [], 0
    for leaf in tensors:
        block = torch.eye(rows, dtype=leaf.dtype, device=leaf.device)[:, first : first + leaf.numel()]
        rest.append(block.reshape(rows, *leaf.shape))
        first += leaf.numel()
    return rebuild(rest)


def assembled(tangents: Tree, q: Tree, u: Tree) -> Tree:
    """P q as a tree like u, where P has a row for each entry of u (a tree like v with a leading axis [U])."""
    products = [(a * b).reshape(a.shape[0], -1).sum(1) for a, b in zip(leaves(tangents), leaves(q), strict=True)]
    total, first, rest = torch.stack(products).sum(0), 0, []
    tensors, rebuild = flatten(u)
    for leaf in tensors:
        rest.append(total[first : first + leaf.numel()].reshape(leaf.shape).to(leaf.dtype))
        first += leaf.numel()
    return rebuild(rest)


SOLVER = FMD
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
