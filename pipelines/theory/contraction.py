"""By what factor an upper iteration shrinks a solver's slowest mode, with u held: derived, from dense matrices at rest.

With mu and L the extreme eigenvalues of H_vv at v*, T lower steps an iteration and the step size 1/L on g.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import grad, hessian, jacrev

from pipelines.theory.problems import Analytic

LOWER_STEPS = 5
"""T."""


def spectral_radius(matrix: Tensor) -> float:
    """The largest |eigenvalue|."""
    return float(torch.linalg.eigvals(matrix).abs().max())


def descended(cost: Callable[[Tensor], Tensor], v: Tensor, step_size: float, steps: int) -> Tensor:
    """(I - step_size * Hessian)^steps, by which `steps` of gradient descent on a cost move what is near its minimiser v."""
    curved: Tensor = hessian(cost)(v)
    return torch.linalg.matrix_power(torch.eye(len(v), dtype=v.dtype) - step_size * curved, steps)


def on_g(p: Analytic) -> float:
    """(1 - mu/L)^T: of v, and of fixed-point steps on the linear system."""
    return (1 - p.smallest / p.largest) ** LOWER_STEPS


def on_squared_residual(p: Analytic) -> float:
    """(1 - (mu/L)^2)^T: of gradient steps on |H_vv q - grad_v f|^2, which are slower than those of v."""
    return (1 - (p.smallest / p.largest) ** 2) ** LOWER_STEPS


def penalty(p: Analytic, v: Tensor, gamma: float, step_size: float) -> float:
    """Of v on f~ = f + gamma/2 |grad_v g|^2."""
    return spectral_radius(descended(lambda v: penalised(p, v, gamma), v, step_size, LOWER_STEPS))


def penalised(p: Analytic, v: Tensor, gamma: float, nu: Tensor | None = None) -> Tensor:
    """f + gamma/2 |grad_v g|^2 + nu' grad_v g."""
    f, r = p.problem.upper(p.u, v, None), grad(p.problem.lower, argnums=1)(p.u, v, None)
    found: Tensor = f + gamma / 2 * (r @ r) + (0 if nu is None else nu @ r)
    return found


def with_multipliers(p: Analytic, v: Tensor, gamma: float, step_size: float) -> float:
    """Of (v, nu) together: T steps on f~ + nu' grad_v g, then nu <- nu + gamma grad_v g.

    With M its curvature, C = (I - s M)^T and H = H_vv: dv <- C dv - (I - C) M^{-1} H dnu and dnu <- dnu + gamma H dv, the
    new dv. At rest nu = -H^{-1} grad_v f.
    """
    h = p.matrices.h_vv
    nu = -torch.linalg.solve(h, p.matrices.toward)
    curved: Tensor = hessian(lambda v: penalised(p, v, gamma, nu))(v)
    eye = torch.eye(len(v), dtype=v.dtype)
    shrunk = torch.linalg.matrix_power(eye - step_size * curved, LOWER_STEPS)
    answer = (eye - shrunk) @ torch.linalg.solve(curved, h)
    rows = torch.cat([shrunk, -answer], dim=1), torch.cat([gamma * h @ shrunk, eye - gamma * h @ answer], dim=1)
    return spectral_radius(torch.cat(rows))


def f2sa(p: Analytic, v: Tensor, weight: float, step_size: float) -> float:
    """Of y on f/lambda + g, and of z on g."""
    f, g = (partial(cost, p.u, batch=None) for cost in (p.problem.upper, p.problem.lower))
    y = descended(lambda v: f(v) / weight + g(v), v, step_size, LOWER_STEPS)
    z = descended(g, p.v, step_size, LOWER_STEPS)
    return max(spectral_radius(y), spectral_radius(z))


def v_pbgd(p: Analytic, v: Tensor, weight: float, step_size: float) -> float:
    """Of w on g, and of one joint step of v on f + gamma g."""
    f, g = (partial(cost, p.u, batch=None) for cost in (p.problem.upper, p.problem.lower))
    joint = descended(lambda v: f(v) + weight * g(v), v, step_size, 1)
    return max(on_g(p), spectral_radius(joint))


def bome(p: Analytic, v: Tensor, weight: float, step_size: float) -> float:
    """Of one joint step of v along grad_v f + lambda grad_v g; lambda = eta - <grad f, grad q> / |grad q|^2 depends on v."""
    f = grad(p.problem.upper, argnums=(0, 1))
    g = grad(p.problem.lower, argnums=(0, 1))

    def moved(v: Tensor) -> Tensor:
        w = v
        for _ in range(LOWER_STEPS):
            w = w - g(p.u, w, None)[1] / p.largest
        (f_u, f_v), (g_u, q_v) = f(p.u, v, None), g(p.u, v, None)
        q_u = g_u - g(p.u, w, None)[0]
        factor = weight - (f_u @ q_u + f_v @ q_v) / (q_u @ q_u + q_v @ q_v)
        found: Tensor = v - step_size * (f_v + factor * q_v)
        return found

    return spectral_radius(jacrev(moved)(v))
