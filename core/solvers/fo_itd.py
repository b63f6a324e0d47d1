"""First-order ITD-BiO: every second-order term dropped (Ji, Yang & Liang, 2021, Section 5).

    D times:  v <- v - rho grad_v g;     once:  u <- u - sigma grad_u f(u, v_D)

It ends where grad_u f = 0 and grad_v g = 0, in general not at a solution of the bilevel problem; where f does not depend on
u directly it never moves. First-order MAML (Finn et al., 2017; Nichol et al., 2018) is this with restart from v = 0 on
g = loss(u + v), f = validation loss(u + v).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.loops import repeat
from core.products import lower_gradient, upper_gradient
from core.solvers.itd import ITD, ITDState
from core.trees import Tree, add_scaled


@dataclass(frozen=True)
class FirstOrderITD(ITD):
    """Hyper-parameters: those of `core.solvers.itd.ITD`, without second derivatives."""

    def _differentiated(self, state: ITDState, v: Tree, batch: Any) -> tuple[Tree, Tree]:
        problem, u = self.problem, state.u

        def forward(v: Tree) -> Tree:
            return problem.project_lower(add_scaled(v, -self.lower_step_size, lower_gradient(problem, u, v, batch)))

        v = repeat(forward, v, self.lower_steps, state.limit)
        return v, upper_gradient(problem, u, v, batch)


SOLVER = FirstOrderITD
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
