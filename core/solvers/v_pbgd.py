"""V-PBGD: value-function-based penalised gradient descent (Shen & Chen, 2023, Algorithm 1).

    T times:  w <- w - rho grad_v g(u, w);      F_gamma(u, v) = f(u, v) + gamma (g(u, v) - g(u, w)), with w held fixed
    once:     (u, v) <- projection of (u, v) - step grad F_gamma

With an exact w the method descends on f + gamma (g - min g), whose minimiser is O(1 / gamma) away from the solution. Where
the T steps begin anew at v, the move of u sees w - v* = (I - rho H_vv)^T (v - v*) too, a further bias of a finite T.
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
from core.products import lower_gradient, lower_gradients, upper_gradients
from core.solvers.base import Metrics, check_lower_steps, one_shared_batch
from core.trees import Tree, add_scaled, counter, scalar, scaled, squared_norm, subtract, tree_map
from core.validate import check_start


class VPBGDState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    w: Tree
    """The lower solution in the making."""
    upper_optimizer: Tree
    lower_optimizer: Tree
    gamma: Tensor
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class VPBGD:
    """Hyper-parameters.

    Attributes:
        lower_steps: steps of w on g for each joint move [T].
        upper_step_size: of u and v in the joint move [alpha]. lower_step_size: of w [beta].
        joint_lower_step_size: of v in the joint move, None for the same as u.
        gamma_0: the penalty weight at the start. gamma_growth: what is added to it at every iteration, up to gamma_max.
        inner_start: w begins at "v", as the article; or at the "previous" w, as the authors' code.
        scaled_steps: the joint move is multiplied by min(1 / gamma, 1), as in the authors' code.
        upper_optimizer, lower_optimizer: how u and v make a step of the joint direction.
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-2
    lower_step_size: float = 1e-2
    joint_lower_step_size: float | None = None
    gamma_0: float = 10.0
    gamma_growth: float = 0.0
    gamma_max: float = float("inf")
    inner_start: str = "v"
    scaled_steps: bool = False
    upper_optimizer: Optimizer = GradientDescent()
    lower_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)
        if self.inner_start not in ("v", "previous"):
            raise ValueError(f"inner_start is 'v' or 'previous', not {self.inner_start!r}")
        if self.gamma_max < self.gamma_0:
            raise ValueError(f"gamma_max, {self.gamma_max}, is less than gamma_0, {self.gamma_0}")

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> VPBGDState:
        """See `core.solvers.base.Solver.init`; w begins at v. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        memories = self.upper_optimizer.init(u), self.lower_optimizer.init(v)
        # w is a tensor of its own: a compiled loop takes none that share memory
        w = tree_map(torch.clone, v)
        return VPBGDState(u, v, w, *memories, scalar(self.gamma_0, v), counter(v), limit)

    def step(self, state: VPBGDState, batch: Any = None) -> tuple[VPBGDState, Metrics]:
        """One joint move of u and v after T steps of w. See `core.solvers.base.Solver.step`."""
        problem, u, v, gamma = self.problem, state.u, state.v, state.gamma

        def lower_update(w: Tree) -> Tree:
            return problem.project_lower(add_scaled(w, -self.lower_step_size, lower_gradient(problem, u, w, batch)))

        w = repeat(lower_update, v if self.inner_start == "v" else state.w, self.lower_steps, state.limit)
        f_u, f_v = upper_gradients(problem, u, v, batch)
        g_u, g_v = lower_gradients(problem, u, v, batch)
        g_u = subtract(g_u, lower_gradients(problem, u, w, batch)[0])
        direction = add_scaled(f_u, gamma, g_u), add_scaled(f_v, gamma, g_v)
        if self.scaled_steps:
            scale = 1 / gamma.clamp(min=1.0)
            direction = scaled(scale, direction[0]), scaled(scale, direction[1])

        joint = self.upper_step_size if self.joint_lower_step_size is None else self.joint_lower_step_size
        u, upper_memory = self.upper_optimizer.update(
            direction[0], state.upper_optimizer, u, self.upper_step_size, problem.visited(batch)
        )
        v, lower_memory = self.lower_optimizer.update(direction[1], state.lower_optimizer, v, joint)
        state = VPBGDState(
            u=problem.project_upper(u),
            v=problem.project_lower(v),
            w=w,
            upper_optimizer=upper_memory,
            lower_optimizer=lower_memory,
            gamma=(gamma + self.gamma_growth).clamp(max=self.gamma_max),
            iteration=state.iteration + 1,
            limit=state.limit,
        )
        return state, {"upper_gradient": squared_norm(direction[0]), "gamma": gamma}


SOLVER = VPBGD
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {"inner_start": "previous", "scaled_steps": True}}
