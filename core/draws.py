"""Minibatches by role: what a stochastic solver takes in place of one batch for everything.

A batch that is no `Draws` (None, a tensor, any tree) serves every role, so that stochastic solvers run on deterministic
problems as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.loops import Path
from core.trees import tree_map


class Draws(NamedTuple):
    """A batch for each role in one upper iteration; () for a role that the solver does not ask for.

    How many a solver needs of each, its `draws()` says: {"upper": 1, "lower": T, "hessian": Q, "cross": 1}.
    """

    upper: Any = ()
    """For the gradients of f."""
    lower: Any = ()
    """For grad_v g in the lower steps: every tensor with a leading axis [T], an entry a step."""
    hessian: Any = ()
    """For products with H_vv: every tensor with a leading axis [Q], an entry a product."""
    cross: Any = ()
    """For the product with H_uv."""
    truncation: Tensor | tuple[()] = ()
    """Where a series is cut at random: a scalar integer tensor, or () for the solver's own draw."""


def batch_of(batch: Any, role: str) -> Any:
    """The batch of a role that is drawn once: "upper" or "cross"."""
    return getattr(batch, role) if isinstance(batch, Draws) else batch


def along(batch: Any, role: str, steps: int) -> tuple[Path | None, Callable[[Any], Any]]:
    """(path, at): what `core.loops.scan` takes as `along` for `steps` batches of a role, and the batch at an entry of it.

    In the body of the loop, `at(x)` is the batch of that step; of a batch that is no `Draws` the path is None and `at`
    gives the batch itself.

    Raises: ValueError where a tensor of the role does not have `steps` entries.
    """
    if not isinstance(batch, Draws):
        return None, lambda _: batch
    drawn = getattr(batch, role)
    found = _lengths(drawn)
    if found != {steps}:
        raise ValueError(f"{role} of Draws needs a leading axis of {steps}; its tensors have {sorted(found) or 'none'}")
    # a compiled scan takes the tensors whole, an eager one a list
    whole = torch.compiler.is_compiling()
    return drawn if whole else [entry(drawn, index) for index in range(steps)], lambda x: x


def entry(drawn: Any, index: int) -> Any:
    """One batch of a role with a leading axis."""
    return tree_map(lambda leaf: leaf[index], drawn)


def truncation_of(batch: Any) -> Tensor | None:
    """The drawn truncation, or None where the batch holds none."""
    return batch.truncation if isinstance(batch, Draws) and isinstance(batch.truncation, Tensor) else None


def _lengths(drawn: Any) -> set[int]:
    lengths: set[int] = set()
    tree_map(lambda leaf: lengths.add(leaf.shape[0] if leaf.dim() else 0), drawn)
    return lengths
