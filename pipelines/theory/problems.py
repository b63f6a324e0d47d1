"""Analytic problems on which a hypergradient is known: float64, small, drawn from a seed.

Each is a lower problem with one solution v*(u), found by a linear solve or by Newton's method, so that every estimator can
be held against grad_u f - H_uv H_vv^{-1} grad_v f there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import NamedTuple

import torch
from torch import Tensor

from core import Bilevel, hypergradient
from core.products import dense_second_derivatives, lower_gradient, upper_gradients

V = 12
"""Lower variables of the quadratics."""
FLATTEST = 1e3
"""The condition number of H_vv beyond which a network's solution counts as flat."""


class Matrices(NamedTuple):
    """grad_u f [U], grad_v f [V], H_vv [V, V] and H_uv [U, V] at a point."""

    direct: Tensor
    toward: Tensor
    h_vv: Tensor
    h_uv: Tensor


@dataclass(frozen=True)
class Analytic:
    """A problem at one u.

    Attributes:
        name: what tables call it. problem: f and g. u [U]. v [V]: v*(u), to rounding.
        smallest, largest: extreme eigenvalues of H_vv at (u, v).
        start: where a solver's v begins.
    """

    name: str
    problem: Bilevel
    u: Tensor
    v: Tensor
    smallest: float
    largest: float
    start: Tensor

    @cached_property
    def exact(self) -> Tensor:
        """df/du at (u, v*(u)), by dense matrices."""
        found: Tensor = hypergradient(self.problem, self.u, self.v, method="exact")
        return found

    @cached_property
    def matrices(self) -> Matrices:
        """The parts of df/du at (u, v*(u))."""
        direct, toward = upper_gradients(self.problem, self.u, self.v, None)
        return Matrices(direct, toward, *dense_second_derivatives(self.problem, self.u, self.v, None))

    def along_the_slowest_mode(self) -> tuple[Analytic, float]:
        """(the same lower problem with f = e'v, the eigenvalue): e is the eigenvector of H_vv at v* of the least eigenvalue
        of those that u has a part in, |H_uv e| not being negligible."""
        found = torch.linalg.eigh(self.matrices.h_vv)
        parts = (self.matrices.h_uv @ found.eigenvectors).norm(dim=0)
        place = int((parts > 1e-3 * parts.max()).nonzero()[0])
        e = found.eigenvectors[:, place]
        slow = replace(self, problem=replace(self.problem, upper=lambda u, v, batch: e @ v))
        return slow, float(found.eigenvalues[place])

    def relative_error(self, found: Tensor) -> float:
        """|found - exact| / |exact|."""
        return float((found - self.exact).norm() / self.exact.norm())


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Standard normal entries, float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def quadratic(condition: float, seed: int) -> Analytic:
    """g = v'Hv/2 + v'Cu, f = |v - a|^2/2 + u'Ev: eigenvalues of H evenly spaced in logarithm from 1/condition to 1."""
    draw = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(normal(draw, V, V)).Q
    h = basis @ torch.diag(torch.logspace(0, 1, V, base=1 / condition, dtype=torch.float64)) @ basis.T
    h, c, a, e = (h + h.T) / 2, normal(draw, V, 4), normal(draw, V), normal(draw, 4, V)
    problem = Bilevel(
        lambda u, v, batch: 0.5 * ((v - a) ** 2).sum() + u @ (e @ v),
        lambda u, v, batch: 0.5 * v @ (h @ v) + v @ (c @ u),
    )
    return _at(f"quadratic, condition {condition:g}", problem, normal(draw, 4), torch.zeros(V, dtype=torch.float64))


def ridge(seed: int) -> Analytic:
    """Ridge regression; u is the logarithm of the ridge, f the error on held-out rows."""
    draw = torch.Generator().manual_seed(seed)
    x, held_out, truth = normal(draw, 30, 8), normal(draw, 30, 8), normal(draw, 8)
    y, theirs = x @ truth + 0.5 * normal(draw, 30), held_out @ truth + 0.5 * normal(draw, 30)
    problem = Bilevel(
        lambda u, v, batch: 0.5 * ((held_out @ v - theirs) ** 2).mean(),
        lambda u, v, batch: 0.5 * ((x @ v - y) ** 2).mean() + 0.5 * torch.exp(u).sum() * (v * v).sum(),
    )
    u = torch.full((1,), -1.0, dtype=torch.float64)
    return _at("ridge regression", problem, u, torch.zeros(8, dtype=torch.float64))


def logistic(seed: int) -> Analytic:
    """Logistic regression with an l2 weight exp(u) for every coefficient."""
    draw = torch.Generator().manual_seed(seed)
    x, held_out, truth = normal(draw, 40, 6), normal(draw, 40, 6), normal(draw, 6)
    y = torch.where(x @ truth + normal(draw, 40) > 0, 1.0, -1.0).to(torch.float64)
    theirs = torch.where(held_out @ truth + normal(draw, 40) > 0, 1.0, -1.0).to(torch.float64)
    loss = torch.nn.functional.softplus
    problem = Bilevel(
        lambda u, v, batch: loss(-theirs * (held_out @ v)).mean(),
        lambda u, v, batch: loss(-y * (x @ v)).mean() + 0.5 * (torch.exp(u) * v * v).sum(),
    )
    return _at("logistic regression", problem, normal(draw, 6) - 2.5, torch.zeros(6, dtype=torch.float64))


def network(seed: int) -> Analytic:
    """A tanh network, not convex: u weighs the training rows and sets a ridge; v* is the local solution near the start.

    Drawn again where that is flat: theory is about minima with H_vv > 0.
    """
    draw = torch.Generator().manual_seed(seed)
    while True:
        p = _network(draw)
        if 0 < p.largest < FLATTEST * p.smallest:
            return p


def _network(draw: torch.Generator) -> Analytic:
    x, y, held_out, theirs = normal(draw, 6, 2), normal(draw, 6), normal(draw, 8, 2), normal(draw, 8)
    hidden = 3

    def said(v: Tensor, rows: Tensor) -> Tensor:
        inner, bias, outer = v[: 2 * hidden].reshape(2, hidden), v[2 * hidden : 3 * hidden], v[3 * hidden : -1]
        return torch.tanh(rows @ inner + bias) @ outer + v[-1]

    problem = Bilevel(
        lambda u, v, batch: ((said(v, held_out) - theirs) ** 2).mean() + 0.05 * (u * u).sum(),
        lambda u, v, batch: (torch.sigmoid(u[:6]) * (said(v, x) - y) ** 2).mean() + 0.5 * torch.exp(u[6]) * (v * v).sum(),
    )
    u = 0.3 * normal(draw, 7)
    u[6] = -3.0
    return _at("tanh network", problem, u, 0.5 * normal(draw, 4 * hidden + 1), descents=1000)


def _at(name: str, problem: Bilevel, u: Tensor, start: Tensor, descents: int = 0) -> Analytic:
    """The problem at u: v*(u) by gradient steps (into the basin of a problem that is not convex), then Newton's."""
    v = start
    for _ in range(descents):
        v = v - 0.3 * lower_gradient(problem, u, v, None)
    for _ in range(12):
        hessian = dense_second_derivatives(problem, u, v, None)[0]
        v = v - torch.linalg.solve(hessian, lower_gradient(problem, u, v, None))
    eigenvalues = torch.linalg.eigvalsh(dense_second_derivatives(problem, u, v, None)[0])
    return Analytic(name, problem, u, v, float(eigenvalues[0]), float(eigenvalues[-1]), start)


MAKERS: tuple[Callable[[int], Analytic], ...] = (
    *(partial(quadratic, condition) for condition in (1.0, 10.0, 1e2, 1e3, 1e4)),
    ridge,
    logistic,
    network,
)
"""seed -> problem, of those in the ledger."""
