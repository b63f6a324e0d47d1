"""What the ledger holds: each estimator and solver with its settings on a problem, and what theory says it gives.

With mu and L the extreme eigenvalues of H_vv, eta = 1/L; `series(p, n)` is the hypergradient with the first n terms of the
Neumann series, eta sum_{i<n} (I - eta H)^i, in place of the inverse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.optimizers import GradientDescent
from core.products import dense_second_derivatives, upper_gradients
from pipelines.theory.problems import Analytic

LOWER_STEPS, KEPT, PRODUCTS, WEIGHT = 5, 2, 5, 100.0
"""T, K of K-RMD, Q of the Neumann series, and the penalty weight of methods that have one."""
UPPER_STEP = 1e-3

Settings = Callable[[Analytic, int], dict[str, Any]]
Prediction = Callable[[Analytic], Tensor]


def eta(p: Analytic) -> float:
    """The step size of gradient steps on g."""
    return 1 / p.largest


def weighted(p: Analytic, powers: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """grad_u f - H_uv q at v*, with q = powers(I - eta H, grad_v f)."""
    direct, b = upper_gradients(p.problem, p.u, p.v, None)
    h_vv, h_uv = dense_second_derivatives(p.problem, p.u, p.v, None)
    found: Tensor = direct - h_uv @ powers(torch.eye(len(b), dtype=b.dtype) - eta(p) * h_vv, b)
    return found


def series(p: Analytic, terms: int) -> Tensor:
    """See the module's head."""

    def powers(shrink: Tensor, b: Tensor) -> Tensor:
        total = torch.zeros_like(b)
        for _ in range(terms):
            total, b = total + eta(p) * b, shrink @ b
        return total

    return weighted(p, powers)


def released_stocbio(p: Analytic) -> Tensor:
    """What the authors' code of stocBiO sums: eta b_Q + b_1 + .. + b_Q with b_q = (I - eta H)^q grad_v f."""

    def powers(shrink: Tensor, b: Tensor) -> Tensor:
        total = torch.zeros_like(b)
        for _ in range(PRODUCTS):
            b = shrink @ b
            total = total + b
        return total + eta(p) * b

    return weighted(p, powers)


@dataclass(frozen=True)
class Estimator:
    """An estimator of the ledger.

    Attributes:
        method: as `core.hypergradient` knows it. settings: for a problem and a number of steps. factor: by what a step
            shrinks the error, None for a method that has no such law. predicted: what it gives however many steps, or None.
    """

    method: str
    settings: Settings
    factor: Callable[[Analytic], float] | None = None
    predicted: Prediction | None = None


def _linear(p: Analytic) -> float:
    return 1 - p.smallest / p.largest


def _steps(p: Analytic, n: int) -> dict[str, Any]:
    return {"steps": n, "step_size": eta(p)}


ESTIMATORS = (
    Estimator("exact", lambda p, n: {}, predicted=lambda p: p.exact),
    Estimator("reverse", _steps, _linear),
    Estimator("forward", _steps, _linear),
    Estimator("truncated", lambda p, n: {**_steps(p, n + 5), "kept": n}, _linear),
    Estimator("implicit-cg", lambda p, n: {"steps": n}),
    Estimator("implicit-adam", lambda p, n: {"steps": n, "step_size": 1e-2}),
    Estimator(
        "implicit-gd",
        lambda p, n: {"steps": n, "step_size": eta(p) ** 2},
        lambda p: 1 - (p.smallest / p.largest) ** 2,
    ),
    Estimator("implicit-neumann", _steps, _linear),
    Estimator("implicit-fixed-point", _steps, _linear),
    Estimator("one-step", lambda p, n: {"step_size": eta(p)}, predicted=lambda p: series(p, 1)),
)


@dataclass(frozen=True)
class Entry:
    """A solver of the ledger.

    Attributes:
        name: what the table calls it. solver: as `core.solvers` knows it. settings: for a problem and a penalty weight.
        predicted: the hypergradient that it follows with u held and v at rest, None for the exact one.
        of_order: whether it follows that one to the order 1 / weight only.
        applies: whether the derivation holds on a problem. reason: why it has none on any, or "".
        patience: so many times the usual iterations, where they are enough for the problem's slowest mode.
    """

    name: str
    solver: str
    settings: Callable[[Analytic, float], Mapping[str, Any]]
    predicted: Prediction | None = None
    of_order: bool = False
    applies: Callable[[Analytic], bool] = lambda p: True
    reason: str = ""
    patience: int = 1


def _plain(**more: Any) -> Callable[[Analytic, float], Mapping[str, Any]]:
    return lambda p, weight: {"lower_step_size": eta(p), **more}


def _solved(solver: str, step: Callable[[Analytic], float], **more: Any) -> Callable[[Analytic, float], Mapping[str, Any]]:
    own = {"linear_solver": solver, "damping": 0.0, "lower_optimizer": GradientDescent(), **more}
    return lambda p, weight: {"lower_step_size": eta(p), "solver_step_size": step(p), **own}


def _neumann(**more: Any) -> Callable[[Analytic, float], Mapping[str, Any]]:
    return lambda p, weight: {"lower_step_size": eta(p), "neumann_step_size": eta(p), **more}


def _penalty(p: Analytic, weight: float, multipliers: bool) -> Mapping[str, Any]:
    # the curvature of f~ in v is at most gamma L^2 and that of f, of which 4 is more than these problems have
    return {
        "lower_step_size": 1 / (4 + weight * p.largest**2),
        "gamma_0": weight,
        "gamma_growth": 1.0,
        "epsilon_0": 1e12,
        "epsilon_decay": 1.0,
        "multipliers": multipliers,
        "test_gradients": "reused",  # at the u that is held, not where the step would lead
        "lower_optimizer": GradientDescent(),
    }


def barrier_weight(p: Analytic, weight: float) -> float:
    """BOME's lambda at rest with u held, for eta = `weight` and small 1/lambda; negative where v does not come to rest.

    With w = v after T steps on g, q_v = H (v - v*) and q_u = H_uv (I - A^T) (v - v*). At rest grad_v f + lambda q_v = 0, so
    q_u = -m / lambda with m = H_uv eta sum_{i<T} A^i grad_v f: the direction grad_u f + lambda q_u is d = grad_u f - m, the
    series of T terms. The barrier eta |grad q|^2 = <grad f, grad q> + lambda |grad q|^2 then says
    eta (|m|^2 + |grad_v f|^2) / lambda = -<m, d>. Where <m, d> >= 0, f falls towards the lower solution: lambda grows
    without bound, and at a constant step the iterates never rest.
    """
    direct, b = upper_gradients(p.problem, p.u, p.v, None)
    d = series(p, LOWER_STEPS)
    m = direct - d
    return float(weight * (m @ m + b @ b) / -(m @ d))


def _bome(p: Analytic, weight: float) -> Mapping[str, Any]:
    joint = 1 / (4 + barrier_weight(p, weight) * p.largest)
    return {"lower_step_size": eta(p), "joint_lower_step_size": joint, "eta": weight}


STILL = {"upper_decay": 0.0, "lower_decay": 0.0, "estimate": "series", "neumann_terms": PRODUCTS}

SOLVERS = (
    Entry("GD", "gd", _plain(lower_optimizer=GradientDescent()), lambda p: series(p, 0)),
    Entry("FMD", "fmd", _plain(), lambda p: series(p, LOWER_STEPS)),
    Entry("RMD", "rmd", _plain(), lambda p: series(p, LOWER_STEPS)),
    Entry("RMD, released", "rmd", _plain(preset="released"), lambda p: series(p, LOWER_STEPS - 1)),
    Entry("K-RMD", "k-rmd", _plain(kept=KEPT), lambda p: series(p, KEPT)),
    Entry("ITD-BiO", "itd", _plain(), lambda p: series(p, LOWER_STEPS)),
    Entry("ITD-BiO, first order", "fo-itd", _plain(), lambda p: series(p, 0)),
    Entry("ApproxGrad, Adam", "approxgrad", _solved("adam", lambda p: 1e-2)),
    Entry("ApproxGrad, GD", "approxgrad", _solved("gd", lambda p: eta(p) ** 2)),
    Entry("ApproxGrad, fixed point", "approxgrad", _solved("fixed-point", eta)),
    Entry(
        "ApproxGrad, Neumann",
        "approxgrad",
        _solved("neumann", eta),
        lambda p: series(p, LOWER_STEPS + 1),
    ),
    Entry("ApproxGrad, CG", "approxgrad",
          _solved("cg", eta, extra_solver_steps=30)),
    Entry("AID-BiO, CG", "aid", _solved("cg", eta, solver_steps=35)),
    Entry("AID-BiO, fixed point", "aid", _solved("fixed-point", eta, solver_steps=PRODUCTS)),
    Entry("stocBiO", "stocbio", _neumann(neumann_steps=PRODUCTS), lambda p: series(p, PRODUCTS + 1)),
    Entry("stocBiO, released", "stocbio", _neumann(neumann_steps=PRODUCTS, preset="released"), released_stocbio),
    Entry("BSA, mean estimate", "bsa", _neumann(first_lower_steps=None, **STILL), lambda p: series(p, PRODUCTS)),
    Entry("TTSA, mean estimate", "ttsa", _neumann(**STILL), lambda p: series(p, PRODUCTS)),
    Entry("SOBA", "soba", lambda p, weight: {"lower_step_size": eta(p), "solver_step_size": eta(p)}),
    Entry("SABA, one sample", "saba", lambda p, weight: {"lower_step_size": eta(p), "solver_step_size": eta(p)}),
    Entry("Penalty", "penalty", lambda p, weight: _penalty(p, weight, False), of_order=True),
    Entry("Penalty with multipliers", "penalty", lambda p, weight: _penalty(p, weight, True)),
    Entry(
        "F2SA, lambda held",
        "f2sa",
        lambda p, weight: {"lower_step_size": 1 / (p.largest + 4 / weight), "lambda_0": weight, "lambda_growth": 0.0},
        of_order=True,
    ),
    Entry(
        "V-PBGD, gamma held",
        "v-pbgd",
        lambda p, weight: {"lower_step_size": eta(p), "joint_lower_step_size": 1 / (4 + weight * p.largest),
                           "gamma_0": weight, "inner_start": "previous"},
        of_order=True,
    ),  # fmt: skip
    Entry("BOME, barrier active", "bome", _bome, lambda p: series(p, LOWER_STEPS), of_order=True,
          applies=lambda p: barrier_weight(p, 1.0) > 0, patience=6),
    *(
        Entry(name, solver, lambda p, weight: {}, reason=reason)
        for name, solver, reason in (
            ("L2RW", "l2rw", "u holds the weights of a batch's examples, drawn anew each step"),
            ("Meta-Weight-Net", "meta-weight-net", "u holds a network that weighs losses"),
            ("Single level", "single-level", "it has no u"),
        )
    ),
)  # fmt: skip
"""Those with a reason are of another form; tests hold them against closed forms of their own."""
