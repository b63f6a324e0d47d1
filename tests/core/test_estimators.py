"""Every estimator of df/du on sixty random problems: the vector, and the order of its error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from core import Bilevel, hypergradient
from tests.core.checks import assert_near
from tests.core.quadratics import Quadratic, U, V, normal, points, quadratic
from tests.core.stacked import assert_each_near, between, closed, estimates, lower_solutions, problems

RANDOM = problems(between(1.0, 4.0))
SPREAD = problems(between(0.5, 50.0))
# a gap above the smallest eigenvalue: after a few steps its mode is all that is left of an error
SLOWEST = 0.5
GAP = problems(lambda seed: [SLOWEST, 1.5, 2.0, 2.5, 3.0])

# exact answers


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("exact", {}),
        ("implicit-cg", {"steps": V}),
        ("implicit-neumann", {"steps": 90, "step_size": 0.25}),
        ("implicit-fixed-point", {"steps": 90, "step_size": 0.25}),
        ("implicit-gd", {"steps": 350, "step_size": 1 / 16}),
    ],
)
def test_the_formula_at_any_point(method: str, settings: dict[str, Any]) -> None:
    """Far from v* too: H is constant, so the formula is the estimators' limit there."""
    assert_each_near(estimates(*RANDOM, method, **settings), closed(Quadratic.formula, *RANDOM), 1e-8)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("reverse", {}),
        ("forward", {}),
        ("truncated", {"kept": 90}),
    ],
)
def test_the_derivative_of_many_lower_steps(method: str, settings: dict[str, Any]) -> None:
    found = estimates(*RANDOM, method, steps=90, step_size=0.25, **settings)
    assert_each_near(found, closed(lambda q, u, v: q.hypergradient(u), *RANDOM), 1e-8)


@pytest.mark.parametrize("steps", [0, 1, 7])
@pytest.mark.parametrize("method", ["reverse", "forward"])
def test_the_derivative_of_few_lower_steps_is_the_truncated_series(method: str, steps: int) -> None:
    rho = 0.015

    def series(q: Quadratic, u: Tensor, v: Tensor) -> Tensor:
        return q.truncated(u, q.path(u, v, steps, rho)[-1], steps, rho)

    assert_each_near(estimates(*SPREAD, method, steps=steps, step_size=rho), closed(series, *SPREAD), 1e-12)


@pytest.mark.parametrize("kept", [0, 1, 3, 7, 12])
def test_truncation_leaves_the_series_of_the_kept_steps(kept: int) -> None:
    steps, rho = 7, 0.015

    def series(q: Quadratic, u: Tensor, v: Tensor) -> Tensor:
        return q.truncated(u, q.path(u, v, steps, rho)[-1], min(kept, steps), rho)

    found = estimates(*SPREAD, "truncated", steps=steps, step_size=rho, kept=kept)
    assert_each_near(found, closed(series, *SPREAD), 1e-12)


# orders: what is left of df/du is C' R^n H^{-1} grad_v f, R = I - rate_matrix

ETA, ETA_GD = 0.3, 0.1


def remainder(power: int, shrink: Callable[[Tensor], Tensor]) -> Callable[[Quadratic, Tensor, Tensor], Tensor]:
    """C' (I - shrink(H))^power H^{-1} grad_v f."""

    def form(q: Quadratic, u: Tensor, v: Tensor) -> Tensor:
        left = torch.linalg.solve(q.H, q.upper_gradient_v(u, v))
        factor = torch.eye(V, dtype=torch.float64) - shrink(q.H)
        for _ in range(power):
            left = factor @ left
        return q.C.T @ left

    return form


def first_order(H: Tensor) -> Tensor:
    return ETA * H


def second_order(H: Tensor) -> Tensor:
    return ETA_GD * H @ H


# method, settings of a count n, the power that n stands for, what a step shrinks, the rate of the slowest mode
ORDERS: dict[str, tuple[Callable[[int], dict[str, Any]], int, Callable[[Tensor], Tensor], float]] = {
    "truncated": (lambda n: {"steps": 60, "step_size": ETA, "kept": n}, 0, first_order, 1 - ETA * SLOWEST),
    "implicit-neumann": (lambda n: {"steps": n, "step_size": ETA}, 1, first_order, 1 - ETA * SLOWEST),
    "implicit-fixed-point": (lambda n: {"steps": n, "step_size": ETA}, 0, first_order, 1 - ETA * SLOWEST),
    "implicit-gd": (lambda n: {"steps": n, "step_size": ETA_GD}, 0, second_order, 1 - ETA_GD * SLOWEST**2),
}


@pytest.mark.parametrize("method", ORDERS)
def test_the_error_is_what_theory_leaves_and_falls_at_its_rate(method: str) -> None:
    """At v*, vectors: C' (I - eta H)^K H^{-1} grad_v f for K kept steps; K = Q + 1 for Q Neumann products."""
    settings, shift, shrink, rate = ORDERS[method]
    assert 0 < rate < 1
    u, v, matrices = GAP
    v = lower_solutions(u, v, matrices)
    exact = closed(Quadratic.formula, u, v, matrices)
    counts = (20, 25, 30, 35, 40)
    sizes = []
    for count in counts:
        error = estimates(u, v, matrices, method, **settings(count)) - exact
        left = closed(remainder(count + shift, shrink), u, v, matrices)
        assert_each_near(error, left, 1e-8)
        sizes.append(error.norm(dim=1).log())
    x = torch.tensor(counts, dtype=torch.float64)
    x = x - x.mean()
    slopes = (x @ torch.stack(sizes)) / (x @ x)
    assert ((slopes / math.log(rate) - 1).abs() < 0.1).all(), slopes.exp()
    # where the intercept belongs: Neumann's Q products are one power more than fixed-point steps
    assert slopes.exp().median() == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_fixed_point_steps_are_the_neumann_series_with_a_product_less(steps: int) -> None:
    fixed = estimates(*RANDOM, "implicit-fixed-point", steps=steps, step_size=0.2)
    series = estimates(*RANDOM, "implicit-neumann", steps=steps - 1, step_size=0.2)
    assert_each_near(fixed, series, 1e-12)


def test_at_the_lower_solution_the_truncated_series_is_neumanns() -> None:
    """Lorraine et al. (2020): K reverse steps at a path that stands still are K - 1 products."""
    u, v, matrices = RANDOM
    v = lower_solutions(u, v, matrices)
    reverse = estimates(u, v, matrices, "truncated", steps=20, step_size=0.2, kept=6)
    assert_each_near(reverse, estimates(u, v, matrices, "implicit-neumann", steps=5, step_size=0.2), 1e-10)


# damping


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("exact", {}),
        ("implicit-cg", {"steps": V}),
        ("implicit-neumann", {"steps": 70, "step_size": 0.2}),
        ("implicit-fixed-point", {"steps": 70, "step_size": 0.2}),
        ("implicit-gd", {"steps": 200, "step_size": 0.04}),
    ],
)
def test_damping_is_added_to_the_diagonal(method: str, settings: dict[str, Any]) -> None:
    damped = estimates(*RANDOM, method, damping=0.7, **settings)
    assert_each_near(damped, closed(lambda q, u, v: q.formula(u, v, 0.7), *RANDOM), 1e-8)


# one step


def test_the_error_of_one_step_in_closed_form() -> None:
    """At v*: H_uv (H_vv^{-1} - eta I) grad_v f, at most |C| |grad_v f| (1 - eta mu) / mu."""
    u, v, matrices = GAP
    v = lower_solutions(u, v, matrices)
    error = estimates(u, v, matrices, "one-step", step_size=ETA) - closed(Quadratic.formula, u, v, matrices)
    assert_each_near(error, closed(remainder(1, first_order), u, v, matrices), 1e-10)
    size = torch.linalg.matrix_norm(matrices["C"], 2) * closed(Quadratic.upper_gradient_v, u, v, matrices).norm(dim=1)
    assert (error.norm(dim=1) <= size * (1 - ETA * SLOWEST) / SLOWEST).all()
    assert (error.norm(dim=1) > 1e-3).all()


def test_the_bound_of_one_step_is_attained_along_the_slowest_mode() -> None:
    diagonal = torch.tensor([SLOWEST, 1.0, 2.0, 2.5, 3.0], dtype=torch.float64)
    problem = Bilevel(lambda u, v, batch: v[0], lambda u, v, batch: 0.5 * v @ (diagonal * v) + u @ v[:U])
    u, v = points()
    found = hypergradient(problem, u, v, method="one-step", step_size=ETA)
    error = found - hypergradient(problem, u, v, method="exact")
    expected = torch.tensor([(1 - ETA * SLOWEST) / SLOWEST, 0.0, 0.0], dtype=torch.float64)
    assert_near(error, expected, 1e-14)


def test_one_step_is_the_neumann_series_without_products() -> None:
    one = estimates(*RANDOM, "one-step", step_size=0.2)
    assert_each_near(one, estimates(*RANDOM, "implicit-neumann", steps=0, step_size=0.2), 1e-14)
    assert_each_near(one, estimates(*RANDOM, "implicit-fixed-point", steps=1, step_size=0.2), 1e-13)


def test_one_step_is_exact_where_the_hessian_is_the_identity_over_the_step_size() -> None:
    isotropic = quadratic([4.0] * V)
    u, v = points()
    found = hypergradient(isotropic.problem(), u, v, method="one-step", step_size=0.25)
    assert_near(found, isotropic.formula(u, v), 1e-12)


@pytest.mark.parametrize("method", ["implicit-gd", "implicit-fixed-point"])
def test_no_steps_are_the_direct_gradient(method: str) -> None:
    u, v, matrices = RANDOM
    found = estimates(u, v, matrices, method, steps=0)
    assert_each_near(found, closed(Quadratic.upper_gradient_u, u, v, matrices), 1e-14)


# where f does not depend on v, or g not on u


def test_without_a_link_through_v_every_estimator_is_the_direct_gradient() -> None:
    u, v = points()
    a, w = normal(U, seed=1), normal(V, seed=2)
    unused = Bilevel(lambda u, v, batch: a @ u, lambda u, v, batch: 0.5 * v @ v + v @ v.detach() * (u @ u))
    unlinked = Bilevel(lambda u, v, batch: a @ u + w @ v, lambda u, v, batch: 0.5 * v @ v)
    for method, settings in {
        "exact": {},
        "forward": {"steps": 3, "step_size": 0.1},
        "reverse": {"steps": 3, "step_size": 0.1},
        "truncated": {"steps": 3, "step_size": 0.1, "kept": 2},
        "implicit-cg": {},
        "implicit-gd": {},
        "implicit-neumann": {},
        "implicit-fixed-point": {},
        "one-step": {"step_size": 0.1},
    }.items():
        for problem in (unused, unlinked):
            assert_near(hypergradient(problem, u, v, method=method, **settings), a, 1e-14)
