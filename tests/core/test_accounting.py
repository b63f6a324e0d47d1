"""What a step costs: bytes counted, floating-point operations against the cost model, calls of every solver."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core import Bilevel
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
