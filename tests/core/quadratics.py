"""A strongly convex quadratic bilevel problem, and everything about it in closed form.

    g = 1/2 v'Hv + v'(Cu + c + batch),      f = 1/2 |v - a|^2 + 1/2 u'Du + u'Ev + b'u,      h = Mu + Nv - e

written out by matrices alone: nothing here calls the package but to wrap the costs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core import Bilevel
from core.optimizers import GradientDescent

U, V, K = 3, 5, 2
PLAIN: dict[str, Any] = {"upper_optimizer": GradientDescent(), "lower_optimizer": GradientDescent()}


def normal(*shape: int, seed: int) -> Tensor:
    """Standard normal entries, float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_eigenvalues(values: list[float], seed: int = 0) -> Tensor:
    """A symmetric matrix with these eigenvalues and random eigenvectors."""
    basis = torch.linalg.qr(normal(len(values), len(values), seed=seed)).Q
    matrix = basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T
    return (matrix + matrix.T) / 2


@dataclass(frozen=True)
class Quadratic:
    """The matrices; U = 3 upper and V = 5 lower variables, K = 2 constraints."""

    H: Tensor
    C: Tensor
    c: Tensor
    a: Tensor
    D: Tensor
    E: Tensor
    b: Tensor
    M: Tensor
    N: Tensor
    e: Tensor

    # the costs

    def lower(self, u: Tensor, v: Tensor, batch: Tensor | None) -> Tensor:
        shift = 0 if batch is None else batch
        return 0.5 * v @ (self.H @ v) + v @ (self.C @ u + self.c + shift)

    def upper(self, u: Tensor, v: Tensor, batch: Tensor | None) -> Tensor:
        return 0.5 * ((v - self.a) ** 2).sum() + 0.5 * u @ (self.D @ u) + u @ (self.E @ v) + self.b @ u

    def equality(self, u: Tensor, v: Tensor, batch: Tensor | None) -> Tensor:
        return self.M @ u + self.N @ v - self.e

    def problem(self, constrained: bool = False, **projections: Any) -> Bilevel:
        return Bilevel(self.upper, self.lower, self.equality if constrained else None, **projections)

    def shifted(self, batch: Tensor) -> Quadratic:
        """The problem that a batch stands for."""
        return replace(self, c=self.c + batch)

    def to(self, dtype: torch.dtype) -> Quadratic:
        return Quadratic(*(getattr(self, field.name).to(dtype) for field in fields(self)))

    # first derivatives

    def lower_gradient(self, u: Tensor, v: Tensor) -> Tensor:
        return self.H @ v + self.C @ u + self.c

    def upper_gradient_u(self, u: Tensor, v: Tensor) -> Tensor:
        return self.D @ u + self.E @ v + self.b

    def upper_gradient_v(self, u: Tensor, v: Tensor) -> Tensor:
        return v - self.a + self.E.T @ u

    # solutions

    def lower_solution(self, u: Tensor) -> Tensor:
        """v*(u)."""
        return -torch.linalg.solve(self.H, self.C @ u + self.c)

    def formula(self, u: Tensor, v: Tensor, damping: float = 0.0) -> Tensor:
        """grad_u f - H_uv (H_vv + damping I)^{-1} grad_v f at any (u, v)."""
        damped = self.H + damping * torch.eye(len(v), dtype=v.dtype)
        return self.upper_gradient_u(u, v) - self.C.T @ torch.linalg.solve(
            damped, self.upper_gradient_v(u, v)
        )

    def hypergradient(self, u: Tensor) -> Tensor:
        """df/du at (u, v*(u))."""
        return self.formula(u, self.lower_solution(u))

    def solution(self) -> Tensor:
        """u*, the root of the hypergradient, which is affine in u."""
        origin = self.hypergradient(torch.zeros_like(self.b))
        columns = [self.hypergradient(row) - origin for row in torch.eye(len(self.b), dtype=self.b.dtype)]
        return -torch.linalg.solve(torch.stack(columns, dim=1), origin)

    # the penalty function

    def penalty_gradients(
        self,
        u: Tensor,
        v: Tensor,
        gamma: float,
        lam: float,
        nu: Tensor,
        constrained: bool = False,
        mu: Any = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """(grad_u f~1, grad_v f~2)."""
        r = self.lower_gradient(u, v)
        upper = self.upper_gradient_u(u, v) + gamma * self.C.T @ r + self.C.T @ nu
        lower = self.upper_gradient_v(u, v) + gamma * self.H @ r + self.H @ nu + lam * r
        if constrained:
            h = self.M @ u + self.N @ v - self.e
            upper = upper + self.M.T @ (gamma * h + mu)
            lower = lower + self.N.T @ (gamma * h + mu)
        return upper, lower

    def penalty_lower_solution(
        self, u: Tensor, gamma: float, lam: float = 0.0, nu: Tensor | None = None
    ) -> Tensor:
        """v-hat = argmin_v f~2(u, v)."""
        nu = torch.zeros_like(self.a) if nu is None else nu
        s = self.C @ u + self.c
        matrix = torch.eye(len(s), dtype=s.dtype) + gamma * self.H @ self.H + lam * self.H
        return torch.linalg.solve(matrix, self.a - self.E.T @ u - gamma * self.H @ s - self.H @ nu - lam * s)

    def penalty_solution(self, gamma: float) -> tuple[Tensor, Tensor]:
        """The minimiser of f~ in (u, v) together, for lambda = nu = 0."""
        identity = torch.eye(len(self.a), dtype=self.a.dtype)
        matrix = torch.cat(
            [
                torch.cat([self.D + gamma * self.C.T @ self.C, self.E + gamma * self.C.T @ self.H], dim=1),
                torch.cat([self.E.T + gamma * self.H @ self.C, identity + gamma * self.H @ self.H], dim=1),
            ]
        )
        right = torch.cat([-self.b - gamma * self.C.T @ self.c, self.a - gamma * self.H @ self.c])
        joint = torch.linalg.solve(matrix, right)
        return joint[: len(self.b)], joint[len(self.b) :]

    # T steps of gradient descent on g

    def path(self, u: Tensor, v: Tensor, steps: int, rho: float) -> list[Tensor]:
        """v_0 .. v_T."""
        points = [v]
        for _ in range(steps):
            points.append(points[-1] - rho * self.lower_gradient(u, points[-1]))
        return points

    def truncated(self, u: Tensor, end: Tensor, terms: int, rho: float) -> Tensor:
        """grad_u f - rho C' sum_{k < terms} (I - rho H)^k grad_v f at (u, end): `terms` reverse steps."""
        power = self.upper_gradient_v(u, end)
        total = torch.zeros_like(power)
        for _ in range(terms):
            total, power = total + power, power - rho * self.H @ power
        return self.upper_gradient_u(u, end) - rho * self.C.T @ total


def quadratic(eigenvalues: list[float] | None = None, seed: int = 0) -> Quadratic:
    """A problem with these eigenvalues of H (default 1 to 3) and a strongly convex f."""
    H = with_eigenvalues([1.0, 1.4, 1.9, 2.5, 3.0] if eigenvalues is None else eigenvalues, seed=100 * seed)
    draw = [normal(*shape, seed=100 * seed + 1 + i) for i, shape in enumerate(_SHAPES)]
    C, c, a, E, b, M, N, e = draw
    return Quadratic(H, C, c, a, with_eigenvalues([1.0, 1.5, 2.0], 100 * seed + 50), 0.1 * E, b, M, N, e)


_SHAPES = [(V, U), (V,), (V,), (U, V), (U,), (K, U), (K, V), (K,)]


def points(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Some (u, v)."""
    return normal(U, seed=7000 + seed), normal(V, seed=8000 + seed)


# the same problem on trees: u is a dict that holds a tuple, v a NamedTuple, h a dict


class Layers(NamedTuple):
    """A lower variable of five entries."""

    weight: Tensor
    bias: Tensor


def u_tree(u: Tensor) -> dict[str, Any]:
    return {"rate": u[0], "pair": (u[1:2], u[2:])}


def u_flat(tree: dict[str, Any]) -> Tensor:
    return torch.cat([tree["rate"][None], *tree["pair"]])


def v_tree(v: Tensor) -> Layers:
    return Layers(v[:4].reshape(2, 2), v[4:])


def v_flat(tree: Layers) -> Tensor:
    return torch.cat([tree.weight.reshape(-1), tree.bias])


def h_tree(h: Tensor) -> dict[str, Tensor]:
    return {"one": h[:1], "two": h[1:]}


def on_trees(problem: Bilevel) -> Bilevel:
    """The problem as functions of trees."""
    equality = problem.equality
    return Bilevel(
        lambda u, v, batch: problem.upper(u_flat(u), v_flat(v), batch),
        lambda u, v, batch: problem.lower(u_flat(u), v_flat(v), batch),
        None if equality is None else lambda u, v, batch: h_tree(equality(u_flat(u), v_flat(v), batch)),
    )


def example_1() -> Bilevel:
    """f = |u|^2 + |v|^2, g = |1 - u - v|^2 on the box [-5, 5]."""
    return Bilevel(
        lambda u, v, batch: (u * u).sum() + (v * v).sum(),
        lambda u, v, batch: ((1 - u - v) ** 2).sum(),
        project_upper=lambda u: u.clamp(-5.0, 5.0),
        project_lower=lambda v: v.clamp(-5.0, 5.0),
    )
