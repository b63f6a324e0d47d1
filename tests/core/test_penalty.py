"""The penalty method against Algorithm 2 written out in numpy, option by option."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from core import Bilevel, solvers
from core.solvers.penalty import WithTest
from tests.core.by_hand import NumpyAdam, NumpyDescent
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import PLAIN, Quadratic, normal, points, quadratic

QUADRATIC = quadratic()
ITERATIONS = 12


@dataclass
class Algorithm2:
    """Modified penalty: T v-updates on f~2, one u-update on f~1, then the tolerance test."""

    q: Quadratic
    u: np.ndarray
    v: np.ndarray
    T: int = 3
    sigma: float = 0.02
    rho: float = 0.02
    gamma: float = 1.0
    lam: float = 0.5
    epsilon: float = 6.0
    nu: np.ndarray = field(default_factory=lambda: np.zeros(5))
    growth: float = 1.1
    lambda_factor: float = 0.9
    epsilon_factor: float = 0.9
    step_size_factor: float = 1.0
    update_nu: bool = True
    nu_takes_raised_gamma: bool = False
    power: int = 2
    reuse: bool = False
    constrained: bool = False
    gamma_h: float | None = None
    mu: np.ndarray = field(default_factory=lambda: np.zeros(2))
    update_mu: bool = False
    minus: bool = False
    full: bool = False
    box: float = np.inf
    rule: type = NumpyDescent
    rounds: int = 0

    def __post_init__(self) -> None:
        self.move_u, self.move_v = self.rule(), self.rule()
        self.m = {name: getattr(self.q, name).numpy() for name in Quadratic.__dataclass_fields__}
        self.gamma_h = self.gamma if self.gamma_h is None else self.gamma_h

    def gradients(
        self, u: np.ndarray, v: np.ndarray, shift: np.ndarray | float = 0.0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(grad_u f~1, grad_v f~2, grad_v g, h); `shift` is the batch, which moves grad_v g."""
        m, gamma = self.m, self.gamma
        nu = -self.nu if self.minus else self.nu
        r = m["H"] @ v + m["C"] @ u + m["c"] + shift
        in_u = m["D"] @ u + m["E"] @ v + m["b"] + gamma * m["C"].T @ r + m["C"].T @ nu
        in_v = v - m["a"] + m["E"].T @ u + gamma * m["H"] @ r + m["H"] @ nu + self.lam * r
        h = m["M"] @ u + m["N"] @ v - m["e"]
        if self.constrained:
            assert self.gamma_h is not None
            c = self.gamma_h * h + self.mu
            in_u, in_v = in_u + m["M"].T @ c, in_v + m["N"].T @ c
        return in_u, in_v, r, h

    def iterate(self, shift: np.ndarray | float = 0.0, full: np.ndarray | float = 0.0) -> None:
        """One upper iteration on the batch `shift`; the test is on it too, or with the option on the batch `full`."""
        for _ in range(self.T):
            moved = self.move_v(self.v, self.gradients(self.u, self.v, shift)[1], self.rho)
            self.v = np.clip(moved, -self.box, self.box)
        at_u = self.gradients(self.u, self.v, shift)
        self.u = np.clip(self.move_u(self.u, at_u[0], self.sigma), -self.box, self.box)
        tested = self.gradients(self.u, self.v, full if self.full else shift)
        in_u, in_v, r, h = at_u if self.reuse else tested
        size = np.linalg.norm(in_u) ** self.power + np.linalg.norm(in_v) ** self.power
        if size <= self.epsilon**2:
            raised = self.growth * self.gamma
            if self.update_nu:
                sign = -1 if self.minus else 1
                self.nu = self.nu + sign * (raised if self.nu_takes_raised_gamma else self.gamma) * r
            assert self.gamma_h is not None
            raised_h = self.growth * self.gamma_h
            if self.update_mu:
                self.mu = self.mu + (raised_h if self.nu_takes_raised_gamma else self.gamma_h) * h
            self.gamma, self.gamma_h = raised, raised_h
            self.lam *= self.lambda_factor
            self.epsilon *= self.epsilon_factor
            self.sigma *= self.step_size_factor
            self.rho *= self.step_size_factor
            self.rounds += 1


NAMES = {
    "T": "lower_steps",
    "sigma": "upper_step_size",
    "rho": "lower_step_size",
    "gamma": "gamma_0",
    "lam": "lambda_0",
    "epsilon": "epsilon_0",
    "growth": "gamma_growth",
    "lambda_factor": "lambda_decay",
    "epsilon_factor": "epsilon_decay",
    "step_size_factor": "step_size_decay",
    "update_nu": "multipliers",
    "update_mu": "constraint_multipliers",
    "power": "test_power",
}


def by_hand(**options: Any) -> Algorithm2:
    u, v = points()
    return Algorithm2(QUADRATIC, u.numpy().copy(), v.numpy().copy(), **options)


def solver_for(hand: Algorithm2) -> Any:
    """The solver with the settings of the emulation, before it ran."""
    settings = {theirs: getattr(hand, ours) for ours, theirs in NAMES.items()}
    settings["multiplier_gamma"] = "new" if hand.nu_takes_raised_gamma else "old"
    settings["test_gradients"] = "reused" if hand.reuse else "fresh"
    settings["nu_0"] = float(hand.nu[0])
    settings["multiplier_sign"] = "minus" if hand.minus else "plus"
    settings["test_batch"] = "full" if hand.full else "step"
    settings["gamma_h_0"] = hand.gamma_h
    if hand.rule is NumpyDescent:
        settings.update(PLAIN)
    box = {}
    if np.isfinite(hand.box):
        box = {name: lambda x: x.clamp(-hand.box, hand.box) for name in ("project_upper", "project_lower")}
    return solvers.make("penalty", QUADRATIC.problem(hand.constrained, **box), **settings)


def assert_same_state(state: Any, hand: Algorithm2) -> None:
    assert state.rounds.item() == hand.rounds
    assert_near(state.u, torch.from_numpy(hand.u), 1e-11)
    assert_near(state.v, torch.from_numpy(hand.v), 1e-11)
    assert_near(state.nu, torch.from_numpy(hand.nu), 1e-11)
    if hand.constrained:
        assert_near(state.mu, torch.from_numpy(hand.mu) if hand.update_mu else (), 1e-11)
        assert_near(state.gamma_h, torch.tensor(hand.gamma_h, dtype=torch.float64), 1e-13)
    for name, value in {
        "gamma": hand.gamma,
        "lam": hand.lam,
        "epsilon": hand.epsilon,
        "upper_step_size": hand.sigma,
        "lower_step_size": hand.rho,
    }.items():
        assert_near(getattr(state, name), torch.tensor(value, dtype=torch.float64), 1e-13)


OPTIONS: dict[str, dict[str, Any]] = {
    "described": {},
    "T=1": {"T": 1},
    "no lambda": {"lam": 0.0},
    "nu_0": {"nu": np.full(5, 0.3)},
    "no multipliers": {"update_nu": False, "nu": np.full(5, 0.3)},
    "multiplier_gamma new": {"nu_takes_raised_gamma": True},
    "test_power 4": {"power": 4, "epsilon": 25.0},
    "step_size_decay": {"step_size_factor": 0.7},
    "test_gradients reused": {"reuse": True},
    "growth and decays": {"growth": 1.5, "lambda_factor": 0.5, "epsilon_factor": 0.8},
    "released": {"power": 4, "epsilon": 25.0, "nu_takes_raised_gamma": True, "step_size_factor": 0.9},
    "Adam": {"rule": NumpyAdam, "epsilon": 10.0},
    "Adam, released": {
        "rule": NumpyAdam,
        "power": 4,
        "epsilon": 70.0,
        "nu_takes_raised_gamma": True,
        "step_size_factor": 0.9,
    },
    "h": {"constrained": True},
    "h, gamma_h": {"constrained": True, "gamma_h": 0.3},
    "h, mu": {"constrained": True, "update_mu": True},
    "h, mu, gamma_h new": {
        "constrained": True,
        "update_mu": True,
        "gamma_h": 0.3,
        "nu_takes_raised_gamma": True,
        "growth": 1.5,
    },
    "multiplier_sign minus": {"minus": True, "nu": np.full(5, 0.3)},
    "box": {"box": 0.5},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_solver_is_algorithm_2(options: dict[str, Any]) -> None:
    hand = by_hand(**options)
    solver = solver_for(hand)
    state = solver.init(*points())
    for _ in range(ITERATIONS):
        hand.iterate()
        state, _ = solver.step(state)
        assert_same_state(state, hand)
    # the tolerance was met at times, and at times not
    assert 0 < hand.rounds < ITERATIONS


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("nu_takes_raised_gamma", True),
        ("power", 4),
        ("step_size_factor", 0.7),
        ("reuse", True),
        ("update_nu", False),
        ("constrained", True),
    ],
)
def test_the_emulations_of_two_options_differ(option: str, value: Any) -> None:
    """So that the test above tells them apart."""
    one, other = by_hand(), by_hand(**{option: value})
    for _ in range(ITERATIONS):
        one.iterate()
        other.iterate()
    assert np.abs(one.u - other.u).max() > 1e-6


@pytest.mark.parametrize(("option", "value"), [("update_mu", True), ("gamma_h", 0.3)])
def test_the_emulations_of_two_options_of_h_differ(option: str, value: Any) -> None:
    one, other = by_hand(constrained=True), by_hand(constrained=True, **{option: value})
    for _ in range(ITERATIONS):
        one.iterate()
        other.iterate()
    assert np.abs(one.u - other.u).max() > 1e-6


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("preset", ["described", "released"])
def test_both_signs_of_the_multiplier_give_the_same_iterates(constrained: bool, preset: str) -> None:
    """Bitwise, and nu is the other's negative."""
    epsilon = 6.0 if preset == "described" else 25.0
    settings = {"lower_steps": 3, "upper_step_size": 0.02, "lower_step_size": 0.02, "epsilon_0": epsilon, **PLAIN}
    problem = QUADRATIC.problem(constrained)
    plus = solvers.make("penalty", problem, preset=preset, nu_0=0.3, multiplier_sign="plus", **settings)
    minus = solvers.make("penalty", problem, preset=preset, nu_0=-0.3, multiplier_sign="minus", **settings)
    one, other = plus.init(*points()), minus.init(*points())
    for _ in range(ITERATIONS):
        one, other = plus.step(one)[0], minus.step(other)[0]
        assert_identical(other._replace(nu=-other.nu), one)
    assert 0 < one.rounds.item() < ITERATIONS
    assert (one.nu - 0.3).norm() > 1e-2


@pytest.mark.parametrize("constrained", [False, True])
def test_the_test_may_be_on_all_data(constrained: bool) -> None:
    """The steps are on their batches, the tolerance test and the multipliers on the full one."""
    shifts = [2.0 * normal(5, seed=500 + k) for k in range(ITERATIONS)]
    full = 0.1 * normal(5, seed=520)
    hands = {
        option: by_hand(full=option == "full", constrained=constrained, update_mu=constrained, epsilon=9.0)
        for option in ("full", "step")
    }
    solver = solver_for(hands["full"])
    assert solver.draws() == {"shared": 1, "test": 1}
    state = solver.init(*points())
    for shift in shifts:
        for hand in hands.values():
            hand.iterate(shift.numpy(), full.numpy())
        state, metrics = solver.step(state, WithTest(step=shift, test=full))
        assert_same_state(state, hands["full"])
    assert 0 < state.rounds.item() < ITERATIONS
    # and so the other option would have ended elsewhere
    assert hands["step"].rounds != hands["full"].rounds


def test_the_full_test_sees_what_a_minibatch_hides() -> None:
    """At the root of the full gradients the minibatch's never vanish: a small tolerance is met by the full test alone."""
    full = torch.zeros(5, dtype=torch.float64)
    settings = {"lower_steps": 1, "upper_step_size": 1e-9, "lower_step_size": 1e-9, "epsilon_0": 1e-3, **PLAIN}
    root = QUADRATIC.penalty_solution(1.0)
    batch = normal(5, seed=530)
    on_all = solvers.make("penalty", QUADRATIC.problem(), test_batch="full", **settings)
    on_step = solvers.make("penalty", QUADRATIC.problem(), **settings)
    assert on_all.step(on_all.init(*root), WithTest(batch, full))[0].rounds.item() == 1
    assert on_step.step(on_step.init(*root), batch)[0].rounds.item() == 0


def test_the_full_test_needs_fresh_gradients() -> None:
    with pytest.raises(ValueError, match="test_gradients='fresh'"):
        solvers.make("penalty", QUADRATIC.problem(), test_batch="full", test_gradients="reused")
    for option in ("multiplier_sign", "test_batch"):
        with pytest.raises(ValueError, match=option):
            solvers.make("penalty", QUADRATIC.problem(), **{option: "other"})


def test_released_is_the_preset_of_that_name() -> None:
    hand = by_hand(**OPTIONS["released"])
    solver = solvers.make(
        "penalty",
        QUADRATIC.problem(),
        preset="released",
        lower_steps=3,
        upper_step_size=0.02,
        lower_step_size=0.02,
        lambda_0=0.5,
        epsilon_0=25.0,
        **PLAIN,
    )
    state = solver.init(*points())
    for _ in range(ITERATIONS):
        hand.iterate()
        state, _ = solver.step(state)
    assert_same_state(state, hand)


def test_the_metrics_are_those_of_the_test() -> None:
    hand = by_hand()
    solver = solver_for(hand)
    state = solver.init(*points())
    hand.epsilon = 0.0
    hand.iterate()
    _, metrics = solver.step(state)
    in_u, in_v, r, _ = hand.gradients(hand.u, hand.v)
    assert_near(metrics["upper_gradient"], torch.tensor(in_u @ in_u), 1e-11)
    assert_near(metrics["lower_gradient"], torch.tensor(in_v @ in_v), 1e-11)
    assert_near(metrics["residual"], torch.tensor(r @ r), 1e-11)


def test_a_tolerance_met_exactly_passes() -> None:
    """<=, as in Algorithm 2: at a stationary point with epsilon = 0 a round ends."""
    still = Bilevel(
        lambda u, v, batch: 0 * (u.sum() + v.sum()), lambda u, v, batch: 0.5 * (v * v).sum() + 0 * u.sum()
    )
    solver = solvers.make("penalty", still, epsilon_0=0.0, **PLAIN)
    u, v = points()
    state, _ = solver.step(solver.init(u, torch.zeros_like(v)))
    assert state.rounds.item() == 1
