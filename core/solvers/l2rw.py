"""Learning to reweight examples (Ren, Zeng, Yang & Urtasun, 2018, Algorithm 1).

u [N] holds the weights of the examples, g = sum_i u_i L_i(v) (any factor) is linear in u, and f is the cost on clean data.

    v^ = v - alpha grad_v g(u_0, v), u_0 = 0;      d = df(v^)/du at u_0 = grad_u f - alpha H_uv grad_v f(v^)
    w~ = max(-d, 0);     u = w~ / (sum w~ + [sum w~ = 0]);      T times:  v <- v - rho grad_v g(u, v)

No weight is remembered. With `persistent` (a note on reweighting by Li, eqs. 5 and 6): u_0 is the u of the last step, and
u = u_0 - eta d, not normalised. Where a batch touches some entries of u only, the others keep their last value.

One virtual step stands for the lower solution: a biased hypergradient, whose sign is what the method uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.loops import Limit, repeat
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.products import linearize, lower_gradient, upper_gradients
from core.solvers.base import Metrics, check_lower_steps, one_shared_batch
from core.trees import Tree, add_scaled, counter, leaves, scaled, squared_norm, subtract, tree_map, zeros_like
from core.validate import check_start


class L2RWState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    upper_optimizer: Tree
    lower_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class L2RW:
    """Hyper-parameters.

    Attributes:
        lower_steps: real steps of v with the new weights; the article's method is 1.
        lower_step_size: of the real steps [rho]. virtual_step_size: of the virtual one [alpha], None for the same
            (released code: 1). Where u_0 = 0 makes grad_v g vanish, v^ = v and the normalised weights do not depend on it.
        persistent: keep the weights and move them. upper_step_size: by this much [eta]; not used otherwise.
        upper_optimizer: how d becomes a step of persistent weights. lower_optimizer: how gradients become real steps.
    """

    problem: Bilevel
    lower_steps: int = 1
    upper_step_size: float = 1.0
    lower_step_size: float = 1e-3
    virtual_step_size: float | None = None
    persistent: bool = False
    upper_optimizer: Optimizer = GradientDescent()
    lower_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> L2RWState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        return L2RWState(u, v, self.upper_optimizer.init(u), self.lower_optimizer.init(v), counter(v), limit)

    def step(self, state: L2RWState, batch: Any = None) -> tuple[L2RWState, Metrics]:
        """New weights by a virtual step, then T real ones. See `core.solvers.base.Solver.step`."""
        problem, u, v = self.problem, state.u, state.v
        rows = problem.visited(batch)
        alpha = self.lower_step_size if self.virtual_step_size is None else self.virtual_step_size

        start = u if self.persistent else _put(u, zeros_like(u), rows)
        point = linearize(problem, start, v, batch)
        virtual = problem.project_lower(add_scaled(v, -alpha, point.lower_gradient))
        f_u, f_v = upper_gradients(problem, start, virtual, batch)
        gradient = subtract(f_u, scaled(alpha, point.cross(f_v)))

        upper_memory = state.upper_optimizer
        if self.persistent:
            u, upper_memory = self.upper_optimizer.update(gradient, upper_memory, u, self.upper_step_size, rows)
        else:
            u = _put(u, _normalised(tree_map(lambda d: (-d).clamp(min=0), gradient), rows), rows)
        u = problem.project_upper(u)

        def lower_update(carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
            v, memory = carry
            v, memory = self.lower_optimizer.update(lower_gradient(problem, u, v, batch), memory, v, self.lower_step_size)
            return problem.project_lower(v), memory

        v, lower_memory = repeat(lower_update, (v, state.lower_optimizer), self.lower_steps, state.limit)
        state = L2RWState(u, v, upper_memory, lower_memory, state.iteration + 1, state.limit)
        return state, {"upper_gradient": squared_norm(gradient)}


def _normalised(weights: Tree, rows: Tensor | None) -> Tree:
    """Non-negative weights of sum one over the visited rows; zeros stay zeros."""
    total = torch.stack([(leaf if rows is None else leaf[rows]).sum() for leaf in leaves(weights)]).sum()
    present = total > 0
    return tree_map(lambda leaf: torch.where(present, leaf / torch.where(present, total, 1.0), 0.0), weights)


def _put(u: Tree, new: Tree, rows: Tensor | None) -> Tree:
    """u with the visited rows of `new`."""
    return new if rows is None else tree_map(lambda old, leaf: old.index_put((rows,), leaf[rows]), u, new)


SOLVER = L2RW
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {"virtual_step_size": 1.0}}
