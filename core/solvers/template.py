"""A template: copy this file to core/solvers/<name>.py, change it, and the solver is there under its file's name.

    T times:  v <- v - rho grad_v g;      once:  u <- u - sigma (grad_u f - eta H_uv grad_v f)

State the update rule and its source here. What is below is a whole solver: the identity in the place of the inverse Hessian
(Luketina et al., 2016). It is left out of `core.solvers.names()`, as base.py is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.loops import Limit, repeat
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.products import linearize, lower_gradient, upper_gradients
from core.solvers.base import Metrics, check_lower_steps, one_shared_batch
from core.trees import Tree, add_scaled, counter, squared_norm
from core.validate import check_start


class TemplateState(NamedTuple):
    """All that is carried from one upper iteration to the next, tensors only: saving it is the checkpoint."""

    u: Tree
    v: Tree
    upper_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class Template:
    """Hyper-parameters, each described.

    Attributes:
        lower_steps: v-updates for each u-update [T].
        upper_step_size, lower_step_size: [sigma, rho].
        inverse_step_size: what stands for the inverse Hessian [eta].
        upper_optimizer: how the hypergradient becomes a step.
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-4
    inverse_step_size: float = 1e-2
    upper_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)

    def draws(self) -> Mapping[str, int]:
        """One batch for everything; a solver that draws per step or product uses `core.draws`."""
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> TemplateState:
        """See `core.solvers.base.Solver.init`. No two tensors of a state may share memory."""
        check_start(u, v)
        return TemplateState(u, v, self.upper_optimizer.init(u), counter(v), limit)

    def step(self, state: TemplateState, batch: Any = None) -> tuple[TemplateState, Metrics]:
        """One u-update after T v-updates: no `.item()`, no branch on data, nothing drawn, derivatives from core.products."""
        problem, u = self.problem, state.u

        def lower_update(v: Tree) -> Tree:
            return problem.project_lower(add_scaled(v, -self.lower_step_size, lower_gradient(problem, u, v, batch)))

        v = repeat(lower_update, state.v, self.lower_steps, state.limit)
        direct, toward = upper_gradients(problem, u, v, batch)
        gradient = add_scaled(direct, -self.inverse_step_size, linearize(problem, u, v, batch).cross(toward))
        u, memory = self.upper_optimizer.update(
            gradient, state.upper_optimizer, u, self.upper_step_size, problem.visited(batch)
        )
        state = TemplateState(problem.project_upper(u), v, memory, state.iteration + 1, state.limit)
        return state, {"upper_gradient": squared_norm(gradient)}


SOLVER = Template
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
