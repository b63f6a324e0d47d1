"""stocBiO, BSA and TTSA: a batch for each role, means over every draw, the two rules of stocBiO, and decaying steps.

The finite sum: g = mean_i g_i, f = mean_i f_i with quadratics g_i, f_i that differ in every matrix of g and in a; a batch is
the index i. All that is drawn enters a step multilinearly, so the mean over all draws is the step on the mean problem.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import vmap

from core import Bilevel, solvers, trials
from core.draws import Draws, along, batch_of, truncation_of
from core.linear.stochastic_neumann import cut_at_random, released_series, series
from core.products import counting
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import U, V, example_1, normal, points, quadratic, with_eigenvalues

QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()
SIGMA, RHO, ETA, D, Q = 0.05, 0.2, 0.25, 2, 2
STEPS: dict[str, Any] = {"upper_step_size": SIGMA, "lower_step_size": RHO, "neumann_step_size": ETA, "lower_steps": D}

SAMPLES = 2
H = torch.stack([with_eigenvalues([1.0, 1.4, 1.9, 2.5, 3.0], seed=31 + i) for i in range(SAMPLES)])
C, c, a = normal(SAMPLES, V, U, seed=41), normal(SAMPLES, V, seed=42), normal(SAMPLES, V, seed=43)


def pick(samples: Tensor, i: Tensor) -> Tensor:
    """samples[i], for an index that may be batched or traced."""
    return samples.index_select(0, i.reshape(1)).squeeze(0)


def upper(u: Tensor, v: Tensor, i: Tensor) -> Tensor:
    rest = 0.5 * u @ (QUADRATIC.D @ u) + u @ (QUADRATIC.E @ v) + QUADRATIC.b @ u
    return 0.5 * ((v - pick(a, i)) ** 2).sum() + rest


def lower(u: Tensor, v: Tensor, i: Tensor) -> Tensor:
    return 0.5 * v @ (pick(H, i) @ v) + v @ (pick(C, i) @ u + pick(c, i))


SUM = Bilevel(upper, lower)
MEAN = replace(QUADRATIC, H=H.mean(0), C=C.mean(0), c=c.mean(0), a=a.mean(0))
EYE = torch.eye(V, dtype=torch.float64)


def make(name: str, problem: Bilevel = PROBLEM, **settings: Any) -> Any:
    terms = "neumann_steps" if name == "stocbio" else "neumann_terms"
    return solvers.make(name, problem, **{**STEPS, terms: Q, **settings})


def every_draw(solver: Any, cuts: int = 0) -> Draws:
    """All combinations of samples for the roles (and of truncations), along a leading axis."""
    counts = solver.draws()
    order = ["upper", "cross", "lower", "hessian"]
    sizes = [counts[role] for role in order]
    rows = torch.tensor(list(itertools.product(range(SAMPLES), repeat=sum(sizes))))
    upper, cross, lower, hessian = rows.split(sizes, dim=1)
    if not cuts:
        return Draws(upper[:, 0], lower, hessian, cross[:, 0])
    repeated = [x.repeat_interleave(cuts, dim=0) for x in (upper[:, 0], lower, hessian, cross[:, 0])]
    return Draws(*repeated, truncation=torch.arange(cuts).repeat(len(rows)))


def mean_step(solver: Any, state: Any, cuts: int = 0) -> Tensor:
    """The mean of the new u over every draw."""
    return vmap(lambda batch: solver.step(state, batch)[0].u)(every_draw(solver, cuts)).mean(0)


def neumann(matrix: Tensor, b: Tensor, terms: int) -> Tensor:
    """eta sum_{i < terms} (I - eta A)^i b."""
    return ETA * sum(torch.linalg.matrix_power(EYE - ETA * matrix, i) @ b for i in range(terms))


# batches by role


def test_a_plain_batch_serves_every_role() -> None:
    for batch in (None, torch.ones(3), {"x": torch.ones(3)}):
        assert batch_of(batch, "upper") is batch
        assert truncation_of(batch) is None
        path, at = along(batch, "lower", 4)
        assert path is None
        assert at(None) is batch


def test_draws_give_each_role_its_own() -> None:
    lower = {"x": torch.arange(6.0).reshape(3, 2), "rows": (torch.arange(3),)}
    draws = Draws(upper=torch.tensor(1.0), lower=lower, cross=torch.tensor(2.0), truncation=torch.tensor(4))
    assert (batch_of(draws, "upper").item(), batch_of(draws, "cross").item()) == (1.0, 2.0)
    assert truncation_of(draws) is draws.truncation
    path, at = along(draws, "lower", 3)
    assert len(path) == 3
    assert_identical(at(path[2]), {"x": torch.tensor([4.0, 5.0]), "rows": (torch.tensor(2),)})


@pytest.mark.parametrize(("given", "found"), [(torch.zeros(3), r"\[3\]"), ((), "none"), (torch.tensor(1.0), r"\[0\]")])
def test_a_role_without_its_axis_is_refused_by_name(given: Any, found: str) -> None:
    with pytest.raises(ValueError, match=f"lower of Draws needs a leading axis of 4; its tensors have {found}"):
        along(Draws(lower=given), "lower", 4)


def test_what_each_solver_draws() -> None:
    assert make("stocbio").draws() == {"upper": 1, "lower": D, "hessian": Q, "cross": 1}
    assert make("stocbio", preset="released").draws() == {"upper": 1, "lower": D, "hessian": 1, "cross": 1}
    for name in ("bsa", "ttsa"):
        assert make(name, neumann_terms=5).draws() == {"upper": 1, "lower": D, "hessian": 4, "cross": 1}
        assert make(name, estimate="released").draws()["hessian"] == 1
    assert solvers.make("ttsa", PROBLEM).draws()["lower"] == 1


def test_the_calls_of_one_step() -> None:
    """Every Hessian batch of `Draws` is linearised for itself; random truncations are masked, so Q - 1 products always."""

    def calls(name: str, batch: Any = None, problem: Bilevel = PROBLEM, **settings: Any) -> dict[str, int]:
        solver = make(name, problem, **settings)
        state = solver.init(*points())
        with counting() as counts:
            solver.step(state, batch)
        return {kind: number for kind, number in counts.items() if number}

    one = {"gradients_f": 1, "gradients_g": D + 1, "hessian_products": Q, "cross_products": 1}
    assert calls("stocbio") == calls("stocbio", preset="released") == one
    assert calls("bsa", preset="released") == calls("ttsa", preset="released") == one
    drawn = Draws(*(torch.zeros(shape, dtype=torch.int64) for shape in ((), (D,), (Q,), ())))
    assert calls("stocbio", drawn, SUM) == {**one, "gradients_g": D + 1 + Q}
    drawn = drawn._replace(hessian=torch.zeros(1, dtype=torch.int64))
    assert calls("stocbio", drawn, SUM, preset="released") == {**one, "gradients_g": D + 2}
    for name in ("bsa", "ttsa"):
        for estimate in ("random", "series"):
            assert calls(name, estimate=estimate) == {**one, "hessian_products": Q - 1}
            assert calls(name, drawn, SUM, estimate=estimate) == {
                **one,
                "gradients_g": D + Q,
                "hessian_products": Q - 1,
            }


# one step


def test_a_step_of_stocbio_on_one_batch() -> None:
    for preset, terms in (("described", 3), ("released", 3)):
        solver = make("stocbio", preset=preset, neumann_steps=terms)
        u, v = points()
        state = solver.init(u, v)
        for _ in range(3):
            v = QUADRATIC.path(u, v, D, RHO)[-1]
            b = QUADRATIC.upper_gradient_v(u, v)
            powers = [torch.linalg.matrix_power(EYE - ETA * QUADRATIC.H, q) @ b for q in range(terms + 1)]
            w = ETA * sum(powers) if preset == "described" else ETA * powers[-1] + sum(powers[1:])
            u = u - SIGMA * (QUADRATIC.upper_gradient_u(u, v) - QUADRATIC.C.T @ w)
            state, _ = solver.step(state)
            assert_near((state.u, state.v), (u, v), 1e-12)


def test_the_products_of_stocbio_multiply_in_the_stated_order() -> None:
    """prod_{j=Q-q}^{Q}: the matrix of the last batch meets the vector first; each step of v sees its own batch."""
    solver = make("stocbio", SUM)
    u, v = points()
    lower, hessian = torch.tensor([1, 0]), torch.tensor([0, 1])
    state, _ = solver.step(solver.init(u, v), Draws(torch.tensor(1), lower, hessian, torch.tensor(0)))
    for i in (1, 0):
        v = v - RHO * (H[i] @ v + C[i] @ u + c[i])
    b = v - a[1] + QUADRATIC.E.T @ u
    first, last = (EYE - ETA * H[i] for i in (0, 1))
    w = ETA * (b + last @ b + first @ last @ b)
    assert_near(state.v, v, 1e-13)
    assert_near(state.u, u - SIGMA * (QUADRATIC.upper_gradient_u(u, v) - C[0].T @ w), 1e-12)
    assert (first @ last @ b - last @ first @ b).norm() > 1e-2


@pytest.mark.parametrize("cut", [0, 1, 2])
@pytest.mark.parametrize("name", ["bsa", "ttsa"])
def test_a_random_truncation_is_one_term_times_q(name: str, cut: int) -> None:
    """eta Q (I - eta H_1) .. (I - eta H_p) grad_v f."""
    solver = make(name, SUM, neumann_terms=3, **({"first_lower_steps": None} if name == "bsa" else {}))
    u, v = points()
    batch = Draws(torch.tensor(1), torch.tensor([1, 0]), torch.tensor([0, 1]), torch.tensor(0), torch.tensor(cut))
    state, _ = solver.step(solver.init(u, v), batch)
    for i in (1, 0):
        v = v - RHO * (H[i] @ v + C[i] @ u + c[i])
    w = ETA * 3 * (v - a[1] + QUADRATIC.E.T @ u)
    for i in reversed((0, 1)[:cut]):
        w = w - ETA * H[i] @ w
    assert_near(state.u, u - SIGMA * (QUADRATIC.upper_gradient_u(u, v) - C[0].T @ w), 1e-12)


# means


def test_the_mean_step_of_stocbio_is_the_step_on_the_mean_problem() -> None:
    solver = make("stocbio", SUM)
    u, v = points()
    end = MEAN.path(u, v, D, RHO)[-1]
    w = neumann(MEAN.H, MEAN.upper_gradient_v(u, end), Q + 1)
    expected = u - SIGMA * (MEAN.upper_gradient_u(u, end) - MEAN.C.T @ w)
    assert_near(mean_step(solver, solver.init(u, v)), expected, 1e-12)


def test_the_mean_step_of_the_released_rule_is_that_of_no_problem() -> None:
    """One Hessian batch for all factors: the mean is of powers of each H_i, not the power of the mean."""
    solver = make("stocbio", SUM, preset="released")
    u, v = points()
    end = MEAN.path(u, v, D, RHO)[-1]
    b = MEAN.upper_gradient_v(u, end)

    def w(matrix: Tensor) -> Tensor:
        powers = [torch.linalg.matrix_power(EYE - ETA * matrix, q) @ b for q in range(Q + 1)]
        return ETA * powers[-1] + sum(powers[1:])

    def after(w: Tensor) -> Tensor:
        return u - SIGMA * (MEAN.upper_gradient_u(u, end) - MEAN.C.T @ w)

    found = mean_step(solver, solver.init(u, v))
    assert_near(found, after(torch.stack([w(matrix) for matrix in H]).mean(0)), 1e-12)
    assert (found - after(w(MEAN.H))).norm() > 1e-3 * (found - u).norm()


@pytest.mark.parametrize("iteration", [0, 6])
@pytest.mark.parametrize("name", ["bsa", "ttsa"])
@pytest.mark.parametrize("estimate", ["random", "series"])
def test_the_mean_step_of_bsa_and_ttsa_is_the_step_on_the_mean_problem(name: str, estimate: str, iteration: int) -> None:
    """Over all samples, and all truncations: the Neumann sum of Q terms, with the step sizes of that iteration."""
    terms = 3
    settings: dict[str, Any] = {"first_lower_steps": None, "lower_decay": 0.7} if name == "bsa" else {}
    solver = make(name, SUM, estimate=estimate, neumann_terms=terms, **settings)
    u, v = points()
    state = solver.init(u, v)._replace(iteration=torch.tensor(iteration))
    tick = iteration + 1.0
    end = v
    for t in range(D):
        rho = RHO * ((t + 1.0) ** -0.7 if name == "bsa" else tick**-0.4)
        end = end - rho * MEAN.lower_gradient(u, end)
    w = neumann(MEAN.H, MEAN.upper_gradient_v(u, end), terms)
    sigma = SIGMA * tick ** (-0.5 if name == "bsa" else -0.6)
    expected = u - sigma * (MEAN.upper_gradient_u(u, end) - MEAN.C.T @ w)
    assert_near(mean_step(solver, state, cuts=terms if estimate == "random" else 0), expected, 1e-12)


@pytest.mark.parametrize("terms", [1, 2, 7])
def test_the_mean_over_truncations_is_the_neumann_sum(terms: int) -> None:
    b = normal(V, seed=51)
    product = lambda q, _: QUADRATIC.H @ q  # noqa: E731
    cuts = [cut_at_random(product, b, torch.tensor(p), terms=terms, step_size=ETA) for p in range(terms)]
    assert_near(torch.stack(cuts).mean(0), neumann(QUADRATIC.H, b, terms), 1e-13)
    assert_near(series(product, b, steps=terms - 1, step_size=ETA), neumann(QUADRATIC.H, b, terms), 1e-13)


def test_where_the_two_series_of_stocbio_go() -> None:
    """To H^{-1} b, and to (I - eta H)(eta H)^{-1} b = H^{-1} b / eta - b."""
    b = normal(V, seed=52)
    inverse = torch.linalg.solve(QUADRATIC.H, b)
    assert_near(series(lambda q, _: QUADRATIC.H @ q, b, steps=150, step_size=ETA), inverse, 1e-12)
    found = released_series(lambda q: QUADRATIC.H @ q, b, steps=150, step_size=ETA)
    assert_near(found, inverse / ETA - b, 1e-12)


# where u ends on example 1: H = 2, s = 1 - 2 eta, w = 2 kappa v; 2 u = 2 w at v = 1 - u, so u = 2 kappa / (1 + 2 kappa)


@pytest.mark.parametrize(("eta", "steps"), [(0.2, 1), (0.2, 3), (0.2, 30), (0.5, 3), (1 / 3, 30)])
def test_the_limits_of_both_rules_of_stocbio(eta: float, steps: int) -> None:
    s = 1 - 2 * eta
    kappa = {
        "described": (1 - s ** (steps + 1)) / 2,
        "released": eta * s**steps + s * (1 - s**steps) / (2 * eta),
    }
    ends = {}
    for preset, weight in kappa.items():
        solver = make(
            "stocbio",
            example_1(),
            preset=preset,
            neumann_steps=steps,
            neumann_step_size=eta,
            lower_step_size=0.4,
            upper_step_size=0.15,
        )
        state = solver.init(normal(4, seed=1), normal(4, seed=2))
        for _ in range(60):
            state, _ = solver.step(state)
        ends[preset] = state.u
        best = torch.full((4,), 2 * weight / (1 + 2 * weight), dtype=torch.float64)
        assert (state.u - best).abs().max() < 1e-8
        assert (state.v - (1 - best)).abs().max() < 1e-8
    if steps == 30:
        # kappa goes to 1/2, and to 1 / (2 eta) - 1: they meet at eta = 1/3 alone
        assert (ends["described"] - 0.5).abs().max() < 1e-6
        released = 0.75 if eta == 0.2 else 0.5
        assert (ends["released"] - released).abs().max() < 1e-6
    if eta == 0.5:
        # one factor is nought: exact after one product, and nothing but grad_u f as released
        assert (ends["described"] - 0.5).abs().max() < 1e-8
        assert ends["released"].abs().max() < 1e-8


# random truncations and decaying steps


@pytest.mark.parametrize(("name", "decay"), [("ttsa", 0.6), ("bsa", 0.5)])
def test_the_squared_error_falls_like_the_step_size(name: str, decay: float) -> None:
    """E |u_k - u*|^2 ~ sigma_k, over 256 seeds side by side, u* = c / (1 + c) with c = 1 - s^Q: the Q-term limit."""
    seeds, iterations, terms, eta = 256, 400, 4, 0.35
    solver = make(
        name,
        example_1(),
        neumann_terms=terms,
        neumann_step_size=eta,
        upper_step_size=0.15,
        lower_step_size=0.4,
        lower_steps=1 if name == "ttsa" else 2,
    )
    u = torch.tensor([0.2], dtype=torch.float64)
    together = trials.stack([solver.init(u, u, seed=seed) for seed in range(seeds)])
    step = trials.batched(solver, None)
    c = 1 - (1 - 2 * eta) ** terms
    best, squares, means = c / (1 + c), [], []
    for _ in range(iterations):
        together, _ = step(together, None)
        squares.append((together.u - best).square().mean().item())
        means.append((together.u - best).mean().item())
    ticks = np.arange(1, iterations + 1)
    late = ticks > 40
    slope = np.polyfit(np.log(ticks[late]), np.log(np.array(squares)[late]), 1)[0]
    assert slope == pytest.approx(-decay, abs=0.12)
    assert abs(means[-1]) < 4 * (squares[-1] / seeds) ** 0.5
    assert squares[-1] < squares[40] < squares[5]


def test_truncations_come_from_the_seed_and_the_iteration() -> None:
    """Runs of one seed are the same, those of two are not; a saved state goes on as it would have."""
    solver = make("ttsa", neumann_terms=6)

    def run(seed: int, count: int, state: Any = None) -> Any:
        state = solver.init(*points(), seed=seed) if state is None else state
        for _ in range(count):
            state, _ = solver.step(state)
        return state

    assert_identical(run(3, 6), run(3, 6))
    assert_identical(run(3, 2, run(3, 4)), run(3, 6))
    assert (run(3, 6).u - run(4, 6).u).abs().max() > 1e-4


def test_the_lower_steps_of_bsa_grow() -> None:
    """t_k = 1 + floor(sqrt(k)) by default, at most `lower_steps`."""
    solver = make("bsa", lower_steps=3, upper_step_size=0.0, restart=True)
    u, v = points()
    path = QUADRATIC.path(u, v, 3, RHO)
    state = solver.init(u, v)
    for steps in (1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3):
        state, _ = solver.step(state)
        assert_near(state.v, path[steps], 1e-12)


# draws side by side and compiled


def drawn(index: int, terms: int) -> Draws:
    generator = torch.Generator().manual_seed(index)

    def indices(*shape: int) -> Tensor:
        return torch.randint(SAMPLES, shape, generator=generator)

    return Draws(indices(), indices(D), indices(terms), indices())


@pytest.mark.parametrize("name", ["stocbio", "bsa", "ttsa"])
def test_each_row_takes_its_own_draws(name: str) -> None:
    solver = make(name, SUM)
    batches = [drawn(index, solver.draws()["hessian"]) for index in range(3)]
    states = [solver.init(*points(index), seed=index, limit=torch.tensor(1 + index % 2)) for index in range(3)]
    together, _ = trials.batched(solver)(trials.stack(states), trials.stack(batches))
    for index in range(3):
        alone, _ = solver.step(states[index], batches[index])
        assert_near(trials.row(together, index), alone, 1e-12)


@pytest.mark.parametrize("name", ["stocbio", "bsa"])
def test_a_traced_step_takes_its_draws_along_a_scan(name: str) -> None:
    """Batches along a scan, growing loops, truncations by hash, all in one graph; no code is generated for it."""
    solver = make(name, SUM)
    batch = drawn(0, solver.draws()["hessian"])
    state = expected = solver.init(*points(), seed=5)
    traced = torch.compile(solver.step, fullgraph=True, backend="eager")
    for _ in range(3):
        state, _ = traced(state, batch)
        expected, _ = solver.step(expected, batch)
    assert_near(state, expected, 1e-12)


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("stocbio", "rule", "other"),
        ("stocbio", "neumann_steps", 0),
        ("bsa", "estimate", "other"),
        ("bsa", "neumann_terms", 0),
        ("bsa", "first_lower_steps", 0),
        ("ttsa", "estimate", "other"),
        ("ttsa", "neumann_terms", 0),
        ("ttsa", "lower_steps", 0),
    ],
)
def test_values_that_mean_nothing_are_refused(name: str, setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=setting):
        make(name, **{setting: value})
