"""Several small runs of one solver as one: float64 problems this small cost calls, not arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from core.solvers.base import Solver
from core.trials import batched, stack


def states(made: Sequence[Solver], starts: Sequence[tuple[Tensor, Tensor]], steps: int) -> Iterator[Any]:
    """The stacked state (last axis: runs) before the first and after each of `steps` upper iterations.

    Args: made: a solver for each run; they may differ in what their states hold (weights, tolerances, step sizes of
        Penalty) and in nothing else, since the first one makes all steps. starts: (u, v) of each.
    """
    state = stack([solver.init(u, v) for solver, (u, v) in zip(made, starts, strict=True)])
    step = batched(made[0], None)
    yield state
    for _ in range(steps):
        state, _ = step(state, None)
        yield state


def ended(made: Sequence[Solver], starts: Sequence[tuple[Tensor, Tensor]], steps: int) -> list[tuple[Tensor, Tensor]]:
    """(u, v) of each run after `steps` upper iterations."""
    *_, last = states(made, starts, steps)
    return [(last.u[..., place], last.v[..., place]) for place in range(len(starts))]
