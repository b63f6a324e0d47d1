"""Gradients and products against closed forms, what they cost, and the same on trees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacrev

from core import Bilevel
from core.products import (
    KINDS,
    counting,
    dense_second_derivatives,
    linearize,
    lower_gradient,
    penalty_gradients,
    upper_gradient,
    upper_gradients,
)
from tests.core import smooth
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import (
    K,
    U,
    V,
    h_tree,
    normal,
    on_trees,
    points,
    quadratic,
    u_flat,
    u_tree,
    v_flat,
    v_tree,
)

QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()
GAMMA, LAM = 3.7, 0.6
NU, MU = normal(V, seed=21), normal(K, seed=22)


def calls(function: Callable[[], Any]) -> dict[str, int]:
    """The oracle calls of a function that are not none."""
    with counting() as counts:
        function()
    assert set(counts) == set(KINDS)
    return {kind: number for kind, number in counts.items() if number}


# against closed forms


def test_first_derivatives() -> None:
    u, v = points()
    direct, upper_v = upper_gradients(PROBLEM, u, v, None)
    assert_near(lower_gradient(PROBLEM, u, v, None), QUADRATIC.lower_gradient(u, v))
    assert_near(upper_gradient(PROBLEM, u, v, None), QUADRATIC.upper_gradient_u(u, v))
    assert_near(direct, QUADRATIC.upper_gradient_u(u, v))
    assert_near(upper_v, QUADRATIC.upper_gradient_v(u, v))


def test_the_batch_reaches_the_costs() -> None:
    u, v = points()
    batch = normal(V, seed=23)
    assert_near(lower_gradient(PROBLEM, u, v, batch), QUADRATIC.shifted(batch).lower_gradient(u, v))


def test_products_with_the_second_derivatives() -> None:
    u, v = points()
    point = linearize(PROBLEM, u, v, None)
    assert_near(point.lower_gradient, QUADRATIC.lower_gradient(u, v))
    for seed in range(3):
        q = normal(V, seed=seed)
        assert_near(point.hessian(q), QUADRATIC.H @ q)
        assert_near(point.cross(q), QUADRATIC.C.T @ q)


def test_dense_second_derivatives() -> None:
    u, v = points()
    h_vv, h_uv = dense_second_derivatives(PROBLEM, u, v, None)
    assert_near(h_vv, QUADRATIC.H)
    assert_near(h_uv, QUADRATIC.C.T)


def test_products_of_a_network_are_taken_at_the_point() -> None:
    u, v = smooth.start()
    inner = grad(smooth.lower, argnums=1)
    point = linearize(smooth.PROBLEM, u, v, None)
    q = normal(smooth.LOWER, seed=3)
    assert_near(point.hessian(q), jacrev(inner, argnums=1)(u, v, None) @ q)
    assert_near(point.cross(q), jacrev(inner, argnums=0)(u, v, None).T @ q)


@pytest.mark.parametrize("constrained", [False, True])
def test_penalty_gradients(constrained: bool) -> None:
    u, v = points()
    problem = QUADRATIC.problem(constrained)
    out = penalty_gradients(problem, u, v, None, gamma=GAMMA, nu=NU, lam=LAM)
    upper, lower = QUADRATIC.penalty_gradients(u, v, GAMMA, LAM, NU, constrained)
    assert_near(out.upper, upper)
    assert_near(out.lower, lower)
    assert_near(out.residual, QUADRATIC.lower_gradient(u, v))
    assert_near(out.constraint, QUADRATIC.equality(u, v, None) if constrained else ())


def test_the_multiplier_of_the_constraint() -> None:
    u, v = points()
    out = penalty_gradients(QUADRATIC.problem(True), u, v, None, gamma=GAMMA, nu=NU, lam=LAM, mu=MU)
    upper, lower = QUADRATIC.penalty_gradients(u, v, GAMMA, LAM, NU, True, MU)
    assert_near(out.upper, upper)
    assert_near(out.lower, lower)


def test_penalty_weights_may_be_tensors() -> None:
    u, v = points()
    gamma, lam = torch.tensor(GAMMA, dtype=torch.float64), torch.tensor(LAM, dtype=torch.float64)
    with_tensors = penalty_gradients(PROBLEM, u, v, None, gamma=gamma, nu=NU, lam=lam)
    assert_near(with_tensors, penalty_gradients(PROBLEM, u, v, None, gamma=GAMMA, nu=NU, lam=LAM))


@pytest.mark.parametrize("wrt", ["u", "v"])
def test_one_half_of_the_penalty_gradients(wrt: str) -> None:
    u, v = points()
    problem = QUADRATIC.problem(True)
    both = penalty_gradients(problem, u, v, None, gamma=GAMMA, nu=NU, lam=LAM, mu=MU)
    half = penalty_gradients(problem, u, v, None, gamma=GAMMA, nu=NU, lam=LAM, mu=MU, wrt=wrt)
    assert_near(half.residual, both.residual)
    assert_near(half.constraint, both.constraint)
    if wrt == "u":
        assert half.lower is None
        assert_near(half.upper, both.upper)
    else:
        assert half.upper is None
        assert_near(half.lower, both.lower)


def test_penalty_gradients_are_those_of_the_penalty_function_of_a_network() -> None:
    u, v = smooth.start()
    nu = normal(smooth.LOWER, seed=4)

    def penalty(u: Tensor, v: Tensor) -> Tensor:
        residual = grad(smooth.lower, argnums=1)(u, v, None)
        return smooth.upper(u, v, None) + GAMMA / 2 * (residual**2).sum() + nu @ residual

    out = penalty_gradients(smooth.PROBLEM, u, v, None, gamma=GAMMA, nu=nu, lam=LAM)
    assert_near(out.upper, grad(penalty)(u, v), 1e-11)
    with_lambda = grad(lambda v: penalty(u, v) + LAM * smooth.lower(u, v, None))(v)
    assert_near(out.lower, with_lambda, 1e-11)


def test_lambda_stays_out_of_the_upper_gradient() -> None:
    u, v = points()
    without = penalty_gradients(PROBLEM, u, v, None, gamma=GAMMA, nu=NU, lam=0.0)
    with_lambda = penalty_gradients(PROBLEM, u, v, None, gamma=GAMMA, nu=NU, lam=LAM)
    assert_identical(with_lambda.upper, without.upper)
    assert_near(with_lambda.lower - without.lower, LAM * QUADRATIC.lower_gradient(u, v), 1e-11)


def test_a_cost_that_knows_nothing_of_u_has_a_zero_gradient_in_it() -> None:
    u, v = points()
    problem = Bilevel(lambda u, v, batch: (v * v).sum(), PROBLEM.lower)
    assert_identical(upper_gradient(problem, u, v, None), torch.zeros(U, dtype=torch.float64))
    out = penalty_gradients(problem, u, v, None, gamma=1.0, nu=torch.zeros_like(v), lam=0.0)
    assert_near(out.upper, QUADRATIC.C.T @ QUADRATIC.lower_gradient(u, v))


def test_nothing_returned_holds_a_graph() -> None:
    u, v = (x.requires_grad_() for x in points())
    out = penalty_gradients(QUADRATIC.problem(True), u, v, None, gamma=GAMMA, nu=NU, lam=LAM)
    assert not out.residual.requires_grad
    assert not out.constraint.requires_grad


# trees


def test_products_on_trees_are_those_on_flat_vectors() -> None:
    u, v = points()
    problem = on_trees(PROBLEM)
    ut, vt, q = u_tree(u), v_tree(v), normal(V, seed=5)
    point = linearize(problem, ut, vt, None)
    direct, upper_v = upper_gradients(problem, ut, vt, None)
    assert_near(v_flat(lower_gradient(problem, ut, vt, None)), QUADRATIC.lower_gradient(u, v))
    assert_near(u_flat(upper_gradient(problem, ut, vt, None)), QUADRATIC.upper_gradient_u(u, v))
    assert_near(u_flat(direct), QUADRATIC.upper_gradient_u(u, v))
    assert_near(v_flat(upper_v), QUADRATIC.upper_gradient_v(u, v))
    assert_near(v_flat(point.hessian(v_tree(q))), QUADRATIC.H @ q)
    assert_near(u_flat(point.cross(v_tree(q))), QUADRATIC.C.T @ q)


@pytest.mark.parametrize("wrt", ["u", "v", "uv"])
@pytest.mark.parametrize("with_mu", [False, True])
def test_penalty_gradients_on_trees_are_those_on_flat_vectors(wrt: str, with_mu: bool) -> None:
    u, v = points()
    mu = MU if with_mu else torch.zeros(K, dtype=torch.float64)
    upper, lower = QUADRATIC.penalty_gradients(u, v, GAMMA, LAM, NU, True, mu)
    out = penalty_gradients(
        on_trees(QUADRATIC.problem(True)),
        u_tree(u),
        v_tree(v),
        None,
        gamma=GAMMA,
        nu=v_tree(NU),
        lam=LAM,
        mu=h_tree(mu) if with_mu else (),
        wrt=wrt,
    )
    if "u" in wrt:
        assert_near(u_flat(out.upper), upper)
    if "v" in wrt:
        assert_near(v_flat(out.lower), lower)
    assert_near(v_flat(out.residual), QUADRATIC.lower_gradient(u, v))
    assert_near(out.constraint, h_tree(QUADRATIC.equality(u, v, None)))


# costs


def test_the_calls_of_each_gradient() -> None:
    u, v = points()
    assert calls(lambda: lower_gradient(PROBLEM, u, v, None)) == {"gradients_g": 1}
    assert calls(lambda: upper_gradient(PROBLEM, u, v, None)) == {"gradients_f": 1}
    assert calls(lambda: upper_gradients(PROBLEM, u, v, None)) == {"gradients_f": 1}


def test_the_calls_of_products() -> None:
    u, v = points()
    assert calls(lambda: linearize(PROBLEM, u, v, None)) == {"gradients_g": 1}
    point = linearize(PROBLEM, u, v, None)
    assert calls(lambda: point.hessian(v)) == {"hessian_products": 1}
    assert calls(lambda: point.cross(v)) == {"cross_products": 1}
    assert calls(lambda: dense_second_derivatives(PROBLEM, u, v, None)) == {
        "gradients_g": 1,
        "hessian_products": V,
        "cross_products": V,
    }


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("wrt", ["u", "v", "uv"])
def test_the_calls_of_penalty_gradients(wrt: str, constrained: bool) -> None:
    u, v = points()
    expected = {"gradients_f": 1, "gradients_g": 1}
    if "v" in wrt:
        expected["hessian_products"] = 1
    if "u" in wrt:
        expected["cross_products"] = 1
    if constrained:
        expected["jacobian_products_h"] = 1
    problem = QUADRATIC.problem(constrained)
    found = calls(lambda: penalty_gradients(problem, u, v, None, gamma=1.0, nu=NU, lam=0.0, wrt=wrt))
    assert found == expected


def test_the_costs_themselves_are_called_once() -> None:
    """w is computed once: one pass through f, g and h for both halves of the penalty's gradient."""
    u, v = points()
    called = {"upper": 0, "lower": 0, "equality": 0}

    def counted(name: str) -> Callable[..., Tensor]:
        def cost(u: Tensor, v: Tensor, batch: None) -> Tensor:
            called[name] += 1
            out: Tensor = getattr(QUADRATIC, name)(u, v, batch)
            return out

        return cost

    problem = Bilevel(counted("upper"), counted("lower"), counted("equality"))
    problem.asked.update(("f", True))  # which is one more call of f and of g before the first product
    penalty_gradients(problem, u, v, None, gamma=1.0, nu=NU, lam=0.5, mu=MU)
    assert called == {"upper": 1, "lower": 1, "equality": 1}


def test_counting_ends_with_its_block() -> None:
    u, v = points()
    with counting() as counts:
        lower_gradient(PROBLEM, u, v, None)
    lower_gradient(PROBLEM, u, v, None)
    assert counts["gradients_g"] == 1


def test_counting_blocks_nest() -> None:
    u, v = points()
    with counting() as outer:
        lower_gradient(PROBLEM, u, v, None)
        with counting() as inner:
            lower_gradient(PROBLEM, u, v, None)
        lower_gradient(PROBLEM, u, v, None)
    assert (outer["gradients_g"], inner["gradients_g"]) == (3, 1)


def test_counting_blocks_nest_when_their_counts_agree() -> None:
    u, v = points()
    with counting() as outer:
        with counting() as inner:
            lower_gradient(PROBLEM, u, v, None)
        lower_gradient(PROBLEM, u, v, None)
    assert (outer["gradients_g"], inner["gradients_g"]) == (2, 1)


def test_counting_ends_where_the_block_raises() -> None:
    u, v = points()
    with pytest.raises(RuntimeError), counting() as counts:
        raise RuntimeError
    lower_gradient(PROBLEM, u, v, None)
    assert counts["gradients_g"] == 0


# what is refused


@pytest.mark.parametrize("wrt", ["", "vu", "w"])
def test_another_wrt_is_refused(wrt: str) -> None:
    u, v = points()
    with pytest.raises(ValueError, match="wrt is one of u, v, uv"):
        penalty_gradients(PROBLEM, u, v, None, gamma=1.0, nu=NU, lam=0.0, wrt=wrt)


def test_a_multiplier_of_another_structure_is_refused() -> None:
    u, v = points()
    with pytest.raises(ValueError, match="mismatch"):
        penalty_gradients(PROBLEM, u, v, None, gamma=1.0, nu=v_tree(NU), lam=0.0)
    with pytest.raises((ValueError, TypeError)):
        penalty_gradients(QUADRATIC.problem(True), u, v, None, gamma=1.0, nu=NU, lam=0.0, mu=h_tree(MU))
