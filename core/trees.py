"""Arithmetic on pytrees of tensors, the vectors of this package.

A tree is a tensor, or tuples, lists, dicts and NamedTuples of them. All functions are pure, and work under
`torch.func` transforms and `torch.compile`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Tree = Any  # a tensor or a container of trees; Python's type system has no better word for it


def tree_map(function: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Apply `function` leaf by leaf to trees of one structure; a None stays None.

    Raises: ValueError or TypeError where structures differ.
    """
    if isinstance(tree, Tensor) and all(isinstance(one, Tensor) for one in rest):
        # the tree of one leaf, by far the commonest: a third of the time of a small step was spent on finding that out
        return function(tree, *rest)
    return pytree.tree_map(lambda leaf, *more: None if leaf is None else function(leaf, *more), tree, *rest)


def flatten(tree: Tree) -> tuple[tuple[Tensor, ...], Callable[[Sequence[Tensor]], Tree]]:
    """(the tensors, a function that puts such tensors back in their places); a None stays where it is."""
    everything, structure = pytree.tree_flatten(tree)
    there = [leaf is not None for leaf in everything]

    def rebuild(tensors: Sequence[Tensor]) -> Tree:
        rest = iter(tensors)
        return pytree.tree_unflatten([next(rest) if present else None for present in there], structure)

    return tuple(leaf for leaf in everything if leaf is not None), rebuild


def leaves(tree: Tree) -> list[Tensor]:
    """The tensors of a tree, in a fixed order."""
    if isinstance(tree, Tensor):
        return [tree]
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def zeros_like(tree: Tree) -> Tree:
    """A tree of zeros."""
    return tree_map(torch.zeros_like, tree)


def full_like(tree: Tree, value: float) -> Tree:
    """A tree whose every entry is `value`."""
    return tree_map(lambda leaf: torch.full_like(leaf, value), tree)


def add_scaled(x: Tree, scale: Tensor | float, y: Tree) -> Tree:
    """x + scale * y, for a scalar `scale`."""
    return tree_map(lambda a, b: a + scale * b, x, y)


def scaled(scale: Tensor | float, x: Tree) -> Tree:
    """scale * x, for a scalar `scale`."""
    return tree_map(lambda a: scale * a, x)


def subtract(x: Tree, y: Tree) -> Tree:
    """x - y."""
    return tree_map(torch.sub, x, y)


def dot(x: Tree, y: Tree) -> Tensor:
    """The inner product over all leaves, a scalar tensor."""
    terms = [(a * b).sum() for a, b in zip(leaves(x), leaves(y), strict=True)]
    return torch.stack(terms).sum() if len(terms) > 1 else terms[0]


def squared_norm(x: Tree) -> Tensor:
    """The squared Euclidean norm over all leaves, a scalar tensor."""
    return dot(x, x)


def where(condition: Tensor, x: Tree, y: Tree) -> Tree:
    """x where the scalar boolean `condition` holds, else y; no Python branch, so it can be batched and compiled."""
    return tree_map(lambda a, b: torch.where(condition, a, b), x, y)


def detach(x: Tree) -> Tree:
    """The same numbers, outside any graph."""
    return tree_map(lambda leaf: leaf.detach(), x)


def dimension(x: Tree) -> int:
    """The number of entries over all leaves."""
    return sum(leaf.numel() for leaf in leaves(x))


def counter(like: Tree) -> Tensor:
    """An integer zero on the device of `like`."""
    return torch.zeros((), dtype=torch.int64, device=leaves(like)[0].device)


def scalar(value: float, like: Tree) -> Tensor:
    """A floating-point scalar of the dtype and device of `like`."""
    first = leaves(like)[0]
    return torch.full((), value, dtype=first.dtype, device=first.device)
