"""Runs of the penalty method with growing gamma and falling epsilon: Theorem 2, and constraints without projection.

The problem is f = |u - a|^2/2 + |v - b|^2/2, g = v'Hv/2 - v'Cu, alone, with the equality |u|^2 = r^2, or with the inequality
|u|^2 <= r^2 by a slack. v*(u) = G u with G = H^{-1} C, so the solutions are those of a quadratic in u on a sphere, and the
multiplier of grad_v g there is H^{-1} grad_v f.
C10 (Theorem 2): for gamma -> inf, epsilon -> 0 stationary points of f~ tend to a KKT point of min f, h = 0, grad_v g = 0,
and mu = -gamma (h, grad_v g) to its multipliers. That a round ends at a nearly stationary point of f~ is its stopping rule,
and says nothing; the KKT residual of the problem itself, with the multipliers that fit it best, knows nothing of gamma.
C37: no projection is needed; the inequality holds in the limit only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad, jacrev

from core import Bilevel, solvers
from core.constraints import with_slack, with_start
from core.optimizers import Momentum
from core.products import penalty_gradients
from pipelines.theory.checks import Check, Demonstration, at_least, at_most, near, slope
from pipelines.theory.problems import normal

U, V, RADIUS = 2, 3, 0.5
GROWTH, EPSILON, DECAY = 1.5, 0.1, 0.7


class Quadratic(NamedTuple):
    """The problem's data, and its solution u* without a constraint or on the sphere."""

    a: Tensor
    b: Tensor
    h: Tensor
    g: Tensor

    def upper(self, u: Tensor, v: Tensor, batch: None) -> Tensor:
        return 0.5 * ((u - self.a) ** 2).sum() + 0.5 * ((v - self.b) ** 2).sum()

    def lower(self, u: Tensor, v: Tensor, batch: None) -> Tensor:
        return 0.5 * v @ (self.h @ v) - v @ (self.h @ (self.g @ u))

    def solution(self, on_sphere: bool) -> tuple[Tensor, Tensor, float]:
        """(u*, multiplier of grad_v g, multiplier kappa of |u|^2 - r^2): (I + G'G + 2 kappa I) u = a + G'b."""
        matrix = torch.eye(U, dtype=self.a.dtype) + self.g.T @ self.g
        right = self.a + self.g.T @ self.b

        def at(kappa: float) -> Tensor:
            found: Tensor = torch.linalg.solve(matrix + 2 * kappa * torch.eye(U, dtype=right.dtype), right)
            return found

        kappa = 0.0
        if on_sphere:
            low, high = 0.0, 1e3
            for _ in range(100):
                kappa = (low + high) / 2
                low, high = (kappa, high) if float(at(kappa).norm()) > RADIUS else (low, kappa)
        u = at(kappa)
        return u, torch.linalg.solve(self.h, self.g @ u - self.b), kappa


def drawn(seed: int) -> Quadratic:
    """H with eigenvalues 1 to 2, and a solution outside the sphere."""
    draw = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(normal(draw, V, V)).Q
    h = basis @ torch.diag(torch.linspace(1, 2, V, dtype=torch.float64)) @ basis.T
    g = torch.linalg.qr(normal(draw, V, U)).Q
    return Quadratic(1 + normal(draw, U).abs(), normal(draw, V), h, g)


def on_sphere(u: Tensor, v: Tensor, batch: None) -> Tensor:
    """|u|^2 - r^2, as a vector of one."""
    return (u @ u - RADIUS**2)[None]


class Round(NamedTuple):
    """Where a round ended, before gamma was raised."""

    gamma: float
    u: Any
    v: Tensor
    residual: Tensor
    """grad_v g."""
    constraint: Tensor
    """h, [0] where there is none."""
    steps: int


def rounds(problem: Bilevel, u: Any, v: Tensor, count: int, most: int, **settings: Any) -> list[Round]:
    """The ends of `count` rounds; raises ArithmeticError where they take more than `most` upper iterations."""
    solver = solvers.make(
        "penalty",
        problem,
        lower_steps=2,
        **{
            "upper_step_size": 0.03,
            "lower_step_size": 0.05,
            "step_size_decay": 1 / GROWTH,  # f~ is as much steeper after each round
            "gamma_0": 1.0,
            "gamma_growth": GROWTH,
            "epsilon_0": EPSILON,
            "epsilon_decay": DECAY,
            "multipliers": False,
            "upper_optimizer": Momentum(),
            "lower_optimizer": Momentum(),
            **settings,
        },
    )
    state, found = solver.init(u, v), []
    for step in range(1, most + 1):
        before = state
        state, _ = solver.step(state)
        if int(state.rounds) > int(before.rounds):
            held = {"gamma": before.gamma, "nu": before.nu, "lam": 0.0, "mu": before.mu}
            made = penalty_gradients(problem, state.u, state.v, None, **held)
            gamma, h = float(before.gamma), v.new_zeros(0) if problem.equality is None else made.constraint
            found.append(Round(gamma, state.u, state.v, made.residual, h, step))
            if len(found) == count:
                return found
    raise ArithmeticError(f"{len(found)} of {count} rounds in {most} upper iterations")


class KKT(NamedTuple):
    """Attributes: residual: |(grad f - J'mu, c)| of min f with c = (grad_v g, h) = 0. multipliers: mu, which make the first
    part least."""

    residual: float
    multipliers: Tensor


def kkt_at(problem: Bilevel, u: Tensor, v: Tensor) -> KKT:
    """The KKT conditions at a point, from dense derivatives of f, g and h and a least-squares fit; no penalty is in them."""

    def constraints(u: Tensor, v: Tensor) -> Tensor:
        r: Tensor = grad(problem.lower, argnums=1)(u, v, None)
        return r if problem.equality is None else torch.cat([r, problem.equality(u, v, None)])

    upward = torch.cat(grad(problem.upper, argnums=(0, 1))(u, v, None))
    jacobian = torch.cat(jacrev(constraints, argnums=(0, 1))(u, v), dim=1)
    mu = torch.linalg.lstsq(jacobian.T, upward[:, None]).solution[:, 0]
    residual = torch.cat([upward - jacobian.T @ mu, constraints(u, v)])
    return KKT(float(residual.norm()), mu)


def kkt(plan: Mapping[str, Any]) -> Demonstration:
    """C10: Algorithm 1 (no multipliers) without and with the equality.

    At the ends of rounds |c| is |mu| / gamma to first order, and what epsilon leaves of grad f - J'mu falls about as fast:
    the whole KKT residual, and what is wrong with its multipliers, go as 1 / gamma.
    """
    q, checks, curves = drawn(plan["seed"]), [], {}
    for name, equality in (("without h", None), ("with h", on_sphere)):
        u, multiplier, kappa = q.solution(equality is not None)
        u_0, v_0 = torch.full((U,), 0.3, dtype=torch.float64), torch.zeros(V, dtype=torch.float64)
        problem = Bilevel(q.upper, q.lower, equality)
        ends = rounds(problem, u_0, v_0, plan["rounds"], plan["most_steps"])
        gammas = [end.gamma for end in ends]
        residuals = {"|grad_v g|": [float(end.residual.norm()) for end in ends]}
        if equality is not None:
            residuals["|h|"] = [float(abs(end.constraint[0])) for end in ends]
        away = [float((end.u - u).norm()) for end in ends]
        # -gamma (h, grad_v g) against the solution's multipliers: L = f - mu'(h, grad_v g)
        exact = torch.cat([multiplier, multiplier.new_tensor([-kappa] if equality is not None else [])])
        points = [kkt_at(problem, end.u, end.v) for end in ends]
        estimates = [-end.gamma * torch.cat([end.residual, end.constraint]) for end in ends]
        gaps = [float((one - exact).norm() / exact.norm()) for one in estimates]
        fitted_gaps = [float((point.multipliers - exact).norm() / exact.norm()) for point in points]
        residuals["KKT residual"] = [point.residual for point in points]
        late = slice(len(ends) // 2, None)
        for what, values in {**residuals, "|u - u*|": away, "best-fitting multipliers' error": fitted_gaps}.items():
            fitted = slope(gammas[late], values[late])
            said = f"{name}: exponent of {what} in gamma, later half of {len(ends)} rounds"
            checks.append(near("C10", said, fitted, -1, 0.2))
        whole = residuals["KKT residual"]
        checks += [
            at_most("C10", f"{name}: KKT residual at the end over that of the first round", whole[-1] / whole[0], 0.05),
            at_most("C10", f"{name}: -gamma (h, grad_v g) off the solution's, relative, at the end", gaps[-1], 0.05),
            at_most("C10", f"{name}: the same over that of the first round", gaps[-1] / gaps[0], 0.1),
        ]
        curves[f"kkt, {name}"] = {"x": gammas, **residuals, "multipliers off, relative": gaps}
    return Demonstration(checks, curves)


def inequality(plan: Mapping[str, Any]) -> Demonstration:
    """C37: |u|^2 <= r^2 by a slack, with no projection; without multipliers, then with those of grad_v g and h."""
    q = drawn(plan["seed"])
    u, _, kappa = q.solution(True)
    problem = with_slack(Bilevel(q.upper, q.lower), on_sphere)
    v = torch.zeros(V, dtype=torch.float64)
    start = with_start(on_sphere, torch.full((U,), 0.3, dtype=torch.float64), v)
    curves: dict[str, Any] = {}
    ends: dict[bool, list[Round]] = {}
    for with_multipliers in (False, True):
        settings = {"multipliers": with_multipliers, "constraint_multipliers": with_multipliers}
        count = plan["rounds"]
        ends[with_multipliers] = rounds(problem, start, v, count, plan["most_steps"], **settings)
    # the bound is active at the solution: |u|^2 - r^2 is to vanish
    past = {way: [float(on_sphere(end.u.u, end.v, None)) for end in found] for way, found in ends.items()}
    off = [abs(value) for value in past[True]]
    away = {way: [float((end.u.u - u).norm()) for end in found] for way, found in ends.items()}
    gammas = [end.gamma for end in ends[False]]
    late = slice(len(gammas) // 2, None)
    curves["violation"] = {
        "x": gammas,
        "no multipliers": past[False],
        "with multipliers": off,
    }
    fitted = slope(gammas[late], past[False][late])
    checks: list[Check] = [
        near("C37", "no projection: exponent of the violation in gamma, later half", fitted, -1, 0.2),
        at_most("C37", f"no projection: distance from the solution at gamma = {gammas[-1]:.3g}", away[False][-1], 0.05),
        at_least("C37", "no projection: least violation at the ends of the rounds (feasible in the limit only)",
                 min(past[False]), 1e-4),
        at_most("C37", "with multipliers: distance from the bound at the same gamma, over that without",
                off[-1] / past[False][-1], 0.05),
    ]  # fmt: skip
    return Demonstration(checks, curves)
