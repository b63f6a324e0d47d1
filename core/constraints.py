"""Inequalities as equalities with a slack, and boxes as projections (Mehra & Hamm, 2021, eq. 1 and Section 2.2).

    h(u, v) <= 0   becomes   h(u, v) + s^2 = 0,   with s a part of the upper variable: (u, s)

`problem = with_slack(problem, h)` and `u = with_start(h, u, v, batch)` give what a solver takes that knows equalities
(`penalty`). s = 0 is a spurious stationary point: every derivative in s has the factor s, so a slack that begins at zero
stays there and turns the inequality into an equality. Without multipliers the penalised constraint holds only as gamma
grows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from core.problem import Bilevel, every_entry
from core.trees import Tree, tree_map

Inequality = Callable[[Tree, Tree, Any], Tree]


class WithSlack(NamedTuple):
    """An upper variable and its slacks."""

    u: Tree
    s: Tree
    """Like h."""


class Constraints(NamedTuple):
    """The residuals of a problem that has both kinds."""

    equality: Tree
    inequality: Tree
    """h + s^2."""


def with_slack(problem: Bilevel, inequality: Inequality) -> Bilevel:
    """The problem in (u, s), a `WithSlack`, with h(u, v) + s^2 = 0 beside the equality it has already.

    Args: inequality: h(u, v, batch), a tree of tensors that are at most zero where it holds.
    Raises: ValueError for a problem whose batches visit entries of u: every step moves all slacks.
    """
    if problem.visited is not every_entry:
        raise ValueError("a problem with `visited` cannot have slacks: a step moves all of them")

    def equality(x: WithSlack, v: Tree, batch: Any) -> Tree:
        h = tree_map(lambda value, s: value + s * s, inequality(x.u, v, batch), x.s)
        return h if problem.equality is None else Constraints(problem.equality(x.u, v, batch), h)

    return replace(
        problem,
        upper=lambda x, v, batch: problem.upper(x.u, v, batch),
        lower=lambda x, v, batch: problem.lower(x.u, v, batch),
        equality=equality,
        project_upper=lambda x: WithSlack(problem.project_upper(x.u), x.s),
    )


def with_start(inequality: Inequality, u: Tree, v: Tree, batch: Any = None, smallest: float = 1e-2) -> WithSlack:
    """(u, s) with s = sqrt(max(-h, smallest)), never zero.

    Args: smallest: of s^2, in the units of h; positive.
    Raises: ValueError for a `smallest` that is not positive.
    """
    if smallest <= 0:
        raise ValueError(f"smallest must be positive, not {smallest}: a slack of zero never moves")
    return WithSlack(u, tree_map(lambda h: (-h).clamp(min=smallest).sqrt(), inequality(u, v, batch)))


def box(low: Tree, high: Tree) -> Callable[[Tree], Tree]:
    """The projection onto low <= x <= high, for `project_upper` or `project_lower`.

    Args: low, high: numbers for every entry, or trees of tensors like x.
    Raises: ValueError for two numbers with low above high.
    """
    if isinstance(low, int | float) and isinstance(high, int | float):
        if low > high:
            raise ValueError(f"an empty box: low {low} is above high {high}")
        return lambda x: tree_map(lambda leaf: leaf.clamp(low, high), x)

    def project(x: Tree) -> Tree:
        return tree_map(torch.minimum, tree_map(torch.maximum, x, _like(low, x)), _like(high, x))

    return project


def _like(bound: Tree, x: Tree) -> Tree:
    if isinstance(bound, int | float):
        return tree_map(lambda leaf: torch.full_like(leaf, bound), x)
    return bound


def violation(h: Tree) -> Tree:
    """max(h, 0), leaf by leaf: by how much h <= 0 fails."""
    return tree_map(lambda leaf: leaf.clamp(min=0), h)
