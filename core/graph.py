"""Whether g depends on v by operations that torch can differentiate: asked of the graph that plain autograd makes of it.

`torch.func` takes what has no graph (a detached v, `torch.no_grad`, an argmax, a function marked once_differentiable) for a
constant, and every product with it is a silent zero; a detached u likewise. A stop-gradient in a part of g is left alone: it
may be meant.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from core.problem import Bilevel
from core.trees import Tree, leaves, tree_map
from core.validate import NO_SECOND_DERIVATIVE, WrittenOverError, copied, is_plain, place


def check_graph(problem: Bilevel, u: Tree, v: Tree, batch: Any, second: bool) -> None:
    """Ask a problem once for its graph, by an evaluation of g and its gradient that are not counted.

    In a program that is being compiled and under `torch.func` transforms (trials stacked) nothing is asked.

    Args: second: whether second derivatives of g are taken too.
    Raises: ValueError where g has no graph in v, or where second derivatives are taken and its gradient has none.
    Warns: RuntimeWarning where they are taken, u does not move that gradient, and there is no h that it could move.
    """
    if not is_plain():
        return
    if second in problem.asked or True in problem.asked:
        return
    u, v = (tree_map(_of_its_own, tree) for tree in (u, v))
    with torch.enable_grad():
        value = _of_copies("g", problem.lower, u, v, batch)
        gradients = _gradients(value, leaves(v), torch.ones_like(value))
        # a function marked once_differentiable says so in the graph only where what comes down to it has a graph itself
        seeded = _gradients(value, leaves(v), torch.ones_like(value).requires_grad_()) if second else []
    at = place(u, v, batch)
    linear = not any(one.requires_grad for one in gradients)
    if linear and not _some(gradients):
        raise ValueError(f"g does not depend on v (a detached v, no_grad, an argmax or a rounding?) {at}")
    if second and linear:
        raise ValueError(f"{NO_SECOND_DERIVATIVE.format('u')} {at}: its gradient in v is a constant to torch")
    if second and any(node.name().endswith("::Error") for node in _graph(seeded)):
        raise ValueError(f"{NO_SECOND_DERIVATIVE.format('u')} {at}: one of its functions is marked once_differentiable")
    if second and problem.equality is None and not _reaches(gradients, leaves(u)):
        warnings.warn(
            f"the gradient of g in v does not depend on u (a detached u?): df/du is grad_u f alone {at}",
            RuntimeWarning,
            stacklevel=2,
        )
    problem.asked.add(second)


def check_upper(problem: Bilevel, u: Tree, v: Tree, batch: Any) -> None:
    """Ask a problem once for its upper cost, on copies.

    Raises: ValueError where f is no scalar, or writes over an argument.
    """
    if "f" in problem.asked or not is_plain():
        return
    with torch.no_grad():
        _of_copies("f", problem.upper, u, v, batch)
    problem.asked.add("f")


def _of_copies(name: str, cost: Callable[..., Any], u: Tree, v: Tree, batch: Any) -> Tensor:
    """The value of a cost, on copies of its arguments that it must not write over."""
    copies = {"u": copied(u), "v": copied(v), "batch": copied(batch)}
    value = cost(copies["u"], copies["v"], copies["batch"])
    if not isinstance(value, Tensor) or value.dim() or not value.is_floating_point():
        raise ValueError(f"{name} must return a scalar tensor")  # `core.validate.reason` says it with what it returned
    for argument, copy in copies.items():
        if any(leaf._version for leaf in leaves(copy)):
            raise WrittenOverError(
                f"{name} writes over {argument} (an operation in place; work on a copy) {place(u, v, batch)}"
            )
    return value


def _of_its_own(leaf: Tensor) -> Tensor:
    return leaf.detach().clone().requires_grad_()


def _gradients(value: Tensor, of: list[Tensor], seed: Tensor) -> list[Tensor]:
    """The gradients of a value that there are, times a seed, with their graph."""
    if not value.requires_grad:
        return []
    found: tuple[Tensor | None, ...] = torch.autograd.grad(value, of, seed, create_graph=True, allow_unused=True)
    return [one for one in found if one is not None]


def _some(gradients: Iterable[Tensor]) -> bool:
    """Whether any entry is not zero; on the meta device, where there are none, it is taken to be so."""
    return any(one.is_meta or bool(one.detach().any()) for one in gradients)


def _reaches(outputs: Iterable[Tensor], inputs: list[Tensor]) -> bool:
    """Whether any output was made of any input."""
    sources = {id(leaf) for leaf in inputs}
    return any(id(getattr(node, "variable", None)) in sources for node in _graph(outputs))


def _graph(outputs: Iterable[Tensor]) -> Iterator[Any]:
    """The nodes of the graph that made some tensors."""
    todo = [one.grad_fn for one in outputs if one.grad_fn is not None]
    seen = set(todo)
    while todo:
        node = todo.pop()
        yield node
        new = {after for after, _ in node.next_functions if after is not None} - seen
        seen |= new
        todo += new
