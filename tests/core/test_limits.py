"""Where the solvers end: consistent ones at the bilevel solution, biased ones at the limit that theory gives.

Example 1 is f = u^2 + v^2, g = (1 - u - v)^2 (an entry of 20): H_vv = H_uv = 2, v* = 1 - u, solution u = v = 1/2. The ridge
problem (`tests.core.ridge`) has one upper variable, which enters g alone. With rho the lower step size, s = 1 - 2 rho is by
how much a lower step shrinks the error on example 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core import solvers, trials
from core.optimizers import Momentum
from tests.core import ridge
from tests.core.checks import assert_near
from tests.core.quadratics import PLAIN, example_1, normal

RHO = {"example 1": 0.4, "ridge": 0.5}
SIGMA = {"example 1": 0.2, "ridge": 0.6}
PROBLEMS = {"example 1": example_1(), "ridge": ridge.PROBLEM}
AT_BEST = {"example 1": torch.full((20,), 0.5, dtype=torch.float64), "ridge": ridge.solution()}


def start(name: str) -> tuple[Tensor, Tensor]:
    if name == "ridge":
        return ridge.solution() + 0.5, torch.zeros(ridge.WEIGHTS, dtype=torch.float64)
    return normal(20, seed=1), normal(20, seed=2)


def ended(name: str, solver: str, iterations: int, **settings: Any) -> Any:
    sizes = {"upper_step_size": SIGMA[name], "lower_step_size": RHO[name]}
    made = solvers.make(solver, PROBLEMS[name], **{**sizes, **settings})
    state = made.init(*start(name))
    for _ in range(iterations):
        state, _ = made.step(state)
    return state


# consistent methods: (solver, settings, iterations, tolerance on |u - u*|)
IMPLICIT: dict[str, Any] = {
    "cg": {"linear_solver": "cg"},
    "fixed-point": {"linear_solver": "fixed-point", "solver_step_size": 0.4},
    "gd": {"linear_solver": "gd", "solver_step_size": 0.2},
    "neumann": {"linear_solver": "neumann", "solver_step_size": 0.4},
    "adam": {"linear_solver": "adam", "solver_step_size": 0.02},
}
AID = {"lower_steps": 3, "solver_steps": 4}
CONSISTENT: dict[str, tuple[str, dict[str, Any], int, float]] = {
    "rmd": ("rmd", {"lower_steps": 16}, 20, 1e-8),
    "fmd": ("fmd", {"lower_steps": 16}, 20, 1e-8),
    "k-rmd": ("k-rmd", {"lower_steps": 16, "kept": 15}, 20, 1e-8),
    "itd": ("itd", {"lower_steps": 16}, 20, 1e-8),
    "itd-restart": ("itd", {"lower_steps": 16, "restart": True}, 20, 1e-8),
    "aid-cg": ("aid", {**AID, **IMPLICIT["cg"]}, 30, 1e-9),
    "aid-cg-cold": ("aid", {**AID, **IMPLICIT["cg"], "warm_solver": False}, 30, 1e-9),
    "aid-fixed-point": ("aid", {**AID, **IMPLICIT["fixed-point"]}, 30, 1e-9),
    "aid-gd": ("aid", {**AID, **IMPLICIT["gd"]}, 30, 1e-9),
    "aid-adam": ("aid", {**AID, **IMPLICIT["adam"]}, 100, 1e-3),
    "aid-neumann": ("aid", {**AID, **IMPLICIT["neumann"], "solver_steps": 16}, 30, 1e-8),
    "aid-growing": ("aid", {**AID, "lower_steps": 16, "first_lower_steps": 1, "restart": True}, 20, 1e-8),
    "approxgrad-cg": ("approxgrad", {"lower_steps": 4, **IMPLICIT["cg"]}, 30, 1e-9),
    "approxgrad-fixed-point": ("approxgrad", {"lower_steps": 4, **IMPLICIT["fixed-point"]}, 30, 1e-9),
    "approxgrad-gd": ("approxgrad", {"lower_steps": 4, **IMPLICIT["gd"]}, 30, 1e-9),
    "approxgrad-adam": ("approxgrad", {"lower_steps": 4, **IMPLICIT["adam"]}, 100, 1e-3),
    "approxgrad-neumann": ("approxgrad", {"lower_steps": 16, **IMPLICIT["neumann"]}, 20, 1e-8),
    "stocbio": ("stocbio", {"lower_steps": 3, "neumann_steps": 16, "neumann_step_size": 0.4}, 30, 1e-8),
    "ttsa-series": (
        "ttsa",
        {"estimate": "series", "neumann_terms": 10, "neumann_step_size": 0.4},
        120,
        1e-5,
    ),
    "bsa-series": (
        "bsa",
        {"estimate": "series", "neumann_terms": 10, "neumann_step_size": 0.4, "lower_steps": 4},
        80,
        1e-5,
    ),
    # the augmented Lagrangian with multipliers at every iteration and a gamma that stays
    "penalty": ("penalty", {"lower_steps": 3, "gamma_growth": 1.0, "epsilon_0": 1e6, "epsilon_decay": 1.0}, 100, 1e-7),
}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("case", CONSISTENT)
def test_consistent_solvers_reach_the_solution(case: str, name: str) -> None:
    solver, settings, iterations, tolerance = CONSISTENT[case]
    more: dict[str, Any] = {}
    if solver == "approxgrad":
        more = {**PLAIN, "damping": 0.0}
    if settings.get("linear_solver") == "adam":
        more["upper_step_size"] = 0.1
    if solver == "penalty":
        more = {**PLAIN, "upper_step_size": 0.2, "lower_step_size": 0.1}
    state = ended(name, solver, iterations, **settings, **more)
    assert (state.u - AT_BEST[name]).abs().max() < tolerance
    best = 1 - AT_BEST[name] if name == "example 1" else ridge.lower_solution(AT_BEST[name])
    assert (state.v - best).abs().max() < 3 * tolerance


# the penalty method without multipliers: a bias of order 1 / gamma


def test_algorithm_1_ends_at_the_minimum_of_the_penalty_function() -> None:
    """f~ = u^2 + v^2 + 2 gamma (1 - u - v)^2 on example 1 is least at u = v = 2 gamma / (1 + 4 gamma)."""
    for gamma in (1.0, 3.0):
        state = ended(
            "example 1",
            "penalty",
            200,
            **PLAIN,
            multipliers=False,
            lower_steps=2,
            gamma_0=gamma,
            gamma_growth=1.0,
            upper_step_size=0.2 / gamma,
            lower_step_size=1 / (2 + 4 * gamma),
        )
        best = torch.full((20,), 2 * gamma / (1 + 4 * gamma), dtype=torch.float64)
        assert_near((state.u, state.v), (best, best), 1e-8)


def test_the_bias_of_algorithm_1_on_the_ridge_is_of_order_1_over_gamma() -> None:
    gammas = torch.tensor([10.0, 20.0, 40.0], dtype=torch.float64)
    moves = {**PLAIN, "upper_optimizer": Momentum(0.9)}
    solver = solvers.make("penalty", ridge.PROBLEM, lower_steps=2, multipliers=False, gamma_growth=1.0, **moves)
    u = ridge.solution()
    states = []
    for gamma in gammas:
        sizes = {"upper_step_size": 0.1 / gamma, "lower_step_size": 1 / (1 + 4 * gamma)}
        states.append(solver.init(u, ridge.lower_solution(u))._replace(gamma=gamma, **sizes))
    together, step = trials.stack(states), trials.batched(solver, None)
    for _ in range(300):
        together, metrics = step(together, None)
    assert metrics["upper_gradient"].max() < 1e-10
    bias = (together.u - u).abs()
    slope = np.polyfit(gammas.log().numpy(), bias.log().numpy(), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)


# biased methods


@pytest.mark.parametrize("solver", ["gd", "fo-itd"])
def test_first_order_methods_go_to_u_0_and_v_1(solver: str) -> None:
    """u follows grad_u f = 2 u alone: it is multiplied by 1 - 2 sigma each round."""
    plain = PLAIN if solver == "gd" else {}
    state = ended("example 1", solver, 80, lower_steps=3, **plain)
    assert_near(state.u, (1 - 2 * SIGMA["example 1"]) ** 80 * start("example 1")[0], 1e-12)
    assert state.u.abs().max() < 1e-15
    assert_near(state.v, torch.ones(20, dtype=torch.float64), 1e-12)


@pytest.mark.parametrize("solver", ["gd", "fo-itd"])
def test_first_order_methods_never_move_a_ridge(solver: str) -> None:
    plain = PLAIN if solver == "gd" else {}
    state = ended("ridge", solver, 20, lower_steps=3, **plain)
    u = start("ridge")[0]
    assert torch.equal(state.u, u)
    assert_near(state.v, ridge.lower_solution(u), 1e-12)


# (solver, settings, how many terms of the series it differentiates)
SHORT: dict[str, tuple[str, dict[str, Any], int]] = {
    "rmd-1": ("rmd", {"lower_steps": 1}, 1),
    "rmd-2": ("rmd", {"lower_steps": 2}, 2),
    "rmd-released-3": ("rmd", {"lower_steps": 3, "preset": "released"}, 2),
    "fmd-2": ("fmd", {"lower_steps": 2}, 2),
    "itd-2": ("itd", {"lower_steps": 2}, 2),
    "k-rmd-1": ("k-rmd", {"lower_steps": 5, "kept": 1}, 1),
    "k-rmd-3": ("k-rmd", {"lower_steps": 4, "kept": 3}, 3),
    "stocbio-0.2": ("stocbio", {"lower_steps": 3, "neumann_steps": 1, "neumann_step_size": 0.2}, 2),
}


@pytest.mark.parametrize("case", SHORT)
def test_short_series_end_where_theory_says_on_example_1(case: str) -> None:
    """At rest v = 1 - u, and 2 u = 2 c v with c = 1 - s^K after K terms: u = c / (1 + c), v = 1 / (1 + c)."""
    solver, settings, K = SHORT[case]
    rho = 0.2
    state = ended("example 1", solver, 60, lower_step_size=rho, **settings)
    c = 1 - (1 - 2 * rho) ** K
    assert_near(state.u, torch.full((20,), c / (1 + c), dtype=torch.float64), 1e-9)
    assert_near(state.v, torch.full((20,), 1 / (1 + c), dtype=torch.float64), 1e-9)


@pytest.mark.parametrize("case", SHORT)
def test_short_series_end_where_theory_says_on_the_ridge(case: str) -> None:
    """At rest v = v*(u), and the first K terms of the series vanish."""
    solver, settings, K = SHORT[case]
    rho = 0.2
    wrong = ridge.solution(K, rho)
    assert (wrong - ridge.solution()).abs() > 1e-3
    state = ended("ridge", solver, 80, lower_step_size=rho, **settings)
    assert_near(state.u, wrong, 1e-7)


def test_short_released_rmd_is_stuck_at_the_first_order_limit() -> None:
    """One lower step, none differentiated."""
    state = ended("example 1", "rmd", 60, lower_steps=1, preset="released")
    assert state.u.abs().max() < 1e-9
    assert_near(state.v, torch.ones(20, dtype=torch.float64), 1e-9)
    assert torch.equal(ended("ridge", "rmd", 5, lower_steps=1, preset="released").u, start("ridge")[0])


@pytest.mark.parametrize("T", [1, 2, 4])
def test_unrolling_from_a_cold_start_ends_at_the_minimum_of_the_unrolled_cost(T: int) -> None:
    """v_T = c (1 - u) + s^T v_0 with c = 1 - s^T, so f(u, v_T(u)) is least at u = c (c + s^T v_0) / (1 + c^2)."""
    rho = 0.2
    shrink = (1 - 2 * rho) ** T
    c, v_0 = 1 - shrink, start("example 1")[1]
    state = ended("example 1", "itd", 60, lower_steps=T, lower_step_size=rho, restart=True)
    u = c * (c + shrink * v_0) / (1 + c * c)
    assert_near((state.u, state.v), (u, c * (1 - u) + shrink * v_0), 1e-9)


def test_the_bias_of_a_short_series_shrinks_like_the_error_of_the_series() -> None:
    """|u_K - u*| ~ s^K on example 1: u_K = c / (1 + c), c = 1 - s^K."""
    rho, kept = 0.2, (10, 13, 16)
    gaps = []
    for K in kept:
        state = ended("example 1", "k-rmd", 20, lower_steps=16, kept=K, lower_step_size=rho)
        gaps.append((state.u - 0.5).abs().max().log().item())
    slope = np.polyfit(kept, gaps, 1)[0]
    assert slope == pytest.approx(np.log(1 - 2 * rho), rel=2e-3)


def test_damping_moves_the_limit_of_the_implicit_methods() -> None:
    """(2 + d) w = 2 v and 2 u = 2 w on example 1: u = c / (1 + c) with c = 2 / (2 + d)."""
    for solver, settings in (("aid", {"solver_steps": 3}), ("approxgrad", {"linear_solver": "cg", **PLAIN})):
        for damping in (0.1, 1.0):
            state = ended("example 1", solver, 40, lower_steps=4, damping=damping, **settings)
            c = 2 / (2 + damping)
            assert_near(state.u, torch.full((20,), c / (1 + c), dtype=torch.float64), 1e-9)
