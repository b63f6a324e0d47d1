"""A cost that is no scalar, or cannot be differentiated, is a ValueError that names it, in all that takes a problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import ctc_loss, log_softmax, scaled_dot_product_attention

from core import Bilevel, solvers
from core.products import linearize, lower_gradient
from tests.core.cases import PROBLEM, QUADRATIC
from tests.core.checks import assert_near
from tests.core.everything import PROBLEM_OF_ANY, everything, run, takes
from tests.core.quadratics import U, normal, points

Cost = Callable[[Any, Any, Any], Any]

# what the costs return


NO_SCALARS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "a vector": (lambda u, v: v * v, r"\[5\]"),
    "a vector of one": (lambda u, v: (v * v).sum()[None], r"\[1\]"),
    "a number": (lambda u, v: 1.0, "float"),
    "nothing": (lambda u, v: None, "None"),
    "more": (lambda u, v: ((v * v).sum(), u), r"tuple of \[\], \[3\]"),
}
SCALAR = r"\(u, v, batch\) must return a scalar tensor, it returned {} with u \[3\], v \[5\]"


@pytest.mark.parametrize("what", NO_SCALARS)
@everything
def test_a_lower_cost_that_is_no_scalar_is_named(call: Any, name: str, what: str) -> None:
    returned, words = NO_SCALARS[what]
    with pytest.raises(ValueError, match=f"^g{SCALAR.format(words)}"):
        call(name, Bilevel(PROBLEM.upper, lambda u, v, batch: returned(u, v)), *points())


@pytest.mark.parametrize("what", NO_SCALARS)
@everything
def test_an_upper_cost_that_is_no_scalar_is_named(call: Any, name: str, what: str) -> None:
    if "gradients_f" not in takes(call, name):
        return
    returned, words = NO_SCALARS[what]
    with pytest.raises(ValueError, match=f"^f{SCALAR.format(words)}"):
        call(name, Bilevel(lambda u, v, batch: returned(u, v), PROBLEM.lower), *points())


# what cannot be differentiated


def changes_v(u: Any, v: Any, batch: Any) -> Any:
    """Writes over its argument."""
    return (v.mul_(2) ** 2).sum() * u.sum()


def changes_what_is_needed(u: Any, v: Any, batch: Any) -> Any:
    """Writes over a tensor that the gradient of an earlier line needs."""
    w = torch.exp(v * u.sum())
    total = (w * w).sum()
    w.mul_(2)
    return total


def leaves_torch(u: Any, v: Any, batch: Any) -> Any:
    return torch.as_tensor(v.numpy() ** 2).sum() * u.sum()


@pytest.mark.parametrize("lower", [changes_v, changes_what_is_needed, leaves_torch])
@everything
def test_a_cost_without_a_gradient_is_named(call: Any, name: str, lower: Cost) -> None:
    with pytest.raises(ValueError, match=r"^g has no gradient in [uv] with u \[3\], v \[5\], batch None: \S"):
        call(name, Bilevel(PROBLEM.upper, lower), *points())


@everything
def test_an_operation_in_place_that_is_harmless_is_not_refused(call: Any, name: str) -> None:
    def lower(u: Any, v: Any, batch: Any) -> Any:
        w = v * (1 + u.sum() ** 2)
        w.mul_(2)
        return (w * w).sum()

    same = Bilevel(PROBLEM.upper, lambda u, v, batch: ((2 * v * (1 + u.sum() ** 2)) ** 2).sum())
    found = call(name, Bilevel(PROBLEM.upper, lower), *points())
    assert_near(found, call(name, same, *points()), 1e-11)


# what torch takes for a constant


def without_a_graph(v: Tensor) -> Tensor:
    with torch.no_grad():
        return v * v


@pytest.mark.parametrize("constant", [torch.round, torch.argmax, torch.detach, without_a_graph])
@everything
def test_a_lower_cost_that_does_not_see_v_is_named(call: Any, name: str, constant: Callable[[Tensor], Tensor]) -> None:
    """Nothing in torch raises there: every product with it would be a silent zero."""
    problem = Bilevel(PROBLEM.upper, lambda u, v, batch: constant(v).sum() * u.sum())
    if name == "exact":  # its inverse fails first
        with pytest.raises((torch.linalg.LinAlgError, ValueError)):
            call(name, problem, *points())
        return
    with pytest.raises(ValueError, match=r"^g does not depend on v \(a detached v.*\) with u \[3\], v \[5\], batch None"):
        call(name, problem, *points())


class Once(torch.autograd.Function):
    """A square whose backward cannot be differentiated; torch.func takes its derivative for a constant."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * gradient


class Detached(Once):
    """The same, with a backward outside any graph."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0].detach() * gradient.detach()


@pytest.mark.parametrize(
    "lower",
    [
        lambda u, v, batch: (Once.apply(v) * u.sum()).sum(),
        lambda u, v, batch: (Once.apply(v) * u.sum()).sum() + (v * v).sum(),  # among what is differentiable twice
        lambda u, v, batch: Once.apply(v).sum() + (v * v).sum() * u.sum(),  # with a constant coming down to it
        lambda u, v, batch: (Detached.apply(v) * (1 + u.sum())).sum(),  # not zero at the zero u of l2rw
    ],
    ids=["once", "once-among-others", "once-at-a-constant", "detached"],
)
@everything
def test_a_function_of_once_only_is_named_where_second_derivatives_are_taken(call: Any, name: str, lower: Cost) -> None:
    problem, (u, v) = Bilevel(OF_ANY_SIZE, lower), points()
    if not takes(call, name) & {"hessian_products", "cross_products"}:
        call(name, problem, u, v)
        return
    if name == "exact":
        with pytest.raises((torch.linalg.LinAlgError, ValueError)):
            call(name, problem, u, v)
        return
    with pytest.raises(ValueError, match=r"^g has no second derivative in v and u .* with u \[3\], v \[5\], batch None: "):
        call(name, problem, u, v)


@everything
def test_a_lower_cost_that_does_not_see_u_is_named(call: Any, name: str) -> None:
    """A lower solution that nothing can change, where second derivatives are taken; with h, u may act through it alone."""
    problem = Bilevel(PROBLEM.upper, lambda u, v, batch: PROBLEM.lower(u.detach(), v, batch))
    if not takes(call, name) & {"hessian_products", "cross_products"}:
        call(name, problem, *points())
        return
    words = r"^the gradient of g in v does not depend on u \(a detached u\?\): .* with u \[3\]"
    with pytest.raises(ValueError, match=words):
        call(name, problem, *points())


def test_with_a_constraint_u_may_be_seen_by_h_alone() -> None:
    problem = Bilevel(PROBLEM.upper, lambda u, v, batch: PROBLEM.lower(u.detach(), v, batch), lambda u, v, batch: u - v[:3])
    run("penalty", problem, *points())


@everything
def test_a_stop_gradient_in_a_part_is_left_alone(call: Any, name: str) -> None:
    stopped = Bilevel(PROBLEM.upper, lambda u, v, batch: PROBLEM.lower(u, v, None) + (v.detach() ** 2).sum())
    assert_near(call(name, stopped, *points()), call(name, PROBLEM, *points()), 1e-12)


def test_a_problem_is_asked_for_its_graph_once_for_each_order() -> None:
    called = []

    def lower(u: Any, v: Any, batch: Any) -> Any:
        called.append(v)
        return PROBLEM.lower(u, v, batch)

    problem = Bilevel(PROBLEM.upper, lower)
    for product, count in ((lower_gradient, 2), (lower_gradient, 1), (linearize, 2), (linearize, 1), (lower_gradient, 1)):
        called.clear()
        product(problem, *points(), None)
        assert len(called) == count


# constraints


@pytest.mark.parametrize(
    ("equality", "words"),
    [
        (lambda u, v, batch: u @ v, r"^h\(u, v, batch\) cannot be evaluated with u \[3\], v \[5\], batch None: incons"),
        (lambda u, v, batch: 1.0, r"^h\(u, v, batch\) must return tensors, it returned float with u"),
    ],
)
def test_a_constraint_that_fails_is_named(equality: Cost, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run("penalty", Bilevel(PROBLEM.upper, PROBLEM.lower, equality), *points())


@pytest.mark.parametrize("name", [name for name in solvers.names() if name != "penalty"])
def test_a_solver_without_a_rule_for_h_refuses_it(name: str) -> None:
    with pytest.raises(ValueError, match=f"^solver {name} has no rule for the equality constraint h"):
        solvers.make(name, QUADRATIC.problem(constrained=True))


def test_the_multiplier_of_h_needs_a_value_of_h_without_a_batch() -> None:
    problem = Bilevel(PROBLEM.upper, PROBLEM.lower, lambda u, v, batch: u[batch[:2]])
    with pytest.raises(ValueError, match=r"^constraint_multipliers: .* h\(u, v, None\)"):
        solvers.make("penalty", problem, constraint_multipliers=True).init(*points())
    solver = solvers.make("penalty", problem)  # without it, h is asked in steps only
    solver.step(solver.init(*points()), torch.arange(5))


# once differentiable, not twice


def attention(u: Any, v: Any, batch: Any) -> Any:
    """Two heads, four positions: torch takes the fused kernel here unless it is told otherwise."""
    x = v.reshape(1, 2, 4, 8)
    return scaled_dot_product_attention(x * u.sum(), x, x).sum() + (v * v).sum()


def flash_attention(u: Any, v: Any, batch: Any) -> Any:
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return attention(u, v, batch)


def plain_attention(u: Any, v: Any, batch: Any) -> Any:
    with sdpa_kernel(SDPBackend.MATH):
        return attention(u, v, batch)


def efficient_attention(u: Any, v: Any, batch: Any) -> Any:
    with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
        return attention(u, v, batch)


def transcription(u: Any, v: Any, batch: Any) -> Any:
    scores = log_softmax((v * u.sum()).reshape(8, 1, 8), -1)
    return ctc_loss(scores, torch.tensor([[1, 2]]), torch.tensor([8]), torch.tensor([2]))


SIZE = 64
OF_ANY_SIZE = PROBLEM_OF_ANY.upper


@pytest.mark.parametrize("lower", [attention, flash_attention, transcription])
@everything
def test_a_cost_without_a_second_derivative_is_named(call: Any, name: str, lower: Cost) -> None:
    """What needs first derivatives alone runs."""
    problem, (u, v) = Bilevel(OF_ANY_SIZE, lower), (normal(U, seed=1), normal(SIZE, seed=2))
    if not takes(call, name) & {"hessian_products", "cross_products"}:
        call(name, problem, u, v)
        return
    words = r"^g has no second derivative in v and [uv] \(.*such as a fused attention\? .*sdpa_kernel\(SDPBackend.MATH\)\)"
    with pytest.raises(ValueError, match=rf"{words} with u \[3\], v \[64\], batch None: derivative for aten::"):
        call(name, problem, u, v)


@pytest.mark.parametrize("name", ["approxgrad", "penalty", "rmd"])
def test_attention_by_plain_products_is_twice_differentiable(name: str) -> None:
    """The way out."""
    run(name, Bilevel(OF_ANY_SIZE, plain_attention), normal(U, seed=1), normal(SIZE, seed=2))


@everything
def test_a_kernel_that_is_not_there_is_named(call: Any, name: str) -> None:
    """On a CPU there is no memory-efficient attention: g has not even a value."""
    problem = Bilevel(OF_ANY_SIZE, efficient_attention)
    with pytest.raises(ValueError, match=r"^g\(u, v, batch\) cannot be evaluated .*: No viable backend"):
        call(name, problem, normal(U, seed=1), normal(SIZE, seed=2))
