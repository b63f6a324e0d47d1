"""A representation learned at the upper level: f and g see u through features alone, which the T lower steps do not change.

    f(u, v) = F(phi_f(u), v),    g(u, v) = G(phi_g(u), v)

With u an encoder and v a head for each task, phi is a forward pass of the encoder, by far the dearest part. `ByFeatures`
makes it once in each upper iteration: any solver runs on F and G with u = phi held, and the gradient that it has in phi is
pulled back through the encoder once, which is the chain rule and exact:

    grad_u f = (d phi_f)' grad_phi F,        H_uv w = (d phi_g)' G_phi,v w

The penalty's tolerance test asks for gradients at the new u, which are encoded once more. They go back through the encoder
only where |grad_v|, asked of the features alone, has not exceeded the tolerance by itself already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import vjp

from core.loops import Limit
from core.optimizers import Optimizer
from core.problem import Bilevel
from core.solvers.base import Metrics, Solver
from core.trees import Tree, detach, squared_norm, where
from core.validate import can_be_looked_at


class Features(NamedTuple):
    """What stands in the place of u: what g sees of it, and what f sees."""

    lower: Tree
    upper: Tree


Encode = Callable[[Tree, Any], Tree]
"""(u, batch) -> features."""


def composed(problem: Bilevel, lower: Encode, upper: Encode) -> Bilevel:
    """The problem in u of one in `Features`."""
    return Bilevel(
        upper=lambda u, v, batch: problem.upper(Features((), upper(u, batch)), v, batch),
        lower=lambda u, v, batch: problem.lower(Features(lower(u, batch), ()), v, batch),
        project_lower=problem.project_lower,
    )


def unchanged(gradient: Features) -> Features:
    """The whole gradient."""
    return gradient


@dataclass(frozen=True)
class ByFeatures:
    """A solver that encodes once in each upper iteration; its state is the solver's own, with the real u.

    Attributes:
        solver: of the problem in `Features`; one that moves u along one gradient.
        lower, upper: the features that g and f see.
        taken: what is taken of the gradient in the features before it is pulled back.
    """

    solver: Any
    lower: Encode
    upper: Encode
    taken: Callable[[Features], Features] = unchanged

    @cached_property
    def problem(self) -> Bilevel:
        """The problem in u; one object, which is asked for its graph once."""
        return composed(self.solver.problem, self.lower, self.upper)

    @property
    def lower_steps(self) -> int:
        steps: int = self.solver.lower_steps
        return steps

    def draws(self) -> Mapping[str, int]:
        draws: Mapping[str, int] = self.solver.draws()
        return draws

    def naive(self) -> Solver:
        """The same method on the problem in u: every cost encodes anew."""
        solver: Solver = dataclasses.replace(self.solver, problem=self.problem)
        return solver

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> Any:
        """See `core.solvers.base.Solver.init`."""
        return self.solver.init(u, v, seed, limit)

    def step(self, state: Any, batch: Any = None) -> tuple[Any, Metrics]:
        """One upper iteration. See `core.solvers.base.Solver.step`.

        Raises: ValueError for a penalty that tests on reused gradients: those in the features have another length.
        """
        tested = hasattr(self.solver, "test_gradients")
        if tested and (self.solver.test_gradients, self.solver.test_batch) != ("fresh", "step"):
            raise ValueError("a representation is tested with test_gradients='fresh' and test_batch='step'")
        phi, pull = vjp(lambda u: self._encoded(u, batch), state.u)
        through = _PulledBack(self.solver.upper_optimizer, lambda gradient: pull(self.taken(gradient))[0])
        changes: dict[str, Any] = {"upper_optimizer": through}
        if tested:
            changes["test_gradients"] = "reused"  # no evaluation of its own; its outcome is dropped
        at_phi = state._replace(u=detach(phi), upper_optimizer=(state.u, state.upper_optimizer))
        new, metrics = dataclasses.replace(self.solver, **changes).step(at_phi, batch)
        u, memory = new.upper_optimizer
        if not tested:
            return new._replace(u=u, upper_optimizer=memory), metrics
        moved = {"u": u, "v": new.v, "lower_optimizer": new.lower_optimizer, "upper_optimizer": ()}
        after, metrics = self._tested(state._replace(**moved), batch)
        return after._replace(upper_optimizer=memory), metrics

    def _tested(self, state: Any, batch: Any) -> tuple[Any, Metrics]:
        """The penalty's tolerance test at the point that it is given: the state after it, and its metrics, of which
        "upper_gradient" is NaN where |grad_v| settled it."""
        phi, pull = vjp(lambda u: self._encoded(u, batch), state.u)
        # whether it is met is asked below: in the features |grad_u| is another one
        at_phi = state._replace(u=detach(phi), epsilon=torch.full_like(state.epsilon, torch.inf))
        met, metrics = self._test.step(at_phi, batch)
        gradient, power, limit = met.upper_optimizer, self.solver.test_power // 2, state.epsilon**2
        met = met._replace(u=state.u, epsilon=self.solver.epsilon_decay * state.epsilon, upper_optimizer=())
        missed = state._replace(iteration=met.iteration)
        of_v = metrics["lower_gradient"] ** power
        if can_be_looked_at(of_v) and bool(of_v > limit):
            return missed, {**metrics, "upper_gradient": torch.full_like(of_v, torch.nan)}
        norm_u = squared_norm(pull(gradient)[0])
        return where(norm_u**power + of_v <= limit, met, missed), {**metrics, "upper_gradient": norm_u}

    def _encoded(self, u: Tree, batch: Any) -> Features:
        # f before g, as the products have it: then gradients are summed in the same order, and rounded alike
        upper = self.upper(u, batch)
        return Features(self.lower(u, batch), upper)

    @cached_property
    def _test(self) -> Any:
        """The penalty without a step, of which its tolerance test is left; grad_u is kept as the memory of the optimiser."""
        still = dataclasses.replace(self.solver, upper_optimizer=_Still(), test_gradients="reused")
        object.__setattr__(still, "lower_steps", 0)  # which nobody may ask for
        return still


@dataclass(frozen=True)
class _PulledBack:
    """An optimiser of u that is given gradients in the features; its memory is (u, the optimiser's)."""

    optimizer: Optimizer
    pull: Callable[[Features], Tree]

    def init(self, params: Tree) -> Tree:
        return ()

    def update(
        self, gradient: Tree, state: Tree, params: Tree, step_size: Tensor | float, rows: Tensor | None = None
    ) -> tuple[Tree, Tree]:
        u, memory = state
        u, memory = self.optimizer.update(self.pull(gradient), memory, u, step_size)
        return params, (u, memory)


@dataclass(frozen=True)
class _Still:
    """No step; its memory is the gradient that it was given."""

    def init(self, params: Tree) -> Tree:
        return ()

    def update(
        self, gradient: Tree, state: Tree, params: Tree, step_size: Tensor | float, rows: Tensor | None = None
    ) -> tuple[Tree, Tree]:
        return params, gradient
