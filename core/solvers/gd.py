"""Alternating gradient descent: the baseline that ignores how v depends on u (Mehra & Hamm, 2021, Section 3.1).

    T times:  v <- v - rho grad_v g;      once:  u <- u - sigma grad_u f

It finds a point where grad_u f = 0 and grad_v g = 0, in general not a solution of the bilevel problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.loops import Limit, repeat
from core.optimizers import Adam, Optimizer
from core.problem import Bilevel
from core.products import lower_gradient, upper_gradient
from core.solvers.base import Metrics, check_lower_steps, moved, one_shared_batch
from core.trees import Tree, counter
from core.validate import check_start


class GDState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    upper_optimizer: Tree
    lower_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class GD:
    """Hyper-parameters.

    Attributes:
        lower_steps: v-updates for each u-update [T].
        upper_step_size, lower_step_size: [sigma, rho].
        upper_optimizer, lower_optimizer: how gradients become steps (released code: Adam for both).
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-4
    upper_optimizer: Optimizer = Adam()
    lower_optimizer: Optimizer = Adam()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> GDState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        return GDState(u, v, self.upper_optimizer.init(u), self.lower_optimizer.init(v), counter(v), limit)

    def step(self, state: GDState, batch: Any = None) -> tuple[GDState, Metrics]:
        """One u-update after T v-updates. See `core.solvers.base.Solver.step`."""
        problem = self.problem

        def lower_update(carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
            v, memory = carry
            gradient = lower_gradient(problem, state.u, v, batch)
            v, memory = self.lower_optimizer.update(gradient, memory, v, self.lower_step_size)
            return problem.project_lower(v), memory

        v, lower_memory = repeat(lower_update, (state.v, state.lower_optimizer), self.lower_steps, state.limit)
        gradient = upper_gradient(problem, state.u, v, batch)
        return moved(self, state, v, gradient, batch, lower_optimizer=lower_memory)


SOLVER = GD
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
