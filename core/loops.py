"""Loops over lower-level steps, written once: unrolled in Python, or one `scan` in a compiled program.

A compiled program that unrolls T steps takes minutes to compile and serves one T; a scan compiles one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan as _scan

from core.trees import Tree, flatten, tree_map, where

Limit = Tensor | tuple[()]
"""How many of the steps count: a scalar integer tensor, or () for all. (A state holds it, and () has no leaves.)"""

Path = Any
"""The carries before each step: a list of trees, or in a compiled program one tree with a leading axis of steps."""


def repeat(body: Callable[[Tree], Tree], carry: Tree, steps: int, limit: Limit = ()) -> Tree:
    """`body` applied `steps` times to `carry`, of which the first `limit` count."""
    return scan(lambda carry, _: body(carry), carry, steps, limit)[0]


def scan(
    body: Callable[[Tree, Tree], Tree],
    carry: Tree,
    steps: int,
    limit: Limit = (),
    *,
    along: Path | None = None,
    reverse: bool = False,
    keep: bool = False,
) -> tuple[Tree, Path]:
    """(carry, path) after `steps` of body(carry, x), x being the step's part of `along`.

    Args:
        limit: steps from this index on leave the carry as it was.
        along: the path of an earlier scan of as many steps, or None (x is then None).
        reverse: go from the last step to the first.
        keep: return the carries before each step, in the order of the indices; else the path is empty.
    """
    if torch.compiler.is_compiling():
        return _compiled(body, carry, steps, limit, along, reverse, keep)
    path: list[Tree] = [None] * steps if keep else []
    for index in reversed(range(steps)) if reverse else range(steps):
        if keep:
            path[index] = carry
        new = body(carry, None if along is None else along[index])
        carry = where(index < limit, new, carry) if isinstance(limit, Tensor) else new
    return carry, path


def shifted(limit: Limit, by: int) -> Limit:
    """A limit moved by so many steps."""
    return limit + by if isinstance(limit, Tensor) else limit


def part(path: Path, first: int) -> Path:
    """A path without its first steps."""
    return path[first:] if isinstance(path, list) else tree_map(lambda leaf: leaf[first:], path)


def laid_out(leaf: Tensor, others: Iterable[Tensor]) -> Tensor:
    """A leaf as a compiled loop takes and gives it: none of `others`, with the layout of a new tensor."""
    return _copy(leaf) if any(leaf is other for other in others) else leaf.contiguous()


def _copy(leaf: Tensor) -> Tensor:
    return leaf.clone(memory_format=torch.contiguous_format)


def _compiled(
    body: Callable[[Tree, Tree], Tree],
    carry: Tree,
    steps: int,
    limit: Limit,
    along: Path | None,
    reverse: bool,
    keep: bool,
) -> tuple[Tree, Path]:
    """The same through `torch`'s scan, which takes flat tuples of tensors that alias nothing."""
    flat, rebuild = flatten(carry)
    if isinstance(limit, Tensor):
        # under vmap a leaf that the trials share has from the start the axis that the limit gives it
        flat = tuple(torch.where(limit >= 0, leaf, leaf) for leaf in flat)
    flat = tuple(laid_out(leaf, flat[:index]) for index, leaf in enumerate(flat))
    flat_along, rebuild_along = flatten(along)

    def one(carried: tuple[Tensor, ...], x: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        old = rebuild(carried)
        new = body(old, rebuild_along(x[1:]))
        if isinstance(limit, Tensor):
            new = where(x[0] < limit, new, old)
        kept = carried if keep else x[:1]
        return tuple(map(_copy, flatten(new)[0])), tuple(map(_copy, kept))

    indices = torch.arange(steps, device=flat[0].device)
    carried, kept = _scan(one, flat, (indices, *flat_along), reverse=reverse)
    path = rebuild(kept) if keep else ()
    return rebuild(carried), path
