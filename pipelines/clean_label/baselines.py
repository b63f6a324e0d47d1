"""The attacks that the paper compares with, with the two functions of a solver: `init` and `step` on a `problem.Batch`.

Both keep the poison in the ball about its base by projection, and then in [0, 1]: the base lies in the box, so that clamping
takes no image out of the ball.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor
from torch.func import vjp

from core import Bilevel, solvers
from core.hypergradients.implicit import implicit_cg
from core.products import upper_gradient
from core.solvers.base import Metrics, Solver
from core.trees import Tree, counter, detach
from pipelines.clean_label.networks import Encode
from pipelines.clean_label.problem import Batch, into_ball, seen
from pipelines.poisoning.problem import into_box


class State(NamedTuple):
    """An image, a classifier with the memory of what fits it, and the iteration."""

    u: Tensor
    v: Tensor
    victim: Tree
    iteration: Tensor


def projected(image: Tensor, batch: Batch) -> Tensor:
    """The nearest image of the ball, then of the box."""
    return into_box(into_ball(image, batch.base, batch.radius))


@dataclass(frozen=True)
class FeatureCollision:
    """Forward-backward splitting on |r(t) - r(u)|^2 + beta |u - x_base|^2 (Shafahi et al., 2018, Algorithm 1).

        u <- u - lambda grad |r(t) - r(u)|^2;     u <- (u + lambda beta x_base) / (1 + lambda beta)

    Attributes: step_size: lambda. pull: beta. problem: f is the first term; the classifier is not looked at.
    """

    problem: Bilevel
    step_size: float = 0.01
    pull: float = 0.1

    def init(self, u: Tensor, v: Tensor) -> State:
        return State(u, v, (), counter(v))

    def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        forward = state.u - self.step_size * upper_gradient(self.problem, state.u, state.v, batch)
        weight = self.step_size * self.pull
        backward = (forward + weight * batch.base) / (1 + weight)
        return state._replace(u=projected(backward, batch), iteration=state.iteration + 1), {}


@dataclass(frozen=True)
class Influence:
    """Signs of the influence on the target's cross entropy (Koh & Liang, 2017, Section 5.2).

    The influence of a pixel is the implicit hypergradient at the classifier that was fitted with the poison:

        u <- u - step_size sign(d f / d u)

    The poison is encoded once in an iteration: the hypergradient is that of the features, pulled back through the network.

    Attributes:
        problem: in u. features: the same problem in `Seen` (`problem.costs`). encode: the network.
        lower_steps, lower_step_size: of Adam on g in each iteration, which fits the classifier anew from where it was.
        solver_steps, damping: of the conjugate gradients.
    """

    problem: Bilevel
    features: Bilevel
    encode: Encode
    step_size: float
    lower_steps: int = 10
    lower_step_size: float = 1e-3
    solver_steps: int = 20
    damping: float = 0.0

    def _victim(self) -> Solver:
        how: Mapping[str, Any] = {"lower_steps": self.lower_steps, "lower_step_size": self.lower_step_size}
        return solvers.make("single-level", self.features, **how)

    def init(self, u: Tensor, v: Tensor) -> State:
        return State(u, v, self._victim().init(u, v).lower_optimizer, counter(v))

    def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        victim = self._victim()
        one, pull = vjp(lambda u: seen(self.encode, u), state.u)
        one = detach(one)
        fitted, _ = victim.step(victim.init(one, state.v)._replace(lower_optimizer=state.victim), batch)
        along = pull(implicit_cg(self.features, one, fitted.v, batch, steps=self.solver_steps, damping=self.damping))[0]
        u = projected(state.u - self.step_size * along.sign(), batch)
        return State(u, fitted.v, fitted.lower_optimizer, state.iteration + 1), {}


ATTACKS = ("feature-collision", "influence")
"""The names of the forms of f that they minimise."""


def attacker(
    form: str, problem: Bilevel, features: Bilevel, encode: Encode, how: Mapping[str, Any]
) -> FeatureCollision | Influence:
    """The attack of a form in `ATTACKS` with its settings; raises TypeError for a setting that it does not have."""
    return FeatureCollision(problem, **how) if form == "feature-collision" else Influence(problem, features, encode, **how)
