"""Statements of the paper about the penalty function, checked on quadratics (Mehra & Hamm, 2021)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.func import grad, hessian, vmap

from core import hypergradient, solvers
from core.products import lower_gradient, penalty_gradients, upper_gradients
from tests.core import smooth, stacked
from tests.core.checks import assert_near
from tests.core.quadratics import PLAIN, Quadratic, V, points, quadratic

QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()
ZERO = torch.zeros(V, dtype=torch.float64)


# Lemma 3


@pytest.mark.parametrize("gamma", [1e-1, 1.0, 1e1, 1e3, 1e5])
def test_at_the_penalty_minimiser_the_upper_gradient_is_the_formula(gamma: float) -> None:
    """For any gamma grad_u f~ = grad_u f - H_uv H_vv^{-1} grad_v f at v-hat, since grad_v f~ = 0 there."""
    u, _ = points()
    v_hat = QUADRATIC.penalty_lower_solution(u, gamma)
    out = penalty_gradients(PROBLEM, u, v_hat, None, gamma=gamma, nu=ZERO, lam=0.0)
    # the residual is a difference of terms that gamma magnifies: rounding is gamma * 1e-16
    assert out.lower.norm() < 1e-13 * max(gamma, 1.0) * 10
    assert_near(out.upper, QUADRATIC.formula(u, v_hat), 1e-10)
    assert_near(out.upper, hypergradient(PROBLEM, u, v_hat, method="exact"), 1e-10)


def test_the_distance_to_the_hypergradient_is_of_order_one_over_gamma() -> None:
    u, _ = points()
    gammas = np.logspace(1, 5, 9)
    distances = []
    for gamma in gammas:
        v_hat = QUADRATIC.penalty_lower_solution(u, gamma)
        out = penalty_gradients(PROBLEM, u, v_hat, None, gamma=gamma, nu=ZERO, lam=0.0)
        distances.append((out.upper - QUADRATIC.hypergradient(u)).norm().item())
    slope = np.polyfit(np.log(gammas), np.log(distances), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)


def slopes(gammas: np.ndarray, distances: list[torch.Tensor]) -> np.ndarray:
    """The exponent of gamma of each problem, from distances [COUNT] at every gamma."""
    found: np.ndarray = np.polyfit(np.log(gammas), torch.stack(distances).log().numpy(), 1)[0]
    return found


def test_the_bias_of_the_upper_gradient_on_sixty_problems() -> None:
    """Of each the exponent of gamma is within 10% of -1: at v-hat in closed form, and where the solver's lower steps end."""
    u, v, matrices = stacked.problems(stacked.between(1.0, 1.5))
    exact = stacked.closed(lambda q, u, v: q.hypergradient(u), u, v, matrices)
    gammas = np.logspace(2, 5, 7)
    biased, moved, away = [], [], []
    lower = stacked.lower_solutions(u, v, matrices)
    for gamma in gammas:
        hats = stacked.closed(lambda q, u, v, g=gamma: q.penalty_lower_solution(u, g), u, v, matrices)
        settings = {"gamma": gamma, "nu": ZERO, "lam": 0.0}
        made = vmap(lambda u, v, m, s=settings: penalty_gradients(stacked.PROBLEM, u, v, m, **s))(u, hats, matrices)
        biased.append((made.upper - exact).norm(dim=1))
        away.append((hats - lower).norm(dim=1))
        # one step of the method, from anywhere: curvatures of f~ in v lie between gamma and 2.25 gamma + 1
        solver = solvers.make(
            "penalty", stacked.PROBLEM, lower_steps=80, upper_step_size=1.0, lower_step_size=1 / (1 + 2.25 * gamma),
            gamma_0=gamma, **PLAIN,
        )  # fmt: skip
        after = vmap(lambda u, v, m, s=solver: s.step(s.init(u, v), m)[0].u)(u, v, matrices)
        stacked.assert_each_near(u - after, made.upper, 1e-6)
        moved.append((u - after - exact).norm(dim=1))
    for distances in (biased, moved, away):
        found = slopes(gammas, distances)
        assert found.shape == (stacked.COUNT,) and stacked.COUNT >= 50
        assert (abs(found + 1) < 0.1).all(), found


def test_the_bias_of_the_solution_on_sixty_problems() -> None:
    """The solver without multipliers stays at the minimiser of f~, not at the solution, from which that is 1/gamma away."""
    u, v, matrices = stacked.problems(stacked.between(1.0, 2.0))
    solution = stacked.closed(lambda q, u, v: q.solution(), u, v, matrices)
    gammas, biased = np.logspace(2, 5, 7), []
    for gamma in gammas:
        at_u, at_v = vmap(lambda m, g=gamma: Quadratic(**m).penalty_solution(g))(matrices)
        solver = solvers.make(
            "penalty", stacked.PROBLEM, lower_steps=2, upper_step_size=0.01 / gamma, lower_step_size=0.01 / gamma,
            gamma_0=gamma, multipliers=False, **PLAIN,
        )  # fmt: skip
        moves = []
        for start_u, start_v in ((at_u, at_v), (solution, stacked.lower_solutions(solution, v, matrices))):
            state = vmap(lambda u, v, m, s=solver: s.step(s.init(u, v), m)[0])(start_u, start_v, matrices)
            moves.append((state.u - start_u).norm(dim=1) + (state.v - start_v).norm(dim=1))
        assert (moves[0] < 1e-6 * moves[1]).all()
        biased.append((at_u - solution).norm(dim=1))
    found = slopes(gammas, biased)
    assert found.shape == (stacked.COUNT,)
    assert (abs(found + 1) < 0.1).all(), found


def test_the_penalty_minimiser_tends_to_the_lower_solution_at_that_order() -> None:
    """v-hat - v* = -(gamma H^2)^{-1} grad_v f(u, v*) + O(1/gamma^2)."""
    u, _ = points()
    v_star = QUADRATIC.lower_solution(u)
    gamma = 1e5
    gap = QUADRATIC.penalty_lower_solution(u, gamma) - v_star
    leading = -torch.linalg.solve(gamma * QUADRATIC.H @ QUADRATIC.H, QUADRATIC.upper_gradient_v(u, v_star))
    assert_near(gap, leading, 1e-4)


def test_lemma_3_on_a_network() -> None:
    """Not quadratic: v-hat by Newton's method on grad_v f~, from v* and a large gamma down."""
    u, v = smooth.start()
    v = smooth.lower_solution(u, v)
    at_v_star = hypergradient(smooth.PROBLEM, u, v, method="exact")
    zero = torch.zeros_like(v)

    def penalty(v: torch.Tensor, gamma: float) -> torch.Tensor:
        residual = grad(smooth.lower, argnums=1)(u, v, None)
        return smooth.upper(u, v, None) + gamma / 2 * (residual * residual).sum()

    for gamma in (1e8, 1e7):
        for _ in range(5):
            v = v - torch.linalg.solve(hessian(penalty)(v, gamma), grad(penalty)(v, gamma))
    out = penalty_gradients(smooth.PROBLEM, u, v, None, gamma=1e7, nu=zero, lam=0.0)
    assert out.lower.norm() < 1e-7
    assert_near(out.upper, hypergradient(smooth.PROBLEM, u, v, method="exact"), 1e-7)
    assert (out.upper - at_v_star).norm() > 1e-4


# lambda


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.5), (10.0, 1.0), (10.0, 100.0), (1e3, 7.0)])
def test_lambda_stands_for_a_damped_hessian(gamma: float, lam: float) -> None:
    """At v-stationarity of f~2 with nu = 0: grad_v f + gamma H r + lambda r = 0 for r = grad_v g.

    So r = -(gamma H + lambda I)^{-1} grad_v f, and grad_u f~1 = grad_u f + gamma H_uv r is the formula with
    H + lambda/gamma I in place of H.
    """
    u, _ = points()
    v_hat = QUADRATIC.penalty_lower_solution(u, gamma, lam)
    out = penalty_gradients(PROBLEM, u, v_hat, None, gamma=gamma, nu=ZERO, lam=lam)
    assert out.lower.norm() < 1e-12 * gamma

    damped = gamma * QUADRATIC.H + lam * torch.eye(V, dtype=torch.float64)
    _, upper_v = upper_gradients(PROBLEM, u, v_hat, None)
    assert_near(lower_gradient(PROBLEM, u, v_hat, None), -torch.linalg.solve(damped, upper_v), 1e-10)
    assert_near(out.upper, QUADRATIC.formula(u, v_hat, lam / gamma), 1e-10)
    assert_near(out.upper, hypergradient(PROBLEM, u, v_hat, method="exact", damping=lam / gamma), 1e-10)
    # and it is not the undamped formula
    assert (out.upper - QUADRATIC.formula(u, v_hat)).norm() > 1e-5


# the augmented Lagrangian


def penalty_run(multipliers: bool, iterations: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(u, v, nu) of the solver at a gamma that never grows."""
    easy = quadratic([0.8, 0.9, 1.0, 1.1, 1.2])
    solver = solvers.make(
        "penalty",
        easy.problem(),
        lower_steps=2,
        upper_step_size=0.1,
        lower_step_size=0.2,
        gamma_0=2.0,
        gamma_growth=1.0,
        epsilon_0=1.0,
        epsilon_decay=0.5,
        multipliers=multipliers,
        **PLAIN,
    )
    state = solver.init(*points())
    for _ in range(iterations):
        state, _ = solver.step(state)
    return state.u, state.v, state.nu


def test_the_augmented_lagrangian_reaches_the_solution_at_a_finite_gamma() -> None:
    easy = quadratic([0.8, 0.9, 1.0, 1.1, 1.2])
    u, v, nu = penalty_run(multipliers=True, iterations=200)
    solution = easy.solution()
    assert_near(u, solution, 1e-7)
    assert_near(v, easy.lower_solution(solution), 1e-7)
    # stationarity in v: grad_v f + H nu = 0 where grad_v g = 0
    assert_near(nu, -torch.linalg.solve(easy.H, easy.upper_gradient_v(u, v)), 1e-6)


def test_without_multipliers_it_stays_at_the_biased_minimiser() -> None:
    easy = quadratic([0.8, 0.9, 1.0, 1.1, 1.2])
    u, v, nu = penalty_run(multipliers=False, iterations=200)
    biased_u, biased_v = easy.penalty_solution(2.0)
    assert_near(u, biased_u, 1e-7)
    assert_near(v, biased_v, 1e-7)
    assert nu.abs().max() == 0
    assert (u - easy.solution()).norm() > 1e-2
