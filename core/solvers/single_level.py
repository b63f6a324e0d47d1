"""Plain training: v <- v - rho grad_v g with u fixed. No bilevel method; the baselines and the pre-training are this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.loops import Limit, repeat
from core.optimizers import Adam, Optimizer
from core.problem import Bilevel
from core.products import lower_gradient
from core.solvers.base import Metrics, check_lower_steps, one_shared_batch
from core.trees import Tree, counter
from core.validate import check_start


class SingleLevelState(NamedTuple):
    """All that training carries from one iteration to the next."""

    u: Tree
    v: Tree
    lower_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class SingleLevel:
    """Hyper-parameters: v-updates in one iteration [T], their step size [rho], and how gradients become steps."""

    problem: Bilevel
    lower_steps: int = 1
    lower_step_size: float = 1e-3
    lower_optimizer: Optimizer = Adam()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> SingleLevelState:
        """See `core.solvers.base.Solver.init`. Training draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        return SingleLevelState(u, v, self.lower_optimizer.init(v), counter(v), limit)

    def step(self, state: SingleLevelState, batch: Any = None) -> tuple[SingleLevelState, Metrics]:
        """T v-updates. See `core.solvers.base.Solver.step`."""

        def update(carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
            v, memory = carry
            gradient = lower_gradient(self.problem, state.u, v, batch)
            v, memory = self.lower_optimizer.update(gradient, memory, v, self.lower_step_size)
            return self.problem.project_lower(v), memory

        v, memory = repeat(update, (state.v, state.lower_optimizer), self.lower_steps, state.limit)
        return SingleLevelState(state.u, v, memory, state.iteration + 1, state.limit), {}


SOLVER = SingleLevel
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
