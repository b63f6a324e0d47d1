"""Where a solver comes to rest with u held in place, and how fast it goes there.

One upper iteration with u put back is a map x -> F(x) of what the solver carries, x. Its rest is the root of F(x) - x, found
by Newton's method on F itself, so that a mode that takes a million iterations costs no more than a fast one; that the
iterations go there, and how fast, is the spectral radius of F' there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from core.trees import leaves
from pipelines.theory.problems import Analytic

NEAR = 1e-6
"""Relative: how far Newton's last step may go, and how far two further iterations may move the state."""


class Rest(NamedTuple):
    """Attributes: v: the state's v at rest [V]. direction: the hypergradient that u would follow there [U].
    factor: the spectral radius of F', by which an upper iteration shrinks the slowest mode."""

    v: Tensor
    direction: Tensor
    factor: float


def at_rest(solver: Any, p: Analytic, v: Tensor, kept: Sequence[str], *, traced: bool = False) -> Rest:
    """The rest of a solver on a problem, from near v.

    Args:
        solver: its `upper_optimizer` plain descent with step size 1, so that the move of u is the hypergradient.
        kept: the fields of its state that go on from one iteration to the next, vectors like v.
        traced: F' by differentiating the step, which must detach nothing; else by central differences.

    Raises: ArithmeticError where Newton's method finds no rest (a singular system and NaN included), or the solver does not
        stay there.
    """
    begun = solver.init(p.u, v)

    def put(x: Tensor) -> Any:
        return begun._replace(**dict(zip(kept, x.split(len(v)), strict=True)))

    def once(x: Tensor) -> Tensor:
        after, _ = solver.step(put(x))
        return torch.cat([getattr(after, name) for name in kept])

    derivative: Callable[[Tensor], Tensor] = jacrev(once) if traced else partial(differences, once)
    x = torch.cat([getattr(begun, name) for name in kept])
    gap, matrix = once(x) - x, derivative(x)
    for _ in range(40):
        step, singular = torch.linalg.solve_ex(torch.eye(len(x), dtype=x.dtype) - matrix, gap)
        if bool(singular) or not bool(torch.isfinite(step).all()):
            raise ArithmeticError(f"{p.name}: {type(solver).__name__} has no rest near its start")
        new = x + step
        after = once(new) - new
        close = float(step.norm()) <= NEAR * (1 + float(x.norm()))
        if close and float(after.norm()) >= float(gap.norm()) / 2:
            break  # what is left is rounding
        if float(after.norm()) > float(gap.norm()) / 100:
            matrix = derivative(new)
        x, gap = new, after
    else:
        raise ArithmeticError(f"{p.name}: {type(solver).__name__} has no rest near its start")
    factor = float(torch.linalg.eigvals(derivative(x)).abs().max())
    return Rest(x[: len(v)], stays(solver, p, put(x)), factor)


def differences(once: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """F' at x, by central differences: to rounding where F is affine, as for most solvers on a quadratic."""
    size = 1e-4 * (1 + float(x.abs().max()))
    moves = size * torch.eye(len(x), dtype=x.dtype)
    around = vmap(once)(torch.cat([x + moves, x - moves]))
    return ((around[: len(x)] - around[len(x) :]) / (2 * size)).T


def stays(solver: Any, p: Analytic, state: Any) -> Tensor:
    """The hypergradient of the second of two iterations from a state, which must leave everything where the first put it.

    Were something that goes on from one iteration to the next missing in x, it would move here.
    """
    first = solver.step(state)[0]._replace(u=p.u)
    moved, _ = solver.step(first)
    for before, after in zip(leaves(first._replace(u=())), leaves(moved._replace(u=())), strict=True):
        if before.is_floating_point() and float((after - before).norm()) > NEAR * (1 + float(before.norm())):
            raise ArithmeticError(f"{p.name}: {type(solver).__name__} does not stay at its rest")
    found: Tensor = p.u - moved.u
    return found
