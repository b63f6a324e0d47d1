"""What is wrong with u, v, a batch or a cost, in words: asked for when something has failed, or before a start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, SupportsFloat

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from core.problem import Bilevel
from core.trees import Tree, leaves

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
_COUNTS = ("steps", "kept", "neumann_terms", "samples")
"""How the names of those end that are whole numbers."""


class WrittenOverError(ValueError):
    """A cost changed one of its arguments."""


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


def is_plain() -> bool:
    """Whether torch computes step by step here: not in a program being compiled, nor under `torch.func` transforms."""
    return not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is None


def without_graph() -> Any:
    """The context in which what a cost closes over, a network's parameters say, leaves no graph in the results; under
    `torch.func` transforms none, since these differentiate through it."""
    return torch.no_grad() if is_plain() else nullcontext()


def can_be_looked_at(tensor: Tensor) -> bool:
    """Whether its entries can be asked for: not in a program being compiled, under `torch.func` transforms (a batched one
    has no entries of its own), or on the meta device."""
    return not (
        torch.compiler.is_compiling() or tensor.is_meta or torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


def check_settings(of: str, known: Collection[str], settings: Mapping[str, Any]) -> None:
    """Raises ValueError for a setting that `of` does not have, for a negative step size, damping, weight, tolerance, growth
    or decay (NaN is one too), for an infinite step size, and for a number of steps or samples that is no whole number."""
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"{of} has no setting {', '.join(unknown)}; it has: {', '.join(sorted(known))}")
    for setting, value in settings.items():
        if setting.endswith(_COUNTS) and value is not None and not isinstance(value, int):
            raise ValueError(f"{setting} of {of} is a whole number, it is {value!r}")
        if setting.endswith(_NOT_NEGATIVE) and isinstance(value, SupportsFloat) and not float(value) >= 0:
            raise ValueError(f"{setting} of {of} is not negative, it is {value}")
        if setting.endswith("step_size") and isinstance(value, SupportsFloat) and float(value) == float("inf"):
            raise ValueError(f"{setting} of {of} is finite, it is {value}")


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
    except WrittenOverError:
        raise
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
    u, v, batch = copied(u), copied(v), copied(batch)  # a cost that writes over its arguments is asked too
    for name, cost in (("f", problem.upper), ("g", problem.lower)):
        try:
            value = cost(u, v, batch)
        except _FAILURES as error:
            return f"{name}(u, v, batch) cannot be evaluated {at}: {_first_line(error)}"
        if not isinstance(value, Tensor) or value.dim() > 0:
            return f"{name}(u, v, batch) must return a scalar tensor, it returned {shape(value)} {at}"
        if not value.is_floating_point():
            return f"{name}(u, v, batch) must return a tensor of floating point, it returned {value.dtype} {at}"
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


def copied(tree: Any) -> Any:
    """The same numbers in new tensors, of a graph that goes on; what else a batch holds stays as it is."""
    return pytree.tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, tree)


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
