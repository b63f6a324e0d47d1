"""Forward mode, truncated reverse mode, ITD and first-order ITD: calls, closed forms of a step, MAML as a case of ITD."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core import Bilevel, solvers
from core.products import counting
from tests.core import smooth
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import (
    PLAIN,
    U,
    normal,
    on_trees,
    points,
    quadratic,
    u_flat,
    u_tree,
    v_flat,
    v_tree,
    with_eigenvalues,
)

QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()
SIGMA, RHO = 0.05, 0.2
STEPS: dict[str, Any] = {"upper_step_size": SIGMA, "lower_step_size": RHO}


def make(name: str, problem: Bilevel = PROBLEM, **settings: Any) -> Any:
    return solvers.make(name, problem, **{**STEPS, **settings})


def moved(solver: Any, count: int = 1, start: tuple[Any, Any] | None = None) -> Any:
    state = solver.init(*(points() if start is None else start))
    for _ in range(count):
        state, _ = solver.step(state)
    return state


@pytest.mark.parametrize("T", [1, 2, 7])
def test_the_calls_of_one_step(T: int) -> None:
    def calls(name: str, **settings: Any) -> dict[str, int]:
        with counting() as counts:
            moved(make(name, lower_steps=T, **settings))
        return {kind: number for kind, number in counts.items() if number}

    reverse = {"gradients_f": 1, "gradients_g": 2 * T, "hessian_products": T, "cross_products": T}
    assert calls("itd") == calls("itd", restart=True) == reverse
    for K in (1, 2):
        kept = min(K, T)
        assert calls("k-rmd", kept=K) == {
            "gradients_f": 1,
            "gradients_g": T + kept,
            "hessian_products": kept,
            "cross_products": kept,
        }
    # a tangent for each of the U entries of u
    assert calls("fmd") == {
        "gradients_f": 1,
        "gradients_g": 2 * T,
        "hessian_products": U * T,
        "cross_products": U * T,
    }
    assert calls("fo-itd") == {"gradients_f": 1, "gradients_g": T}


# forward mode


@pytest.mark.parametrize("T", [1, 2, 5])
def test_fmd_is_the_series_of_all_steps(T: int) -> None:
    solver = make("fmd", lower_steps=T)
    u, v = points()
    state = solver.init(u, v)
    for _ in range(3):
        v = QUADRATIC.path(u, v, T, RHO)[-1]
        gradient = QUADRATIC.truncated(u, v, T, RHO)
        u = u - SIGMA * gradient
        state, metrics = solver.step(state)
        assert_near((state.u, state.v), (u, v), 1e-12)
        assert_near(metrics["upper_gradient"], gradient @ gradient, 1e-11)


def test_forward_and_reverse_mode_agree_on_a_network() -> None:
    """Where the Hessian changes along the path: the two orders of the same product."""
    settings = {"lower_steps": 6, "lower_step_size": 0.3}
    forward = moved(make("fmd", smooth.PROBLEM, **settings), 3, smooth.start())
    reverse = moved(make("rmd", smooth.PROBLEM, **settings), 3, smooth.start())
    assert_near((forward.u, forward.v), (reverse.u, reverse.v), 1e-12)
    assert (forward.u - smooth.start()[0]).abs().max() > 1e-3


def test_forward_mode_on_trees_of_two_dtypes() -> None:
    """An upper variable whose parts differ in precision keeps both."""
    problem = Bilevel(
        lambda u, v, batch: (v["w"] ** 2).sum() + u["a"].double().sum() ** 2 + u["b"] ** 2,
        lambda u, v, batch: ((v["w"] - u["a"].double() - u["b"]) ** 2).sum(),
    )
    u = {"a": torch.ones(2, dtype=torch.float32), "b": torch.tensor(0.5, dtype=torch.float64)}
    v = {"w": torch.zeros(2, dtype=torch.float64)}
    forward, reverse = (moved(make(name, problem, lower_steps=3), 2, (u, v)) for name in ("fmd", "rmd"))
    assert forward.u["a"].dtype == torch.float32
    assert_near(forward.u, reverse.u, 1e-6)
    assert_near(forward.u["b"], reverse.u["b"], 1e-7)


# truncated reverse mode


@pytest.mark.parametrize(("T", "K"), [(1, 1), (5, 1), (5, 3), (5, 5), (2, 9)])
def test_k_rmd_is_the_series_of_the_last_steps(T: int, K: int) -> None:
    solver = make("k-rmd", lower_steps=T, kept=K)
    u, v = points()
    state = solver.init(u, v)
    for _ in range(3):
        v = QUADRATIC.path(u, v, T, RHO)[-1]
        u = u - SIGMA * QUADRATIC.truncated(u, v, min(K, T), RHO)
        state, _ = solver.step(state)
        assert_near((state.u, state.v), (u, v), 1e-12)


def test_k_rmd_of_all_steps_is_reverse_mode() -> None:
    for problem, start in ((PROBLEM, points()), (smooth.PROBLEM, smooth.start())):
        kept, all_of_them = make("k-rmd", problem, lower_steps=4, kept=4), make("rmd", problem, lower_steps=4)
        a, b = moved(kept, 3, start), moved(all_of_them, 3, start)
        assert_identical((a.u, a.v), (b.u, b.v))


def test_what_k_rmd_leaves_out_shrinks_with_each_step_kept_by_the_smallest_eigenvalue() -> None:
    """|h_K - h_T| ~ (1 - rho mu)^K: the slope of the logarithm over K."""
    matrices = quadratic([0.5, 2.0, 3.0, 4.0, 4.5])
    rho, T = 0.2, 160
    kept = range(20, 36, 4)

    def u_after(K: int) -> Tensor:
        return moved(make("k-rmd", matrices.problem(), lower_steps=T, kept=K, lower_step_size=rho)).u

    full = u_after(T)
    rest = [(u_after(K) - full).norm().log().item() for K in kept]
    slope = np.polyfit(list(kept), rest, 1)[0]
    assert slope == pytest.approx(np.log(1 - rho * 0.5), rel=1e-3)


def test_k_rmd_of_a_network_drops_the_first_terms() -> None:
    """K steps after T - K steps of descent are reverse mode of K steps from there."""
    u, v = smooth.start()
    settings = {"lower_step_size": 0.3}
    short = moved(make("k-rmd", smooth.PROBLEM, lower_steps=7, kept=3, **settings), 1, (u, v))
    middle = moved(make("gd", smooth.PROBLEM, lower_steps=4, **settings, **PLAIN), 1, (u, v)).v
    end = moved(make("rmd", smooth.PROBLEM, lower_steps=3, **settings), 1, (u, middle))
    assert_identical((short.u, short.v), (end.u, end.v))


def test_k_rmd_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="kept is at least 1, not 0"):
        make("k-rmd", kept=0)


# ITD


@pytest.mark.parametrize("restart", [False, True])
def test_itd_is_the_series_from_a_warm_or_a_cold_start(restart: bool) -> None:
    D = 4
    solver = make("itd", lower_steps=D, restart=restart)
    u, v = first = points()
    state = solver.init(u, v)
    for _ in range(4):
        v = QUADRATIC.path(u, first[1] if restart else v, D, RHO)[-1]
        u = u - SIGMA * QUADRATIC.truncated(u, v, D, RHO)
        state, _ = solver.step(state)
        assert_near((state.u, state.v), (u, v), 1e-12)
    assert_identical(state.start, first[1] if restart else ())


def test_itd_with_a_warm_start_is_reverse_mode() -> None:
    a, b = moved(make("itd", lower_steps=3), 3), moved(make("rmd", lower_steps=3), 3)
    assert_identical((a.u, a.v), (b.u, b.v))


def test_itd_with_restart_ends_at_the_minimum_of_the_unrolled_cost() -> None:
    """A quadratic in u with the gradient `truncated` after a cold start; its root, and how far it is from the solution."""
    _, v_0 = points()

    def unrolled(u: Tensor, D: int) -> Tensor:
        return QUADRATIC.truncated(u, QUADRATIC.path(u, v_0, D, RHO)[-1], D, RHO)

    gaps = []
    for D in (1, 3, 9):
        origin = unrolled(torch.zeros(U, dtype=torch.float64), D)
        rows = [unrolled(row, D) - origin for row in torch.eye(U, dtype=torch.float64)]
        root = -torch.linalg.solve(torch.stack(rows, dim=1), origin)
        state = moved(make("itd", lower_steps=D, restart=True, upper_step_size=0.3), 60)
        assert_near(state.u, root, 1e-8)
        gaps.append((root - QUADRATIC.solution()).norm().item())
    assert gaps[0] > 0.1
    assert gaps[2] < gaps[1] < gaps[0]


def test_first_order_itd_follows_the_direct_gradient() -> None:
    D = 4
    for restart in (False, True):
        solver = make("fo-itd", lower_steps=D, restart=restart)
        u, v = first = points()
        state = solver.init(u, v)
        for _ in range(4):
            v = QUADRATIC.path(u, first[1] if restart else v, D, RHO)[-1]
            u = u - SIGMA * QUADRATIC.upper_gradient_u(u, v)
            state, _ = solver.step(state)
            assert_near((state.u, state.v), (u, v), 1e-12)


def test_first_order_itd_with_a_warm_start_is_alternating_descent() -> None:
    a, b = moved(make("fo-itd", lower_steps=3), 3), moved(make("gd", lower_steps=3, **PLAIN), 3)
    assert_identical((a.u, a.v), (b.u, b.v))


# MAML: v is the departure of the adapted parameters from u

_A = with_eigenvalues([0.5, 1.0, 2.0, 2.5], seed=9)
_a, _b = normal(4, seed=10), normal(4, seed=11)


def task_loss(theta: Tensor) -> Tensor:
    return 0.5 * theta @ _A @ theta - _a @ theta


MAML = Bilevel(
    lambda u, v, batch: 0.5 * ((u + v - _b) ** 2).sum(),
    lambda u, v, batch: task_loss(u + v),
)


@pytest.mark.parametrize("D", [1, 3])
def test_itd_with_restart_is_maml(D: int) -> None:
    """theta_D = D gradient steps from u; the gradient is (I - alpha A)^D (theta_D - b), of the first order theta_D - b."""
    alpha = 0.3
    u = normal(4, seed=12)
    zero = torch.zeros_like(u)
    second = make("itd", MAML, lower_steps=D, lower_step_size=alpha, restart=True)
    first = make("fo-itd", MAML, lower_steps=D, lower_step_size=alpha, restart=True)
    for solver, power in ((second, D), (first, 0)):
        state, theta_0 = solver.init(u, zero), u
        for _ in range(3):
            theta = theta_0
            for _ in range(D):
                theta = theta - alpha * (_A @ theta - _a)
            pull = torch.linalg.matrix_power(torch.eye(4, dtype=u.dtype) - alpha * _A, power)
            theta_0 = theta_0 - SIGMA * pull @ (theta - _b)
            state, _ = solver.step(state)
            assert_near(state.u, theta_0, 1e-12)


# trees


@pytest.mark.parametrize("name", ["fmd", "k-rmd", "itd", "fo-itd"])
def test_trees_of_any_shape(name: str) -> None:
    u, v = points()
    flat = moved(make(name, lower_steps=4), 3)
    tree = moved(make(name, on_trees(PROBLEM), lower_steps=4), 3, (u_tree(u), v_tree(v)))
    assert_near((u_flat(tree.u), v_flat(tree.v)), (flat.u, flat.v), 1e-12)
