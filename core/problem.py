"""The bilevel problem: min_u f(u, v*) subject to h(u, v*) = 0, v*(u) = argmin_v g(u, v)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from core.trees import Tree

Cost = Callable[[Tree, Tree, Any], Tensor]


def unconstrained(x: Tree) -> Tree:
    """The projection onto the whole space."""
    return x


def every_entry(batch: Any) -> None:
    """The answer of a problem whose every batch touches every entry of u."""
    return None


@dataclass(frozen=True)
class Bilevel:
    """An upper cost f, a lower cost g, and what restricts u and v.

    Every function is pure: it takes (u, v, batch), trees of tensors, and keeps nothing.

    Attributes:
        upper: f(u, v, batch), a scalar tensor.
        lower: g(u, v, batch), a scalar tensor.
        equality: h(u, v, batch), a tree of residuals that vanish at a feasible point, or None.
        project_upper: projection of u after every update (a box, say).
        project_lower: projection of v after every update.
        visited: for a vector u of which a minibatch touches only some entries (importances of examples): the index
            tensor [B] of those entries, from the batch. None stands for all of u.

    Source: Mehra & Hamm (2021), eqs. (1) and (4).
    """

    upper: Cost
    lower: Cost
    equality: Callable[[Tree, Tree, Any], Tree] | None = None
    project_upper: Callable[[Tree], Tree] = unconstrained
    project_lower: Callable[[Tree], Tree] = unconstrained
    visited: Callable[[Any], Tensor | None] = every_entry
    asked: set[bool | str] = field(default_factory=set, init=False, repr=False, compare=False)
    """What `core.graph` has asked for: "f", and g's graph for first (False) and second (True) derivatives."""
