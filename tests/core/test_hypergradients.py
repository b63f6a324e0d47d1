"""Estimators of df/du one by one: closed forms, and finite differences of a network."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from core import Bilevel, hypergradient
from core.hypergradients.reverse import backward, unroll
from core.products import dense_second_derivatives, upper_gradients
from tests.core import smooth
from tests.core.checks import assert_near
from tests.core.quadratics import V, normal, points, quadratic, with_eigenvalues

QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()


# exact


def test_exact_is_the_formula() -> None:
    u, v = points()
    assert_near(hypergradient(PROBLEM, u, v, method="exact"), QUADRATIC.formula(u, v), 1e-11)
    damped = hypergradient(PROBLEM, u, v, method="exact", damping=0.3)
    assert_near(damped, QUADRATIC.formula(u, v, 0.3), 1e-11)


def test_exact_at_the_lower_solution_is_the_derivative_of_the_upper_value() -> None:
    u, _ = points()

    def value(u: torch.Tensor) -> torch.Tensor:
        return QUADRATIC.upper(u, QUADRATIC.lower_solution(u), None)

    found = hypergradient(PROBLEM, u, QUADRATIC.lower_solution(u), method="exact")
    assert_near(found, QUADRATIC.hypergradient(u), 1e-11)
    assert_near(found, torch.func.grad(value)(u), 1e-11)


def test_exact_refuses_a_singular_hessian() -> None:
    u, v = points()
    diagonal = torch.tensor([0.0, 1.0, 1.0, 2.0, 2.0], dtype=torch.float64)
    problem = Bilevel(QUADRATIC.upper, lambda u, v, batch: 0.5 * v @ (diagonal * v) + v[0] * u[0])
    with pytest.raises(torch.linalg.LinAlgError, match=r"^g has a singular second derivative in v with u \[3\], v \[5\]"):
        hypergradient(problem, u, v, method="exact")


def test_cg_tells_a_system_without_a_solution() -> None:
    """H_vv = diag(0, 1, 1, 2, 2): told where grad_v f has a part along the first axis, and only there."""
    u, v = points()
    diagonal = torch.tensor([0.0, 1.0, 1.0, 2.0, 2.0], dtype=torch.float64)

    def problem(b: torch.Tensor) -> Bilevel:
        return Bilevel(lambda u, v, batch: b @ v + u.sum(), lambda u, v, batch: 0.5 * v @ (diagonal * v) + v[1] * u[0])

    words = r"^implicit-cg: .* has no solution with u \[3\], v \[5\], batch None, a residual of \S+ is left: .* a damping"
    with pytest.warns(RuntimeWarning, match=words):
        hypergradient(problem(torch.ones(V, dtype=torch.float64)), u, v, method="implicit-cg")
    inside = problem((diagonal > 0).to(torch.float64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = hypergradient(inside, u, v, method="implicit-cg")
        axes = torch.eye(V, dtype=torch.float64)
        rows = torch.func.vmap(lambda b: hypergradient(problem(b), u, v, method="implicit-cg"))(axes)
    # q = (0, 1, 1, 1/2, 1/2), H_uv q = (1, 0, 0)
    assert_near(found, torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64), 1e-12)
    assert_near(rows[:, 0], 1 - torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64), 1e-12)


# reverse


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 20])
def test_reverse_is_the_truncated_series(steps: int) -> None:
    u, v = points()
    rho = 0.2
    end = QUADRATIC.path(u, v, steps, rho)[-1]
    found = hypergradient(PROBLEM, u, v, method="reverse", steps=steps, step_size=rho)
    assert_near(found, QUADRATIC.truncated(u, end, steps, rho), 1e-12)


@pytest.mark.parametrize("first", [0, 1, 3, 6])
def test_backward_leaves_out_the_first_steps(first: int) -> None:
    u, v = points()
    rho, steps = 0.2, 6
    end, path = unroll(PROBLEM, u, v, None, steps=steps, step_size=rho)
    assert_near(end, QUADRATIC.path(u, v, steps, rho)[-1])
    assert_near(path, QUADRATIC.path(u, v, steps, rho)[:-1])
    found = backward(PROBLEM, u, end, path, None, steps=steps, step_size=rho, first=first)
    assert_near(found, QUADRATIC.truncated(u, end, steps - first, rho))


def test_backward_meets_the_points_of_the_path_in_reverse_order() -> None:
    """On a network the products differ from point to point: only the right order gives the derivative."""
    u, v = smooth.start()
    steps, rho = 15, 0.3

    def value(u: torch.Tensor) -> torch.Tensor:
        end, _ = unroll(smooth.PROBLEM, u, v, None, steps=steps, step_size=rho)
        return smooth.upper(u, end, None)

    found = hypergradient(smooth.PROBLEM, u, v, method="reverse", steps=steps, step_size=rho)
    assert_near(found, smooth.central_differences(value, u), 1e-7)
    assert_near(found, torch.func.grad(value)(u), 1e-11)


@pytest.mark.parametrize("limit", [(), 6])
def test_what_backward_leaves_out_is_the_beginning_of_the_path(limit: Any) -> None:
    """From step 3 on, the derivative is that of a run which starts at v_3. On a network, points differ."""
    u, v = smooth.start()
    steps, rho, first = 8, 0.3, 3
    counted: Any = limit if limit == () else torch.tensor(limit)
    end, path = unroll(smooth.PROBLEM, u, v, None, steps=steps, step_size=rho, limit=counted)
    found = backward(
        smooth.PROBLEM, u, end, path, None, steps=steps, step_size=rho, first=first, limit=counted
    )
    rest = (steps if limit == () else limit) - first
    expected = hypergradient(smooth.PROBLEM, u, path[first], method="reverse", steps=rest, step_size=rho)
    assert_near(found, expected, 1e-12)


@pytest.mark.parametrize("at_the_solution", [True, False])
def test_reverse_tends_to_the_exact_hypergradient_at_the_rate_of_its_series(at_the_solution: bool) -> None:
    """The error falls as (1 - rho mu)^T, mu the smallest eigenvalue of H."""
    rho, mu = 0.25, 1.0
    u, v = points()
    v = QUADRATIC.lower_solution(u) if at_the_solution else v
    errors = {}
    for steps in (40, 50, 60, 70):
        found = hypergradient(PROBLEM, u, v, method="reverse", steps=steps, step_size=rho)
        errors[steps] = (found - QUADRATIC.hypergradient(u)).norm()
    for steps in (40, 50, 60):
        rate = (errors[steps + 10] / errors[steps]).item() ** 0.1
        assert rate == pytest.approx(1 - rho * mu, rel=1e-3)
    far = hypergradient(PROBLEM, u, v, method="reverse", steps=150, step_size=rho)
    assert_near(far, QUADRATIC.hypergradient(u), 1e-12)


def test_a_limit_of_reverse_is_that_many_steps() -> None:
    u, v = points()
    for limit in range(5):
        end, path = unroll(PROBLEM, u, v, None, steps=4, step_size=0.2, limit=torch.tensor(limit))
        assert_near(end, QUADRATIC.path(u, v, limit, 0.2)[-1])
        found = backward(PROBLEM, u, end, path, None, steps=4, step_size=0.2, limit=torch.tensor(limit))
        assert_near(found, QUADRATIC.truncated(u, end, limit, 0.2))


# implicit


def test_implicit_cg_is_exact_after_as_many_steps_as_lower_variables() -> None:
    u, v = points()
    before = hypergradient(PROBLEM, u, v, method="implicit-cg", steps=V - 1)
    assert (before - QUADRATIC.formula(u, v)).norm() > 1e-6
    found = hypergradient(PROBLEM, u, v, method="implicit-cg", steps=V)
    assert_near(found, QUADRATIC.formula(u, v), 1e-11)


def test_implicit_cg_with_damping() -> None:
    u, v = points()
    found = hypergradient(PROBLEM, u, v, method="implicit-cg", steps=V, damping=0.7)
    assert_near(found, QUADRATIC.formula(u, v, 0.7), 1e-11)


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("steps", [1, 10])
def test_implicit_cg_takes_one_step_on_a_multiple_of_the_identity(scale: float, steps: int) -> None:
    """Where the solve stops before it stores what it converged to, q is 0 and df/du is grad_u f alone."""
    isotropic = quadratic([scale] * V)
    u, v = points()
    found = hypergradient(isotropic.problem(), u, v, method="implicit-cg", steps=steps)
    assert_near(found, isotropic.formula(u, v), 1e-12)
    assert (found - isotropic.upper_gradient_u(u, v)).norm() > 0.1


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("steps", [3, 5, 20, 100])
def test_implicit_cg_on_a_singular_hessian_stays_where_it_converged(rotated: bool, steps: int) -> None:
    eigenvalues = [0.0, 0.0, 1.0, 2.0, 3.0]
    matrix = (
        with_eigenvalues(eigenvalues, seed=4)
        if rotated
        else torch.diag(torch.tensor(eigenvalues, dtype=torch.float64))
    )
    C, seen = QUADRATIC.C, matrix @ normal(V, seed=31)
    problem = Bilevel(lambda u, v, batch: v @ seen, lambda u, v, batch: 0.5 * v @ (matrix @ v) + v @ (C @ u))
    u, v = points()
    found = hypergradient(problem, u, v, method="implicit-cg", steps=steps)
    assert_near(found, -C.T @ torch.linalg.pinv(matrix, hermitian=True) @ seen, 1e-9)


def test_implicit_adam_converges_to_the_exact_hypergradient() -> None:
    u, v = points()
    found = hypergradient(PROBLEM, u, v, method="implicit-adam", steps=3000, step_size=1e-2)
    assert_near(found, QUADRATIC.formula(u, v), 1e-6)


def test_implicit_adam_with_damping_converges_to_the_damped_one() -> None:
    u, v = points()
    found = hypergradient(PROBLEM, u, v, method="implicit-adam", steps=1500, step_size=1e-2, damping=0.7)
    assert_near(found, QUADRATIC.formula(u, v, 0.7), 1e-3)


def test_implicit_adam_of_no_steps_is_the_direct_gradient() -> None:
    u, v = points()
    found = hypergradient(PROBLEM, u, v, method="implicit-adam", steps=0)
    assert_near(found, QUADRATIC.upper_gradient_u(u, v))


# finite differences of a network


@pytest.mark.parametrize("method", ["exact", "implicit-cg"])
def test_the_implicit_hypergradient_of_a_network_against_finite_differences(method: str) -> None:
    u, v = smooth.start()
    solution = smooth.lower_solution(u, v)
    assert torch.linalg.eigvalsh(torch.func.hessian(smooth.lower, argnums=1)(u, solution, None))[0] > 5e-3
    expected = smooth.central_differences(
        lambda u: smooth.upper(u, smooth.newton(u, solution, 3), None), u, step=1e-5
    )
    settings = {"steps": 3 * smooth.LOWER} if method == "implicit-cg" else {}
    found = hypergradient(smooth.PROBLEM, u, solution, method=method, **settings)
    assert_near(found, expected, 1e-7)


def test_reverse_from_the_solution_of_a_network_is_the_series_there() -> None:
    """The path does not move, so T steps are the first T terms of the series of the inverse at v*."""
    u, v = smooth.start()
    solution = smooth.lower_solution(u, v)
    h_vv, h_uv = dense_second_derivatives(smooth.PROBLEM, u, solution, None)
    direct, term = upper_gradients(smooth.PROBLEM, u, solution, None)
    rho, total = 0.3, torch.zeros_like(term)
    for steps in range(1, 31):
        total, term = total + term, term - rho * h_vv @ term
        if steps in (1, 7, 30):
            found = hypergradient(smooth.PROBLEM, u, solution, method="reverse", steps=steps, step_size=rho)
            assert_near(found, direct - rho * h_uv @ total, 1e-9)


# settings


@pytest.mark.parametrize("method", ["reverse", "implicit-cg", "exact"])
def test_an_unknown_setting_is_named_with_those_there_are(method: str) -> None:
    with pytest.raises(ValueError, match=f"^hypergradient {method} has no setting step, wide; it has: .*(damping|steps)"):
        hypergradient(PROBLEM, *points(), method=method, step=3, wide=True)
