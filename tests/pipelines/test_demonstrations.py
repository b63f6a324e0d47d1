"""Demonstrations: what they derive is right, what they run ends there, and a wrong claim is told from a right one."""

from __future__ import annotations

import math

import pytest
import torch

from core import Bilevel
from core.products import lower_gradient, penalty_gradients, upper_gradients
from pipelines.theory import checks, constrained, demonstrations, finite_weight, linear_systems, long_reverse, optimistic
from pipelines.theory.problems import quadratic
from pipelines.theory.settings import load

PLAN = {**load("embedded", "demonstrations"), "rounds": 7, "solver_steps": 200}


def verdicts(found: checks.Demonstration) -> list[str]:
    return [check.row()["verdict"] for check in found.checks]


def test_checks() -> None:
    assert [checks.at_most("C", "", number, 1.0).holds for number in (0.5, 1.0, 1.1, math.nan)] == [True, True, False, False]
    assert [checks.at_least("C", "", number, 1.0).holds for number in (0.5, 1.0, math.nan)] == [False, True, False]
    assert [checks.near("C", "", number, -1, 0.1).holds for number in (-0.95, -0.8, math.nan)] == [True, False, False]
    row = checks.at_most("C09", "a gap", 0.123456, 1e-9).row()
    assert row == {
        "claim": "C09", "computed": "a gap", "number": 0.123, "bound": "at most 1e-09", "verdict": "does not hold",
    }  # fmt: skip
    assert checks.near("C", "", math.nan, 0, 1).row()["number"] is None


def test_slope() -> None:
    assert checks.slope([1, 10, 100], [3.0, 0.3, 0.03]) == pytest.approx(-1)
    assert math.isnan(checks.slope([1, 10], [1.0, 0.0]))


def test_the_minimiser_of_f_tilde() -> None:
    """Stationary, and not where a gradient step of another weight would stand still."""
    p = quadratic(10.0, 0)
    for gamma, lam in ((1e3, 0.0), (1e3, 50.0)):
        v = finite_weight.stationary(p, gamma, lam)
        held = {"nu": torch.zeros_like(v), "wrt": "v"}
        at = [penalty_gradients(p.problem, p.u, v, None, gamma=g, lam=lam, **held).lower.norm() for g in (gamma, 2 * gamma)]
        assert at[0] < 1e-9 * at[1]


def test_a_hypergradient_elsewhere_is_not_that_of_the_lemma() -> None:
    """Held at v* instead of at its minimiser, grad_u f~ would be grad_u f: Lemma 3 is about the minimiser."""
    p = quadratic(10.0, 0)
    assert p.relative_error(finite_weight.direction(p, p.v, 1e3)) > 0.1


@pytest.mark.parametrize("on_sphere", [False, True])
def test_the_constrained_solution_is_a_kkt_point(on_sphere: bool) -> None:
    q = constrained.drawn(3)
    u, multiplier, kappa = q.solution(on_sphere)
    v = q.g @ u
    problem = Bilevel(q.upper, q.lower)
    assert lower_gradient(problem, u, v, None).norm() < 1e-12
    f_u, f_v = upper_gradients(problem, u, v, None)
    # grad_v g = H v - H G u, so its derivatives are -(H G)' and H
    assert (f_v - q.h @ multiplier).norm() < 1e-12
    assert (f_u + (q.h @ q.g).T @ multiplier + 2 * kappa * u).norm() < 1e-10
    assert (kappa > 0) == on_sphere
    if on_sphere:
        assert float(u.norm()) == pytest.approx(constrained.RADIUS)


def test_rounds_end_within_their_tolerances() -> None:
    q = constrained.drawn(0)
    start = torch.full((constrained.U,), 0.3, dtype=torch.float64), torch.zeros(constrained.V, dtype=torch.float64)
    problem = Bilevel(q.upper, q.lower, constrained.on_sphere)
    ends = constrained.rounds(problem, *start, 5, 400)
    assert [end.gamma for end in ends] == pytest.approx([1.5**k for k in range(5)])
    for k, end in enumerate(ends):
        held = {"gamma": end.gamma, "nu": 0 * end.v, "mu": end.v.new_zeros(1), "lam": 0.0}
        made = penalty_gradients(problem, end.u, end.v, None, **held)
        assert math.hypot(float(made.upper.norm()), float(made.lower.norm())) <= 0.1 * 0.7**k
    with pytest.raises(ArithmeticError, match="of 50 rounds in 20 upper iterations"):
        constrained.rounds(problem, *start, 50, 20)


@pytest.mark.parametrize("on_sphere", [False, True])
def test_kkt_residuals_know_a_solution(on_sphere: bool) -> None:
    """Nothing is left at the solution, with its multipliers; elsewhere both parts of the residual are seen."""
    q = constrained.drawn(3)
    u, multiplier, kappa = q.solution(on_sphere)
    problem = Bilevel(q.upper, q.lower, constrained.on_sphere if on_sphere else None)
    found = constrained.kkt_at(problem, u, q.g @ u)
    exact = torch.cat([multiplier, multiplier.new_tensor([-kappa] if on_sphere else [])])
    assert found.residual < 1e-10 and (found.multipliers - exact).norm() < 1e-9
    # feasible, not stationary: less than all of grad f, which no multiplier could explain
    other = constrained.RADIUS * torch.tensor([0.0, 1.0], dtype=torch.float64)
    f = torch.cat(upper_gradients(problem, other, q.g @ other, None))
    assert 0.05 < constrained.kkt_at(problem, other, q.g @ other).residual < float(f.norm())
    # not feasible: at least |grad_v g|
    r = lower_gradient(problem, u, q.g @ u + 0.1, None)
    assert constrained.kkt_at(problem, u, q.g @ u + 0.1).residual >= float(r.norm()) > 0.1


@pytest.mark.parametrize("equality", [None, constrained.on_sphere])
def test_without_a_growing_gamma_the_kkt_residual_stays(equality: object) -> None:
    """The same rounds with gamma held at 1: f~ is as stationary at their ends, and they come to no KKT point."""
    q = constrained.drawn(0)
    start = torch.full((constrained.U,), 0.3, dtype=torch.float64), torch.zeros(constrained.V, dtype=torch.float64)
    problem = Bilevel(q.upper, q.lower, equality)  # type: ignore[arg-type]
    for growth, low, high in ((constrained.GROWTH, 0.0, 0.25), (1.0, 0.7, 2.0)):
        ends = constrained.rounds(problem, *start, 7, 2000, gamma_growth=growth, step_size_decay=1 / growth)
        first, *_, last = [constrained.kkt_at(problem, end.u, end.v).residual for end in ends]
        assert low <= last / first <= high


def test_the_optimistic_solution_is_least() -> None:
    """Over the lower solutions, and with v1 - v2 held over those with that difference."""
    problem, (u, v) = optimistic.line(), optimistic.best()
    least = float(problem.upper(u, v, None))
    draw = torch.Generator().manual_seed(0)
    for move in torch.randn(20, 2, generator=draw, dtype=torch.float64):
        other = v + 0.1 * move
        assert float(problem.upper(other.sum()[None], other, None)) > least
    for difference in (0.0, 1.0):
        u, v = optimistic.best_with(difference)
        assert float(u[0]) == pytest.approx(float(v.sum()))
        assert float(v[0] - v[1]) == pytest.approx(difference)
        for shift in (-0.1, 0.1):
            assert problem.upper(u + shift, v + shift / 2, None) > problem.upper(u, v, None)


def test_the_affine_map_is_the_solvers_step() -> None:
    for example in ("ex1", "ex2"):
        assert long_reverse.difference(example, 1e-2, 1) < 1e-12


def test_adam_is_judged_by_its_steps() -> None:
    """Two hundred steps are too few at any of the conditions, CG is exact at all of them."""
    found = linear_systems.linear_systems(PLAN)
    assert verdicts(found) == ["holds", "does not hold"] * len(linear_systems.CONDITIONS)
    lines = {f"{name}, condition {one:g}" for name in ("CG", "Adam") for one in linear_systems.CONDITIONS}
    assert set(found.curves["linear"]) == {"x", *lines}


def test_every_claim_is_there() -> None:
    assert len(demonstrations.ALL) == 6
    assert {check.claim for check in finite_weight.multipliers({**PLAN, "held_rounds": 40}).checks} == {"C12", "C43"}
