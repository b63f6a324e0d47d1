"""BOME, F2SA and V-PBGD: one step, its calls, where each ends, and how far that is from the solution."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core import solvers
from core.products import counting
from tests.core import ridge
from tests.core.cases import settled, steps
from tests.core.checks import assert_near
from tests.core.quadratics import Quadratic, U, V, example_1, points, quadratic

QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()
SIGMA, RHO = 0.05, 0.2
START = torch.tensor([2.0, -3.0], dtype=torch.float64), torch.tensor([-1.0, 4.0], dtype=torch.float64)


def slope(xs: list[float], ys: list[float]) -> float:
    """Of log y against log x, by least squares."""
    x, y = torch.tensor(xs).log(), torch.tensor(ys).log()
    return float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())


def moved(u: Tensor, v: Tensor, T: int, rho: float = RHO) -> Tensor:
    return QUADRATIC.path(u, v, T, rho)[-1]


def minimiser(q: Quadratic, weight: float, shrink: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The root of grad f + weight (grad g(u, v) - (grad_u g(u, w), 0)) with w = v*(u) + shrink (v - v*(u)).

    For shrink = 0 it is the minimiser of f + weight (g - min_v g): v - w = (I - shrink) H^{-1} grad_v g.
    """
    identity = torch.eye(V, dtype=torch.float64)
    K = (identity if shrink is None else identity - shrink) @ torch.linalg.inv(q.H)
    in_u = torch.cat([q.D + weight * q.C.T @ K @ q.C, q.E + weight * q.C.T @ K @ q.H], dim=1)
    in_v = torch.cat([q.E.T + weight * q.C, identity + weight * q.H], dim=1)
    right = torch.cat([-q.b - weight * q.C.T @ K @ q.c, q.a - weight * q.c])
    both = torch.linalg.solve(torch.cat([in_u, in_v]), right)
    return both[:U], both[U:]


def test_the_minimiser_by_hand_is_stationary() -> None:
    """The yardstick itself, by differences of f + weight (g - min g)."""

    def value(u: Tensor, v: Tensor) -> Tensor:
        best = QUADRATIC.lower(u, QUADRATIC.lower_solution(u), None)
        return QUADRATIC.upper(u, v, None) + 7.0 * (QUADRATIC.lower(u, v, None) - best)

    u, v = minimiser(QUADRATIC, 7.0)
    gradients = torch.func.grad(value, argnums=(0, 1))(u, v)
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-12


# calls


@pytest.mark.parametrize("T", [1, 2, 7])
@pytest.mark.parametrize("preset", ["described", "released"])
def test_the_calls_of_one_step(T: int, preset: str) -> None:
    """First derivatives only; one of f and T + 2 of g, or for both sequences of F2SA T + 1 and 2 T + 2."""
    for name, expected in {"bome": (1, T + 2), "v-pbgd": (1, T + 2), "f2sa": (T + 1, 2 * T + 2)}.items():
        solver = solvers.make(name, PROBLEM, lower_steps=T, preset=preset)
        state = solver.init(*points())
        with counting() as counts:
            solver.step(state)
        found = {kind: number for kind, number in counts.items() if number}
        assert found == dict(zip(("gradients_f", "gradients_g"), expected, strict=True))


# BOME


def bome_step(u: Tensor, v: Tensor, T: int, eta: float, barrier: str) -> tuple[Tensor, Tensor, Tensor]:
    """(u, v, lambda) by hand."""
    w = moved(u, v, T)
    q_u, q_v = QUADRATIC.C.T @ (v - w), QUADRATIC.lower_gradient(u, v)
    f_u, f_v = QUADRATIC.upper_gradient_u(u, v), QUADRATIC.upper_gradient_v(u, v)
    size = q_u @ q_u + q_v @ q_v
    q = QUADRATIC.lower(u, v, None) - QUADRATIC.lower(u, w, None)
    phi = eta * (size if barrier == "gradient" else q)
    weight = torch.clamp((phi - f_u @ q_u - f_v @ q_v) / size, min=0)
    return u - SIGMA * (f_u + weight * q_u), v - SIGMA * (f_v + weight * q_v), weight


@pytest.mark.parametrize("T", [1, 4])
@pytest.mark.parametrize("barrier", ["gradient", "value"])
def test_a_step_of_bome_in_closed_form(T: int, barrier: str) -> None:
    weights = []
    for seed in range(20):
        u, v = points(seed)
        solver = solvers.make(
            "bome", PROBLEM, lower_steps=T, upper_step_size=SIGMA, lower_step_size=RHO, eta=0.3, barrier=barrier
        )
        state, metrics = solver.step(solver.init(u, v))
        expected = bome_step(u, v, T, 0.3, barrier)
        assert_near((state.u, state.v), expected[:2], 1e-11)
        assert_near(metrics["weight"], expected[2], 1e-10)
        weights.append(metrics["weight"].item())
    # both sides of the maximum
    assert min(weights) == 0.0 < max(weights)


def test_bome_leaves_the_constraint_alone_where_it_holds() -> None:
    """grad q = 0: the weight is 0, not 0 / 0, and the step is one of f."""
    solver = solvers.make("bome", example_1(), upper_step_size=SIGMA)
    half = torch.full((2,), 0.5, dtype=torch.float64)
    state, metrics = solver.step(solver.init(half, half))
    assert metrics["weight"].item() == 0.0
    assert metrics["gap_gradient"].item() == 0.0
    assert_near((state.u, state.v), (half - SIGMA, half - SIGMA))


def test_bome_on_a_line_in_closed_form() -> None:
    """Example 1 in one dimension, with an exact w: u + v - 1 shrinks by 1 - 4 eta xi, u - v by 1 - 2 xi, exactly."""
    xi, eta, iterations = 0.05, 0.5, 200
    u, v = torch.tensor([1.2], dtype=torch.float64), torch.tensor([-0.9], dtype=torch.float64)
    # g has the curvature 2: a step of 1/2 solves it
    solver = solvers.make("bome", example_1(), lower_steps=1, upper_step_size=xi, lower_step_size=0.5, eta=eta)
    gap, difference = (u + v - 1) * (1 - 4 * eta * xi) ** iterations, (u - v) * (1 - 2 * xi) ** iterations
    state = steps(solver, solver.init(u, v), iterations)
    assert_near(state.u, (1 + gap + difference) / 2, 1e-12)
    assert_near(state.v, (1 + gap - difference) / 2, 1e-12)
    assert (state.u - 0.5).abs().item() < 1e-8


def test_bome_at_a_constant_step_ends_a_step_away() -> None:
    """In more dimensions r = u + v - 1 comes to rest at |r| = xi |a| / 2, a = grad_v f + grad_u f = (2, 2) there.

    One step projects the f part of r's motion off r: delta, the part of r off a, is multiplied by 1 - xi |a| / |r|,
    so that r can shrink no further than where that is -1.
    """
    sizes, gaps = [0.08, 0.04, 0.02], []
    for xi in sizes:
        solver = solvers.make("bome", example_1(), lower_steps=1, upper_step_size=xi, lower_step_size=0.5)
        state = steps(solver, solver.init(*START), int(16 / xi))
        gaps.append((state.u + state.v - 1).norm().item())
        assert (state.u - 0.5).abs().max().item() < xi
        assert (state.v - 0.5).abs().max().item() < xi
        assert gaps[-1] == pytest.approx(xi * 2**0.5, rel=0.1)
    assert slope(sizes, gaps) == pytest.approx(1.0, abs=0.1)


def test_bome_finds_the_ridge_to_the_order_of_its_step() -> None:
    u, v = ridge.minimum()
    solver = solvers.make(
        "bome",
        ridge.PROBLEM,
        lower_steps=3,
        upper_step_size=0.05,
        joint_lower_step_size=0.02,
        lower_step_size=0.25,
    )
    state = settled(solver, solver.init(*ridge.start()), 1200)
    assert (state.u - u).abs().max().item() < 0.05
    assert (state.v - v).abs().max().item() < 0.05


# F2SA


@pytest.mark.parametrize("T", [1, 3])
def test_steps_of_f2sa_in_closed_form(T: int) -> None:
    u, y = points()
    z, lam = y, 2.0
    settings = {"lower_steps": T, "upper_step_size": SIGMA, "lower_step_size": RHO}
    solver = solvers.make("f2sa", PROBLEM, lambda_0=lam, lambda_growth=0.7, **settings)
    state = solver.init(u, y)
    for _ in range(4):
        z = moved(u, z, T)
        for _ in range(T):
            y = y - RHO * (QUADRATIC.upper_gradient_v(u, y) / lam + QUADRATIC.lower_gradient(u, y))
        u = u - SIGMA * (QUADRATIC.upper_gradient_u(u, y) + lam * QUADRATIC.C.T @ (y - z))
        lam += 0.7
        state, _ = solver.step(state)
        assert_near((state.u, state.v, state.z), (u, y, z))
        assert_near(state.lam, torch.tensor(lam, dtype=torch.float64))


def test_f2sa_at_a_constant_weight_ends_at_the_minimiser_of_its_penalty() -> None:
    """Whatever T is, and O(1 / lambda) away from the solution."""
    weights, errors = [4.0, 8.0, 16.0, 32.0], []
    for weight in weights:
        u, v = minimiser(QUADRATIC, weight)
        errors.append((u - QUADRATIC.solution()).norm().item())
        if weight > 4:
            continue
        for T in (1, 3):
            solver = solvers.make(
                "f2sa",
                PROBLEM,
                lower_steps=T,
                upper_step_size=0.04,
                lower_step_size=0.3,
                lambda_0=weight,
                lambda_growth=0.0,
            )
            state = settled(solver, solver.init(*points()), 600)
            assert_near(state.u, u, 1e-6)
            assert_near(state.v, v, 1e-6)
            assert_near(state.z, QUADRATIC.lower_solution(u), 1e-6)
    assert slope(weights, errors) == pytest.approx(-1.0, abs=0.15)


def test_f2sa_on_example_1() -> None:
    """lambda / (1 + 2 lambda) at a constant weight; a half as it grows."""
    settings = {"lower_steps": 5, "upper_step_size": 0.2, "lower_step_size": 0.2}
    constant = solvers.make("f2sa", example_1(), lambda_0=10.0, lambda_growth=0.0, **settings)
    state = settled(constant, constant.init(*START), 120)
    assert_near((state.u, state.v), (torch.full((2,), 10 / 21, dtype=torch.float64),) * 2, 1e-8)
    growing = solvers.make("f2sa", example_1(), lambda_growth=10.0, **settings)
    state = steps(growing, growing.init(*START), 200)
    half = torch.full((2,), 0.5, dtype=torch.float64)
    assert_near((state.u, state.v), (half, half), 1e-3)


def test_f2sa_finds_the_ridge() -> None:
    settings = {"lower_steps": 5, "upper_step_size": 0.2, "lower_step_size": 0.3, "lambda_growth": 10.0}
    solver = solvers.make("f2sa", ridge.PROBLEM, **settings)
    state = steps(solver, solver.init(*ridge.start()), 250)
    assert_near((state.u, state.v), ridge.minimum(), 1e-3)


def test_a_weight_that_means_nothing_is_refused() -> None:
    for settings in ({"lambda_0": 0.0}, {"lambda_growth": -1.0}):
        with pytest.raises(ValueError, match="lambda"):
            solvers.make("f2sa", PROBLEM, **settings)


# V-PBGD


@pytest.mark.parametrize("T", [1, 3])
@pytest.mark.parametrize("inner_start", ["v", "previous"])
@pytest.mark.parametrize("scaled", [False, True])
def test_steps_of_v_pbgd_in_closed_form(T: int, inner_start: str, scaled: bool) -> None:
    u, v = points()
    w, gamma = v, 0.6
    solver = solvers.make(
        "v-pbgd",
        PROBLEM,
        lower_steps=T,
        upper_step_size=SIGMA,
        lower_step_size=RHO,
        gamma_0=gamma,
        gamma_growth=0.5,
        gamma_max=1.8,
        inner_start=inner_start,
        scaled_steps=scaled,
    )
    state = solver.init(u, v)
    for expected in (0.6, 1.1, 1.6, 1.8, 1.8):
        assert_near(state.gamma, torch.tensor(expected, dtype=torch.float64))
        gamma = expected
        w = moved(u, v if inner_start == "v" else w, T)
        in_u = QUADRATIC.upper_gradient_u(u, v) + gamma * QUADRATIC.C.T @ (v - w)
        in_v = QUADRATIC.upper_gradient_v(u, v) + gamma * QUADRATIC.lower_gradient(u, v)
        size = SIGMA * (min(1 / gamma, 1.0) if scaled else 1.0)
        u, v = u - size * in_u, v - size * in_v
        state, _ = solver.step(state)
        assert_near((state.u, state.v, state.w), (u, v, w))


@pytest.mark.parametrize(("inner_start", "T"), [("previous", 1), ("v", 1), ("v", 4)])
def test_v_pbgd_ends_where_theory_says(inner_start: str, T: int) -> None:
    """With w kept, at the minimiser of F_gamma; with w begun anew at v, T steps leave (I - rho H)^T (v - v*) in it."""
    gamma = 4.0
    shrink = torch.linalg.matrix_power(torch.eye(V, dtype=torch.float64) - RHO * QUADRATIC.H, T)
    u, v = minimiser(QUADRATIC, gamma, shrink if inner_start == "v" else None)
    solver = solvers.make(
        "v-pbgd",
        PROBLEM,
        lower_steps=T,
        upper_step_size=0.06,
        lower_step_size=RHO,
        gamma_0=gamma,
        inner_start=inner_start,
    )
    state = steps(solver, solver.init(*points()), 500)
    assert_near((state.u, state.v), (u, v), 1e-7)
    if inner_start == "v" and T == 1:
        assert (u - minimiser(QUADRATIC, gamma)[0]).norm() > 1e-2


def test_the_bias_of_v_pbgd_is_of_the_order_of_one_over_gamma() -> None:
    gammas = [10.0, 100.0, 1000.0]
    errors = [(minimiser(QUADRATIC, gamma)[0] - QUADRATIC.solution()).norm().item() for gamma in gammas]
    assert slope(gammas, errors) == pytest.approx(-1.0, abs=0.05)


def test_v_pbgd_on_example_1() -> None:
    """gamma / (1 + 2 gamma) at a constant weight, and so a half as it grows."""
    settings = {"lower_steps": 2, "lower_step_size": 0.4, "inner_start": "previous", "scaled_steps": True}
    constant = solvers.make("v-pbgd", example_1(), upper_step_size=0.2, gamma_0=5.0, **settings)
    state = settled(constant, constant.init(*START), 400, move=1e-11)
    assert_near((state.u, state.v), (torch.full((2,), 5 / 11, dtype=torch.float64),) * 2, 1e-8)
    growing = solvers.make(
        "v-pbgd", example_1(), upper_step_size=0.2, gamma_0=1.0, gamma_growth=0.2, gamma_max=100.0, **settings
    )
    state = settled(growing, growing.init(*START), 800)
    half = torch.full((2,), 0.5, dtype=torch.float64)
    assert_near((state.u, state.v), (half, half), 6e-3)
    assert state.gamma.item() == 100.0


def test_v_pbgd_finds_the_ridge_to_one_over_gamma() -> None:
    u, v = ridge.minimum()
    settings: dict[str, Any] = {"inner_start": "previous", "scaled_steps": True, "lower_step_size": 0.3}
    solver = solvers.make(
        "v-pbgd",
        ridge.PROBLEM,
        lower_steps=3,
        upper_step_size=0.15,
        joint_lower_step_size=0.25,
        gamma_0=1.0,
        gamma_growth=0.2,
        gamma_max=50.0,
        **settings,
    )
    state = settled(solver, solver.init(*ridge.start()), 1500)
    assert (state.u - u).abs().max().item() < 0.01
    assert (state.v - v).abs().max().item() < 0.01


@pytest.mark.parametrize(
    ("solver", "setting", "value"),
    [("bome", "barrier", "log"), ("v-pbgd", "inner_start", "w"), ("v-pbgd", "gamma_max", 1.0)],
)
def test_settings_that_mean_nothing_are_refused(solver: str, setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=setting):
        solvers.make(solver, PROBLEM, **{setting: value})
