"""Equalities, inequalities with slacks and boxes: the penalty method ends at the KKT point, or where theory says it does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core import Bilevel, solvers
from core.constraints import Constraints, WithSlack, box, violation, with_slack, with_start
from tests.core.cases import settled, steps
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import PLAIN, K, U, V, points, quadratic

QUADRATIC = quadratic()
RATES: dict[str, Any] = {"lower_steps": 5, "upper_step_size": 0.02, "lower_step_size": 0.05, **PLAIN}


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# an equality


def joint(gamma: float, gamma_h: float) -> tuple[Tensor, ...]:
    """(u, v, nu, mu): the root of grad f + (C, H)' nu + (M, N)' mu with grad_v g = nu / gamma and h = mu / gamma_h.

    For finite weights the minimiser of f~, for infinite ones the KKT point of min f s.t. grad_v g = 0, h = 0.
    """
    q, eye = QUADRATIC, torch.eye(V, dtype=torch.float64)
    matrix = torch.zeros(U + 2 * V + K, U + 2 * V + K, dtype=torch.float64)
    u, v, nu, mu = slice(0, U), slice(U, U + V), slice(U + V, U + 2 * V), slice(U + 2 * V, None)
    matrix[u, u], matrix[u, v], matrix[u, nu], matrix[u, mu] = q.D, q.E, q.C.T, q.M.T
    matrix[v, u], matrix[v, v], matrix[v, nu], matrix[v, mu] = q.E.T, eye, q.H, q.N.T
    matrix[nu, u], matrix[nu, v], matrix[nu, nu] = q.C, q.H, -eye / gamma
    matrix[mu, u], matrix[mu, v], matrix[mu, mu] = q.M, q.N, -torch.eye(K, dtype=torch.float64) / gamma_h
    root = torch.linalg.solve(matrix, torch.cat([-q.b, q.a, -q.c, q.e]))
    return root[u], root[v], root[nu], root[mu]


KKT = joint(float("inf"), float("inf"))


def test_with_multipliers_the_penalty_method_reaches_the_kkt_point_at_a_finite_gamma() -> None:
    """Weights that never grow: the augmented Lagrangian; both multipliers come out as well."""
    solver = solvers.make(
        "penalty",
        QUADRATIC.problem(constrained=True),
        gamma_0=2.0,
        gamma_h_0=1.0,
        gamma_growth=1.0,
        epsilon_0=3.0,
        epsilon_decay=0.8,
        constraint_multipliers=True,
        **RATES,
    )
    state = settled(solver, solver.init(*points()), 550)
    assert_near((state.u, state.v, state.nu, state.mu), KKT, 1e-6)
    assert (state.gamma.item(), state.gamma_h.item()) == (2.0, 1.0)


def test_without_the_multiplier_of_h_it_ends_beside_it() -> None:
    """nu does its part, so grad_v g = 0; h is mu / gamma_h at the root, with grad_v g exact."""
    solver = solvers.make(
        "penalty",
        QUADRATIC.problem(constrained=True),
        gamma_0=2.0,
        gamma_h_0=1.0,
        gamma_growth=1.0,
        epsilon_0=3.0,
        epsilon_decay=0.85,
        **RATES,
    )
    state = settled(solver, solver.init(*points()), 500)
    u, v, nu, mu = joint(float("inf"), 1.0)
    assert_near((state.u, state.v, state.nu), (u, v, nu), 1e-6)
    assert_near(QUADRATIC.equality(state.u, state.v, None), mu, 1e-6)
    assert state.mu == ()
    assert (u - KKT[0]).norm() > 1e-2


def test_without_multipliers_the_constraint_holds_in_the_limit_of_gamma() -> None:
    """At one gamma the minimiser of f~; over gammas an error, and an infeasibility, of order 1 / gamma."""
    solver = solvers.make(
        "penalty",
        QUADRATIC.problem(constrained=True),
        gamma_0=3.0,
        epsilon_0=0.0,
        multipliers=False,
        **{**RATES, "upper_step_size": 0.03, "lower_step_size": 0.03},
    )
    state = settled(solver, solver.init(*points()), 500)
    assert_near((state.u, state.v), joint(3.0, 3.0)[:2], 1e-6)
    errors, residuals = [], []
    for gamma in (1e2, 1e3, 1e4):
        u, v, _, _ = joint(gamma, gamma)
        errors.append((u - KKT[0]).norm().item())
        residuals.append(QUADRATIC.equality(u, v, None).norm().item())
    for found in (errors, residuals):
        assert found[1] / found[2] == pytest.approx(10.0, rel=0.05)


# inequalities with slacks: v* = u, f = (|u - p|^2 + |v - r|^2) / 2, u_0 + v_0 <= 0.4, u_1 <= 3, a third without bound


P, R = tensor(1.0, 0.5, -0.3), tensor(0.6, 1.1, 0.2)
BOUNDS = tensor(0.4, 3.0)


def projection_problem(**more: Any) -> Bilevel:
    return Bilevel(
        lambda u, v, batch: 0.5 * ((u - P) ** 2).sum() + 0.5 * ((v - R) ** 2).sum(),
        lambda u, v, batch: 0.5 * ((v - u) ** 2).sum(),
        **more,
    )


def inequality(u: Tensor, v: Tensor, batch: Any) -> Tensor:
    return torch.stack([u[0] + v[0], u[1]]) - BOUNDS


# u_0 = 0.2 by the active one, with mu_0 = (p_0 + r_0 - 2 u_0) / 2; the rest at the mean of p and r
SOLUTION = torch.cat([tensor(0.2), ((P + R) / 2)[1:]])
MULTIPLIERS = tensor(0.6, 0.0)


def slack_solver(problem: Bilevel | None = None, **more: Any) -> Any:
    settings: dict[str, Any] = {"epsilon_0": 1.0, "epsilon_decay": 0.8, "gamma_growth": 1.0, "gamma_0": 3.0}
    settings |= {"lower_steps": 3, "upper_step_size": 0.05, "lower_step_size": 0.1, **PLAIN}
    made = with_slack(projection_problem(), inequality) if problem is None else problem
    return solvers.make("penalty", made, **{"constraint_multipliers": True, **settings, **more})


def test_an_active_and_an_inactive_inequality() -> None:
    """mu is positive and the slack zero for the one; mu is zero and the slack the distance for the other."""
    solver = slack_solver()
    u, v = tensor(2.0, -1.0, 0.5), tensor(-1.0, 0.3, 0.4)
    state = settled(solver, solver.init(with_start(inequality, u, v), v), 600)
    assert_near(state.u.u, SOLUTION, 1e-5)
    assert_near(state.v, SOLUTION, 1e-5)
    assert_near(state.mu, MULTIPLIERS, 1e-5)
    h = inequality(SOLUTION, SOLUTION, None)
    assert_near(state.u.s**2, -h, 1e-5)
    assert violation(inequality(state.u.u, state.v, None)).max() < 1e-5


def test_penalised_inequalities_fail_by_the_order_of_one_over_gamma() -> None:
    """Without mu: nu makes v = u exact, and f + gamma/2 (2 u_0 - 0.4)^2 is least at 2 u_0 - 1.6 + 2 gamma h = 0."""
    solver = slack_solver(constraint_multipliers=False, gamma_h_0=5.0, upper_step_size=0.02)
    v = tensor(-1.0, 0.3, 0.4)
    state = settled(solver, solver.init(with_start(inequality, v, v), v), 600)
    # h = 2 u_0 - 0.4, so h + 0.4 - 1.6 + 2 gamma h = 0
    h = 1.2 / (1 + 2 * 5.0)
    assert violation(inequality(state.u.u, state.v, None))[0].item() == pytest.approx(h, rel=1e-5)
    assert state.u.s[0].abs().item() < 1e-5
    assert_near(state.u.u[1:], SOLUTION[1:], 1e-5)


def test_a_slack_of_zero_is_a_spurious_stationary_point() -> None:
    """It stays zero, and the inequality that does not bind is an equality: u_1 = 3 in place of 0.8."""
    solver = slack_solver()
    v = tensor(-1.0, 0.3, 0.4)
    state = settled(solver, solver.init(WithSlack(v, torch.zeros(2, dtype=torch.float64)), v), 600)
    assert torch.equal(state.u.s, torch.zeros(2, dtype=torch.float64))
    assert_near(state.u.u, torch.cat([tensor(0.2, 3.0), SOLUTION[2:]]), 1e-5)
    # the multiplier has the wrong sign: so the point is seen to be no solution
    assert state.mu[1].item() < -1.0


def test_the_start_of_a_slack_is_never_zero() -> None:
    u, v = tensor(2.0, -1.0, 0.5), tensor(-1.0, 0.3, 0.4)
    # h is 0.6, violated, and -4
    assert_near(with_start(inequality, u, v), WithSlack(u, tensor(0.1, 2.0)))
    assert_near(with_start(inequality, u, v, smallest=0.25).s, tensor(0.5, 2.0))
    with pytest.raises(ValueError, match="smallest must be positive"):
        with_start(inequality, u, v, smallest=0.0)


def test_an_equality_stands_beside_the_inequality() -> None:
    """u_2 = 0.7 too, and trees of inequalities."""
    problem = projection_problem(equality=lambda u, v, batch: u[2:] - 0.7)

    def parts(u: Tensor, v: Tensor, batch: Any) -> dict[str, Tensor]:
        h = inequality(u, v, batch)
        return {"sum": h[:1], "one": h[1:]}

    both = with_slack(problem, parts)
    v = tensor(-1.0, 0.3, 0.4)
    start = with_start(parts, v, v)
    found = both.equality(start, v, None) if both.equality is not None else None
    assert isinstance(found, Constraints)
    assert_near(found.equality, tensor(-0.3))
    # both hold at the start, so that the slacks make them equalities
    assert torch.cat([found.inequality["sum"], found.inequality["one"]]).abs().max() < 1e-14
    solver = slack_solver(both)
    state = settled(solver, solver.init(start, v), 600)
    assert_near(state.u.u, torch.cat([SOLUTION[:2], tensor(0.7)]), 1e-5)


def test_visited_entries_and_slacks_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="visited"):
        with_slack(projection_problem(visited=lambda batch: batch), inequality)


# boxes


@pytest.mark.parametrize("name", ["penalty", "soba", "approxgrad"])
def test_a_box_by_projection(name: str) -> None:
    """The costs are sums over entries: the solution is the mean of p and r, clipped."""
    settings: dict[str, dict[str, Any]] = {
        "penalty": {"lower_steps": 3, "epsilon_0": 1.0, "epsilon_decay": 0.85, "gamma_growth": 1.0, **PLAIN},
        "soba": {"solver_step_size": 0.3},
        "approxgrad": {"linear_solver": "cg", "lower_steps": 5, "damping": 0.0, **PLAIN},
    }
    problem = projection_problem(project_upper=box(-0.02, 0.5))
    solver = solvers.make(name, problem, upper_step_size=0.1, lower_step_size=0.3, **settings[name])
    state = steps(solver, solver.init(tensor(0.0, 0.1, 0.2), tensor(-1.0, 0.3, 0.4)), 400)
    expected = tensor(0.5, 0.5, -0.02)
    assert_near(state.u, expected, 1e-12)
    if name != "penalty":
        assert_near(state.v, expected, 1e-8)
    assert not torch.equal(expected, (P + R) / 2)


def test_the_slack_is_not_projected() -> None:
    problem = with_slack(projection_problem(project_upper=box(-0.1, 0.1)), inequality)
    u = WithSlack(tensor(2.0, -1.0, 0.05), tensor(3.0, -4.0))
    assert_identical(problem.project_upper(u), WithSlack(tensor(0.1, -0.1, 0.05), u.s))


def test_boxes_of_trees() -> None:
    x = {"a": tensor(-2.0, 0.5), "b": (tensor(3.0),)}
    assert_near(box(-1, 1)(x), {"a": tensor(-1.0, 0.5), "b": (tensor(1.0),)})
    low, high = {"a": tensor(-3.0, 1.0), "b": (tensor(0.0),)}, {"a": tensor(-2.5, 2.0), "b": (tensor(1.5),)}
    assert_near(box(low, high)(x), {"a": tensor(-2.5, 1.0), "b": (tensor(1.5),)})
    assert_near(box(low, 0.8)(x), {"a": tensor(-2.0, 0.8), "b": (tensor(0.8),)})
    with pytest.raises(ValueError, match="empty box"):
        box(1.0, 0.0)
