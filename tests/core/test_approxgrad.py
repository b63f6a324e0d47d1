"""ApproxGrad against numpy: T steps on g, N warm-started steps of Adam on the linear system, a step on u."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from core import hypergradient, solvers
from core.linear.adam import adam
from tests.core.by_hand import NumpyAdam, NumpyDescent
from tests.core.checks import assert_near
from tests.core.quadratics import PLAIN, V, points, quadratic

QUADRATIC = quadratic()


@pytest.mark.parametrize("rule", [NumpyDescent, NumpyAdam])
@pytest.mark.parametrize(("extra", "decay_every"), [(0, 0), (1, 0), (0, 3), (2, 2)])
def test_the_solver_is_the_rule_by_hand(rule: type, extra: int, decay_every: int) -> None:
    T, sigma, rho, size, damping = 4, 0.05, 0.04, 0.1, 0.02
    settings: dict[str, Any] = {
        "lower_steps": T,
        "upper_step_size": sigma,
        "lower_step_size": rho,
        "solver_step_size": size,
        "damping": damping,
        "extra_solver_steps": extra,
        "decay_every": decay_every,
    }
    solver = solvers.make(
        "approxgrad", QUADRATIC.problem(), **settings, **(PLAIN if rule is NumpyDescent else {})
    )
    state = solver.init(*points())

    m = {name: getattr(QUADRATIC, name).numpy() for name in type(QUADRATIC).__dataclass_fields__}
    u, v = (x.numpy().copy() for x in points())
    q, move_q = np.zeros(V), NumpyAdam()
    move_u, move_v = rule(), rule()
    A = m["H"] + damping * np.eye(V)
    for iteration in range(8):
        decay = 0.5 ** (iteration // decay_every) if decay_every else 1.0
        for _ in range(T):
            v = move_v(v, m["H"] @ v + m["C"] @ u + m["c"], decay * rho)
        b = v - m["a"] + m["E"].T @ u
        for _ in range(T + extra):
            gap = A @ q - b
            q = move_q(q, 2 * A @ gap, size)
        gradient = m["D"] @ u + m["E"] @ v + m["b"] - m["C"].T @ q
        u = move_u(u, gradient, decay * sigma)

        state, metrics = solver.step(state)
        assert_near(state.v, torch.from_numpy(v), 1e-11)
        assert_near(state.q, torch.from_numpy(q), 1e-11)
        assert_near(state.u, torch.from_numpy(u), 1e-11)
        assert_near(metrics["upper_gradient"], torch.tensor(gradient @ gradient), 1e-11)
        assert_near(metrics["solver_residual"], torch.tensor(gap @ gap), 1e-10)


def test_the_first_step_is_the_implicit_hypergradient_with_adam() -> None:
    """q starts from zero: u moves along what `hypergradient` says at (u, v_T)."""
    u, v = points()
    solver = solvers.make(
        "approxgrad",
        QUADRATIC.problem(),
        lower_steps=6,
        upper_step_size=0.1,
        lower_step_size=0.2,
        solver_step_size=0.05,
        damping=0.01,
        **PLAIN,
    )
    state, _ = solver.step(solver.init(u, v))
    end = QUADRATIC.path(u, v, 6, 0.2)[-1]
    gradient = hypergradient(
        QUADRATIC.problem(), u, end, method="implicit-adam", steps=6, step_size=0.05, damping=0.01
    )
    assert_near(state.u, u - 0.1 * gradient, 1e-12)


def test_the_linear_solve_goes_on_from_one_iteration_to_the_next() -> None:
    """With u and v at rest, three iterations of four steps are twelve steps of one solve."""
    u, v = points()
    solver = solvers.make(
        "approxgrad",
        QUADRATIC.problem(),
        lower_steps=4,
        upper_step_size=0.0,
        lower_step_size=0.0,
        solver_step_size=0.05,
        damping=0.01,
        **PLAIN,
    )
    state = solver.init(u, v)
    for _ in range(3):
        state, _ = solver.step(state)
    expected, _, _ = adam(
        lambda x: QUADRATIC.H @ x + 0.01 * x,
        QUADRATIC.upper_gradient_v(u, v),
        start=torch.zeros_like(v),
        steps=12,
        step_size=0.05,
    )
    assert_near(state.q, expected, 1e-12)
