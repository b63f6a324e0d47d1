"""What is wrong with u, v, a batch or a cost, in words: asked for when something has failed, or before a start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from core.problem import Bilevel
from core.trees import Tree, leaves, tree_map

Derivatives = Callable[[Bilevel, Tree, Tree, Any], Iterator[tuple[str, Callable[[], Any]]]]
"""(problem, u, v, batch) -> what is wrong where a derivative fails, and the call that takes it; the simplest first."""

NO_SECOND_DERIVATIVE = (
    "g has no second derivative in v and {} (an in-place or non-differentiable operation, or one without double backward,"
    " such as a fused attention?)"
)
_FAILURES = (RuntimeError, IndexError, TypeError, ValueError, NotImplementedError)


def check_start(u: Tree, v: Tree) -> None:
    """Raises ValueError, naming u or v, for a start that holds no tensor, integers, NaN or infinity, or for one whose two
    parts are on different devices."""
    devices: dict[str, set[torch.device]] = {}
    for name, tree in (("u", u), ("v", v)):
        found = leaves(tree)
        if not found:
            raise ValueError(f"{name} holds no tensor: it is a {type(tree).__name__}")
        for leaf in found:
            if not leaf.is_floating_point():
                raise ValueError(f"{name} must be of floating point, it is of {leaf.dtype}")
            # a batched start has no entries to look at, nor has a meta one
            if leaf.is_meta or torch._C._functorch.is_functorch_wrapped_tensor(leaf):
                continue
            if not bool(torch.isfinite(leaf).all()):
                raise ValueError(f"{name} is not finite at the start: {int((~torch.isfinite(leaf)).sum())} entries")
        devices[name] = {leaf.device for leaf in found}
    if devices["u"] != devices["v"]:
        raise ValueError(f"u is on {_listed(devices['u'])}, v on {_listed(devices['v'])}: move one of them")


def explained(
    call: Callable[[], Any], problem: Bilevel, u: Tree, v: Tree, batch: Any, derivatives: Derivatives
) -> Any:
    """The result of `call`; where it fails, ValueError with the reason that `reason` finds, if it finds one.

    In a program that is being compiled nothing is caught.
    """
    if torch.compiler.is_compiling():
        return call()
    try:
        return call()
    except _FAILURES as error:
        why = reason(problem, u, v, batch, derivatives)
        if why is None:
            raise
        raise ValueError(why) from error


def reason(problem: Bilevel, u: Tree, v: Tree, batch: Any, derivatives: Derivatives) -> str | None:
    """Why f, g or h cannot be evaluated or differentiated at (u, v, batch), None where they can.

    Args: derivatives: those that are asked for where both costs can be evaluated; of `core.products`.
    """
    at = place(u, v, batch)
    u, v = tree_map(torch.clone, u), tree_map(torch.clone, v)  # a cost that writes over its arguments is asked too
    for name, cost in (("f", problem.upper), ("g", problem.lower)):
        try:
            value = cost(u, v, batch)
        except _FAILURES as error:
            return f"{name}(u, v, batch) cannot be evaluated {at}: {_first_line(error)}"
        if not isinstance(value, Tensor) or value.dim() > 0:
            return f"{name}(u, v, batch) must return a scalar tensor, it returned {shape(value)} {at}"
    if problem.equality is not None:
        try:
            residuals = problem.equality(u, v, batch)
        except _FAILURES as error:
            return f"h(u, v, batch) cannot be evaluated {at}: {_first_line(error)}"
        if not leaves(residuals):
            return f"h(u, v, batch) must return tensors, it returned {shape(residuals)} {at}"
    for words, derivative in derivatives(problem, u, v, batch):
        try:
            derivative()
        except _FAILURES as error:
            return f"{words} {at}: {_first_line(error)}"
    return None


def place(u: Tree, v: Tree, batch: Any) -> str:
    """Where a cost was asked, in words."""
    return f"with u {shape(u)}, v {shape(v)}, batch {shape(batch)}"


def shape(tree: Any) -> str:
    """A tree's structure in words: shapes of its tensors."""
    if isinstance(tree, Tensor):
        return str(list(tree.shape))
    found = pytree.tree_leaves(tree)
    if not any(isinstance(leaf, Tensor) for leaf in found):
        return type(tree).__name__ if tree is not None else "None"
    return f"{type(tree).__name__} of {', '.join(shape(leaf) for leaf in found[:8])}{', ...' if len(found) > 8 else ''}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _listed(devices: set[torch.device]) -> str:
    return ", ".join(sorted(map(str, devices)))
