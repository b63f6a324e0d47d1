"""The formula itself, by dense matrices; the yardstick of tests, and for small problems only.

    df/du = grad_u f - H_uv H_vv^{-1} grad_v f
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from core.problem import Bilevel
from core.products import dense_second_derivatives, upper_gradients
from core.validate import place, shape


def exact(problem: Bilevel, u: Tensor, v: Tensor, batch: Any = None, *, damping: float = 0.0) -> Tensor:
    """df/du at (u, v) for flat u [U], v [V].

    V Hessian-vector and V cross products, and a solve of a V x V system.

    Args: damping: added to the diagonal of H_vv.
    Raises: ValueError where u or v is no vector; torch.linalg.LinAlgError where H_vv is singular.
    Source: Mehra & Hamm (2021), Section 2.1.
    """
    for name, one in (("u", u), ("v", v)):
        if not isinstance(one, Tensor) or one.dim() != 1:
            raise ValueError(f"exact takes vectors, {name} is {shape(one)}: flatten it, or take implicit-cg")
    direct, upper_v = upper_gradients(problem, u, v, batch)
    h_vv, h_uv = dense_second_derivatives(problem, u, v, batch)
    damped = h_vv + damping * torch.eye(v.numel(), dtype=v.dtype, device=v.device)
    try:
        q = torch.linalg.solve(damped, upper_v)
    except LinAlgError as error:
        raise LinAlgError(
            f"g has a singular second derivative in v {place(u, v, batch)}: give a damping, or take implicit-cg, the answer"
            " of which is the pseudo-inverse's"
        ) from error
    implicit: Tensor = h_uv @ q
    gradient: Tensor = direct - implicit
    return gradient


METHODS = {"exact": exact}
