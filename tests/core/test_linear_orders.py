"""Linear solvers on sixty random systems at a time: exactness, rates, and what they say where there is no answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from core.linear.cg import conjugate_gradients
from core.linear.fixed_point import fixed_point
from core.linear.gd import gradient_descent
from core.linear.neumann import neumann
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import normal, v_flat, v_tree, with_eigenvalues
from tests.core.stacked import assert_each_near

COUNT = 60


def systems(size: int, condition: float, zeros: int = 0) -> tuple[Tensor, Tensor]:
    """COUNT random (A, b): log-uniform eigenvalues from 1 to `condition`, both among them, then `zeros` of 0."""
    generator = torch.Generator().manual_seed(size + int(condition))
    random = {"generator": generator, "dtype": torch.float64}
    exponents = torch.rand(COUNT, size - zeros, **random)
    exponents[:, 0], exponents[:, -1] = 0.0, 1.0
    values = torch.cat([condition**exponents, torch.zeros(COUNT, zeros, dtype=torch.float64)], dim=1)
    basis = torch.linalg.qr(torch.randn(COUNT, size, size, **random)).Q
    matrices = basis * values[:, None, :] @ basis.mT
    return (matrices + matrices.mT) / 2, torch.randn(COUNT, size, **random)


def solved(solver: Any, matrices: Tensor, b: Tensor, **settings: Any) -> tuple[Tensor, Any]:
    """(q [COUNT, size], info) of every system."""
    return vmap(lambda A, b: solver(lambda p: A @ p, b, **settings))(matrices, b)


def true_residuals(matrices: Tensor, q: Tensor, b: Tensor) -> Tensor:
    """|A q - b|^2 [COUNT]."""
    return ((matrices @ q[..., None])[..., 0] - b).square().sum(dim=1)


# conjugate gradients: exact answers

SIZES = (2, 3, 5, 10, 20, 40)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("condition", [1.5, 3.0, 10.0])
def test_cg_is_exact_in_as_many_steps_as_unknowns(size: int, condition: float) -> None:
    matrices, b = systems(size, condition)
    q, info = solved(conjugate_gradients, matrices, b, steps=size)
    assert_each_near(q, torch.linalg.solve(matrices, b), 1e-8)
    assert (info.steps <= size).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("condition", [1e2, 1e3, 1e4])
def test_cg_needs_three_times_as_many_steps_where_badly_conditioned(size: int, condition: float) -> None:
    """Rounding costs directions their conjugacy: up to a condition number of 1e4 (and 40 unknowns), 3 dim(v) steps."""
    matrices, b = systems(size, condition)
    answers = torch.linalg.solve(matrices, b)
    q, info = solved(conjugate_gradients, matrices, b, steps=3 * size)
    assert_each_near(q, answers, 1e-8)
    frozen, later = solved(conjugate_gradients, matrices, b, steps=10 * size)
    assert_each_near(frozen, answers, 1e-8)
    assert (later.steps <= 4 * size).all()


@pytest.mark.parametrize(("size", "condition"), [(10, 1e3), (20, 1e3), (40, 1e4)])
def test_as_many_steps_as_unknowns_are_not_enough_for_those(size: int, condition: float) -> None:
    matrices, b = systems(size, condition)
    answers = torch.linalg.solve(matrices, b)
    q, _ = solved(conjugate_gradients, matrices, b, steps=size)
    assert ((q - answers).norm(dim=1) / answers.norm(dim=1)).max() > 1e-4


def test_cg_takes_one_step_on_any_multiple_of_the_identity() -> None:
    scales = 10 ** torch.linspace(-8, 8, COUNT, dtype=torch.float64)
    b = normal(COUNT, 7, seed=3)
    for steps in (1, 2, 30):
        q, info = vmap(lambda s, b, n=steps: conjugate_gradients(lambda p: s * p, b, steps=n))(scales, b)
        assert_each_near(q, b / scales[:, None], 1e-15)
        assert (info.steps == 1).all()


# conjugate gradients: singular A


@pytest.mark.parametrize("steps", [6, 12, 100, 1000])
def test_cg_on_a_singular_matrix_stays_at_the_least_answer(steps: int) -> None:
    """b in the range of A: the pseudo-inverse's answer, frozen from dim(range) steps on."""
    matrices, b = systems(10, 4.0, zeros=4)
    b = (matrices @ b[..., None])[..., 0]
    least = (torch.linalg.pinv(matrices, hermitian=True) @ b[..., None])[..., 0]
    q, info = solved(conjugate_gradients, matrices, b, steps=steps)
    assert_each_near(q, least, 1e-9)
    assert (info.residual <= 1e-20 * b.square().sum(dim=1)).all()
    if steps > 6:
        before, _ = solved(conjugate_gradients, matrices, b, steps=steps - 1)
        assert_identical(q, before)


def without_answer(zeros: int) -> tuple[Tensor, Tensor, Tensor]:
    """(A, b, |the part of b outside the range of A|^2), ten unknowns."""
    matrices, b = systems(10, 4.0, zeros=zeros)
    inside = (torch.linalg.pinv(matrices, hermitian=True) @ matrices @ b[..., None])[..., 0]
    return matrices, b, (b - inside).square().sum(dim=1)


@pytest.mark.parametrize("zeros", [1, 4])
@pytest.mark.parametrize("steps", [1, 3, None])
def test_cg_says_by_its_residual_that_there_is_no_answer(steps: int | None, zeros: int) -> None:
    """Up to dim(range) steps the residual is that of q, and at least that of what no q reaches."""
    matrices, b, outside = without_answer(zeros)
    q, info = solved(conjugate_gradients, matrices, b, steps=10 - zeros if steps is None else steps)
    assert (info.residual >= 0.99 * outside).all()
    true = true_residuals(matrices, q, b)
    assert ((info.residual - true).abs() <= 0.01 * true).all()


@pytest.mark.parametrize("zeros", [1, 4])
@pytest.mark.parametrize("steps", [20, 1000])
def test_cg_where_there_is_no_answer_stays_finite(steps: int, zeros: int) -> None:
    """Nothing is NaN, however many steps, and the residual stays."""
    matrices, b, outside = without_answer(zeros)
    q, info = solved(conjugate_gradients, matrices, b, steps=steps)
    assert torch.isfinite(q).all()
    assert torch.isfinite(info.residual).all()
    assert (info.residual > 0).all()
    assert (true_residuals(matrices, q, b) > 0.3 * outside).all()


@pytest.mark.parametrize("zeros", [1, 4])
@pytest.mark.parametrize("steps", [20, 1000])
def test_cg_never_claims_an_answer_that_there_is_not(steps: int, zeros: int) -> None:
    matrices, b, outside = without_answer(zeros)
    _, info = solved(conjugate_gradients, matrices, b, steps=steps)
    assert (info.residual >= 0.99 * outside).all()


def test_damping_gives_cg_an_answer_there() -> None:
    matrices, b = systems(10, 4.0, zeros=4)
    damped = matrices + 0.5 * torch.eye(10, dtype=torch.float64)
    q, info = solved(conjugate_gradients, damped, b, steps=10)
    assert_each_near(q, torch.linalg.solve(damped, b), 1e-8)
    assert (info.residual <= 1e-16 * b.square().sum(dim=1)).all()


def test_cg_where_nothing_has_curvature_takes_no_step() -> None:
    b = normal(5, seed=4)
    q, info = conjugate_gradients(lambda p: 0 * p, b, steps=7)
    assert_identical(q, torch.zeros_like(b))
    assert info.steps.item() == 0
    assert_near(info.residual, b @ b)


# the others: closed forms and rates

ITERATIONS = {"gd": gradient_descent, "fixed-point": fixed_point, "neumann": neumann}
# a step size, what a step shrinks an error by, and the power beyond n that n steps leave
FACTORS: dict[str, tuple[float, Callable[[Tensor], Tensor], int]] = {
    "gd": (0.03, lambda A: 0.03 * A @ A, 0),
    "fixed-point": (0.2, lambda A: 0.2 * A, 0),
    "neumann": (0.2, lambda A: 0.2 * A, 1),
}


def errors(name: str, matrices: Tensor, b: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """(what the solver leaves, what theory says it leaves), both answer - q [COUNT, size]."""
    step_size, shrink, shift = FACTORS[name]
    answers = torch.linalg.solve(matrices, b)
    q, _ = solved(ITERATIONS[name], matrices, b, steps=steps, step_size=step_size)
    factor = torch.eye(b.shape[1], dtype=b.dtype) - shrink(matrices)
    left = (torch.linalg.matrix_power(factor, steps + shift) @ answers[..., None])[..., 0]
    return answers - q, left


@pytest.mark.parametrize("name", ITERATIONS)
def test_the_error_falls_by_the_factor_of_the_slowest_mode(name: str) -> None:
    """(I - eta A)^n A^{-1} b exactly; with a gap above the smallest eigenvalue 1, at its rate alone."""
    size, generator = 6, torch.Generator().manual_seed(5)
    basis = torch.linalg.qr(torch.randn(COUNT, size, size, generator=generator, dtype=torch.float64)).Q
    values = torch.tensor([1.0, 2.5, 3.0, 3.5, 4.0, 4.5], dtype=torch.float64)
    matrices, b = basis * values @ basis.mT, basis.sum(dim=2)  # b excites every mode alike
    step_size, shrink, _ = FACTORS[name]
    rate = 1 - step_size  # gd: eta 1^2
    counts, sizes = (10, 15, 20, 25, 30), []
    for count in counts:
        found, left = errors(name, matrices, b, count)
        assert_each_near(found, left, 1e-8)
        sizes.append(found.norm(dim=1).log())
    x = torch.tensor(counts, dtype=torch.float64)
    x = x - x.mean()
    slopes = (x @ torch.stack(sizes)) / (x @ x)
    assert ((slopes / math.log(rate) - 1).abs() < 0.1).all(), slopes.exp()


@pytest.mark.parametrize("name", ITERATIONS)
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_what_few_steps_leave(name: str, steps: int) -> None:
    assert_each_near(*errors(name, *systems(6, 4.0), steps), 1e-12)


@pytest.mark.parametrize("name", ITERATIONS)
def test_steps_that_are_too_long_diverge_at_the_rate_of_the_largest_mode(name: str) -> None:
    """The bound on the step size is sharp: 2 / L, or 2 / L^2."""
    matrix = torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64))
    b = torch.ones(2, dtype=torch.float64)
    answer = b / matrix.diagonal()
    for excess in (0.95, 1.05):
        step_size = excess * (2 / 16 if name == "gd" else 2 / 4)
        size = [
            (ITERATIONS[name](lambda p: matrix @ p, b, steps=n, step_size=step_size)[0] - answer)[1].abs()
            for n in (10, 11)
        ]
        assert (size[1] / size[0]).item() == pytest.approx(2 * excess - 1, rel=1e-9)


@pytest.mark.parametrize(("name", "products"), [("gd", 2), ("fixed-point", 1), ("neumann", 1)])
def test_products_and_residuals(name: str, products: int) -> None:
    """The residual is that before the last step: Neumann's is that of the series without its last term."""
    A, b = with_eigenvalues([1.0, 1.5, 2.0, 3.0, 4.0], seed=2), normal(5, seed=6)
    made = []

    def product(p: Tensor) -> Tensor:
        made.append(p)
        return A @ p

    step_size = FACTORS[name][0]
    for steps in (0, 1, 6):
        made.clear()
        _, info = ITERATIONS[name](product, b, steps=steps, step_size=step_size)
        assert len(made) == products * steps
        assert info.steps.item() == steps
        at = torch.zeros_like(b)
        if steps:
            at, _ = ITERATIONS[name](lambda p: A @ p, b, steps=steps - 1, step_size=step_size)
        assert_near(info.residual, (A @ at - b).square().sum(), 1e-9)


@pytest.mark.parametrize("name", ["gd", "fixed-point"])
def test_a_solve_goes_on_from_its_start(name: str) -> None:
    A, b = with_eigenvalues([1.0, 1.5, 2.0, 3.0, 4.0], seed=2), normal(5, seed=6)
    iterate, step_size = ITERATIONS[name], FACTORS[name][0]
    whole, _ = iterate(lambda p: A @ p, b, steps=9, step_size=step_size)
    half, _ = iterate(lambda p: A @ p, b, steps=4, step_size=step_size)
    assert_identical(iterate(lambda p: A @ p, b, steps=5, step_size=step_size, start=half)[0], whole)
    answer = torch.linalg.solve(A, b)
    stays, info = iterate(lambda p: A @ p, b, steps=5, step_size=step_size, start=answer)
    assert_near(stays, answer, 1e-14)
    assert info.residual < 1e-28


@pytest.mark.parametrize("limit", [0, 3, 8])
@pytest.mark.parametrize("name", [*ITERATIONS, "cg"])
def test_a_limit_is_that_many_steps(name: str, limit: int) -> None:
    A, b = with_eigenvalues([1.0, 1.5, 2.0, 3.0, 4.0], seed=2), normal(5, seed=6)
    solver: Any = conjugate_gradients if name == "cg" else ITERATIONS[name]
    settings = {} if name == "cg" else {"step_size": FACTORS[name][0]}
    limited = solver(lambda p: A @ p, b, steps=8, limit=torch.tensor(limit), **settings)
    assert_identical(limited, solver(lambda p: A @ p, b, steps=limit, **settings))


@pytest.mark.parametrize("name", ITERATIONS)
def test_they_work_on_trees_and_in_float32(name: str) -> None:
    A, b = with_eigenvalues([1.0, 1.5, 2.0, 3.0, 4.0], seed=2), normal(5, seed=6)
    settings = {"steps": 6, "step_size": FACTORS[name][0]}
    flat, _ = ITERATIONS[name](lambda p: A @ p, b, **settings)
    tree, _ = ITERATIONS[name](lambda p: v_tree(A @ v_flat(p)), v_tree(b), **settings)
    assert_near(v_flat(tree), flat, 1e-14)
    single, info = ITERATIONS[name](lambda p: A.float() @ p, b.float(), **settings)
    assert single.dtype == info.residual.dtype == torch.float32
    assert_near(single.double(), flat, 1e-5)
