"""What is wrong with u, v, a batch or a cost, in words: asked for when something has failed, or before a start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
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
    " such as a fused attention? write it out of place; for attention use torch.nn.attention.sdpa_kernel(SDPBackend.MATH))"
)
_FAILURES = (RuntimeError, IndexError, KeyError, AttributeError, TypeError, ValueError, NotImplementedError)
_NOT_NEGATIVE = (
    *("step_size", "damping", "growth", "growth_power", "decay", "decay_factor", "gamma_0", "gamma_h_0", "gamma_max"),
    *("lambda_0", "epsilon_0", "eta", "steps"),
)
"""How the names of settings end of which none is negative."""


def check_start(u: Tree, v: Tree) -> None:
    """Raises ValueError, naming u or v, for a start that holds no tensor or something else beside its tensors, integers,
    NaN or infinity, or a tensor that asks for gradients, and for one whose two parts are on different devices."""
    devices: dict[str, set[torch.device]] = {}
    for name, tree in (("u", u), ("v", v)):
        found = leaves(tree)
        if not found:
            raise ValueError(f"{name} holds no tensor: it is a {type(tree).__name__}")
        for other in pytree.tree_leaves(tree):
            if other is not None and not isinstance(other, Tensor):
                raise ValueError(f"{name} holds a {type(other).__name__} beside its tensors: make it a tensor")
        for leaf in found:
            if not leaf.is_floating_point():
                raise ValueError(f"{name} must be of floating point, it is of {leaf.dtype}")
            if not can_be_looked_at(leaf):
                continue
            if leaf.requires_grad:
                # every state would keep the graph of all steps before it
                raise ValueError(f"{name} asks for gradients (requires_grad): start from detached tensors")
            if not bool(torch.isfinite(leaf).all()):
                raise ValueError(f"{name} is not finite at the start: {int((~torch.isfinite(leaf)).sum())} entries")
        devices[name] = {leaf.device for leaf in found}
    if devices["u"] != devices["v"]:
        raise ValueError(f"u is on {_listed(devices['u'])}, v on {_listed(devices['v'])}: move one of them")


def can_be_looked_at(tensor: Tensor) -> bool:
    """Whether its entries can be asked for: not in a program being compiled, under `torch.func` transforms (a batched one
    has no entries of its own), or on the meta device."""
    return not (
        torch.compiler.is_compiling() or tensor.is_meta or torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


def check_settings(of: str, known: Collection[str], settings: Mapping[str, Any]) -> None:
    """Raises ValueError for a setting that `of` does not have, for a negative step size, damping, weight, tolerance, growth
    or decay (NaN is one too)."""
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"{of} has no setting {', '.join(unknown)}; it has: {', '.join(sorted(known))}")
    for setting, value in settings.items():
        if setting.endswith(_NOT_NEGATIVE) and isinstance(value, int | float) and not value >= 0:
            raise ValueError(f"{setting} of {of} is not negative, it is {value}")


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
    if isinstance(error, KeyError):  # says the key and no more
        return f"there is no {error}"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _listed(devices: set[torch.device]) -> str:
    return ", ".join(sorted(map(str, devices)))
