"""A cost that is no scalar, or cannot be differentiated, is a ValueError that names it, in all that takes a problem."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import ctc_loss, log_softmax, scaled_dot_product_attention

from core import Bilevel, solvers, trials
from core.products import linearize, lower_gradient
from core.trees import leaves
from tests.core.cases import PROBLEM, QUADRATIC, make
from tests.core.checks import assert_near
from tests.core.everything import PROBLEM_OF_ANY, everything, run, takes
from tests.core.quadratics import U, V, normal, points

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


def changes_what_is_needed(u: Any, v: Any, batch: Any) -> Any:
    """Writes over a tensor that the gradient of an earlier line needs."""
    w = torch.exp(v * u.sum())
    total = (w * w).sum()
    w.mul_(2)
    return total


def leaves_torch(u: Any, v: Any, batch: Any) -> Any:
    return torch.as_tensor(v.numpy() ** 2).sum() * u.sum()


@pytest.mark.parametrize("lower", [changes_what_is_needed, leaves_torch])
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


def closing_over(weight: Tensor, batch: Tensor | None = None) -> Bilevel:
    """f and g with a tensor that is no argument of theirs."""
    return Bilevel(
        lambda u, v, batch: PROBLEM.upper(u, weight * v, None) + (0 if batch is None else batch.sum()),
        lambda u, v, batch: PROBLEM.lower(u, weight * v, None) + (0 if batch is None else (batch * v).sum()),
    )


@everything
def test_what_a_cost_closes_over_leaves_no_graph(call: Any, name: str) -> None:
    """A network's parameters ask for gradients; what is carried on would keep the graph of every step."""
    weight, batch = (1 + 0.1 * normal(V, seed=seed).abs() for seed in (5, 6))
    found = call(name, closing_over(weight.clone().requires_grad_()), *points(), batch.clone().requires_grad_())
    assert not any(leaf.requires_grad for leaf in leaves(found))
    if call is run:
        solver = make(name, closing_over(weight.clone().requires_grad_()))
        together = trials.stack([solver.init(*points(index)) for index in range(2)])
        stepped = trials.batched(solver, None)(together, batch.clone().requires_grad_())
        assert not any(leaf.requires_grad for leaf in leaves(stepped))
    assert_near(found, call(name, closing_over(weight), *points(), batch), 1e-12)


@pytest.mark.parametrize("cost", ["upper", "lower"])
@pytest.mark.parametrize("argument", ["u", "v", "batch"])
@everything
def test_a_cost_that_writes_over_its_arguments_is_named(call: Any, name: str, argument: str, cost: str) -> None:
    """And what it was given is left as it was."""

    def writes(u: Any, v: Any, batch: Any) -> Any:
        value = getattr(PROBLEM, cost)(u, v, None) + batch.sum()
        {"u": u, "v": v, "batch": batch}[argument].mul_(2)
        return value

    given = (*points(), normal(V, seed=7))
    kept = [one.clone() for one in given]
    if cost == "upper" and "gradients_f" not in takes(call, name):
        return
    letter = {"upper": "f", "lower": "g"}[cost]
    with pytest.raises(ValueError, match=rf"^{letter} writes over {argument} \(an operation in place"):
        call(name, replace(PROBLEM, **{cost: writes}), *given)
    for one, before in zip(given, kept, strict=True):
        assert torch.equal(one, before)


class NoBackward(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise RuntimeError("of its own")


@everything
def test_an_upper_cost_without_a_gradient_in_u_is_named(call: Any, name: str) -> None:
    if "gradients_f" not in takes(call, name):
        return
    problem = Bilevel(lambda u, v, batch: PROBLEM.upper(NoBackward.apply(u), v, None), PROBLEM.lower)
    with pytest.raises(ValueError, match=r"^f has no gradient in u with u \[3\], v \[5\], batch None: of its own"):
        call(name, problem, *points())


@everything
def test_a_lower_cost_of_integers_is_named(call: Any, name: str) -> None:
    problem = Bilevel(PROBLEM.upper, lambda u, v, batch: torch.tensor(3))
    words = r"^g\(u, v, batch\) must return a tensor of floating point, it returned torch.int64"
    with pytest.raises(ValueError, match=words):
        call(name, problem, *points())


@pytest.mark.parametrize("name", ["itd", "penalty"])
def test_trials_side_by_side_are_asked_too(name: str) -> None:
    """The first of them, alone."""
    problem = Bilevel(PROBLEM.upper, lambda u, v, batch: PROBLEM.lower(u, v.detach(), None))
    solver = solvers.make(name, problem)
    together = trials.stack([solver.init(*points(index)) for index in range(2)])
    step = trials.batched(solver, None)
    for call in (lambda: step(together, None), lambda: trials.advancing(step)(together, None, 2)):
        with pytest.raises(ValueError, match="^g does not depend on v"):
            call()


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
def test_a_lower_cost_that_does_not_see_u_is_told(call: Any, name: str) -> None:
    """A lower solution that nothing can change, where second derivatives are taken."""
    problem = Bilevel(PROBLEM.upper, lambda u, v, batch: PROBLEM.lower(u.detach(), v, batch))
    if not takes(call, name) & {"hessian_products", "cross_products"}:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            call(name, problem, *points())
        return
    words = r"^the gradient of g in v does not depend on u \(a detached u\?\): .* with u \[3\]"
    with pytest.warns(RuntimeWarning, match=words):
        call(name, problem, *points())


def test_with_a_constraint_u_may_be_seen_by_h_alone() -> None:
    problem = Bilevel(PROBLEM.upper, lambda u, v, batch: PROBLEM.lower(u.detach(), v, batch), lambda u, v, batch: u - v[:3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
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
