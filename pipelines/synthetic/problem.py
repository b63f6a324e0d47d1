"""The four synthetic examples (Mehra & Hamm, 2021, Section 3.1 and supplement E.1; domains as in the authors' code).

    1:  f = |u|^2 + |v|^2,            g = |1 - u - v|^2
    2:  f = |v|^2 - |u - v|^2,        g = |u - v|^2
    3:  f = |u|^2 + |v|^2,            g = |A (1 - u - v)|^2
    4:  f = |v|^2 - |A (u - v)|^2,    g = |A (u - v)|^2

u and v lie in the box [-5, 5]^20: two blocks of ten, as the published curves have it (the text says ten). A is block
diagonal with two 5 x 10 blocks of standard normal entries, so the lower solution of 3 and 4 is not unique.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core import Bilevel

BLOCKS, ROWS, COLUMNS = 2, 5, 10
DIMENSION = BLOCKS * COLUMNS
BOX = 5.0


def apply(matrix: Tensor | None, x: Tensor) -> Tensor:
    """A x for A [2, 5, 10] and x [20], as [2, 5]; x itself where there is no A."""
    if matrix is None:
        return x
    return (matrix * x.unflatten(-1, (BLOCKS, 1, COLUMNS))).sum(-1)


def square(x: Tensor) -> Tensor:
    """|x|^2 over all entries."""
    return (x * x).sum()


def clip(x: Tensor) -> Tensor:
    """The projection onto the box."""
    return x.clamp(-BOX, BOX)


def on_row_space(matrix: Tensor | None, x: Tensor) -> Tensor:
    """P x with P = A' (A A')^{-1} A, blockwise, [20]; x itself where there is no A."""
    if matrix is None:
        return x
    coefficients = torch.linalg.solve(matrix @ matrix.mT, apply(matrix, x)[..., None])
    return (matrix.mT @ coefficients).flatten()


def first_block_twice(matrix: Tensor) -> Tensor:
    """A with its first block in the place of its second.

    The distance measured by it, while f and g keep A, is where the published curves of ApproxGrad on example 3 end.
    """
    return torch.stack([matrix[0], matrix[0]])


@dataclass(frozen=True)
class Example:
    """One example: its costs, and the distance of (u, v) to its solution set."""

    upper: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    lower: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    error: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    rank_deficient: bool

    @property
    def problem(self) -> Bilevel:
        """The bilevel problem; its batch is the matrix A [2, 5, 10], or None."""
        return Bilevel(self.upper, self.lower, project_upper=clip, project_lower=clip)


def _lower_sum(u: Tensor, v: Tensor, matrix: Tensor | None) -> Tensor:
    return square(apply(matrix, 1 - u - v))


def _lower_difference(u: Tensor, v: Tensor, matrix: Tensor | None) -> Tensor:
    return square(apply(matrix, u - v))


def _upper_sum(u: Tensor, v: Tensor, matrix: Tensor | None) -> Tensor:
    return square(u) + square(v)


def _upper_difference(u: Tensor, v: Tensor, matrix: Tensor | None) -> Tensor:
    return square(v) - _lower_difference(u, v, matrix)


def _error_sum(u: Tensor, v: Tensor, matrix: Tensor | None) -> Tensor:
    """Distance to u = v = 1/2, in 3 up to the null space of A."""
    return torch.sqrt(square(on_row_space(matrix, u - 0.5)) + square(on_row_space(matrix, v - 0.5)))


def _error_difference(u: Tensor, v: Tensor, matrix: Tensor | None) -> Tensor:
    """Distance to u = v = 0, in 4 with u up to the null space of A."""
    return torch.sqrt(square(on_row_space(matrix, u)) + square(v))


EXAMPLES = {
    "ex1": Example(_upper_sum, _lower_sum, _error_sum, rank_deficient=False),
    "ex2": Example(_upper_difference, _lower_difference, _error_difference, rank_deficient=False),
    "ex3": Example(_upper_sum, _lower_sum, _error_sum, rank_deficient=True),
    "ex4": Example(_upper_difference, _lower_difference, _error_difference, rank_deficient=True),
}


def matrix(generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Tensor:
    """A [2, 5, 10], standard normal."""
    return torch.randn(BLOCKS, ROWS, COLUMNS, generator=generator, dtype=dtype)


def start(generator: torch.Generator, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """(u, v) [20] each, uniform on the box."""
    draw = torch.rand(2, DIMENSION, generator=generator, dtype=dtype)
    u, v = BOX * (2 * draw - 1)
    return u, v
