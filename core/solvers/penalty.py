"""The penalty method (Mehra & Hamm, 2021, Algorithms 1 and 2).

    f~(u, v)  = f + gamma/2 |grad_v g|^2 + gamma_h/2 |h|^2
    f~1 = f~ + nu' grad_v g + mu' h            f~2 = f~1 + lambda g
    T times:  v <- v - rho grad_v f~2;      once:  u <- u - sigma grad_u f~1
    when the gradients are within the tolerance epsilon:
        gamma <- c_gamma gamma,  epsilon <- c_epsilon epsilon,  lambda <- c_lambda lambda,
        nu <- nu + gamma grad_v g;  mu <- mu + gamma_h h, where it is asked for

Algorithm 1 is lambda = 0 without multipliers; a gamma that does not grow, with multipliers, is the augmented Lagrangian. One
`step` is one u-update, with the tolerance test after it. An inequality becomes an equality by `core.constraints.with_slack`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.loops import Limit, repeat
from core.optimizers import Adam, Optimizer
from core.problem import Bilevel
from core.products import penalty_gradients
from core.solvers.base import Metrics, check_lower_steps, one_shared_batch
from core.trees import Tree, add_scaled, counter, full_like, scalar, scaled, squared_norm, tree_map, where, zeros_like
from core.validate import check_start


class WithTest(NamedTuple):
    """What a step takes where `test_batch` is "full"."""

    step: Any
    """The batch of the updates."""
    test: Any
    """The batch of the tolerance test: all data."""


class PenaltyState(NamedTuple):
    """All that the method carries from one upper iteration to the next; saving it is the checkpoint."""

    u: Tree
    v: Tree
    upper_optimizer: Tree
    lower_optimizer: Tree
    gamma: Tensor
    lam: Tensor
    epsilon: Tensor
    upper_step_size: Tensor
    lower_step_size: Tensor
    nu: Tree
    """The multiplier of grad_v g, like v; with `multiplier_sign` "minus" its negative stands in f~."""
    gamma_h: Tree
    """The penalty weight of h, () where the problem has none."""
    mu: Tree
    """The multiplier of h, () where none is moved."""
    rounds: Tensor
    """How often the tolerance was met, and so gamma raised."""
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class Penalty:
    """Hyper-parameters of the penalty method; the paper's letters in brackets.

    Attributes:
        lower_steps: v-updates for each u-update [T].
        upper_step_size, lower_step_size: [sigma_0, rho_0].
        gamma_0, lambda_0, epsilon_0, nu_0: penalty weight, regularisation, tolerance and (every entry of) the
            multiplier at the start.
        gamma_growth, lambda_decay, epsilon_decay: [c_gamma, c_lambda, c_epsilon].
        step_size_decay: factor on both step sizes whenever the tolerance is met (released code: 0.9; not in the paper).
        gamma_h_0: the penalty weight of h at the start, None for gamma_0; it grows with gamma.
        multipliers: whether nu is updated.
        constraint_multipliers: whether mu, the multiplier of h, is updated too; the paper has none.
        multiplier_sign: "plus" adds nu' grad_v g to f, as the paper; "minus" takes it away, and moves nu the other way, as
            Li's note on reweighting (its eq. 21). The iterates are the same.
        multiplier_gamma: "old" uses the gamma before it is raised, as Algorithm 2; "new" the one after, as released.
        test_power: the tolerance test is |grad_u|^p + |grad_v|^p <= epsilon^2 with p = 2 as described; the released code
            squares squared norms, p = 4.
        test_gradients: "fresh" evaluates the gradients at the new (u, v), as both paper and code do; "reused" takes
            grad_u of the step just made, and grad_v at the same point, which saves one evaluation in T + 2.
        test_batch: "step" tests on the minibatch of the step, as the released code; "full" on a batch of its own, the second
            part of `WithTest`: the minibatch's gradients never vanish, however good the point.
        upper_optimizer, lower_optimizer: how gradients become steps.
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-3
    lower_step_size: float = 1e-4
    gamma_0: float = 1.0
    lambda_0: float = 0.0
    epsilon_0: float = 1.0
    nu_0: float = 0.0
    gamma_h_0: float | None = None
    gamma_growth: float = 1.1
    lambda_decay: float = 0.9
    epsilon_decay: float = 0.9
    step_size_decay: float = 1.0
    multipliers: bool = True
    constraint_multipliers: bool = False
    multiplier_sign: str = "plus"
    multiplier_gamma: str = "old"
    test_power: int = 2
    test_gradients: str = "fresh"
    test_batch: str = "step"
    upper_optimizer: Optimizer = Adam()
    lower_optimizer: Optimizer = Adam()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)
        if self.test_power not in (2, 4):
            raise ValueError(f"test_power is 2 (described) or 4 (released), not {self.test_power}")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {' or '.join(map(repr, allowed))}, not {getattr(self, name)!r}")
        if self.test_batch == "full" and self.test_gradients == "reused":
            raise ValueError("test_batch='full' needs test_gradients='fresh': the gradients of the step are a minibatch's")

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch() if self.test_batch == "step" else {"shared": 1, "test": 1}

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> PenaltyState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        weight = self.gamma_0 if self.gamma_h_0 is None else self.gamma_h_0
        return PenaltyState(
            u=u,
            v=v,
            upper_optimizer=self.upper_optimizer.init(u),
            lower_optimizer=self.lower_optimizer.init(v),
            gamma=scalar(self.gamma_0, v),
            lam=scalar(self.lambda_0, v),
            epsilon=scalar(self.epsilon_0, v),
            upper_step_size=scalar(self.upper_step_size, v),
            lower_step_size=scalar(self.lower_step_size, v),
            nu=full_like(v, self.nu_0),
            gamma_h=() if self.problem.equality is None else scalar(weight, v),
            mu=self._multiplier_of_h(u, v),
            rounds=counter(v),
            iteration=counter(v),
            limit=limit,
        )

    def _multiplier_of_h(self, u: Tree, v: Tree) -> Tree:
        """Zeros like h, where they are to be moved; h at the start says what they look like."""
        if self.problem.equality is None or not self.constraint_multipliers:
            return ()
        try:
            return zeros_like(self.problem.equality(u, v, None))
        except Exception as error:
            raise ValueError(
                "constraint_multipliers: the multiplier takes its shape from h(u, v, None), which fails: h must have a value"
                f" without a batch ({type(error).__name__}: {error})"
            ) from error

    def step(self, state: PenaltyState, batch: Any = None) -> tuple[PenaltyState, Metrics]:
        """One u-update after T v-updates, then the tolerance test. See `core.solvers.base.Solver.step`."""
        problem, u = self.problem, state.u
        if self.test_batch == "full" and not isinstance(batch, WithTest):
            raise ValueError("test_batch='full': the batch is a core.solvers.penalty.WithTest(step=..., test=...)")
        batch, full = (batch.step, batch.test) if self.test_batch == "full" else (batch, batch)
        sign = 1.0 if self.multiplier_sign == "plus" else -1.0
        nu = state.nu if self.multiplier_sign == "plus" else scaled(-1.0, state.nu)
        weights = {"gamma": state.gamma, "nu": nu, "lam": state.lam}
        if problem.equality is not None:
            weights.update(mu=state.mu, gamma_h=state.gamma_h)

        def gradients(u: Tree, v: Tree, wrt: str, batch: Any = batch) -> Any:
            return penalty_gradients(problem, u, v, batch, wrt=wrt, **weights)

        def lower_update(carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
            v, memory = carry
            v, memory = self.lower_optimizer.update(gradients(u, v, "v").lower, memory, v, state.lower_step_size)
            return problem.project_lower(v), memory

        v, lower_memory = repeat(lower_update, (state.v, state.lower_optimizer), self.lower_steps, state.limit)

        reused = self.test_gradients == "reused"
        at_u = gradients(u, v, "uv" if reused else "u")
        rows = problem.visited(batch)
        u, upper_memory = self.upper_optimizer.update(
            at_u.upper, state.upper_optimizer, u, state.upper_step_size, rows
        )
        u = problem.project_upper(u)

        tested = at_u if reused else gradients(u, v, "uv", full)
        norm_u, norm_v = squared_norm(tested.upper), squared_norm(tested.lower)
        size = norm_u + norm_v if self.test_power == 2 else norm_u**2 + norm_v**2
        passed = size <= state.epsilon**2

        def when_passed(new: Tree, old: Tree) -> Tree:
            return where(passed, new, old)

        gamma = when_passed(self.gamma_growth * state.gamma, state.gamma)
        gamma_h = tree_map(lambda weight: when_passed(self.gamma_growth * weight, weight), state.gamma_h)
        nu, mu = state.nu, state.mu
        old = self.multiplier_gamma == "old"
        if self.multipliers:
            nu = when_passed(add_scaled(nu, sign * (state.gamma if old else gamma), tested.residual), nu)
        if self.constraint_multipliers and problem.equality is not None:
            mu = when_passed(add_scaled(mu, state.gamma_h if old else gamma_h, tested.constraint), mu)
        state = PenaltyState(
            u=u,
            v=v,
            upper_optimizer=upper_memory,
            lower_optimizer=lower_memory,
            gamma=gamma,
            lam=when_passed(self.lambda_decay * state.lam, state.lam),
            epsilon=when_passed(self.epsilon_decay * state.epsilon, state.epsilon),
            upper_step_size=when_passed(self.step_size_decay * state.upper_step_size, state.upper_step_size),
            lower_step_size=when_passed(self.step_size_decay * state.lower_step_size, state.lower_step_size),
            nu=nu,
            gamma_h=gamma_h,
            mu=mu,
            rounds=state.rounds + passed.to(torch.int64),
            iteration=state.iteration + 1,
            limit=state.limit,
        )
        return state, {"upper_gradient": norm_u, "lower_gradient": norm_v, "residual": squared_norm(tested.residual)}


_CHOICES = {
    "multiplier_sign": ("plus", "minus"),
    "multiplier_gamma": ("old", "new"),
    "test_gradients": ("fresh", "reused"),
    "test_batch": ("step", "full"),
}
SOLVER = Penalty
EQUALITY = True
PRESETS = {
    "described": {},
    "released": {"step_size_decay": 0.9, "multiplier_gamma": "new", "test_power": 4},
}
