"""C36: which lower solution is picked where there are several.

A line of them: g = (v1 + v2 - u)^2/2 with f = |v - c|^2/2 + (u - 1 - (v1 - v2)/2)^2/2. Gradient steps on g never move
v1 - v2, so RMD and ApproxGrad end at the best point with that of their start; the penalty method takes part of f's gradient
in its v-updates, and so can end at min_u min_{v in Z(u)} f.
Two isolated ones: g = (v^2 - 1)^2/4 with f = (v - 1)^2/2 + (u - v)^2/2, from beside the worse: with a small gamma at first f
draws v over to the better one, with a large one it cannot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core import Bilevel, solvers
from core.optimizers import GradientDescent
from core.solvers.base import Solver
from pipelines.theory.checks import Check, Demonstration, at_least, at_most
from pipelines.theory.stacked import ended

C = torch.tensor([1.0, -1.0], dtype=torch.float64)
STARTS = ((0.0, 0.0), (-1.0, 1.5), (2.0, 1.0))
UPPER_STEPS = 60


def line() -> Bilevel:
    """The problem with a line of lower solutions; u [1], v [2]."""

    def upper(u: Tensor, v: Tensor, batch: None) -> Tensor:
        return 0.5 * ((v - C) ** 2).sum() + 0.5 * ((u[0] - 1 - (v[0] - v[1]) / 2) ** 2)

    return Bilevel(upper, lambda u, v, batch: 0.5 * (v[0] + v[1] - u[0]) ** 2)


def best() -> tuple[Tensor, Tensor]:
    """(u, v) of the optimistic solution: v least in |v - c|^2/2 + (v1/2 + 3 v2/2 - 1)^2/2, u = v1 + v2."""
    w = torch.tensor([0.5, 1.5], dtype=torch.float64)
    v = torch.linalg.solve(torch.eye(2, dtype=torch.float64) + torch.outer(w, w), C + w)
    return v.sum()[None], v


def best_with(difference: float) -> tuple[Tensor, Tensor]:
    """The same with v1 - v2 held: with s = v1 + v2 = u, s/2 - (c1 + c2)/2 + s - 1 - difference/2 = 0."""
    s = (float(C.sum()) / 2 + 1 + difference / 2) / 1.5
    return torch.tensor([s], dtype=torch.float64), torch.tensor([s + difference, s - difference], dtype=torch.float64) / 2


def two() -> Bilevel:
    """The problem with two lower solutions; u [1], v [1]."""
    return Bilevel(
        lambda u, v, batch: 0.5 * ((v - 1) ** 2).sum() + 0.5 * ((u - v) ** 2).sum(),
        lambda u, v, batch: 0.25 * ((v * v - 1) ** 2).sum(),
    )


def penalty(problem: Bilevel, gamma: float) -> Solver:
    """Algorithm 2 from gamma_0 = `gamma`; 4 is the curvature of |grad_v g|^2/2 at the solutions of both problems."""
    size = 0.3 / (3 + 4 * gamma)
    return solvers.make(
        "penalty",
        problem,
        lower_steps=2,
        upper_step_size=size,
        lower_step_size=size,
        step_size_decay=1 / 1.1,
        gamma_0=gamma,
        epsilon_0=0.1,
        epsilon_decay=0.8,
        upper_optimizer=GradientDescent(),
        lower_optimizer=GradientDescent(),
    )


def others(problem: Bilevel, lower_step: float) -> dict[str, Solver]:
    """The methods that solve the lower problem by gradient steps on g."""
    steps: dict[str, Any] = {"lower_steps": 2, "lower_step_size": lower_step, "upper_step_size": 0.3}
    steps["upper_optimizer"] = GradientDescent()
    # damped, since H_vv is singular
    cg: dict[str, Any] = {"linear_solver": "cg", "damping": 1e-6, "lower_optimizer": GradientDescent()}
    return {
        "RMD": solvers.make("rmd", problem, **steps),
        "ApproxGrad, CG": solvers.make("approxgrad", problem, **steps, **cg),
    }


def apart(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    """The distance between two points (u, v)."""
    return math.hypot(float((one[0] - other[0]).norm()), float((one[1] - other[1]).norm()))


def on_the_line() -> list[Check]:
    """C36 on the first problem."""
    problem, u = line(), torch.zeros(1, dtype=torch.float64)
    starts = [(u, torch.tensor(start, dtype=torch.float64)) for start in STARTS]
    found = ended([penalty(problem, 1.0)] * len(starts), starts, 5 * UPPER_STEPS)
    off = max(apart(one, best()) for one in found)
    said = f"a line of lower solutions, {len(STARTS)} starts, Penalty: distance from the optimistic one"
    checks = [at_most("C36", said, off, 0.01)]
    least = float(problem.upper(*best(), None))
    # g has the curvature 2 along (1, 1): one lower step of 1/2 solves it
    for name, solver in others(problem, 0.5).items():
        found = ended([solver] * len(starts), starts, UPPER_STEPS)
        expected = [best_with(start[0] - start[1]) for start in STARTS]
        off = max(apart(one, other) for one, other in zip(found, expected, strict=True))
        excess = min(float(problem.upper(*one, None)) - least for one in found)
        checks += [
            at_most("C36", f"the same, {name}: distance from the best with v1 - v2 of the start, as derived", off, 1e-3),
            at_least("C36", f"the same, {name}: least excess of f over the optimistic value", excess, 0.01),
        ]
    return checks


def of_two() -> list[Check]:
    """C36 on the second problem, where it depends on the weight at the start."""
    problem = two()
    beside, right = torch.full((1,), -1.2, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    inside, weights = torch.full((1,), -0.3, dtype=torch.float64), (0.1, 100.0, 100.0)
    starts = [(beside, beside), (beside, beside), (inside, inside)]
    soft, hard, middle = ended([penalty(problem, weight) for weight in weights], starts, 5 * UPPER_STEPS)
    stays = ended([others(problem, 0.3)["ApproxGrad, CG"]], starts[:1], UPPER_STEPS)[0]
    said = "two isolated lower solutions, from v = -1.2"
    return [
        at_most("C36", f"{said}, Penalty, gamma_0 = 0.1: off the optimistic one", apart(soft, (right, right)), 0.01),
        at_most("C36", f"{said}, Penalty, gamma_0 = 100: the same", apart(hard, (right, right)), 0.01),
        at_most("C36", f"{said}, ApproxGrad: distance from the other, its own", apart(stays, (-right, -right)), 0.01),
        at_most("C36", "the same from v = -0.3, Penalty, gamma_0 = 100: |v|; it ends at g's maximum, where grad_v g = 0",
                float(middle[1].abs()), 0.05),
    ]  # fmt: skip


def optimistic(plan: Mapping[str, Any]) -> Demonstration:
    """C36 on both problems; nothing is drawn, so the plan is not looked at."""
    return Demonstration([*on_the_line(), *of_two()], {})
