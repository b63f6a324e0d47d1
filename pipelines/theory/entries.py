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
from pipelines.theory import contraction
from pipelines.theory.contraction import LOWER_STEPS
from pipelines.theory.problems import Analytic

KEPT, PRODUCTS, WEIGHT = 2, 5, 100.0
"""K of K-RMD, Q of the Neumann series, and the penalty weight, in units of an entry's own, of methods that have one."""
ADAM_ROUNDS = 20
"""Upper iterations of the solver that never rests."""

Settings = Callable[[Analytic, int], dict[str, Any]]
Weighted = Callable[[Analytic, float], Mapping[str, Any]]
Prediction = Callable[[Analytic], Tensor]


def eta(p: Analytic) -> float:
    """The step size of gradient steps on g."""
    return 1 / p.largest


def weighted(p: Analytic, q: Tensor) -> Tensor:
    """grad_u f - H_uv q at v*."""
    found: Tensor = p.matrices.direct - p.matrices.h_uv @ q
    return found


def series(p: Analytic, terms: int) -> Tensor:
    """See the module's head."""
    return weighted(p, steps_of_descent(p.matrices.h_vv, p.matrices.toward, eta(p), terms))


def steps_of_descent(matrix: Tensor, b: Tensor, step_size: float, steps: int) -> Tensor:
    """step_size sum_{i<steps} (I - step_size matrix)^i b: so many steps from zero towards matrix^{-1} b."""
    total = torch.zeros_like(b)
    for _ in range(steps):
        total, b = total + step_size * b, b - step_size * (matrix @ b)
    return total


def squared(p: Analytic, steps: int) -> Tensor:
    """With so many gradient steps of size eta^2 on |H q - grad_v f|^2 / 2."""
    h, b = p.matrices.h_vv, p.matrices.toward
    return weighted(p, steps_of_descent(h @ h, h @ b, eta(p) ** 2, steps))


def adam_size(p: Analytic) -> float:
    """A step size with which Adam gets about as far as the solution in 30 steps."""
    return float(torch.linalg.solve(p.matrices.h_vv, p.matrices.toward).abs().max()) / 30


def by_torch_adam(p: Analytic, steps: int) -> Tensor:
    """With so many steps of torch's Adam on |H q - grad_v f|^2."""
    h, b = p.matrices.h_vv, p.matrices.toward
    q = torch.zeros_like(b, requires_grad=True)
    optimizer = torch.optim.Adam([q], lr=adam_size(p))
    for count in range(1, steps + 1):
        # ours adds epsilon before the bias is corrected, as TensorFlow
        optimizer.param_groups[0]["eps"] = 1e-8 / (1 - 0.999**count) ** 0.5
        optimizer.zero_grad()
        ((h @ q - b) ** 2).sum().backward()
        optimizer.step()
    return weighted(p, q.detach())


def released_stocbio(p: Analytic) -> Tensor:
    """What the authors' code of stocBiO sums: eta b_Q + b_1 + .. + b_Q with b_q = (I - eta H)^q grad_v f."""
    b = p.matrices.toward
    total = torch.zeros_like(b)
    for _ in range(PRODUCTS):
        b = b - eta(p) * (p.matrices.h_vv @ b)
        total = total + b
    return weighted(p, total + eta(p) * b)


@dataclass(frozen=True)
class Estimator:
    """An estimator of the ledger.

    Attributes:
        method: as `core.hypergradient` knows it. settings: for a problem and a number of steps.
        predicted: what it gives after so many steps. factor: by what a step shrinks the error of a mode, for the mode's
            eigenvalue over L; None for a method without such a law. steps: how many to take, None for as many as the law
            can be seen in.
        reference: what is predicted is another implementation's.
    """

    method: str
    settings: Settings
    predicted: Callable[[Analytic, int], Tensor]
    factor: Callable[[float], float] | None = None
    steps: Callable[[Analytic], int] | None = None
    reference: bool = False


def _linear(ratio: float) -> float:
    return 1 - ratio


def _steps(p: Analytic, n: int) -> dict[str, Any]:
    return {"steps": n, "step_size": eta(p)}


ESTIMATORS = (
    Estimator("exact", lambda p, n: {}, lambda p, n: p.exact, steps=lambda p: 0),
    Estimator("reverse", _steps, series, _linear),
    Estimator("forward", _steps, series, _linear),
    Estimator("truncated", lambda p, n: {**_steps(p, n + 5), "kept": n}, series, _linear),
    # rounding costs directions their conjugacy: three times as many steps as unknowns up to a condition number of 1e4
    Estimator("implicit-cg", lambda p, n: {"steps": n}, lambda p, n: p.exact, steps=lambda p: 3 * len(p.v)),
    Estimator("implicit-adam", lambda p, n: {"steps": n, "step_size": adam_size(p)}, by_torch_adam, steps=lambda p: 100,
              reference=True),
    Estimator("implicit-gd", lambda p, n: {"steps": n, "step_size": eta(p) ** 2}, squared,
              lambda ratio: 1 - ratio**2),
    Estimator("implicit-neumann", _steps, lambda p, n: series(p, n + 1), _linear),
    Estimator("implicit-fixed-point", _steps, series, _linear),
    Estimator("one-step", lambda p, n: {"step_size": eta(p)}, lambda p, n: series(p, 1), steps=lambda p: 1),
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A solver of the ledger.

    Attributes:
        name: what the table calls it. solver: as `core.solvers` knows it. settings: for a problem and a penalty weight.
        predicted: the hypergradient that it follows with u held and v at rest, None for the exact one.
        kept: what of its state goes on from one iteration to the next, u aside.
        factor: by what an iteration shrinks its slowest mode: (problem, weight, v at rest) -> factor.
        unit: of the weight; not None: it follows the predicted one to the order 1 / weight only. held: a weight without
            such a law.
        start: near which v it rests, None for v*. traced: differentiate its step itself, not by differences: lambda of BOME
            changes within less than they can tell.
        applies: whether the derivation holds on a problem. reason: why it has none on any, or "".
        reference: it has no rest, and is held against another implementation after `ADAM_ROUNDS` iterations from v*.
    """

    name: str
    solver: str
    settings: Weighted
    predicted: Prediction | None = None
    kept: tuple[str, ...] = ("v",)
    factor: Callable[[Analytic, float, Tensor], float] = lambda p, weight, v: contraction.on_g(p)
    unit: Callable[[Analytic], float] | None = None
    held: Callable[[Analytic], float] | None = None
    start: Callable[[Analytic, float], Tensor] | None = None
    traced: bool = False
    applies: Callable[[Analytic], bool] = lambda p: True
    reason: str = ""
    reference: bool = False

def _plain(**more: Any) -> Callable[[Analytic, float], Mapping[str, Any]]:
    return lambda p, weight: {"lower_step_size": eta(p), **more}


def _solved(solver: str, step: Callable[[Analytic], float], **more: Any) -> Callable[[Analytic, float], Mapping[str, Any]]:
    own = {"linear_solver": solver, "damping": 0.0, "lower_optimizer": GradientDescent(), **more}
    return lambda p, weight: {"lower_step_size": eta(p), "solver_step_size": step(p), **own}


def _neumann(**more: Any) -> Callable[[Analytic, float], Mapping[str, Any]]:
    return lambda p, weight: {"lower_step_size": eta(p), "neumann_step_size": eta(p), **more}


def _penalty(multipliers: bool) -> Weighted:
    return lambda p, weight: {
        "lower_step_size": penalty_size(p, weight),
        "gamma_0": weight,
        "gamma_growth": 1.0,
        "epsilon_0": 1e100,
        "epsilon_decay": 1.0,
        "multipliers": multipliers,
        "test_gradients": "reused",  # at the u that is held, not where the step would lead
        "lower_optimizer": GradientDescent(),
    }


def penalty_size(p: Analytic, weight: float) -> float:
    """A step size for f~, whose curvature in v is gamma L^2 and that of f; 4 is more than f has in these problems."""
    return 1 / (4 + weight * p.largest**2)


def f2sa_size(p: Analytic, weight: float) -> float:
    """The same for f / lambda + g."""
    return 1 / (p.largest + 4 / weight)


def joint_size(p: Analytic, weight: float) -> float:
    """The same for f + gamma g."""
    return 1 / (4 + weight * p.largest)


def barrier_weight(p: Analytic, weight: float) -> float:
    """BOME's lambda at rest with u held, for eta = `weight` and small 1/lambda; negative where v does not come to rest.

    With w = v after T steps on g, q_v = H (v - v*) and q_u = H_uv (I - A^T) (v - v*). At rest grad_v f + lambda q_v = 0, so
    q_u = -m / lambda with m = H_uv eta sum_{i<T} A^i grad_v f: the direction grad_u f + lambda q_u is d = grad_u f - m, the
    series of T terms. The barrier eta |grad q|^2 = <grad f, grad q> + lambda |grad q|^2 then says
    eta (|m|^2 + |grad_v f|^2) / lambda = -<m, d>. Where <m, d> >= 0, f falls towards the lower solution: lambda grows
    without bound, and at a constant step the iterates never rest.
    """
    b, d = p.matrices.toward, series(p, LOWER_STEPS)
    m = p.matrices.direct - d
    return float(weight * (m @ m + b @ b) / -(m @ d))


def bome_size(p: Analytic, weight: float) -> float:
    """The same for BOME, with the lambda that it has at rest."""
    return joint_size(p, barrier_weight(p, weight))


def bome_start(p: Analytic, weight: float) -> Tensor:
    """v* - (lambda H)^{-1} grad_v f: BOME rests beside v*, and at v* itself its lambda is not defined."""
    found: Tensor = p.v - torch.linalg.solve(p.matrices.h_vv, p.matrices.toward) / barrier_weight(p, weight)
    return found


STILL = {"upper_decay": 0.0, "lower_decay": 0.0, "estimate": "series", "neumann_terms": PRODUCTS}

SOLVERS = (
    Entry("GD", "gd", _plain(lower_optimizer=GradientDescent()), lambda p: series(p, 0)),
    Entry("FMD", "fmd", _plain(), lambda p: series(p, LOWER_STEPS)),
    Entry("RMD", "rmd", _plain(), lambda p: series(p, LOWER_STEPS)),
    Entry("RMD, released", "rmd", _plain(preset="released"), lambda p: series(p, LOWER_STEPS - 1)),
    Entry("K-RMD", "k-rmd", _plain(kept=KEPT), lambda p: series(p, KEPT)),
    Entry("ITD-BiO", "itd", _plain(), lambda p: series(p, LOWER_STEPS)),
    Entry("ITD-BiO, first order", "fo-itd", _plain(), lambda p: series(p, 0)),
    Entry("ApproxGrad, Adam", "approxgrad", _solved("adam", adam_size),
          lambda p: by_torch_adam(p, ADAM_ROUNDS * LOWER_STEPS), reference=True),
    Entry("ApproxGrad, GD", "approxgrad", _solved("gd", lambda p: eta(p) ** 2), kept=("v", "q"),
          factor=lambda p, weight, v: contraction.on_squared_residual(p)),
    Entry("ApproxGrad, fixed point", "approxgrad", _solved("fixed-point", eta), kept=("v", "q")),
    Entry(
        "ApproxGrad, Neumann",
        "approxgrad",
        _solved("neumann", eta),
        lambda p: series(p, LOWER_STEPS + 1),
    ),
    Entry("ApproxGrad, CG", "approxgrad",
          _solved("cg", eta, extra_solver_steps=35)),
    Entry("AID-BiO, CG", "aid", _solved("cg", eta, solver_steps=40), kept=("v", "w")),
    Entry("AID-BiO, fixed point", "aid", _solved("fixed-point", eta, solver_steps=LOWER_STEPS), kept=("v", "w")),
    Entry("stocBiO", "stocbio", _neumann(neumann_steps=PRODUCTS), lambda p: series(p, PRODUCTS + 1)),
    Entry("stocBiO, released", "stocbio", _neumann(neumann_steps=PRODUCTS, preset="released"), released_stocbio),
    Entry("BSA, mean estimate", "bsa", _neumann(first_lower_steps=None, **STILL), lambda p: series(p, PRODUCTS)),
    Entry("TTSA, mean estimate", "ttsa", _neumann(**STILL), lambda p: series(p, PRODUCTS)),
    Entry("SOBA", "soba", lambda p, weight: {"lower_step_size": eta(p), "solver_step_size": eta(p)}, kept=("v", "q")),
    Entry("SABA, one sample", "saba", lambda p, weight: {"lower_step_size": eta(p), "solver_step_size": eta(p)},
          kept=("v", "q")),
    Entry(
        "Penalty",
        "penalty",
        _penalty(False),
        factor=lambda p, weight, v: contraction.penalty(p, v, weight, penalty_size(p, weight)),
        unit=lambda p: p.smallest**-2,
    ),
    Entry(
        "Penalty with multipliers",
        "penalty",
        _penalty(True),
        kept=("v", "nu"),
        factor=lambda p, weight, v: contraction.with_multipliers(p, v, weight, penalty_size(p, weight)),
        held=lambda p: 1 / (p.smallest * p.largest),  # where it is too small the rest is none of a minimum
    ),
    Entry(
        "F2SA, lambda held",
        "f2sa",
        lambda p, weight: {"lower_step_size": f2sa_size(p, weight), "lambda_0": weight, "lambda_growth": 0.0},
        kept=("v", "z"),
        factor=lambda p, weight, v: contraction.f2sa(p, v, weight, f2sa_size(p, weight)),
        unit=lambda p: 1 / p.smallest,
    ),
    Entry(
        "V-PBGD, gamma held",
        "v-pbgd",
        lambda p, weight: {"lower_step_size": eta(p), "joint_lower_step_size": joint_size(p, weight),
                           "gamma_0": weight, "inner_start": "previous"},
        kept=("v", "w"),
        factor=lambda p, weight, v: contraction.v_pbgd(p, v, weight, joint_size(p, weight)),
        unit=lambda p: 1 / p.smallest,
    ),
    Entry(
        "BOME, barrier active",
        "bome",
        lambda p, weight: {"lower_step_size": eta(p), "joint_lower_step_size": bome_size(p, weight), "eta": weight},
        lambda p: series(p, LOWER_STEPS),
        factor=lambda p, weight, v: contraction.bome(p, v, weight, bome_size(p, weight)),
        unit=lambda p: 1 / (p.smallest * barrier_weight(p, 1.0)),
        start=bome_start,
        traced=True,
        applies=lambda p: barrier_weight(p, 1.0) > 0,
    ),
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
