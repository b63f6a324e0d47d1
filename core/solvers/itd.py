"""ITD-BiO: the hypergradient by backpropagation through D lower steps (Ji, Yang & Liang, 2021, Algorithm 1).

    D times:  v <- v - rho grad_v g;     once:  u <- u - sigma df(u, v_D)/du,
    df/du = grad_u f - rho sum_{t=0}^{D-1} H_uv(v_t) prod_{j=t+1}^{D-1} (I - rho H_vv(v_j)) grad_v f(u, v_D)

from v_0 = the last round's v_D (warm start), or the v of the start each round (restart). With restart u descends on
f(u, v_D(u)) itself, so it ends at that function's minimum, which is not the bilevel solution but comes near it like
(1 - rho mu)^D.

MAML (Finn et al., 2017) is ITD with restart from v = 0 on g = loss(u + v), f = validation loss(u + v): v is the task's
departure from the shared initialisation u.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.hypergradients.reverse import backward, unroll
from core.loops import Limit
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.solvers.base import Metrics, check_lower_steps, moved, one_shared_batch
from core.trees import Tree, counter, tree_map
from core.validate import check_start


class ITDState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    start: Tree
    """Where v starts each round, () with a warm start."""
    upper_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class ITD:
    """Hyper-parameters.

    Attributes:
        lower_steps: v-updates for each u-update [D].
        upper_step_size, lower_step_size: of u and v; the lower steps are plain gradient descent.
        restart: start each round from the first v, not from where the last round ended.
        upper_optimizer: how the hypergradient becomes a step.
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-4
    restart: bool = False
    upper_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> ITDState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        start = tree_map(torch.clone, v) if self.restart else ()
        return ITDState(u, v, start, self.upper_optimizer.init(u), counter(v), limit)

    def step(self, state: ITDState, batch: Any = None) -> tuple[ITDState, Metrics]:
        """One u-update after D v-updates. See `core.solvers.base.Solver.step`."""
        v, gradient = self._differentiated(state, state.start if self.restart else state.v, batch)
        return moved(self, state, v, gradient, batch)

    def _differentiated(self, state: ITDState, v: Tree, batch: Any) -> tuple[Tree, Tree]:
        """(v after D steps, the hypergradient there)."""
        size: dict[str, Any] = {"steps": self.lower_steps, "step_size": self.lower_step_size, "limit": state.limit}
        end, path = unroll(self.problem, state.u, v, batch, **size)
        return end, backward(self.problem, state.u, end, path, batch, **size)


SOLVER = ITD
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
