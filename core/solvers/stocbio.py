"""stocBiO (Ji, Yang & Liang, 2021, Algorithm 2).

    D times:  v <- v - rho grad_v g(u, v; S_t);     v_0 = grad_v f(u, v; D_F)
    v_Q = eta sum_{q=-1}^{Q-1} prod_{j=Q-q}^{Q} (I - eta H_vv(u, v; B_j)) v_0      (q = -1: the empty product)
    once:     u <- u - sigma (grad_u f(u, v; D_F) - H_uv(u, v; D_G) v_Q)

v starts each round where the last one ended. The published code computes, with one Hessian batch,

    v_Q = eta v^(Q) + sum_{q=1}^{Q} v^(q),     v^(q) = (I - eta H_vv)^q v_0                        (rule "released")

which goes to H_vv^{-1} v_0 / eta - v_0 as Q grows, not to H_vv^{-1} v_0: u ends elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.draws import batch_of
from core.loops import Limit
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.solvers.base import Metrics, check_lower_steps, moved
from core.stochastic import hessian_batches, implicit_gradient, lower_descent
from core.trees import Tree, counter
from core.validate import check_start


class StocBiOState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    upper_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class StocBiO:
    """Hyper-parameters.

    Attributes:
        lower_steps: v-updates for each u-update [D].
        upper_step_size, lower_step_size: of u and v; the lower steps are plain stochastic gradient descent.
        neumann_steps: products with H_vv [Q].
        neumann_step_size: eta, below 2 / |H_vv|.
        rule: "published" or "released", see above.
        upper_optimizer: how the hypergradient becomes a step.
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-4
    neumann_steps: int = 3
    neumann_step_size: float = 0.5
    rule: str = "published"
    upper_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)
        if self.rule not in ("published", "released"):
            raise ValueError(f"rule is 'published' or 'released', not {self.rule!r}")
        if self.neumann_steps < 1:
            raise ValueError(f"neumann_steps is at least 1, not {self.neumann_steps}")

    def draws(self) -> Mapping[str, int]:
        """Of `core.draws.Draws`; one batch for all roles will do too."""
        return {
            "upper": 1,
            "lower": self.lower_steps,
            "hessian": hessian_batches(self.rule, self.neumann_steps),
            "cross": 1,
        }

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> StocBiOState:
        """See `core.solvers.base.Solver.init`. The method itself draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        return StocBiOState(u, v, self.upper_optimizer.init(u), counter(v), limit)

    def step(self, state: StocBiOState, batch: Any = None) -> tuple[StocBiOState, Metrics]:
        """One u-update after D v-updates. See `core.solvers.base.Solver.step`.

        The entries of u that move are those of the cross batch, through which u enters g.
        """
        problem, u = self.problem, state.u
        v = lower_descent(
            problem, u, state.v, batch, steps=self.lower_steps, step_size=self.lower_step_size, limit=state.limit
        )
        gradient = implicit_gradient(
            problem, u, v, batch, rule=self.rule, terms=self.neumann_steps, step_size=self.neumann_step_size
        )
        return moved(self, state, v, gradient, batch_of(batch, "cross"))


SOLVER = StocBiO
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {"rule": "released"}}
