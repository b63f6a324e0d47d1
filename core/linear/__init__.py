"""Small iterative solvers of A q = b for a symmetric A given by its products: `solve(matvec, b) -> (q, info)`.

A file for each; import the function from its file, so that a solver depends on the linear solver it uses, not on all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from core.trees import Tree

Matvec = Callable[[Tree], Tree]


class Info(NamedTuple):
    """What a linear solver says of its answer."""

    residual: Tensor
    """|A q - b|^2, as the solver's own recurrence has it."""
    steps: Tensor
    """Steps taken before convergence."""
