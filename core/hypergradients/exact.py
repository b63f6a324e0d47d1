"""The formula itself, by dense matrices; the yardstick of tests, and for small problems only.

    df/du = grad_u f - H_uv H_vv^{-1} grad_v f
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core.problem import Bilevel
from core.products import dense_second_derivatives, upper_gradients


def exact(problem: Bilevel, u: Tensor, v: Tensor, batch: Any = None, *, damping: float = 0.0) -> Tensor:
    """df/du at (u, v) for flat u [U], v [V].

    V Hessian-vector and V cross products, and a solve of a V x V system.

    Args: damping: added to the diagonal of H_vv.
    Raises: torch.linalg.LinAlgError where H_vv is singular. Source: Mehra & Hamm (2021), Section 2.1.
    """
    direct, upper_v = upper_gradients(problem, u, v, batch)
    h_vv, h_uv = dense_second_derivatives(problem, u, v, batch)
    damped = h_vv + damping * torch.eye(v.numel(), dtype=v.dtype, device=v.device)
    implicit: Tensor = h_uv @ torch.linalg.solve(damped, upper_v)
    gradient: Tensor = direct - implicit
    return gradient


METHODS = {"exact": exact}
