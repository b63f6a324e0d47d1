"""SOBA and SABA: one step, its calls, where they end, and what the memory does to sampled directions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from core import Bilevel, solvers, trials
from core.products import counting
from core.solvers.saba import SABAState, Sampled
from tests.core import ridge
from tests.core.cases import steps
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import Quadratic, U, V, example_1, normal, points, quadratic, with_eigenvalues

QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()
RATES: dict[str, Any] = {"upper_step_size": 0.05, "lower_step_size": 0.2, "solver_step_size": 0.15}
N, M = 4, 3


# SOBA


@pytest.mark.parametrize("T", [1, 3])
def test_steps_of_soba_in_closed_form(T: int) -> None:
    """All three move from one point; u along the direction of the last of the T."""
    (u, v), q, Q = points(), torch.zeros(V, dtype=torch.float64), QUADRATIC
    solver = solvers.make("soba", PROBLEM, lower_steps=T, **RATES)
    state = solver.init(u, v)
    for _ in range(4):
        for _ in range(T):
            direction = Q.upper_gradient_u(u, v) - Q.C.T @ q
            v, q = v - 0.2 * Q.lower_gradient(u, v), q - 0.15 * (Q.H @ q - Q.upper_gradient_v(u, v))
        u = u - 0.05 * direction
        state, metrics = solver.step(state)
        assert_near((state.u, state.v, state.q), (u, v, q))
        assert_near(metrics["upper_gradient"], direction @ direction)


@pytest.mark.parametrize("T", [1, 2, 7])
@pytest.mark.parametrize("name", ["soba", "saba"])
def test_the_calls_of_one_step(T: int, name: str) -> None:
    """One of each kind for a move."""
    solver = solvers.make(name, PROBLEM, lower_steps=T)
    state = solver.init(*points())
    with counting() as counts:
        solver.step(state)
    kinds = ("gradients_f", "gradients_g", "hessian_products", "cross_products")
    assert {kind: number for kind, number in counts.items() if number} == dict.fromkeys(kinds, T)


def test_soba_ends_at_the_solution() -> None:
    """No bias at constant step sizes: u*, v*(u*) and the solution of the linear system."""
    solver = solvers.make("soba", PROBLEM, **{**RATES, "upper_step_size": 0.1})
    state = steps(solver, solver.init(*points()), 350)
    u = QUADRATIC.solution()
    v = QUADRATIC.lower_solution(u)
    assert_near((state.u, state.v), (u, v), 1e-9)
    assert_near(state.q, torch.linalg.solve(QUADRATIC.H, QUADRATIC.upper_gradient_v(u, v)), 1e-9)


@pytest.mark.parametrize("name", ["soba", "saba"])
def test_example_1_is_solved(name: str) -> None:
    solver = solvers.make(name, example_1(), upper_step_size=0.1, lower_step_size=0.3, solver_step_size=0.3)
    start = torch.tensor([2.0, -3.0], dtype=torch.float64), torch.tensor([-1.0, 4.0], dtype=torch.float64)
    state = steps(solver, solver.init(*start), 250)
    assert_near((state.u, state.v), (torch.full((2,), 0.5, dtype=torch.float64),) * 2, 1e-10)


@pytest.mark.parametrize("name", ["soba", "saba"])
def test_the_ridge_is_found(name: str) -> None:
    solver = solvers.make(name, ridge.PROBLEM, upper_step_size=0.2, lower_step_size=0.3, solver_step_size=0.3)
    state = steps(solver, solver.init(*ridge.start()), 600)
    assert_near((state.u, state.v), ridge.minimum(), 1e-8)


# SABA: a sum of quadratics


def sum_of_quadratics() -> tuple[list[Quadratic], list[Quadratic], Quadratic]:
    """n lower parts, m upper parts, and the quadratic of their means."""
    mean = quadratic()
    shifts = [normal(V, seed=300 + i) for i in range(N)]
    turns = [0.3 * with_eigenvalues([-1.0, -0.5, 0.0, 0.5, 1.0], seed=320 + i) for i in range(N)]
    crosses = [0.3 * normal(V, U, seed=340 + i) for i in range(N)]
    centres = [normal(V, seed=360 + j) for j in range(M)]
    lower = [replace(mean, H=mean.H + h, c=mean.c + c, C=mean.C + x) for h, c, x in zip(turns, shifts, crosses, strict=True)]
    upper = [replace(mean, a=mean.a + a) for a in centres]

    def average(parts: list[Quadratic], name: str) -> Tensor:
        return torch.stack([getattr(part, name) for part in parts]).mean(0)

    whole = replace(mean, **{name: average(lower, name) for name in ("H", "c", "C")}, a=average(upper, "a"))
    return lower, upper, whole


LOWER, UPPER, WHOLE = sum_of_quadratics()


def sampled_problem() -> Bilevel:
    """f_j and g_i from a batch that holds the matrices of sample i and j."""

    def lower(u: Tensor, v: Tensor, batch: Any) -> Tensor:
        return 0.5 * v @ (batch["H"] @ v) + v @ (batch["C"] @ u + batch["c"])

    def upper(u: Tensor, v: Tensor, batch: Any) -> Tensor:
        return replace(WHOLE, a=batch["a"]).upper(u, v, None)

    return Bilevel(upper, lower)


def sample(i: int, j: int) -> Sampled:
    data = {"H": LOWER[i].H, "C": LOWER[i].C, "c": LOWER[i].c, "a": UPPER[j].a}
    return Sampled(torch.tensor(i), torch.tensor(j), data)


def saba(**settings: Any) -> Any:
    return solvers.make("saba", sampled_problem(), lower_samples=N, upper_samples=M, **{**RATES, **settings})


def filled(solver: Any, state: SABAState, rounds: int = 1) -> SABAState:
    """Every sample visited, in order."""
    for k in range(rounds * N):
        state, _ = solver.step(state, sample(k % N, k % M))
    return state


def directions(solver: Any, state: SABAState, i: int, j: int) -> tuple[Tensor, Tensor, Tensor]:
    """(D_u, D_v, D_q) of a step, from what it moved."""
    after, _ = solver.step(state, sample(i, j))
    moved = zip((state.u, state.v, state.q), (after.u, after.v, after.q), (0.05, 0.2, 0.15), strict=True)
    u, v, q = ((a - b) / rate for a, b, rate in moved)
    return u, v, q


def means(memory: list[list[Tensor]]) -> list[Tensor]:
    return [torch.stack(column).mean(0) for column in zip(*memory, strict=True)]


def test_a_step_of_saba_in_closed_form() -> None:
    """A memory written out by hand, over three rounds of random visits."""
    solver = saba()
    (u, v), q = points(), torch.zeros(V, dtype=torch.float64)
    state = solver.init(u, v)
    of_g = [[torch.zeros(V).double(), torch.zeros(V).double(), torch.zeros(U).double()] for _ in range(N)]
    of_f = [[torch.zeros(U).double(), torch.zeros(V).double()] for _ in range(M)]
    visits = torch.randint(0, 12, (14,), generator=torch.Generator().manual_seed(1)).tolist()
    for visit in visits:
        i, j = visit % N, visit % M
        new_g = [LOWER[i].lower_gradient(u, v), LOWER[i].H @ q, LOWER[i].C.T @ q]
        new_f = [UPPER[j].upper_gradient_u(u, v), UPPER[j].upper_gradient_v(u, v)]
        g = [new - old + mean for new, old, mean in zip(new_g, of_g[i], means(of_g), strict=True)]
        f = [new - old + mean for new, old, mean in zip(new_f, of_f[j], means(of_f), strict=True)]
        of_g[i], of_f[j] = new_g, new_f
        u, v, q = u - 0.05 * (f[0] - g[2]), v - 0.2 * g[0], q - 0.15 * (g[1] - f[1])
        state, _ = solver.step(state, sample(i, j))
        assert_near((state.u, state.v, state.q), (u, v, q), 1e-11)
    for part, column in zip(state.lower_memory.values, zip(*of_g, strict=True), strict=True):
        assert_near(part, torch.stack(column), 1e-11)
    # the running mean is the mean
    assert_near(state.lower_memory.mean, tuple(part.mean(0) for part in state.lower_memory.values), 1e-11)
    assert_near(state.upper_memory.mean, tuple(part.mean(0) for part in state.upper_memory.values), 1e-11)


def test_with_a_full_memory_the_mean_direction_is_exact() -> None:
    """Over all pairs of indices, whatever the memory holds."""
    solver = saba()
    state = filled(solver, solver.init(*points()))
    u, v, q = state.u, state.v, state.q
    exact = (
        WHOLE.upper_gradient_u(u, v) - WHOLE.C.T @ q,
        WHOLE.lower_gradient(u, v),
        WHOLE.H @ q - WHOLE.upper_gradient_v(u, v),
    )
    pairs = [directions(solver, state, i, j) for i in range(N) for j in range(M)]
    assert_near(tuple(torch.stack(parts).mean(0) for parts in zip(*pairs, strict=True)), exact, 1e-11)
    # but no single one is
    assert min(float((pair[1] - exact[1]).norm()) for pair in pairs) > 1e-3


def visits(count: int, seed: int) -> list[Sampled]:
    generator = torch.Generator().manual_seed(seed)
    i, j = torch.randint(0, N, (count,), generator=generator), torch.randint(0, M, (count,), generator=generator)
    return [sample(int(a), int(b)) for a, b in zip(i, j, strict=True)]


def test_saba_solves_example_1_in_two_samples() -> None:
    """f = |u|^2 + |v|^2 and g = |1 - u - v|^2 as means of two parts each that pull apart: the direction's variance ends."""
    one = example_1()

    def shifted(cost: Any, by: float) -> Any:
        return lambda u, v, batch: cost(u, v, None) + by * (batch * (u + v)).sum()

    solver = solvers.make(
        "saba",
        Bilevel(shifted(one.upper, 1.5), shifted(one.lower, 0.7)),
        lower_samples=2,
        upper_samples=2,
        upper_step_size=0.05,
        lower_step_size=0.15,
        solver_step_size=0.15,
    )
    state = solver.init(torch.tensor([2.0, -3.0]).double(), torch.tensor([-1.0, 4.0]).double())
    draws = torch.randint(2, (1200,), generator=torch.Generator().manual_seed(3)).tolist()
    for k in [0, 1, *draws]:
        state, _ = solver.step(state, Sampled(torch.tensor(k), torch.tensor(k), torch.tensor([1.0, -1.0]).double()[k]))
    assert_near((state.u, state.v), (torch.full((2,), 0.5, dtype=torch.float64),) * 2, 1e-8)


def test_saba_converges_at_constant_steps_and_sampled_soba_does_not() -> None:
    rates = {"upper_step_size": 0.03, "lower_step_size": 0.1, "solver_step_size": 0.1}
    u = WHOLE.solution()
    v = WHOLE.lower_solution(u)
    with_memory = saba(**rates)
    state = filled(with_memory, with_memory.init(*points()))
    without = solvers.make("soba", sampled_problem(), **rates)
    noisy, gaps = without.init(*points()), []
    for batch in visits(1000, seed=2):
        state, _ = with_memory.step(state, batch)
        noisy, _ = without.step(noisy, batch.data)
        gaps.append(float((noisy.u - u).norm()))
    assert_near((state.u, state.v), (u, v), 1e-8)
    # the last third: no nearer than a few hundredths, on average
    assert sum(gaps[700:]) / 300 > 1e-2


@pytest.mark.parametrize("T", [1, 3])
def test_with_one_sample_saba_is_soba(T: int) -> None:
    one = solvers.make("soba", PROBLEM, lower_steps=T, **RATES)
    other = solvers.make("saba", PROBLEM, lower_steps=T, **RATES)
    a, b = one.init(*points()), other.init(*points())
    for k in range(6):
        batch = normal(V, seed=80 + k)
        a, _ = one.step(a, batch)
        b, _ = other.step(b, batch if k % 2 else Sampled(torch.tensor(0), torch.tensor(0), batch))
        assert_near((a.u, a.v, a.q), (b.u, b.v, b.q), 1e-11)


def test_trials_may_visit_different_samples() -> None:
    solver = saba()
    states = [solver.init(*points(k)) for k in range(3)]
    together, step = trials.stack(states), trials.batched(solver)
    for round in range(5):
        batches = [sample((k + round) % N, (2 * k + round) % M) for k in range(3)]
        together, _ = step(together, trials.stack(batches))
        states = [solver.step(state, batch)[0] for state, batch in zip(states, batches, strict=True)]
    for k, state in enumerate(states):
        assert_near(trials.row(together, k), state, 1e-12)


def test_what_saba_draws_and_refuses() -> None:
    assert solvers.make("saba", PROBLEM).draws() == {"shared": 1}
    solver = saba()
    assert solver.draws() == {"lower": 1, "upper": 1}
    with pytest.raises(ValueError, match="must be a saba.Sampled"):
        solver.step(solver.init(*points()), normal(V, seed=1))
    with pytest.raises(ValueError, match="at least 1"):
        solvers.make("saba", PROBLEM, lower_samples=0)


def test_a_step_of_saba_changes_no_memory_it_was_given() -> None:
    solver = saba()
    state = filled(solver, solver.init(*points()))
    kept = trials.row(trials.stack([state]), 0)
    solver.step(state, sample(1, 2))
    assert_identical(state, kept)
