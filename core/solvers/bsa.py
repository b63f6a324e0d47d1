"""BSA, bilevel stochastic approximation (Ghadimi & Wang, 2018).

    t_k times:  v <- v - rho_t grad_v g(u, v; S_t),    t_k growing,  rho_t = rho (t + 1)^-b
    p uniform in {0, .., Q - 1}:   w = eta Q prod_{i=1}^{p} (I - eta H_vv(u, v; B_i)) grad_v f(u, v; D_F)
    once:       u <- u - sigma_k (grad_u f(u, v; D_F) - H_uv(u, v; D_G) w),    sigma_k = sigma (k + 1)^-a

The mean of w over p is eta sum_{i=0}^{Q-1} (I - eta H_vv)^i grad_v f. p comes with the batch (`Draws.truncation`), or from
(seed, k) by `core.counter_random`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.counter_random import integers, seed_tensor
from core.draws import batch_of, truncation_of
from core.loops import Limit
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.sequences import growing, power_decay
from core.solvers.base import Metrics, check_lower_steps
from core.stochastic import hessian_batches, implicit_gradient, lower_descent
from core.trees import Tree, counter, leaves, squared_norm, tree_map
from core.validate import check_start


class BSAState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    start: Tree
    """Where v starts each round, () with a warm start."""
    upper_optimizer: Tree
    seed: Tensor
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class BSA:
    """Hyper-parameters.

    Attributes:
        lower_steps: the most v-updates for a u-update.
        first_lower_steps, growth, growth_power: t_k = min(first + floor(growth k^power), lower_steps); None for the first:
            t_k = lower_steps.
        restart: start v each round from the first v; False goes on from the last one.
        upper_step_size, upper_decay: [sigma, a]. lower_step_size, lower_decay: [rho, b], with t counted anew each round.
        neumann_terms: Q. neumann_step_size: eta, at most 1 / |H_vv|.
        estimate: "random", as above; "series", its mean over p; "released", what stocBiO's code runs under this name: the
            sum of `core.linear.stochastic_neumann.released_series`.
        upper_optimizer: how the hypergradient becomes a step.
    """

    problem: Bilevel
    lower_steps: int = 10
    first_lower_steps: int | None = 1
    growth: float = 1.0
    growth_power: float = 0.5
    restart: bool = False
    upper_step_size: float = 1e-3
    upper_decay: float = 0.5
    lower_step_size: float = 1e-4
    lower_decay: float = 0.0
    neumann_terms: int = 10
    neumann_step_size: float = 0.1
    estimate: str = "random"
    upper_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)
        if self.first_lower_steps is not None and self.first_lower_steps < 1:
            raise ValueError(f"first_lower_steps is at least 1, not {self.first_lower_steps}")
        if self.estimate not in ("random", "series", "released"):
            raise ValueError(f"estimate is 'random', 'series' or 'released', not {self.estimate!r}")
        if self.neumann_terms < 1:
            raise ValueError(f"neumann_terms is at least 1, not {self.neumann_terms}")

    def draws(self) -> Mapping[str, int]:
        """Of `core.draws.Draws`; one batch for all roles will do too."""
        hessian = hessian_batches(self.estimate, self.neumann_terms)
        return {"upper": 1, "lower": self.lower_steps, "hessian": hessian, "cross": 1}

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> BSAState:
        """See `core.solvers.base.Solver.init`. The seed is that of the truncations p."""
        check_start(u, v)
        start = tree_map(torch.clone, v) if self.restart else ()
        return BSAState(
            u, v, start, self.upper_optimizer.init(u), seed_tensor(seed, leaves(v)[0]), counter(v), limit
        )

    def step(self, state: BSAState, batch: Any = None) -> tuple[BSAState, Metrics]:
        """One u-update after t_k v-updates. See `core.solvers.base.Solver.step`.

        The entries of u that move are those of the cross batch, through which u enters g.
        """
        problem, u = self.problem, state.u
        limit = state.limit
        if self.first_lower_steps is not None:
            limit = growing(self.first_lower_steps, self.growth, self.growth_power, state.iteration, limit)
        v = lower_descent(
            problem,
            u,
            state.start if self.restart else state.v,
            batch,
            steps=self.lower_steps,
            step_size=self.lower_step_size,
            power=self.lower_decay,
            limit=limit,
        )
        cut = truncation_of(batch)
        if cut is None:
            cut = integers(state.seed, state.iteration, self.neumann_terms)
        gradient = implicit_gradient(
            problem,
            u,
            v,
            batch,
            rule=self.estimate,
            terms=self.neumann_terms,
            step_size=self.neumann_step_size,
            cut=cut,
        )
        step_size = power_decay(self.upper_step_size, self.upper_decay, state.iteration, u)
        u, memory = self.upper_optimizer.update(
            gradient, state.upper_optimizer, u, step_size, problem.visited(batch_of(batch, "cross"))
        )
        u = problem.project_upper(u)
        state = BSAState(u, v, state.start, memory, state.seed, state.iteration + 1, state.limit)
        return state, {"upper_gradient": squared_norm(gradient)}


SOLVER = BSA
PRESETS: dict[str, dict[str, Any]] = {
    "described": {},
    "released": {"estimate": "released", "first_lower_steps": None, "upper_decay": 0.0},
}
