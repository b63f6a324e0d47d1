"""ApproxGrad: the implicit hypergradient with an inexact linear solve (Domke, 2012; Pedregosa, 2016; Mehra & Hamm, 2021).

    T times:  v <- v - rho grad_v g;     N steps of a linear solver:  (H_vv + sigma I) q = grad_v f
    once:     u <- u - step (grad_u f - H_uv q)

With Adam or gradient descent on |(H_vv + sigma I) q - grad_v f|^2, and with fixed-point steps, q (and Adam's moments) go on
from one upper iteration to the next, as in the authors' code; conjugate gradients and the Neumann series begin at zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.linear import Info, Matvec
from core.linear.adam import adam
from core.linear.cg import conjugate_gradients
from core.linear.fixed_point import fixed_point
from core.linear.gd import gradient_descent
from core.linear.neumann import neumann
from core.loops import Limit, repeat, shifted
from core.optimizers import Adam, AdamState, Optimizer
from core.problem import Bilevel
from core.products import linearize, lower_gradient, upper_gradients
from core.schedules import StepDecay
from core.solvers.base import Metrics, check_lower_steps, moved, one_shared_batch
from core.trees import Tree, add_scaled, counter, leaves, subtract, zeros_like
from core.validate import check_start


class ApproxGradState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    q: Tree
    upper_optimizer: Tree
    lower_optimizer: Tree
    linear_optimizer: AdamState
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class ApproxGrad:
    """Hyper-parameters.

    Attributes:
        lower_steps: v-updates, and steps of the linear solver, for each u-update [T].
        extra_solver_steps: solver steps beyond T (the released synthetic code takes one more).
        upper_step_size, lower_step_size, solver_step_size: of u, v and q.
        linear_solver: "adam" (the authors'), "gd" (the paper's Table 1), "cg", "neumann" or "fixed-point".
        damping: sigma, added to the diagonal of H_vv.
        decay_factor, decay_every: upper and lower step sizes are multiplied by the factor every so many upper
            iterations; 0 stands for never.
        upper_optimizer, lower_optimizer: how gradients become steps.
    """

    problem: Bilevel
    lower_steps: int = 10
    extra_solver_steps: int = 0
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-4
    solver_step_size: float = 1e-4
    linear_solver: str = "adam"
    damping: float = 1e-3
    decay_factor: float = 0.5
    decay_every: int = 0
    upper_optimizer: Optimizer = Adam()
    lower_optimizer: Optimizer = Adam()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)
        if self.linear_solver not in _LINEAR_SOLVERS:
            raise ValueError(f"linear_solver is one of {', '.join(_LINEAR_SOLVERS)}, not {self.linear_solver!r}")

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> ApproxGradState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        q = zeros_like(v)
        upper, lower = self.upper_optimizer.init(u), self.lower_optimizer.init(v)
        return ApproxGradState(u, v, q, upper, lower, Adam().init(q), counter(v), limit)

    def step(self, state: ApproxGradState, batch: Any = None) -> tuple[ApproxGradState, Metrics]:
        """One u-update after T v-updates and T solver steps. See `core.solvers.base.Solver.step`."""
        problem, u = self.problem, state.u
        # of the dtype of what they move: a scalar u would be promoted
        lower_step = self._decayed(self.lower_step_size, state.iteration).to(leaves(state.v)[0].dtype)
        upper_step = self._decayed(self.upper_step_size, state.iteration).to(leaves(u)[0].dtype)

        def lower_update(carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
            v, memory = carry
            v, memory = self.lower_optimizer.update(lower_gradient(problem, u, v, batch), memory, v, lower_step)
            return problem.project_lower(v), memory

        v, lower_memory = repeat(lower_update, (state.v, state.lower_optimizer), self.lower_steps, state.limit)

        direct, b = upper_gradients(problem, u, v, batch)
        point = linearize(problem, u, v, batch)
        q, info, linear_memory = self._solved(lambda x: add_scaled(point.hessian(x), self.damping, x), b, state)
        gradient = subtract(direct, point.cross(q))
        kept = {"q": q, "lower_optimizer": lower_memory, "linear_optimizer": linear_memory}
        state, metrics = moved(self, state, v, gradient, batch, upper_step, **kept)
        return state, {**metrics, "solver_residual": info.residual}

    def _solved(self, matvec: Matvec, b: Tree, state: ApproxGradState) -> tuple[Tree, Info, AdamState]:
        """q by the linear solver, what it says of it, and Adam's moments (as they were, for another solver)."""
        steps = self.lower_steps + self.extra_solver_steps
        limit = shifted(state.limit, self.extra_solver_steps)
        if self.linear_solver == "adam":
            return adam(
                matvec,
                b,
                start=state.q,
                steps=steps,
                step_size=self.solver_step_size,
                state=state.linear_optimizer,
                limit=limit,
            )
        if self.linear_solver == "cg":
            q, info = conjugate_gradients(matvec, b, steps=steps, limit=limit)
        elif self.linear_solver == "neumann":
            q, info = neumann(matvec, b, steps=steps, step_size=self.solver_step_size, limit=limit)
        else:
            iterate = gradient_descent if self.linear_solver == "gd" else fixed_point
            q, info = iterate(matvec, b, start=state.q, steps=steps, step_size=self.solver_step_size, limit=limit)
        return q, info, state.linear_optimizer

    def _decayed(self, step_size: float, iteration: Tensor) -> Tensor:
        return StepDecay(step_size, self.decay_factor, self.decay_every)(iteration)


_LINEAR_SOLVERS = ("adam", "gd", "cg", "neumann", "fixed-point")
SOLVER = ApproxGrad
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
