"""First-order ITD-BiO: every second-order term dropped (Ji, Yang & Liang, 2021, Section 5).

    D times:  v <- v - rho grad_v g;     once:  u <- u - sigma grad_u f(u, v_D)

It ends where grad_u f = 0 and grad_v g = 0, in general not at a solution of the bilevel problem; where f does not depend on
u directly it never moves. First-order MAML (Finn et al., 2017; Nichol et al., 2018) is this with restart from v = 0 on
g = loss(u + v), f = validation loss(u + v).
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
from core.products import lower_gradient, upper_gradient
from core.solvers.base import Metrics, check_lower_steps, one_shared_batch
from core.trees import Tree, add_scaled, counter, squared_norm, tree_map
from core.validate import check_start


class FirstOrderITDState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    start: Tree
    """Where v starts each round, () with a warm start."""
    upper_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class FirstOrderITD:
    """Hyper-parameters.

    Attributes:
        lower_steps: v-updates for each u-update [D].
        upper_step_size, lower_step_size: of u and v; the lower steps are plain gradient descent.
        restart: start each round from the first v, not from where the last round ended.
        upper_optimizer: how grad_u f becomes a step.
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-4
    restart: bool = False
    upper_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> FirstOrderITDState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        start = tree_map(torch.clone, v) if self.restart else ()
        return FirstOrderITDState(u, v, start, self.upper_optimizer.init(u), counter(v), limit)

    def step(self, state: FirstOrderITDState, batch: Any = None) -> tuple[FirstOrderITDState, Metrics]:
        """One u-update after D v-updates. See `core.solvers.base.Solver.step`."""
        problem, u = self.problem, state.u

        def forward(v: Tree) -> Tree:
            return problem.project_lower(add_scaled(v, -self.lower_step_size, lower_gradient(problem, u, v, batch)))

        v = repeat(forward, state.start if self.restart else state.v, self.lower_steps, state.limit)
        gradient = upper_gradient(problem, u, v, batch)
        u, memory = self.upper_optimizer.update(
            gradient, state.upper_optimizer, u, self.upper_step_size, problem.visited(batch)
        )
        state = FirstOrderITDState(
            problem.project_upper(u), v, state.start, memory, state.iteration + 1, state.limit
        )
        return state, {"upper_gradient": squared_norm(gradient)}


SOLVER = FirstOrderITD
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
