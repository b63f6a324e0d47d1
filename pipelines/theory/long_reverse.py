"""C06: does RMD converge on the synthetic examples 1 and 2 at T = 100?

Both lower costs have the curvature 2, so T steps of size rho shrink v's distance from v*(u) by s = (1 - 2 rho)^T, and the
reverse pass over T - 1 of them (released) gives dv/du = (1 - (1 - 2 rho)^(T - 1)) dv*/du: an upper iteration is an affine
map, which is iterated here in the place of 100 lower steps, after it was held against the solver's own steps. No projection
of v binds: starts are drawn so that v*(u) lies in the box.

With c that last factor, example 1 ends at u = c / (1 + c), v = 1 - u, and not at 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from core import solvers
from pipelines.synthetic.problem import BOX, DIMENSION, EXAMPLES, clip
from pipelines.theory.checks import Check, Demonstration, at_most

T, UPPER_STEP, TRIALS, ITERATIONS, CLOSE = 100, 1e-3, 20, 40_000, 0.05
"""As released, and what counts as converged (the claims on Figures 1 and 2 have the same)."""
RATES = (1e-4, 1e-2, 5e-2)
"""Lower steps: as released, and larger."""


def step(example: str, u: Tensor, v: Tensor, rho: Tensor) -> tuple[Tensor, Tensor]:
    """One upper iteration of RMD at T = 100 (released), entry by entry; `rho` of a shape to broadcast."""
    shrink, through = (1 - 2 * rho) ** T, 1 - (1 - 2 * rho) ** (T - 1)
    if example == "ex1":
        # df/du = 2 u - 2 through v, from |u|^2 + |v|^2
        v = torch.lerp(1 - u, v, shrink)
        return clip((1 - 2 * UPPER_STEP) * u + 2 * UPPER_STEP * through * v), v
    # df/du = -2 (u - v) + through (2 v + 2 (u - v)), from |v|^2 - |u - v|^2
    v = torch.lerp(u, v, shrink)
    return clip((1 + 2 * UPPER_STEP * (1 - through)) * u - 2 * UPPER_STEP * v), v


def starts(seed: int) -> tuple[Tensor, Tensor]:
    """(u, v) [trials, 20] with u in [-4, 5], v in the box."""
    draw = torch.Generator().manual_seed(seed)
    u, v = torch.rand(2, TRIALS, DIMENSION, generator=draw, dtype=torch.float64)
    return (2 * BOX - 1) * u - (BOX - 1), BOX * (2 * v - 1)


def difference(example: str, rho: float, seed: int) -> float:
    """The largest difference between the map and the solver's own step, from the first start."""
    u, v = (each[0] for each in starts(seed))
    solver = solvers.make(
        "rmd", EXAMPLES[example].problem, preset="released", lower_steps=T, upper_step_size=UPPER_STEP, lower_step_size=rho
    )
    state, _ = solver.step(solver.init(u, v))
    u, v = step(example, u, v, torch.tensor(rho, dtype=torch.float64))
    return max(float((state.u - u).abs().max()), float((state.v - v).abs().max()))


def long_reverse(plan: Mapping[str, Any]) -> Demonstration:
    """C06, by example and lower step."""
    checks: list[Check] = []
    every = ITERATIONS // 50
    curves: dict[str, Sequence[float]] = {"x": [float(every * index) for index in range(51)]}
    rates = torch.tensor(RATES, dtype=torch.float64)[:, None, None]
    for example in ("ex1", "ex2"):
        distance = vmap(vmap(lambda u, v, error=EXAMPLES[example].error: error(u, v, None)))
        u, v = (each.expand(len(RATES), -1, -1) for each in starts(plan["seed"]))
        path = [distance(u, v).mean(-1)]
        for iteration in range(1, ITERATIONS + 1):
            u, v = step(example, u, v, rates)
            if iteration % every == 0:
                path.append(distance(u, v).mean(-1))
        for place, rho in enumerate(RATES):
            name, end = f"example {example[2:]}, rho = {rho:g}", float(path[-1][place])
            curves[name] = [float(one[place]) for one in path]
            where = " (released)" if rho == RATES[0] else ""
            said = f"T = {T}, {name}{where}: mean distance after {ITERATIONS:,} upper iterations, {TRIALS} starts"
            checks.append(at_most("C06", said, end, CLOSE))
            if example == "ex1":
                c = 1 - (1 - 2 * rho) ** (T - 1)
                derived = math.sqrt(2 * DIMENSION) * (0.5 - c / (1 + c))
                said = f"T = {T}, {name}: distance at the end, off the derived {derived:.3g}"
                checks.append(at_most("C06", said, abs(end - derived), 1e-3))
    off = max(difference(example, rho, plan["seed"]) for example in ("ex1", "ex2") for rho in RATES)
    checks.append(at_most("C06", "the affine map of these runs, off the solver's own step, largest entry", off, 1e-12))
    return Demonstration(checks, {"long reverse": curves})
