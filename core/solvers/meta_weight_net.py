"""Meta-Weight-Net (Shu, Xie, Yi, Zhao, Zhou, Xu & Meng, 2019, Algorithm 1).

u = Theta, the parameters of a network V that weighs an example by its loss; g = mean_i V(L_i(v); Theta) L_i(v), with V's
input held fixed (see `core.networks.weight_net`); f is the cost on clean data.

    v^(Theta) = v - alpha grad_v g(Theta, v)
    Theta <- Theta - step d f(v^(Theta)) / dTheta,      d = grad_u f - alpha H_uv grad_v f(v^)
    T times:  v <- v - rho grad_v g(Theta, v), with the new Theta

One look-ahead step stands for the lower solution. Where the method rests, grad_v g = 0 and grad_u f = alpha H_uv grad_v f:
the inverse of H_vv is replaced by alpha, a bias that nothing removes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.loops import Limit, repeat
from core.optimizers import Adam, GradientDescent, Momentum, Optimizer
from core.problem import Bilevel
from core.products import linearize, lower_gradient, upper_gradients
from core.solvers.base import Metrics, check_lower_steps, one_shared_batch
from core.trees import Tree, add_scaled, counter, squared_norm
from core.validate import check_start


class MetaWeightNetState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    upper_optimizer: Tree
    lower_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class MetaWeightNet:
    """Hyper-parameters.

    Attributes:
        lower_steps: real steps of v for each update of Theta; the article's method is 1.
        upper_step_size: of Theta [beta]. lower_step_size: of the real steps [alpha].
        virtual_step_size: of the look-ahead step, None for the same.
        upper_optimizer, lower_optimizer: how gradients become steps of Theta and v (released code: Adam; SGD with momentum).
    """

    problem: Bilevel
    lower_steps: int = 1
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-1
    virtual_step_size: float | None = None
    upper_optimizer: Optimizer = GradientDescent()
    lower_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> MetaWeightNetState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        return MetaWeightNetState(u, v, self.upper_optimizer.init(u), self.lower_optimizer.init(v), counter(v), limit)

    def step(self, state: MetaWeightNetState, batch: Any = None) -> tuple[MetaWeightNetState, Metrics]:
        """One update of Theta by a look-ahead step, then T real steps. See `core.solvers.base.Solver.step`."""
        problem, u, v = self.problem, state.u, state.v
        alpha = self.lower_step_size if self.virtual_step_size is None else self.virtual_step_size

        point = linearize(problem, u, v, batch)
        ahead = problem.project_lower(add_scaled(v, -alpha, point.lower_gradient))
        f_u, f_v = upper_gradients(problem, u, ahead, batch)
        gradient = add_scaled(f_u, -alpha, point.cross(f_v))
        u, upper_memory = self.upper_optimizer.update(
            gradient, state.upper_optimizer, u, self.upper_step_size, problem.visited(batch)
        )
        u = problem.project_upper(u)

        def lower_update(carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
            v, memory = carry
            v, memory = self.lower_optimizer.update(lower_gradient(problem, u, v, batch), memory, v, self.lower_step_size)
            return problem.project_lower(v), memory

        v, lower_memory = repeat(lower_update, (v, state.lower_optimizer), self.lower_steps, state.limit)
        state = MetaWeightNetState(u, v, upper_memory, lower_memory, state.iteration + 1, state.limit)
        return state, {"upper_gradient": squared_norm(gradient)}


SOLVER = MetaWeightNet
PRESETS: dict[str, dict[str, Any]] = {
    "described": {},
    "released": {"upper_optimizer": Adam(), "lower_optimizer": Momentum()},
}
