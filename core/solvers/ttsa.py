"""TTSA, two-timescale stochastic approximation (Hong, Wai, Wang & Yang, 2020).

    once:  v <- v - rho_k grad_v g(u, v; S),                                            rho_k = rho (k + 1)^-2/5
    once:  u <- u - sigma_k (grad_u f(u, v; D_F) - H_uv(u, v; D_G) w),               sigma_k = sigma (k + 1)^-3/5
    w = eta Q prod_{i=1}^{p} (I - eta H_vv(u, v; B_i)) grad_v f(u, v; D_F),   p uniform in {0, .., Q - 1}

v moves on the faster scale: sigma_k / rho_k goes to 0. The mean of w over p is eta sum_{i<Q} (I - eta H_vv)^i grad_v f,
and u ends where the hypergradient with that series of Q terms is 0. p comes with the batch (`Draws.truncation`), or from
(seed, k) by `core.counter_random`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.counter_random import integers, seed_tensor
from core.draws import batch_of, truncation_of
from core.loops import Limit
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.sequences import power_decay
from core.solvers.base import Metrics, check_lower_steps
from core.stochastic import hessian_batches, implicit_gradient, lower_descent
from core.trees import Tree, counter, leaves, squared_norm
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
class TTSA:
    """Hyper-parameters.

    Attributes:
        lower_steps: v-updates for each u-update; the method has one.
        upper_step_size, upper_decay: sigma and the power of its decay. lower_step_size, lower_decay: the same of rho.
        neumann_terms: Q. neumann_step_size: eta, at most 1 / |H_vv|.
        estimate: "random", as above; "series", its mean over p; "released", what stocBiO's code runs under this name: the
            sum of `core.linear.stochastic_neumann.released_series`.
        upper_optimizer: how the hypergradient becomes a step.
    """

    problem: Bilevel
    lower_steps: int = 1
    upper_step_size: float = 1e-3
    upper_decay: float = 0.6
    lower_step_size: float = 1e-4
    lower_decay: float = 0.4
    neumann_terms: int = 10
    neumann_step_size: float = 0.1
    estimate: str = "random"
    upper_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)
        if self.estimate not in ("random", "series", "released"):
            raise ValueError(f"estimate is 'random', 'series' or 'released', not {self.estimate!r}")
        if self.neumann_terms < 1:
            raise ValueError(f"neumann_terms is at least 1, not {self.neumann_terms}")

    def draws(self) -> Mapping[str, int]:
        """Of `core.draws.Draws`; one batch for all roles will do too."""
        hessian = hessian_batches(self.estimate, self.neumann_terms)
        return {"upper": 1, "lower": self.lower_steps, "hessian": hessian, "cross": 1}

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> TTSAState:
        """See `core.solvers.base.Solver.init`. The seed is that of the truncations p."""
        check_start(u, v)
        seed_ = seed_tensor(seed, leaves(v)[0])
        return TTSAState(u, v, self.upper_optimizer.init(u), seed_, counter(v), limit)

    def step(self, state: TTSAState, batch: Any = None) -> tuple[TTSAState, Metrics]:
        """One v-update, one u-update. See `core.solvers.base.Solver.step`.

        The entries of u that move are those of the cross batch, through which u enters g.
        """
        problem, u = self.problem, state.u
        v = lower_descent(
            problem,
            u,
            state.v,
            batch,
            steps=self.lower_steps,
            step_size=power_decay(self.lower_step_size, self.lower_decay, state.iteration, state.v),
            limit=state.limit,
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
        state = TTSAState(problem.project_upper(u), v, memory, state.seed, state.iteration + 1, state.limit)
        return state, {"upper_gradient": squared_norm(gradient)}


SOLVER = TTSA
PRESETS: dict[str, dict[str, Any]] = {
    "described": {},
    "released": {"estimate": "released", "upper_decay": 0.0, "lower_decay": 0.0},
}
