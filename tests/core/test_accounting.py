"""What a step costs: bytes counted, floating-point operations against the cost model, calls of every solver."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core import Bilevel, solvers
from core.accounting import FORWARD_PASSES, cost_of_step, flops, peak_bytes
from core.products import KINDS, lower_gradient, penalty_gradients
from core.trees import zeros_like
from tests.core.cases import CASES, make
from tests.core.quadratics import normal, points

WIDTH, ROWS = 32, 64


def perceptron(depth: int) -> tuple[Bilevel, Tensor, list[Tensor]]:
    """f and g are squares of a deep tanh network; u weighs the rows."""
    x, y = normal(ROWS, WIDTH, seed=1), normal(ROWS, WIDTH, seed=2)

    def residual(v: list[Tensor]) -> Tensor:
        out = x
        for weight in v:
            out = torch.tanh(out @ weight)
        return out - y

    def upper(u: Tensor, v: list[Tensor], batch: None) -> Tensor:
        return (residual(v) ** 2).mean()

    def lower(u: Tensor, v: list[Tensor], batch: None) -> Tensor:
        return (torch.sigmoid(u) * (residual(v) ** 2).sum(1)).mean()

    weights = [0.3 * normal(WIDTH, WIDTH, seed=10 + layer) for layer in range(depth)]
    return Bilevel(upper, lower), torch.zeros(ROWS, dtype=torch.float64), weights


def test_bytes_are_counted() -> None:
    """1000 doubles are made, kept; 500 more are made while they live; then both are freed."""
    assert peak_bytes(lambda: torch.ones(1000, dtype=torch.float64)) == 8000

    def two() -> Tensor:
        first = torch.ones(1000, dtype=torch.float64)
        second = torch.ones(500, dtype=torch.float64)
        return second if first is not None else first

    assert peak_bytes(two) == 12000

    def one_after_the_other() -> Tensor:
        first = torch.ones(1000, dtype=torch.float64)
        del first
        return torch.ones(500, dtype=torch.float64)

    assert peak_bytes(one_after_the_other) == 8000


def test_views_and_results_in_place_make_no_bytes() -> None:
    given = torch.ones(1000)
    assert peak_bytes(lambda: given[10:].view(-1, 10).mul_(1.0)) == 0


@pytest.mark.parametrize(("depth", "slack"), [(16, 0.10), (48, 0.04)])
def test_the_cost_model(depth: int, slack: float) -> None:
    """In forward passes F. A network of L layers lacks the gradient of its input, one product in 3L: hence the slack."""
    problem, u, v = perceptron(depth)
    problem.asked.update(("f", False, True))  # for its graph: asked before the first product of each order
    forward = flops(lambda: problem.lower(u, v, None))
    assert forward == depth * 2 * ROWS * WIDTH * WIDTH
    gradient = flops(lambda: lower_gradient(problem, u, v, None))
    assert gradient / forward == pytest.approx(FORWARD_PASSES["gradient"], rel=slack)

    def penalty() -> object:
        return penalty_gradients(problem, u, v, None, gamma=1.0, nu=zeros_like(v), lam=0.1, wrt="v")

    assert flops(penalty) / forward == pytest.approx(FORWARD_PASSES["penalty"], rel=slack)


def test_products_with_a_vector_are_counted() -> None:
    """2mn for an m x n matrix, 2n for a dot product; and the same as for a matrix of one column."""
    matrix, long, short = normal(7, 5, seed=1), normal(5, seed=2), normal(7, seed=3)
    assert flops(lambda: matrix @ long) == flops(lambda: matrix @ long[:, None]) == 2 * 7 * 5
    assert flops(lambda: torch.addmv(short, matrix, long, beta=0.5)) == 2 * 7 * 5
    assert flops(lambda: long @ long) == 2 * 5


def test_the_cost_of_a_step_where_v_is_a_vector() -> None:
    """g = |Av - u|^2 / 2 and f = |v|^2 / 2: a step of GD takes Av forward and A^T r back, T times."""
    matrix = normal(7, 5, seed=1)
    problem = Bilevel(lambda u, v, batch: (v**2).sum() / 2, lambda u, v, batch: ((matrix @ v - u) ** 2).sum() / 2)
    solver = solvers.make("gd", problem, lower_steps=3)
    state = solver.init(torch.zeros(7, dtype=torch.float64), torch.ones(5, dtype=torch.float64))
    solver.step(state)  # for its graph: asked before the first product of each order
    assert cost_of_step(solver, state).flops == 3 * 2 * (2 * 7 * 5)


@pytest.mark.parametrize("case", CASES)
def test_every_solver_reports_its_cost(case: str) -> None:
    solver = make(case)
    state = solver.init(*points())
    cost = cost_of_step(solver, state)
    assert set(cost.calls) == set(KINDS)
    assert cost.calls["gradients_g"] > 0
    # at least a new v of five doubles was made
    assert cost.peak_bytes >= 40
    # counted, so the same again
    assert cost_of_step(solver, state) == cost
