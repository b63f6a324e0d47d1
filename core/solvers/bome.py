"""BOME: bilevel optimisation made easy (Liu, Ye, Wright, Stone & Liu, 2022, Algorithm 1).

    T times:  w <- w - rho grad_v g(u, w) from w = v;        q(u, v) = g(u, v) - g(u, w), with w held fixed
    phi = eta |grad q|^2 (or eta q);     lambda = max((phi - <grad f, grad q>) / |grad q|^2, 0), and 0 where grad q = 0
    once:     (u, v) <- (u, v) - step (grad f + lambda grad q)

lambda is the least weight that makes the move decrease q at the rate phi. No second derivative is taken. Close to q = 0
lambda grows like 1 / |grad q|, so that at a constant step the iterates come within a distance of order step of a solution.
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
from core.trees import Tree, add_scaled, counter, dot, squared_norm, subtract
from core.validate import check_start


class BOMEState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    upper_optimizer: Tree
    lower_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class BOME:
    """Hyper-parameters.

    Attributes:
        lower_steps: steps on g that make w [T].
        upper_step_size: of the joint move [xi]. lower_step_size: of the steps on g [alpha].
        joint_lower_step_size: of v in the joint move, None for the same as u (as the article).
        eta: how fast q is to fall.
        barrier: phi, "gradient" (eta |grad q|^2) or "value" (eta q).
        upper_optimizer, lower_optimizer: how u and v make a step of the joint direction.
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-2
    lower_step_size: float = 1e-2
    joint_lower_step_size: float | None = None
    eta: float = 0.5
    barrier: str = "gradient"
    upper_optimizer: Optimizer = GradientDescent()
    lower_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)
        if self.barrier not in ("gradient", "value"):
            raise ValueError(f"barrier is 'gradient' or 'value', not {self.barrier!r}")

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> BOMEState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        return BOMEState(u, v, self.upper_optimizer.init(u), self.lower_optimizer.init(v), counter(v), limit)

    def step(self, state: BOMEState, batch: Any = None) -> tuple[BOMEState, Metrics]:
        """One joint move of u and v after T steps on g. See `core.solvers.base.Solver.step`."""
        problem, u, v = self.problem, state.u, state.v

        def lower_update(w: Tree) -> Tree:
            return problem.project_lower(add_scaled(w, -self.lower_step_size, lower_gradient(problem, u, w, batch)))

        w = repeat(lower_update, v, self.lower_steps, state.limit)
        f_u, f_v = upper_gradients(problem, u, v, batch)
        q_u, q_v = lower_gradients(problem, u, v, batch)
        q_u = subtract(q_u, lower_gradients(problem, u, w, batch)[0])

        size = squared_norm(q_u) + squared_norm(q_v)
        if self.barrier == "gradient":
            phi = self.eta * size
        else:
            phi = self.eta * (problem.lower(u, v, batch) - problem.lower(u, w, batch)).detach()
        present = size > 0
        slope = dot(f_u, q_u) + dot(f_v, q_v)
        weight = torch.where(present, (phi - slope) / torch.where(present, size, 1.0), 0.0).clamp(min=0)

        direction = add_scaled(f_u, weight, q_u), add_scaled(f_v, weight, q_v)
        joint = self.upper_step_size if self.joint_lower_step_size is None else self.joint_lower_step_size
        u, upper_memory = self.upper_optimizer.update(
            direction[0], state.upper_optimizer, u, self.upper_step_size, problem.visited(batch)
        )
        v, lower_memory = self.lower_optimizer.update(direction[1], state.lower_optimizer, v, joint)
        u, v = problem.project_upper(u), problem.project_lower(v)
        state = BOMEState(u, v, upper_memory, lower_memory, state.iteration + 1, state.limit)
        return state, {"upper_gradient": squared_norm(direction[0]), "weight": weight, "gap_gradient": size}


SOLVER = BOME
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
