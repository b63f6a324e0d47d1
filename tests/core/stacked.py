"""Many random quadratic problems side by side: the matrices of `quadratics.Quadratic` as a batch, and their closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from core import Bilevel, hypergradient
from tests.core.quadratics import Quadratic, points, quadratic

COUNT = 60
Matrices = dict[str, Tensor]

# the costs read their matrices from the batch
PROBLEM = Bilevel(
    lambda u, v, matrices: Quadratic(**matrices).upper(u, v, None),
    lambda u, v, matrices: Quadratic(**matrices).lower(u, v, None),
)


def between(low: float, high: float) -> Callable[[int], list[float]]:
    """Five random eigenvalues for each seed, log-uniform, the smallest and the largest among them."""

    def drawn(seed: int) -> list[float]:
        middle = torch.rand(3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return [low, *(low * (high / low) ** middle).tolist(), high]

    return drawn


def problems(eigenvalues: Callable[[int], list[float]]) -> tuple[Tensor, Tensor, Matrices]:
    """(u [COUNT, U], v [COUNT, V], matrices [COUNT, ...]), one problem and point for each seed."""
    drawn = [quadratic(eigenvalues(seed), seed=seed) for seed in range(COUNT)]
    matrices = {
        field.name: torch.stack([getattr(one, field.name) for one in drawn]) for field in fields(Quadratic)
    }
    u, v = zip(*[points(seed) for seed in range(COUNT)], strict=True)
    return torch.stack(u), torch.stack(v), matrices


def estimates(u: Tensor, v: Tensor, matrices: Matrices, method: str, **settings: Any) -> Tensor:
    """`hypergradient` of every problem [COUNT, U]."""
    return vmap(lambda u, v, m: hypergradient(PROBLEM, u, v, m, method=method, **settings))(u, v, matrices)


def closed(form: Callable[[Quadratic, Tensor, Tensor], Tensor], u: Tensor, v: Tensor, matrices: Matrices) -> Tensor:
    """form(problem, u, v) of every problem."""
    return vmap(lambda u, v, m: form(Quadratic(**m), u, v))(u, v, matrices)


def lower_solutions(u: Tensor, v: Tensor, matrices: Matrices) -> Tensor:
    """v*(u) of every problem [COUNT, V]."""
    return closed(lambda q, u, v: q.lower_solution(u), u, v, matrices)


def assert_each_near(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Row by row |actual - expected| <= tolerance |expected| in the Euclidean norm."""
    assert actual.shape == expected.shape
    errors = (actual - expected).norm(dim=1) / expected.norm(dim=1)
    worst = int(errors.nan_to_num(nan=torch.inf).argmax())
    assert errors[worst] <= tolerance, f"relative error {errors[worst]:.3e} in problem {worst}"
