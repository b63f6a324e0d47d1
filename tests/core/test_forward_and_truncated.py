"""Forward mode is reverse mode, truncation keeps K iterates and no more, and both take fewer steps by a limit."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from core import Bilevel, hypergradient, trials
from core.hypergradients.forward import basis, unroll_forward
from core.hypergradients.reverse import backward, unroll
from core.hypergradients.truncated import unroll_truncated
from core.products import dense_second_derivatives, upper_gradients
from tests.core import smooth
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import U, V, normal, points, quadratic, u_flat, u_tree

QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()
missing = trials.compiler_problem()
needs_compiler = pytest.mark.skipif(missing is not None, reason=f"nothing can be compiled here: {missing}")

# on a network, where the products differ from point to point


@pytest.mark.parametrize("steps", [0, 1, 15])
def test_forward_mode_is_reverse_mode(steps: int) -> None:
    u, v = smooth.start()
    settings = {"steps": steps, "step_size": 0.3}
    end, found = unroll_forward(smooth.PROBLEM, u, v, None, **settings)
    assert_near(found, hypergradient(smooth.PROBLEM, u, v, method="reverse", **settings), 1e-12)
    assert_identical(end, unroll(smooth.PROBLEM, u, v, None, **settings)[0])


@pytest.mark.parametrize("kept", [0, 1, 4, 15, 40])
def test_truncation_is_the_reverse_pass_without_the_first_steps(kept: int) -> None:
    u, v = smooth.start()
    settings: dict[str, Any] = {"steps": 15, "step_size": 0.3}
    end, found = unroll_truncated(smooth.PROBLEM, u, v, None, kept=kept, **settings)
    expected_end, path = unroll(smooth.PROBLEM, u, v, None, **settings)
    first = max(15 - kept, 0)
    assert_identical(end, expected_end)
    assert_identical(found, backward(smooth.PROBLEM, u, end, path, None, first=first, **settings))


def test_the_last_step_alone_is_luketinas() -> None:
    """grad_u f(v_T) - eta H_uv(v_{T-1}) grad_v f(v_T); `one-step` takes H_uv at v_T."""
    u, v = smooth.start()
    eta = 0.3
    before, _ = unroll(smooth.PROBLEM, u, v, None, steps=3, step_size=eta)
    after, _ = unroll(smooth.PROBLEM, u, before, None, steps=1, step_size=eta)
    direct, upper_v = upper_gradients(smooth.PROBLEM, u, after, None)
    for point, found in (
        (before, hypergradient(smooth.PROBLEM, u, v, method="truncated", steps=4, step_size=eta, kept=1)),
        (after, hypergradient(smooth.PROBLEM, u, after, method="one-step", step_size=eta)),
    ):
        _, h_uv = dense_second_derivatives(smooth.PROBLEM, u, point, None)
        assert_near(found, direct - eta * h_uv @ upper_v, 1e-12)


def test_where_the_path_stands_still_the_last_step_is_one_step() -> None:
    u, v = smooth.start()
    v = smooth.newton(u, smooth.lower_solution(u, v), 1)
    last = hypergradient(smooth.PROBLEM, u, v, method="truncated", steps=4, step_size=0.3, kept=1)
    assert_near(hypergradient(smooth.PROBLEM, u, v, method="one-step", step_size=0.3), last, 1e-11)


# projections


def test_projections_are_applied_and_not_differentiated() -> None:
    box, rho, steps = 0.3, 0.2, 5
    problem = QUADRATIC.problem(project_lower=lambda v: v.clamp(-box, box))
    u, v = points()
    end = v
    for _ in range(steps):
        end = (end - rho * QUADRATIC.lower_gradient(u, end)).clamp(-box, box)
    assert end.abs().max() == box
    found_end, found = unroll_forward(problem, u, v, None, steps=steps, step_size=rho)
    assert_near((found_end, found), (end, QUADRATIC.truncated(u, end, steps, rho)))
    for kept in (0, 2, 5):
        found_end, found = unroll_truncated(problem, u, v, None, steps=steps, step_size=rho, kept=kept)
        assert_near((found_end, found), (end, QUADRATIC.truncated(u, end, kept, rho)))


# limits


@pytest.mark.parametrize("limit", range(7))
def test_a_limit_is_that_many_steps(limit: int) -> None:
    """Of a network: v_L and the derivative of its L steps, or of the last K of those L."""
    u, v = smooth.start()
    counted = torch.tensor(limit)
    settings: dict[str, Any] = {"step_size": 0.3}
    found = unroll_forward(smooth.PROBLEM, u, v, None, steps=6, limit=counted, **settings)
    assert_near(found, unroll_forward(smooth.PROBLEM, u, v, None, steps=limit, **settings), 1e-13)
    for kept in (0, 1, 3, 6, 9):
        found = unroll_truncated(smooth.PROBLEM, u, v, None, steps=6, kept=kept, limit=counted, **settings)
        alone = unroll_truncated(smooth.PROBLEM, u, v, None, steps=limit, kept=kept, **settings)
        assert_near(found, alone, 1e-13)


def one_forward(u: Tensor, v: Tensor, limit: Any, batch: Any) -> Any:
    return unroll_forward(PROBLEM, u, v, batch, steps=4, step_size=0.1, limit=limit)


def one_truncated(u: Tensor, v: Tensor, limit: Any, batch: Any) -> Any:
    return unroll_truncated(PROBLEM, u, v, batch, steps=4, step_size=0.1, kept=2, limit=limit)


@pytest.mark.parametrize("one", [one_forward, one_truncated])
def test_rows_of_different_limits_are_each_as_alone(one: Any) -> None:
    starts = [(*points(index), torch.tensor(index + 1), normal(V, seed=70 + index)) for index in range(3)]
    together = vmap(one, in_dims=-1, out_dims=-1)(*trials.stack(starts))
    for index, start in enumerate(starts):
        assert_near(trials.row(together, index), one(*start), 1e-12)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("one", [one_forward, one_truncated])
def test_compiled_it_is_the_same(one: Any) -> None:
    """Trials of different T in one program, as a solver runs it."""

    def step(state: Any, batch: Any) -> Any:
        u, v, limit = state
        v, gradient = one(u, v, limit, batch)
        return (u - 0.05 * gradient, v, limit), {}

    stacked = vmap(step, in_dims=-1, out_dims=-1)
    state = trials.stack([(*points(index), torch.tensor(index + 2)) for index in range(3)])
    batch = torch.stack([normal(V, seed=70 + index) for index in range(3)], dim=-1)
    expected = trials.one_by_one(stacked)(state, batch, 3)
    assert_near(trials.advancing(stacked)(state, batch, 3), expected, 1e-11)


# memory


@pytest.mark.parametrize("kept", [0, 1, 5])
@pytest.mark.parametrize("steps", [10, 40])
@pytest.mark.parametrize("limited", [False, True])
def test_truncation_stores_the_kept_iterates_alone(kept: int, steps: int, limited: bool) -> None:
    """When f is differentiated, v_{T-K} .. v_T are all that is left of the path; reverse mode keeps all of it."""
    seen: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def lower(u: Tensor, v: Tensor, batch: Any) -> Tensor:
        # inside a transform v is a wrapper of the iterate
        plain = torch._C._functorch.get_unwrapped(v) if torch._C._functorch.is_gradtrackingtensor(v) else v
        if not any(reference() is plain for reference in seen):
            seen.append(weakref.ref(plain))
        return QUADRATIC.lower(u, v, batch)

    def upper(u: Tensor, v: Tensor, batch: Any) -> Tensor:
        alive.append(sum(reference() is not None for reference in seen))
        return QUADRATIC.upper(u, v, batch)

    problem = Bilevel(upper, lower)
    limit: Any = torch.tensor(steps) if limited else ()
    settings: dict[str, Any] = {"steps": steps, "step_size": 0.1, "limit": limit}

    def start() -> tuple[Tensor, Tensor]:
        seen.clear(), alive.clear()
        u, v = points()
        return u, v

    unroll_truncated(problem, *start(), None, kept=kept, **settings)
    # v_{T-K} .. v_{T-1}, and v_0, which the call above holds; v_T has not met g yet
    assert alive[0] == kept + 1
    u, v = start()
    end, path = unroll(problem, u, v, None, **settings)
    backward(problem, u, end, path, None, steps=steps, step_size=0.1, limit=limit)
    assert alive[0] == steps


def test_more_kept_steps_than_steps_are_all_of_them_and_fewer_than_none_are_refused() -> None:
    u, v = points()
    settings = {"steps": 4, "step_size": 0.1}
    everything = hypergradient(PROBLEM, u, v, method="reverse", **settings)
    assert_identical(hypergradient(PROBLEM, u, v, method="truncated", kept=9, **settings), everything)
    with pytest.raises(ValueError, match="kept is at least 0, not -1"):
        hypergradient(PROBLEM, u, v, method="truncated", kept=-1, **settings)


# the rows of forward mode


def test_the_basis_of_a_tree_is_that_of_its_flat_vector() -> None:
    rows = basis(u_tree(points()[0]))
    assert_near(vmap(u_flat)(rows), torch.eye(U, dtype=torch.float64))


def test_an_upper_variable_without_axes_has_one_row() -> None:
    problem = Bilevel(
        lambda u, v, batch: ((v - 1) ** 2).sum() + u * u,
        lambda u, v, batch: torch.exp(u) * (v * v).sum() - v.sum(),
    )
    u, v = torch.tensor(0.5, dtype=torch.float64), normal(V, seed=3)
    settings = {"steps": 6, "step_size": 0.05}
    found = hypergradient(problem, u, v, method="forward", **settings)
    assert found.shape == ()
    assert_near(found, hypergradient(problem, u, v, method="reverse", **settings), 1e-13)


def test_parts_of_u_may_have_dtypes_of_their_own() -> None:
    def lower(u: Any, v: Tensor, batch: Any) -> Tensor:
        return 0.5 * v @ v * (1 + u["single"].double().sum() ** 2) - v[0] * u["double"].sum()

    problem = Bilevel(lambda u, v, batch: v.sum() + u["double"].sum(), lower)
    u = {"single": torch.tensor([0.5, 0.1]), "double": normal(2, seed=4)}
    settings = {"steps": 5, "step_size": 0.1}
    found = hypergradient(problem, u, points()[1], method="forward", **settings)
    expected = hypergradient(problem, u, points()[1], method="reverse", **settings)
    assert found["single"].dtype == torch.float32
    assert_near(found, expected, 1e-6)
