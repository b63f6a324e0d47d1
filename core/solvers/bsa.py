"""BSA, bilevel stochastic approximation (Ghadimi & Wang, 2018).

    t_k times:  v <- v - rho_t grad_v g(u, v; S_t),    t_k growing,  rho_t = rho (t + 1)^-b
    p uniform in {0, .., Q - 1}:   w = eta Q prod_{i=1}^{p} (I - eta H_vv(u, v; B_i)) grad_v f(u, v; D_F)
    once:       u <- u - sigma_k (grad_u f(u, v; D_F) - H_uv(u, v; D_G) w),    sigma_k = sigma (k + 1)^-a

v goes on from where the last round ended, as in later comparisons; with `restart` each round starts at the v of the start,
as the article's inner loop does, for which t_k grows.
The mean of w over p is eta sum_{i=0}^{Q-1} (I - eta H_vv)^i grad_v f. p comes with the batch (`Draws.truncation`), or from
(seed, k) by `core.counter_random`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.counter_random import seed_tensor
from core.loops import Limit
from core.schedules import growing
from core.solvers.base import Metrics
from core.stochastic import Truncated, lower_descent
from core.trees import Tree, counter, leaves, tree_map
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
class BSA(Truncated):
    """Hyper-parameters.

    Attributes:
        lower_steps: the most v-updates for a u-update.
        first_lower_steps, growth, growth_power: t_k = min(first + floor(growth k^power), lower_steps); None for the first:
            t_k = lower_steps.
        restart: start v each round from the first v; False goes on from the last one.
        upper_step_size, upper_decay: [sigma, a]. lower_step_size, lower_decay: [rho, b], with t counted anew each round.
        The rest as in `core.stochastic.Truncated`.

    The powers 1/2 of the growth and of sigma_k could not be held against the article's text. They are those that its
    published complexity asks for: K of order accuracy^-2 upper iterations and accuracy^-3 lower gradients, so sum_k t_k of
    order K^{3/2}. A rho_t that decays within a round, as (from memory) its analysis has it, is `lower_decay`; the default
    keeps it constant.
    """

    upper_decay: float = 0.5
    first_lower_steps: int | None = 1
    growth: float = 1.0
    growth_power: float = 0.5
    restart: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.first_lower_steps is not None and self.first_lower_steps < 1:
            raise ValueError(f"first_lower_steps is at least 1, not {self.first_lower_steps}")

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
        limit = state.limit
        if self.first_lower_steps is not None:
            limit = growing(self.first_lower_steps, self.growth, self.growth_power, state.iteration, limit)
        v = lower_descent(
            self.problem,
            state.u,
            state.start if self.restart else state.v,
            batch,
            steps=self.lower_steps,
            step_size=self.lower_step_size,
            power=self.lower_decay,
            limit=limit,
        )
        return self.end(state, v, batch)


SOLVER = BSA
PRESETS: dict[str, dict[str, Any]] = {
    "described": {},
    "released": {"estimate": "released", "first_lower_steps": None, "upper_decay": 0.0},
}
