"""Reverse-mode differentiation (Maclaurin et al., 2015; Franceschi et al., 2017; Mehra & Hamm, 2021, Section 2.1).

    T times:  v <- v - rho grad_v g, keeping the path;   u <- u - sigma df(u, v_T)/du by the reverse pass over the path

v starts each round where the last one ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.hypergradients.reverse import backward, unroll
from core.loops import Limit
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.solvers.base import Metrics, check_lower_steps, moved, one_shared_batch
from core.trees import Tree, counter
from core.validate import check_start


class RMDState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    upper_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class RMD:
    """Hyper-parameters.

    Attributes:
        lower_steps: v-updates for each u-update [T].
        upper_step_size, lower_step_size: [sigma, rho]; the lower steps are plain gradient descent.
        skipped_reverse_steps: 0 differentiates all T steps. The authors' code never stores v_0 and leaves out the
            first one (so that T = 1 is no more than grad_u f): 1.
        upper_optimizer: how the hypergradient becomes a step (released code: gradient descent).
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-4
    skipped_reverse_steps: int = 0
    upper_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> RMDState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        return RMDState(u, v, self.upper_optimizer.init(u), counter(v), limit)

    def step(self, state: RMDState, batch: Any = None) -> tuple[RMDState, Metrics]:
        """One u-update after T v-updates. See `core.solvers.base.Solver.step`."""
        problem, u = self.problem, state.u
        v, path = unroll(
            problem, u, state.v, batch, steps=self.lower_steps, step_size=self.lower_step_size, limit=state.limit
        )
        gradient = backward(
            problem,
            u,
            v,
            path,
            batch,
            steps=self.lower_steps,
            step_size=self.lower_step_size,
            first=self.skipped_reverse_steps,
            limit=state.limit,
        )
        return moved(self, state, v, gradient, batch)


SOLVER = RMD
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {"skipped_reverse_steps": 1}}
