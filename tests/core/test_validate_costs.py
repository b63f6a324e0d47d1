"""A cost that is no scalar, or cannot be differentiated, is a ValueError that names it, in all that takes a problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import ctc_loss, log_softmax, scaled_dot_product_attention

from core import Bilevel
from tests.core.cases import PROBLEM
from tests.core.checks import assert_near
from tests.core.everything import PROBLEM_OF_ANY, SETTINGS, estimate, everything, run, takes
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


@pytest.mark.parametrize("constant", [torch.round, torch.argmax, torch.detach])
@pytest.mark.parametrize("method", SETTINGS)
def test_what_torch_takes_for_a_constant_is_one(method: str, constant: Callable[[Tensor], Tensor]) -> None:
    """Nothing in torch raises there: the link through v is lost without a word. (`exact` has no inverse.)"""
    u, v = points()
    problem = Bilevel(PROBLEM.upper, lambda u, v, batch: constant(v).sum() * u.sum())
    if method == "exact":
        with pytest.raises(torch.linalg.LinAlgError):
            estimate(method, problem, u, v)
    else:
        assert_near(estimate(method, problem, u, v), torch.func.grad(PROBLEM.upper)(u, v, None), 1e-14)


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
    words = r"^g has no second derivative in v and [uv] \(.*without double backward, such as a fused attention\?\)"
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
