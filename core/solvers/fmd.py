"""Forward-mode differentiation (Franceschi et al., 2017; Mehra & Hamm, 2021, Section 2.1 and Table 1).

    T times:  P <- P (I - rho H_vv) - rho H_uv,   v <- v - rho grad_v g,   both at the same v, from P = 0
    once:     u <- u - sigma (grad_u f + P grad_v f)

P = dv_T/du has a row for each entry of u: U tangents, and no path. The hypergradient is that of reverse mode over all T
steps. v starts each round where the last one ended; projections are not differentiated, as in reverse mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.hypergradients.forward import unroll_forward
from core.loops import Limit
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.solvers.base import Metrics, check_lower_steps, moved, one_shared_batch
from core.trees import Tree, counter
from core.validate import check_start


class FMDState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    upper_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class FMD:
    """Hyper-parameters.

    Attributes:
        lower_steps: v-updates for each u-update [T].
        upper_step_size, lower_step_size: [sigma, rho]; the lower steps are plain gradient descent.
        upper_optimizer: how the hypergradient becomes a step.
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-4
    upper_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> FMDState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        return FMDState(u, v, self.upper_optimizer.init(u), counter(v), limit)

    def step(self, state: FMDState, batch: Any = None) -> tuple[FMDState, Metrics]:
        """One u-update after T v-updates. See `core.solvers.base.Solver.step`."""
        problem, u = self.problem, state.u
        v, gradient = unroll_forward(
            problem, u, state.v, batch, steps=self.lower_steps, step_size=self.lower_step_size, limit=state.limit
        )
        return moved(self, state, v, gradient, batch)


SOLVER = FMD
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
