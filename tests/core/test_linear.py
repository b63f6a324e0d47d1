"""The linear solvers: exact answers, step counts, and what happens after convergence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import vmap

from core.linear.adam import adam
from core.linear.cg import conjugate_gradients
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import normal, v_flat, v_tree, with_eigenvalues

A = with_eigenvalues([1.0, 1.3, 1.7, 2.2, 2.8, 3.1, 3.6, 4.0], seed=1)
B = normal(8, seed=2)


class Counted:
    """A matrix as a function that counts its calls."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix, self.calls = matrix, 0

    def __call__(self, q: Tensor) -> Tensor:
        self.calls += 1
        return self.matrix @ q


# conjugate gradients


def test_cg_is_exact_after_as_many_steps_as_unknowns_and_not_before() -> None:
    answer = torch.linalg.solve(A, B)
    before, _ = conjugate_gradients(Counted(A), B, steps=7)
    assert (before - answer).norm() > 1e-6
    q, info = conjugate_gradients(Counted(A), B, steps=8)
    assert_near(q, answer, 1e-11)
    assert info.steps.item() == 8


def test_cg_needs_one_step_for_each_distinct_eigenvalue() -> None:
    matrix = with_eigenvalues([2.0, 2.0, 2.0, 5.0, 5.0, 9.0, 9.0, 9.0], seed=3)
    before, _ = conjugate_gradients(Counted(matrix), B, steps=2)
    answer = torch.linalg.solve(matrix, B)
    assert (before - answer).norm() > 1e-3
    assert_near(conjugate_gradients(Counted(matrix), B, steps=3)[0], answer, 1e-12)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 3.0, 1e4])
@pytest.mark.parametrize("steps", [1, 2, 20])
def test_cg_solves_a_multiple_of_the_identity_in_one_step(scale: float, steps: int) -> None:
    q, _ = conjugate_gradients(lambda p: scale * p, B, steps=steps)
    assert_near(q, B / scale, 1e-14)


def test_cg_takes_as_many_products_as_steps_whatever_happens() -> None:
    for steps in (0, 1, 8, 30):
        product = Counted(A)
        conjugate_gradients(product, B, steps=steps)
        assert product.calls == steps


def test_the_residual_of_cg_is_that_of_its_answer() -> None:
    for steps in range(6):
        q, info = conjugate_gradients(Counted(A), B, steps=steps)
        assert_near(info.residual, ((A @ q - B) ** 2).sum(), 1e-9)
        assert info.steps.item() == steps


def test_cg_of_zero_is_zero_in_no_steps() -> None:
    q, info = conjugate_gradients(Counted(A), torch.zeros_like(B), steps=5)
    assert_identical(q, torch.zeros_like(B))
    assert info.steps.item() == 0
    assert info.residual.item() == 0


def test_cg_within_its_tolerance_is_frozen() -> None:
    runs = [conjugate_gradients(Counted(A), B, steps=steps) for steps in range(9)]
    relative = [(info.residual.sqrt() / B.norm()).item() for _, info in runs]
    needed = next(steps for steps, size in enumerate(relative) if size <= 1e-2)
    assert 0 < needed < 8
    q, info = conjugate_gradients(Counted(A), B, steps=50, tolerance=1e-2)
    assert_identical(q, runs[needed][0])
    assert info.steps.item() == needed


def test_cg_on_a_diagonal_singular_matrix_stays_at_its_answer() -> None:
    diagonal = torch.tensor([1.0, 2.0, 3.0, 0.0, 0.0], dtype=torch.float64)
    b = torch.tensor([1.0, -1.0, 2.0, 0.0, 0.0], dtype=torch.float64)
    expected = torch.tensor([1.0, -0.5, 2 / 3, 0.0, 0.0], dtype=torch.float64)
    for steps in (3, 10, 200):
        assert_near(conjugate_gradients(lambda p: diagonal * p, b, steps=steps)[0], expected, 1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_cg_on_a_singular_matrix_stays_at_its_answer(seed: int) -> None:
    matrix = with_eigenvalues([1.0, 1.5, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0], seed=seed)
    b = matrix @ normal(8, seed=50 + seed)
    least = torch.linalg.pinv(matrix, hermitian=True) @ b
    for steps in (4, 10, 50, 200):
        assert_near(conjugate_gradients(Counted(matrix), b, steps=steps)[0], least, 1e-9)


def test_cg_works_on_trees() -> None:
    matrix = with_eigenvalues([1.0, 1.4, 1.9, 2.5, 3.0])
    b = normal(5, seed=6)
    q, _ = conjugate_gradients(lambda p: v_tree(matrix @ v_flat(p)), v_tree(b), steps=5)
    assert_near(v_flat(q), torch.linalg.solve(matrix, b), 1e-11)


def test_cg_stacked_solves_each_system_as_alone() -> None:
    rights = torch.stack([B, torch.zeros_like(B), A[0]], dim=-1)
    scales = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)

    def solve(scale: Tensor, b: Tensor) -> Tensor:
        return conjugate_gradients(lambda p: scale * (A @ p), b, steps=5)[0]

    stacked = vmap(solve, in_dims=(0, -1), out_dims=-1)(scales, rights)
    for index in range(3):
        assert_near(stacked[:, index], solve(scales[index], rights[:, index]), 1e-12)


# Adam


def tensorflow_adam(
    gradient: Callable[[np.ndarray], np.ndarray], q: np.ndarray, steps: int, step_size: float
) -> np.ndarray:
    """Adam as TensorFlow writes it."""
    m, s = np.zeros_like(q), np.zeros_like(q)
    for t in range(1, steps + 1):
        d = gradient(q)
        m, s = 0.9 * m + 0.1 * d, 0.999 * s + 0.001 * d * d
        q = q - step_size * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(s) + 1e-8)
    return q


def test_adam_follows_the_gradient_of_the_squared_residual() -> None:
    a, b, start = A.numpy(), B.numpy(), normal(8, seed=9)
    product = Counted(A)
    q, info, _ = adam(product, B, start=start, steps=12, step_size=0.05)
    expected = tensorflow_adam(lambda q: 2 * a @ (a @ q - b), start.numpy(), 12, 0.05)
    assert_near(q, torch.from_numpy(expected), 1e-12)
    assert product.calls == 24
    assert info.steps.item() == 12


def test_the_residual_of_adam_is_that_before_its_last_step() -> None:
    start = normal(8, seed=9)
    before, _, _ = adam(Counted(A), B, start=start, steps=6, step_size=0.05)
    _, info, _ = adam(Counted(A), B, start=start, steps=7, step_size=0.05)
    assert_near(info.residual, ((A @ before - B) ** 2).sum(), 1e-12)


def test_adam_converges_to_the_answer() -> None:
    q, _, _ = adam(Counted(A), B, start=torch.zeros_like(B), steps=3000, step_size=1e-2)
    assert_near(q, torch.linalg.solve(A, B), 1e-6)


def test_adam_goes_on_where_it_stopped() -> None:
    start = normal(8, seed=9)
    whole, _, whole_state = adam(Counted(A), B, start=start, steps=11, step_size=0.05)
    half, _, state = adam(Counted(A), B, start=start, steps=4, step_size=0.05)
    rest, _, state = adam(Counted(A), B, start=half, steps=7, step_size=0.05, state=state)
    assert_identical((rest, state), (whole, whole_state))


@pytest.mark.parametrize("limit", [0, 3, 8])
def test_a_limit_is_that_many_steps(limit: int) -> None:
    start = normal(8, seed=9)
    limited, info, state = adam(
        Counted(A), B, start=start, steps=8, step_size=0.05, limit=torch.tensor(limit)
    )
    alone, _, alone_state = adam(Counted(A), B, start=start, steps=limit, step_size=0.05)
    assert_identical((limited, state), (alone, alone_state))
    assert info.steps.item() == limit


def test_adam_works_on_trees() -> None:
    matrix = with_eigenvalues([1.0, 1.4, 1.9, 2.5, 3.0])
    b, start = normal(5, seed=6), normal(5, seed=7)
    flat, _, _ = adam(lambda p: matrix @ p, b, start=start, steps=5, step_size=0.1)
    tree, _, _ = adam(
        lambda p: v_tree(matrix @ v_flat(p)), v_tree(b), start=v_tree(start), steps=5, step_size=0.1
    )
    assert_near(v_flat(tree), flat, 1e-14)
