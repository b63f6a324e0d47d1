"""AID-BiO: approximate implicit differentiation (Ji, Yang & Liang, 2021, Algorithm 1; Ghadimi & Wang, 2018; Grazzi et al.,
2020, for fixed-point steps).

    D_k times:  v <- v - rho grad_v g;     N steps of a linear solver:  (H_vv + damping I) w = grad_v f
    once:       u <- u - sigma (grad_u f - H_uv w)

v starts each round where the last one ended (warm start), or at the v of the start (restart). With constants D and N the
warm starts alone bring the error to zero (AID-BiO-constant); without them D_k has to grow (as Ghadimi & Wang's does).

iMAML (Rajeswaran et al., 2019) is AID with restart from v = 0 on g = loss(u + v) + lambda/2 |v|^2, f = validation
loss(u + v), w by conjugate gradients: v is the task's departure from the meta-parameters u.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.linear import Matvec
from core.linear.adam import adam
from core.linear.cg import conjugate_gradients
from core.linear.fixed_point import fixed_point
from core.linear.gd import gradient_descent
from core.linear.neumann import neumann
from core.loops import Limit, repeat
from core.optimizers import Adam, GradientDescent, Optimizer
from core.problem import Bilevel
from core.products import linearize, lower_gradient, upper_gradients
from core.schedules import growing
from core.solvers.base import Metrics, check_lower_steps, moved, one_shared_batch
from core.trees import Tree, add_scaled, counter, subtract, tree_map, zeros_like
from core.validate import check_start


class AIDState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    w: Tree
    """Where the linear solver starts, () where it starts from zero."""
    start: Tree
    """Where v starts each round, () with a warm start."""
    upper_optimizer: Tree
    lower_optimizer: Tree
    linear_optimizer: Tree
    """Adam's moments, () for the other linear solvers."""
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class AID:
    """Hyper-parameters.

    Attributes:
        lower_steps: v-updates for each u-update [D], the most of them where D_k grows.
        first_lower_steps: D_0 where D_k grows; None for D_k = D.
        growth, growth_power: D_k = min(D_0 + floor(growth k^power), D); used with `first_lower_steps` only.
        restart: start each round from the first v, not from where the last round ended.
        upper_step_size, lower_step_size: of u and v.
        linear_solver: "cg", "fixed-point" (w <- w - step (H w - b)), "gd" (on |H w - b|^2), "neumann" or "adam".
        solver_steps: steps of the linear solver [N]. Products with H_vv: N for "cg", "fixed-point" and "neumann" (N + 1 for
            a warm start of "cg"), 2 N for "gd" and "adam".
        solver_step_size: of the linear solver; "cg" needs none.
        warm_solver: start w (and Adam's moments) where the last round ended, not from zero. The Neumann series, which is
            one from grad_v f, takes no start.
        damping: added to the diagonal of H_vv.
        upper_optimizer, lower_optimizer: how gradients become steps.
    """

    problem: Bilevel
    lower_steps: int = 10
    first_lower_steps: int | None = None
    growth: float = 1.0
    growth_power: float = 1.0
    restart: bool = False
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-4
    linear_solver: str = "cg"
    solver_steps: int = 10
    solver_step_size: float = 1e-4
    warm_solver: bool = True
    damping: float = 0.0
    upper_optimizer: Optimizer = GradientDescent()
    lower_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)
        if self.linear_solver not in _LINEAR_SOLVERS:
            raise ValueError(f"linear_solver is one of {', '.join(_LINEAR_SOLVERS)}, not {self.linear_solver!r}")
        if self.solver_steps < 1:
            raise ValueError(f"solver_steps is at least 1, not {self.solver_steps}")
        if self.first_lower_steps is not None and self.first_lower_steps < 1:
            raise ValueError(f"first_lower_steps is at least 1, not {self.first_lower_steps}")

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> AIDState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        warm = self._is_warm()
        return AIDState(
            u=u,
            v=v,
            w=zeros_like(v) if warm else (),
            start=tree_map(torch.clone, v) if self.restart else (),
            upper_optimizer=self.upper_optimizer.init(u),
            lower_optimizer=self.lower_optimizer.init(v),
            linear_optimizer=Adam().init(v) if warm and self.linear_solver == "adam" else (),
            iteration=counter(v),
            limit=limit,
        )

    def step(self, state: AIDState, batch: Any = None) -> tuple[AIDState, Metrics]:
        """One u-update after D_k v-updates and N solver steps. See `core.solvers.base.Solver.step`."""
        problem, u = self.problem, state.u

        def lower_update(carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
            v, memory = carry
            gradient = lower_gradient(problem, u, v, batch)
            v, memory = self.lower_optimizer.update(gradient, memory, v, self.lower_step_size)
            return problem.project_lower(v), memory

        first = (state.v, state.lower_optimizer)
        if self.restart:
            first = (state.start, self.lower_optimizer.init(state.start))
        limit = state.limit
        if self.first_lower_steps is not None:
            limit = growing(self.first_lower_steps, self.growth, self.growth_power, state.iteration, limit)
        v, lower_memory = repeat(lower_update, first, self.lower_steps, limit)

        direct, b = upper_gradients(problem, u, v, batch)
        point = linearize(problem, u, v, batch)
        w, residual, linear_memory = self._solved(lambda x: add_scaled(point.hessian(x), self.damping, x), b, state)
        gradient = subtract(direct, point.cross(w))
        kept = {"w": w if self._is_warm() else (), "lower_optimizer": lower_memory, "linear_optimizer": linear_memory}
        state, metrics = moved(self, state, v, gradient, batch, **kept)
        return state, {**metrics, "solver_residual": residual}

    def _is_warm(self) -> bool:
        return self.warm_solver and self.linear_solver != "neumann"

    def _solved(self, matvec: Matvec, b: Tree, state: AIDState) -> tuple[Tree, Tensor, Tree]:
        """w by the linear solver, its residual, and Adam's moments where they are kept."""
        warm, steps, size = self._is_warm(), self.solver_steps, self.solver_step_size
        start = state.w if warm else zeros_like(b)
        if self.linear_solver == "adam":
            memory = state.linear_optimizer if warm else None
            w, info, memory = adam(matvec, b, start=start, steps=steps, step_size=size, state=memory)
            return w, info.residual, memory if warm else ()
        if self.linear_solver == "cg":
            # from a start: what is left is solved from zero
            rest = subtract(b, matvec(start)) if warm else b
            w, info = conjugate_gradients(matvec, rest, steps=steps)
            w = add_scaled(start, 1.0, w)
        elif self.linear_solver == "neumann":
            w, info = neumann(matvec, b, steps=steps, step_size=size)
        else:
            iterate = gradient_descent if self.linear_solver == "gd" else fixed_point
            w, info = iterate(matvec, b, start=start, steps=steps, step_size=size)
        return w, info.residual, ()


_LINEAR_SOLVERS = ("cg", "fixed-point", "gd", "neumann", "adam")
SOLVER = AID
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
