"""The penalty function at a finite weight: Lemma 3, the bias of order 1/gamma, lambda as damping, multipliers.

C09: at v^(gamma) = argmin_v f~(u, v) the gradient of f~ in u is the formula of the hypergradient, evaluated there; it comes
to df/du as 1/gamma. C11: with lambda g in the v-update the formula has H_vv + (lambda / gamma) I in the place of H_vv.
C12, C43: with multipliers a gamma that does not grow is enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from core import Bilevel, hypergradient, solvers
from core.optimizers import GradientDescent
from core.products import penalty_gradients, upper_gradients
from pipelines.synthetic.problem import DIMENSION, EXAMPLES
from pipelines.theory.checks import Check, Demonstration, at_least, at_most, near, slope
from pipelines.theory.problems import Analytic, logistic, network, normal, quadratic
from pipelines.theory.stacked import states

ROUNDING = 1e-9
"""Relative; gamma times the rounding of grad_v g, and what the systems amplify."""


def stationary(p: Analytic, gamma: float, lam: float = 0.0, start: Tensor | None = None) -> Tensor:
    """v with grad_v (f + gamma/2 |grad_v g|^2 + lam g) = 0 near `start` (v*), by Newton's method.

    The matrix is of central differences, so that its error of 1e-8 is the factor of a step.
    Raises: ArithmeticError where 30 steps do not end at the level of rounding.
    """
    nothing = torch.zeros_like(p.v)

    def gradient(v: Tensor) -> Tensor:
        made = penalty_gradients(p.problem, p.u, v, None, gamma=gamma, nu=nothing, lam=lam, wrt="v").lower
        assert made is not None
        found: Tensor = made
        return found

    v, moves = p.v if start is None else start, 1e-5 * torch.eye(len(p.v), dtype=p.v.dtype)
    pulled = float(upper_gradients(p.problem, p.u, v, None)[1].norm())
    toward = gradient(v)
    for _ in range(30):
        around = vmap(gradient)(torch.cat([v + moves, v - moves]))
        matrix = (around[: len(v)] - around[len(v) :]) / 2e-5
        new = v - torch.linalg.solve(matrix, toward)
        after = gradient(new)
        # two terms of the size of grad_v f cancel: what is left is rounding once it falls no more
        if float(after.norm()) >= float(toward.norm()) / 2 and float(toward.norm()) < 1e-6 * pulled:
            return v
        v, toward = new, after
    raise ArithmeticError(f"{p.name}: no stationary v at gamma = {gamma:g}")


def problems(seed: int) -> list[Analytic]:
    """A quadratic, a convex and a non-convex problem."""
    return [quadratic(10.0, seed), logistic(seed), network(seed)]


def direction(p: Analytic, v: Tensor, gamma: float) -> Tensor:
    """grad_u f~ at (u, v), what a u-update of the penalty method follows."""
    made = penalty_gradients(p.problem, p.u, v, None, gamma=gamma, nu=torch.zeros_like(v), lam=0.0, wrt="u").upper
    assert made is not None
    found: Tensor = made
    return found


def lemma(plan: Mapping[str, Any], known: Sequence[Analytic]) -> Demonstration:
    """C09 and its figure: the formula at v^ to rounding, and the bias against df/du.

    Weights are in units of 1/mu^2, mu the smallest eigenvalue of H_vv: the penalty's least curvature is then the weight.
    """
    weights = sorted(map(float, plan["weights"]), reverse=True)
    checks: list[Check] = []
    curves: dict[str, Sequence[float]] = {"x": weights}
    for p in known:
        bias, gaps, away, v = [], [], [], p.v
        # from the largest down, each from the last
        for gamma in (weight / p.smallest**2 for weight in weights):
            v = stationary(p, gamma, start=v)
            found, formula = direction(p, v, gamma), hypergradient(p.problem, p.u, v, method="exact")
            gaps.append(float((found - formula).norm() / formula.norm()))
            bias.append(p.relative_error(found))
            away.append(float((v - p.v).norm() / p.v.norm()))
        checks += [
            at_most("C09", f"{p.name}: grad_u f~ at its minimiser v, off the formula there, relative", max(gaps), ROUNDING),
            near("C09", f"{p.name}: exponent in gamma of its distance from df/du", slope(weights, bias), -1, 0.1),
            near("C09", f"{p.name}: exponent in gamma of the minimiser's distance from v*", slope(weights, away), -1, 0.1),
        ]
        curves |= {p.name: bias, f"{p.name}, off the formula": gaps}
    return Demonstration(checks, {"bias": curves})


def damping(known: Sequence[Analytic]) -> Demonstration:
    """C11: after a v-update with lambda g the u-update solves the system of H + (lambda / gamma) I, not that of H."""
    gaps, apart = [], []
    for p in known:
        gamma = 100 / p.smallest**2
        for share in (0.01, 0.1, 1.0):
            v = stationary(p, gamma, share * p.smallest * gamma)
            found = direction(p, v, gamma)
            damped = hypergradient(p.problem, p.u, v, method="exact", damping=share * p.smallest)
            plain = hypergradient(p.problem, p.u, v, method="exact")
            gaps.append(float((found - damped).norm() / damped.norm()))
            apart.append(float((found - plain).norm() / plain.norm()))
    said = "three problems, lambda/gamma 1%, 10% and 100% of the least eigenvalue: grad_u f~"
    return Demonstration(
        [
            at_most("C11", f"{said}, off the formula with H + (lambda/gamma) I, relative", max(gaps), ROUNDING),
            at_least("C11", f"{said}, off the formula with H alone, relative", min(apart), 1e-5),
        ],
        {},
    )


def held(problem: Bilevel, weight: float, with_nu: bool) -> Any:
    """Penalty with gamma held, on a problem whose f~ has the curvature 2 + 4 gamma in u and in v (example 1)."""
    return solvers.make(
        "penalty",
        problem,
        lower_steps=1,
        upper_step_size=1 / (2 + 4 * weight),
        lower_step_size=1 / (2 + 4 * weight),
        gamma_0=weight,
        gamma_growth=1.0,
        epsilon_0=0.1,
        epsilon_decay=0.5,
        multipliers=with_nu,
        test_gradients="reused",
        upper_optimizer=GradientDescent(),
        lower_optimizer=GradientDescent(),
    )


def multipliers(plan: Mapping[str, Any]) -> Demonstration:
    """C12, C43: example 1 of the paper with gamma held, with and without the multiplier nu.

    Without it f~ = |u|^2 + |v|^2 + 2 gamma |1 - u - v|^2 is least at u = v = 2 gamma / (1 + 4 gamma), each entry
    1 / (2 + 8 gamma) from the solution 1/2.
    """
    example, weights = EXAMPLES["ex1"], [float(weight) for weight in plan["held_weights"]]
    draw = torch.Generator().manual_seed(plan["seed"])
    u, v = 2 * normal(draw, DIMENSION), 2 * normal(draw, DIMENSION)
    ends: dict[bool, list[float]] = {}
    curves: dict[str, Sequence[float]] = {"x": [float(count) for count in range(plan["held_rounds"] + 1)]}
    for with_nu in (False, True):
        made = [held(Bilevel(example.upper, example.lower), weight, with_nu) for weight in weights]
        errors = vmap(lambda u, v: example.error(u, v, None), in_dims=-1)
        path = [errors(state.u, state.v) for state in states(made, [(u, v)] * len(weights), plan["held_rounds"])]
        ends[with_nu] = path[-1].tolist()
        for place, weight in enumerate(weights):
            curves[f"gamma = {weight:g}, {'with' if with_nu else 'no'} multipliers"] = [float(one[place]) for one in path]
    derived = [math.sqrt(2 * DIMENSION) / (2 + 8 * weight) for weight in weights]
    off = max(abs(one / other - 1) for one, other in zip(ends[False], derived, strict=True))
    names = ", ".join(f"{weight:g}" for weight in weights)
    checks = [
        at_most("C12", f"example 1, gamma held at {names}, with multipliers: largest distance", max(ends[True]), 1e-6),
        at_most("C12", "the same without: from the derived distance sqrt(40) / (2 + 8 gamma), relative", off, 1e-6),
        at_most(
            "C43",
            "with multipliers over without: largest ratio of the distances at the end",
            max(one / other for one, other in zip(ends[True], ends[False], strict=True)),
            1.0,
        ),
    ]
    return Demonstration(checks, {"held": curves})


def at_a_finite_weight(plan: Mapping[str, Any]) -> Demonstration:
    """All of the above."""
    known = problems(plan["seed"])
    parts = [lemma(plan, known), damping(known), multipliers(plan)]
    curves = {name: lines for part in parts for name, lines in part.curves.items()}
    return Demonstration([check for part in parts for check in part.checks], curves)
