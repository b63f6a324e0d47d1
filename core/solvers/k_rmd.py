"""Truncated reverse mode, K-RMD (Shaban et al., 2019; Luketina et al., 2016, for K = 1).

    T times:  v <- v - rho grad_v g, keeping the last K iterates
    once:     u <- u - sigma h,   h = grad_u f - rho sum_{t=T-K}^{T-1} H_uv(v_t) A_{t+1} .. A_{T-1} grad_v f(u, v_T),
                                  A_t = I - rho H_vv(v_t)

What is left out shrinks like (1 - rho mu)^K where g is mu-strongly convex; K = T is reverse mode. v starts each round where
the last one ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.hypergradients.truncated import unroll_truncated
from core.loops import Limit
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.solvers.base import Metrics, check_lower_steps, moved, one_shared_batch
from core.trees import Tree, counter
from core.validate import check_start


class KRMDState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    upper_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class KRMD:
    """Hyper-parameters.

    Attributes:
        lower_steps: v-updates for each u-update [T].
        kept: how many of the last steps are differentiated [K]; all of them, where there are fewer.
        upper_step_size, lower_step_size: [sigma, rho]; the lower steps are plain gradient descent.
        upper_optimizer: how the hypergradient becomes a step.
    """

    problem: Bilevel
    lower_steps: int = 10
    kept: int = 2
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-4
    upper_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)
        if self.kept < 1:
            raise ValueError(f"kept is at least 1, not {self.kept}; without reverse steps use fo-itd")

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> KRMDState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        return KRMDState(u, v, self.upper_optimizer.init(u), counter(v), limit)

    def step(self, state: KRMDState, batch: Any = None) -> tuple[KRMDState, Metrics]:
        """One u-update after T v-updates. See `core.solvers.base.Solver.step`."""
        problem, u = self.problem, state.u
        v, gradient = unroll_truncated(
            problem,
            u,
            state.v,
            batch,
            steps=self.lower_steps,
            step_size=self.lower_step_size,
            kept=self.kept,
            limit=state.limit,
        )
        return moved(self, state, v, gradient, batch)


SOLVER = KRMD
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
