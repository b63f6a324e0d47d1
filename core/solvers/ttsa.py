"""TTSA, two-timescale stochastic approximation (Hong, Wai, Wang & Yang, 2020).

    once:  v <- v - rho_k grad_v g(u, v; S),                                            rho_k = rho (k + 1)^-2/5
    once:  u <- u - sigma_k (grad_u f(u, v; D_F) - H_uv(u, v; D_G) w),               sigma_k = sigma (k + 1)^-3/5
    w = eta Q prod_{i=1}^{p} (I - eta H_vv(u, v; B_i)) grad_v f(u, v; D_F),   p uniform in {0, .., Q - 1}

v moves on the faster scale: sigma_k / rho_k goes to 0. The mean of w over p is eta sum_{i<Q} (I - eta H_vv)^i grad_v f,
and u ends where the hypergradient with that series of Q terms is 0. p comes with the batch (`Draws.truncation`), or from
(seed, k) by `core.counter_random`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.counter_random import seed_tensor
from core.loops import Limit
from core.schedules import power_decay
from core.solvers.base import Metrics
from core.stochastic import Truncated, lower_descent
from core.trees import Tree, counter, leaves
from core.validate import check_start


class TTSAState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    upper_optimizer: Tree
    seed: Tensor
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class TTSA(Truncated):
    """Hyper-parameters.

    Attributes:
        lower_steps: v-updates for each u-update; the method has one.
        upper_step_size, upper_decay: sigma and the power of its decay. lower_step_size, lower_decay: the same of rho.
        The rest as in `core.stochastic.Truncated`.
    """

    lower_steps: int = 1
    upper_decay: float = 0.6
    lower_decay: float = 0.4

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> TTSAState:
        """See `core.solvers.base.Solver.init`. The seed is that of the truncations p."""
        check_start(u, v)
        return TTSAState(u, v, self.upper_optimizer.init(u), seed_tensor(seed, leaves(v)[0]), counter(v), limit)

    def step(self, state: TTSAState, batch: Any = None) -> tuple[TTSAState, Metrics]:
        """One v-update, one u-update. See `core.solvers.base.Solver.step`.

        The entries of u that move are those of the cross batch, through which u enters g.
        """
        v = lower_descent(
            self.problem,
            state.u,
            state.v,
            batch,
            steps=self.lower_steps,
            step_size=power_decay(self.lower_step_size, self.lower_decay, state.iteration, state.v),
            limit=state.limit,
        )
        return self.end(state, v, batch)


SOLVER = TTSA
PRESETS: dict[str, dict[str, Any]] = {
    "described": {},
    "released": {"estimate": "released", "upper_decay": 0.0, "lower_decay": 0.0},
}
