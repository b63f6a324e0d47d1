"""SOBA: v, the linear system's q and u move together at one point (Dagreou, Ablin, Vaiter & Moreau, 2022, Algorithm 1).

    D_v = grad_v g;     D_q = H_vv q - grad_v f;     D_u = grad_u f - H_uv q,      all at (u, v, q)
    v <- v - rho D_v;     q <- q - rho_q D_q;     u <- u - step D_u

(The article's linear variable is -q.) Every direction is linear in f and in g, so a minibatch estimates it without bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.loops import Limit, repeat
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.products import linearize, upper_gradients
from core.solvers.base import Metrics, check_lower_steps, moved, one_shared_batch
from core.trees import Tree, add_scaled, counter, subtract, zeros_like
from core.validate import check_start


class SOBAState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    q: Tree
    """The solution of H_vv q = grad_v f in the making, like v."""
    upper_optimizer: Tree
    lower_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class SOBA:
    """Hyper-parameters.

    Attributes:
        lower_steps: moves of v and q for each u-update; the article's method is 1. u moves along the last D_u.
        upper_step_size, lower_step_size, solver_step_size: of u, v and q.
        upper_optimizer, lower_optimizer: how directions of u and v become steps; q moves by plain descent.
    """

    problem: Bilevel
    lower_steps: int = 1
    upper_step_size: float = 1e-2
    lower_step_size: float = 1e-2
    solver_step_size: float = 1e-2
    upper_optimizer: Optimizer = GradientDescent()
    lower_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> SOBAState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        memories = self.upper_optimizer.init(u), self.lower_optimizer.init(v)
        return SOBAState(u, v, zeros_like(v), *memories, counter(v), limit)

    def step(self, state: SOBAState, batch: Any = None) -> tuple[SOBAState, Metrics]:
        """One u-update together with `lower_steps` moves of v and q. See `core.solvers.base.Solver.step`."""
        problem, u = self.problem, state.u

        def move(carry: tuple[Tree, Tree, Tree, Tree]) -> tuple[Tree, Tree, Tree, Tree]:
            v, q, memory, _ = carry
            f_u, f_v = upper_gradients(problem, u, v, batch)
            point = linearize(problem, u, v, batch)
            gradient = subtract(f_u, point.cross(q))
            gap = subtract(point.hessian(q), f_v)
            v, memory = self.lower_optimizer.update(point.lower_gradient, memory, v, self.lower_step_size)
            return problem.project_lower(v), add_scaled(q, -self.solver_step_size, gap), memory, gradient

        start = (state.v, state.q, state.lower_optimizer, zeros_like(u))
        v, q, lower_memory, gradient = repeat(move, start, self.lower_steps, state.limit)
        return moved(self, state, v, gradient, batch, q=q, lower_optimizer=lower_memory)


SOLVER = SOBA
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
