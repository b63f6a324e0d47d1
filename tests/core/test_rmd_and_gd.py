"""RMD, GD and plain training: their updates in closed form, and where GD provably ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core import hypergradient, solvers
from tests.core.by_hand import NumpyAdam
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import PLAIN, example_1, points, quadratic

QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()
SIGMA, RHO = 0.05, 0.2


# reverse mode


@pytest.mark.parametrize("T", [1, 2, 5])
@pytest.mark.parametrize(("preset", "skipped"), [("described", 0), ("released", 1)])
def test_rmd_is_the_truncated_series(T: int, preset: str, skipped: int) -> None:
    """The released code leaves out the step from v_0: T - 1 reverse steps."""
    solver = solvers.make(
        "rmd", PROBLEM, preset=preset, lower_steps=T, upper_step_size=SIGMA, lower_step_size=RHO
    )
    u, v = points()
    state = solver.init(u, v)
    for _ in range(4):
        v = QUADRATIC.path(u, v, T, RHO)[-1]
        gradient = QUADRATIC.truncated(u, v, T - skipped, RHO)
        u = u - SIGMA * gradient
        state, metrics = solver.step(state)
        assert_near(state.v, v)
        assert_near(state.u, u)
        assert_near(metrics["upper_gradient"], gradient @ gradient, 1e-11)


def test_released_rmd_with_one_step_is_plain_gradient_descent_on_f() -> None:
    u, v = points()
    settings = {"lower_steps": 1, "upper_step_size": SIGMA, "lower_step_size": RHO}
    rmd, _ = (solver := solvers.make("rmd", PROBLEM, preset="released", **settings)).step(solver.init(u, v))
    gd, _ = (solver := solvers.make("gd", PROBLEM, **settings, **PLAIN)).step(solver.init(u, v))
    assert_near(rmd.u, u - SIGMA * QUADRATIC.upper_gradient_u(u, rmd.v))
    assert_identical((rmd.u, rmd.v), (gd.u, gd.v))
    described, _ = (solver := solvers.make("rmd", PROBLEM, **settings)).step(solver.init(u, v))
    assert (described.u - rmd.u).norm() > 1e-3


@pytest.mark.parametrize("T", [1, 4])
def test_rmd_moves_along_the_reverse_hypergradient(T: int) -> None:
    u, v = points()
    solver = solvers.make("rmd", PROBLEM, lower_steps=T, upper_step_size=SIGMA, lower_step_size=RHO)
    state, _ = solver.step(solver.init(u, v))
    gradient = hypergradient(PROBLEM, u, v, method="reverse", steps=T, step_size=RHO)
    assert_near(state.u, u - SIGMA * gradient)


def test_rmd_projects_each_lower_step_and_does_not_differentiate_the_projection() -> None:
    """As the authors' code: clip after every step, series as if it had not been clipped."""
    T, box = 3, 0.3
    problem = QUADRATIC.problem(project_lower=lambda v: v.clamp(-box, box))
    u, v = points()
    solver = solvers.make("rmd", problem, lower_steps=T, upper_step_size=SIGMA, lower_step_size=RHO)
    state, _ = solver.step(solver.init(u, v))
    for _ in range(T):
        v = (v - RHO * QUADRATIC.lower_gradient(u, v)).clamp(-box, box)
    assert v.abs().max() == box
    assert_near(state.v, v)
    assert_near(state.u, u - SIGMA * QUADRATIC.truncated(u, v, T, RHO))


# alternating descent


def test_gd_alternates() -> None:
    solver = solvers.make("gd", PROBLEM, lower_steps=3, upper_step_size=SIGMA, lower_step_size=RHO, **PLAIN)
    u, v = points()
    state = solver.init(u, v)
    for _ in range(4):
        v = QUADRATIC.path(u, v, 3, RHO)[-1]
        gradient = QUADRATIC.upper_gradient_u(u, v)
        u = u - SIGMA * gradient
        state, metrics = solver.step(state)
        assert_near((state.u, state.v), (u, v))
        assert_near(metrics["upper_gradient"], gradient @ gradient, 1e-11)


def test_gd_by_default_moves_both_by_adam() -> None:
    solver = solvers.make("gd", PROBLEM, lower_steps=3, upper_step_size=SIGMA, lower_step_size=RHO)
    state = solver.init(*points())
    u, v = (x.numpy().copy() for x in points())
    m = {name: getattr(QUADRATIC, name).numpy() for name in type(QUADRATIC).__dataclass_fields__}
    move_u, move_v = NumpyAdam(), NumpyAdam()
    for _ in range(5):
        for _ in range(3):
            v = move_v(v, m["H"] @ v + m["C"] @ u + m["c"], RHO)
        u = move_u(u, m["D"] @ u + m["E"] @ v + m["b"], SIGMA)
        state, _ = solver.step(state)
        assert_near((state.u, state.v), (torch.from_numpy(u), torch.from_numpy(v)), 1e-11)


def test_gd_on_example_1_goes_to_u_0_and_v_1() -> None:
    """Not to the solution u = v = 1/2: it follows grad_u f = 2 u alone. In R^20, at distance sqrt(10)."""
    generator = torch.Generator().manual_seed(0)
    u, v = 10 * torch.rand(2, 20, generator=generator, dtype=torch.float64) - 5
    solver = solvers.make(
        "gd", example_1(), lower_steps=2, upper_step_size=0.25, lower_step_size=0.25, **PLAIN
    )
    state = solver.init(u, v)
    for count in range(1, 61):
        state, _ = solver.step(state)
        assert_near(state.u, u * 0.5**count, 1e-12)
    assert state.u.abs().max() < 1e-15
    assert_near(state.v, torch.ones_like(v), 1e-14)
    distance = ((state.u - 0.5) ** 2).sum() + ((state.v - 0.5) ** 2).sum()
    assert distance.sqrt().item() == pytest.approx(np.sqrt(10), abs=1e-12)


def test_the_box_holds_in_example_1() -> None:
    u, v = torch.full((20,), 5.0), torch.full((20,), -5.0)
    solver = solvers.make("gd", example_1(), lower_steps=1, upper_step_size=3.0, lower_step_size=3.0, **PLAIN)
    state, _ = solver.step(solver.init(u, v))
    # v: -5 - 6 (5 - 5 - 1) = 1;  u: 5 - 6 * 5 = -25, clipped
    assert_identical((state.u, state.v), (torch.full((20,), -5.0), torch.full((20,), 1.0)))


# plain training


def test_plain_training_moves_v_alone() -> None:
    u, v = points()
    plain = {"lower_optimizer": PLAIN["lower_optimizer"]}
    solver = solvers.make("single-level", PROBLEM, lower_steps=4, lower_step_size=RHO, **plain)
    state, _ = solver.step(solver.init(u, v))
    assert_identical(state.u, u)
    assert_near(state.v, QUADRATIC.path(u, v, 4, RHO)[-1])
