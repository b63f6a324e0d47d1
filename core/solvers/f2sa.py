"""F2SA: a fully first-order method (Kwon, Kwon, Wright & Nowak, 2023, Algorithm 1).

    T times:  y <- y - rho (grad_v f(u, y) / lambda + grad_v g(u, y));     z <- z - rho grad_v g(u, z)
    once:     u <- u - sigma (grad_u f(u, y) + lambda (grad_u g(u, y) - grad_u g(u, z)));     lambda <- lambda + delta

With exact y and z the last line is the gradient of min_y f + lambda (g - min_z g), which is df/du up to O(1 / lambda). The
state's v is y. The article moves u by xi alpha_k, with alpha_k lambda_k bounded: where lambda grows, a step that shrinks as
1 / lambda; sigma is constant here. With delta = 0 the method ends where that function is least, O(1 / lambda) away from the
solution.
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
from core.products import lower_gradient, lower_gradients, upper_gradient, upper_gradients
from core.solvers.base import Metrics, check_lower_steps, moved, one_shared_batch
from core.trees import Tree, add_scaled, counter, scalar, subtract, tree_map
from core.validate import check_start


class F2SAState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    """y, the minimiser of f / lambda + g in the making."""
    z: Tree
    """The minimiser of g in the making."""
    upper_optimizer: Tree
    lower_optimizer: tuple[Tree, Tree]
    """For y and for z."""
    lam: Tensor
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class F2SA:
    """Hyper-parameters.

    Attributes:
        lower_steps: steps of y and of z for each u-update [T].
        upper_step_size: of u. lower_step_size: of y and z [gamma; of y it is alpha lambda].
        lambda_0: the weight of g at the start. lambda_growth: what is added to it at every iteration [delta]; 0 for a
            constant weight.
        upper_optimizer, lower_optimizer: how gradients become steps.
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-2
    lower_step_size: float = 1e-2
    lambda_0: float = 1.0
    lambda_growth: float = 0.01
    upper_optimizer: Optimizer = GradientDescent()
    lower_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)
        if self.lambda_0 <= 0 or self.lambda_growth < 0:
            raise ValueError(f"lambda_0 > 0 and lambda_growth >= 0, not {self.lambda_0} and {self.lambda_growth}")

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> F2SAState:
        """See `core.solvers.base.Solver.init`; y and z both begin at v. The method draws nothing."""
        check_start(u, v)
        memories = self.lower_optimizer.init(v), self.lower_optimizer.init(v)
        lam = scalar(self.lambda_0, v)
        # z is a tensor of its own: a compiled loop takes none that share memory
        return F2SAState(u, v, tree_map(torch.clone, v), self.upper_optimizer.init(u), memories, lam, counter(v), limit)

    def step(self, state: F2SAState, batch: Any = None) -> tuple[F2SAState, Metrics]:
        """One u-update after T updates of y and z. See `core.solvers.base.Solver.step`."""
        problem, u, lam = self.problem, state.u, state.lam

        def lower_update(carry: tuple[Tree, Tree, tuple[Tree, Tree]]) -> tuple[Tree, Tree, tuple[Tree, Tree]]:
            y, z, (memory_y, memory_z) = carry
            f_y = upper_gradients(problem, u, y, batch)[1]
            toward = add_scaled(lower_gradient(problem, u, y, batch), 1 / lam, f_y)
            y, memory_y = self.lower_optimizer.update(toward, memory_y, y, self.lower_step_size)
            toward = lower_gradient(problem, u, z, batch)
            z, memory_z = self.lower_optimizer.update(toward, memory_z, z, self.lower_step_size)
            return problem.project_lower(y), problem.project_lower(z), (memory_y, memory_z)

        y, z, memories = repeat(lower_update, (state.v, state.z, state.lower_optimizer), self.lower_steps, state.limit)

        gap = subtract(lower_gradients(problem, u, y, batch)[0], lower_gradients(problem, u, z, batch)[0])
        gradient = add_scaled(upper_gradient(problem, u, y, batch), lam, gap)
        kept = {"z": z, "lower_optimizer": memories, "lam": lam + self.lambda_growth}
        state, metrics = moved(self, state, y, gradient, batch, **kept)
        return state, {**metrics, "lambda": lam}


SOLVER = F2SA
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
