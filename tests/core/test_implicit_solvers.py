"""AID: its calls, its step in closed form for every linear solver, growing D, warm and cold starts, and iMAML as a case."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core import Bilevel, hypergradient, solvers
from core.products import counting
from tests.core import smooth
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import PLAIN, V, normal, points, quadratic, with_eigenvalues

QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()
SIGMA, RHO, ETA = 0.05, 0.2, 0.1
STEPS: dict[str, Any] = {"upper_step_size": SIGMA, "lower_step_size": RHO, "solver_step_size": ETA}
SOLVERS = ("cg", "fixed-point", "gd", "neumann", "adam")


def make(problem: Bilevel = PROBLEM, **settings: Any) -> Any:
    return solvers.make("aid", problem, **{**STEPS, **settings})


@pytest.mark.parametrize(("D", "N"), [(1, 1), (4, 2), (2, 7)])
def test_the_calls_of_one_step(D: int, N: int) -> None:
    def calls(**settings: Any) -> dict[str, int]:
        solver = make(lower_steps=D, solver_steps=N, **settings)
        state = solver.init(*points())
        with counting() as counts:
            solver.step(state)
        return {kind: number for kind, number in counts.items() if number}

    one = {"gradients_f": 1, "gradients_g": D + 1, "hessian_products": N, "cross_products": 1}
    assert calls(linear_solver="cg", warm_solver=False) == one
    assert calls(linear_solver="cg") == {**one, "hessian_products": N + 1}
    for solver in ("fixed-point", "neumann"):
        assert calls(linear_solver=solver) == one
    for solver in ("gd", "adam"):
        assert calls(linear_solver=solver) == {**one, "hessian_products": 2 * N}
    assert calls(linear_solver="cg", restart=True, warm_solver=False, first_lower_steps=1) == one


def by_hand(solver: str, A: Tensor, b: Tensor, w: Tensor, N: int) -> Tensor:
    """N steps from w, written out."""
    if solver == "neumann":
        term = w = ETA * b
        for _ in range(N):
            term = term - ETA * A @ term
            w = w + term
        return w
    if solver == "cg":
        # the minimiser of the energy of the error over w + the Krylov space of the residual
        r = b - A @ w
        basis = torch.linalg.qr(torch.stack([torch.linalg.matrix_power(A, k) @ r for k in range(N)], dim=1)).Q
        return w + basis @ torch.linalg.solve(basis.T @ A @ basis, basis.T @ r)
    for _ in range(N):
        gap = A @ w - b
        w = w - ETA * (A @ gap if solver == "gd" else gap)
    return w


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("linear_solver", ["cg", "fixed-point", "gd", "neumann"])
def test_a_step_in_closed_form(linear_solver: str, restart: bool, warm: bool) -> None:
    D, N, damping = 3, 2, 0.3
    solver = make(
        lower_steps=D, solver_steps=N, linear_solver=linear_solver, restart=restart, warm_solver=warm, damping=damping
    )
    u, v = first = points()
    state = solver.init(u, v)
    A, w = QUADRATIC.H + damping * torch.eye(V, dtype=u.dtype), torch.zeros_like(v)
    for _ in range(4):
        v = QUADRATIC.path(u, first[1] if restart else v, D, RHO)[-1]
        w = by_hand(linear_solver, A, QUADRATIC.upper_gradient_v(u, v), w if warm else torch.zeros_like(v), N)
        gradient = QUADRATIC.upper_gradient_u(u, v) - QUADRATIC.C.T @ w
        u = u - SIGMA * gradient
        state, metrics = solver.step(state)
        assert_near((state.u, state.v), (u, v), 1e-11)
        assert_near(metrics["upper_gradient"], gradient @ gradient, 1e-10)


@pytest.mark.parametrize("linear_solver", SOLVERS)
def test_of_approxgrad_it_is_a_relation(linear_solver: str) -> None:
    """ApproxGrad of gradient descent, T = D = N: the same iterates, for cg with a cold solver."""
    settings: dict[str, Any] = {"lower_steps": 3, "linear_solver": linear_solver, "damping": 0.1}
    aid = make(**settings, solver_steps=3, warm_solver=linear_solver != "cg")
    approxgrad = solvers.make("approxgrad", PROBLEM, **STEPS, **settings, **PLAIN)
    a, b = aid.init(*points()), approxgrad.init(*points())
    for _ in range(4):
        (a, said), (b, expected) = aid.step(a), approxgrad.step(b)
        assert_near((a.u, a.v), (b.u, b.v), 1e-12)
        assert_near(said["solver_residual"], expected["solver_residual"], 1e-9)


def test_cold_adam_begins_anew_each_round() -> None:
    """With u and v at rest, every round of a cold solver is the first one."""
    rest = {"upper_step_size": 0.0, "lower_step_size": 0.0, "linear_solver": "adam"}
    said = {}
    for warm in (False, True):
        solver = make(**{**STEPS, **rest}, warm_solver=warm)
        state, seen = solver.init(*points()), []
        for _ in range(3):
            state, metrics = solver.step(state)
            seen.append(metrics["solver_residual"].item())
        said[warm] = seen
    assert len(set(said[False])) == 1
    assert said[True][0] == said[False][0] > said[True][1] > said[True][2]


def test_the_hypergradient_of_a_network_at_its_solution() -> None:
    """At v*, with as many steps of cg as it takes, u moves along the implicit hypergradient."""
    u, v = smooth.start()
    v = smooth.lower_solution(u, v)
    solver = make(smooth.PROBLEM, lower_steps=2, solver_steps=3 * smooth.LOWER)
    state, _ = solver.step(solver.init(u, v))
    assert_near(state.u, u - SIGMA * hypergradient(smooth.PROBLEM, u, v, method="exact"), 1e-7)


# growing D


def test_the_lower_steps_grow_up_to_the_most() -> None:
    """D_k = min(D_0 + floor(growth k^power), D), counted by how far v has gone with u at rest."""
    for growth, power, limit, expected in (
        (1.0, 1.0, None, [2, 3, 4, 5, 5, 5]),
        (0.5, 1.0, None, [2, 2, 3, 3, 4, 4]),
        (1.0, 0.5, None, [2, 3, 3, 3, 4, 4]),
        (0.0, 1.0, None, [2, 2, 2, 2, 2, 2]),
        (1.0, 1.0, 3, [2, 3, 3, 3, 3, 3]),
    ):
        solver = make(
            lower_steps=5, first_lower_steps=2, growth=growth, growth_power=power, upper_step_size=0.0, restart=True
        )
        u, v = points()
        path = QUADRATIC.path(u, v, 5, RHO)
        state = solver.init(u, v) if limit is None else solver.init(u, v, limit=torch.tensor(limit))
        for steps in expected:
            state, _ = solver.step(state)
            assert_near(state.v, path[steps], 1e-12)


def test_without_a_warm_start_a_constant_number_of_lower_steps_is_biased() -> None:
    """Two steps from v_0: v = v* + s^2 (v_0 - v*), and u ends where the formula vanishes there; growing D mends it."""
    ends = {}
    for D, first in ((2, None), (60, 2)):
        solver = make(
            lower_steps=D, first_lower_steps=first, restart=True, solver_steps=V, upper_step_size=0.25, warm_solver=False
        )
        state = solver.init(*points())
        for _ in range(60):
            state, _ = solver.step(state)
        ends[D] = state.u
    _, v_0 = points()

    def seen(u: Tensor) -> Tensor:
        return QUADRATIC.formula(u, QUADRATIC.path(u, v_0, 2, RHO)[-1])

    assert seen(ends[2]).abs().max() < 1e-9
    assert (ends[2] - QUADRATIC.solution()).norm() > 0.1
    assert_near(ends[60], QUADRATIC.solution(), 1e-4)


# iMAML: v is the departure of the adapted parameters from u

_A = with_eigenvalues([0.5, 1.0, 2.0, 2.5], seed=9)
_a, _b = normal(4, seed=10), normal(4, seed=11)
LAMBDA = 2.0

IMAML = Bilevel(
    lambda u, v, batch: 0.5 * ((u + v - _b) ** 2).sum(),
    lambda u, v, batch: 0.5 * (u + v) @ _A @ (u + v) - _a @ (u + v) + 0.5 * LAMBDA * (v * v).sum(),
)


def test_aid_with_restart_is_imaml() -> None:
    """The meta-gradient is (I + A / lambda)^{-1} grad f(phi), phi after D steps from u on loss + lambda/2 |phi - u|^2."""
    D, alpha = 3, 0.2
    solver = make(IMAML, lower_steps=D, lower_step_size=alpha, restart=True, solver_steps=4, warm_solver=False)
    theta = normal(4, seed=12)
    state = solver.init(theta, torch.zeros_like(theta))
    for _ in range(3):
        phi = theta
        for _ in range(D):
            phi = phi - alpha * (_A @ phi - _a + LAMBDA * (phi - theta))
        theta = theta - SIGMA * torch.linalg.solve(torch.eye(4, dtype=phi.dtype) + _A / LAMBDA, phi - _b)
        state, _ = solver.step(state)
        assert_near(state.u, theta, 1e-10)
    assert_identical(state.start, torch.zeros_like(theta))


# what a state holds, what is refused


def test_a_state_holds_no_more_than_it_needs() -> None:
    start = points()
    warm = make().init(*start)
    assert warm.w.shape == (V,)
    assert warm.start == warm.linear_optimizer == ()
    cold = make(warm_solver=False, restart=True).init(*start)
    assert cold.w == cold.linear_optimizer == ()
    assert_identical(cold.start, start[1])
    assert make(linear_solver="neumann").init(*start).w == ()
    assert make(linear_solver="adam").init(*start).linear_optimizer.mean.shape == (V,)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("linear_solver", "lu"), ("solver_steps", 0), ("lower_steps", 0), ("first_lower_steps", 0)],
)
def test_values_that_mean_nothing_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=setting):
        make(**{setting: value})
