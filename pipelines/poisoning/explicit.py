"""The poisoning problem with the derivatives of the clean rows written down, in place of those that autograd makes.

Of the cross entropies of fixed rows X [n, d] with labels Y [n, C], summed, and P = softmax(X W'):

    gradient in W           (P - Y)' X
    Hessian product with q  (P * (R - rowsum(P * R)))' X,   R = X q'

P is kept between value, gradient and product. Z' and all that is made of it is [C, n]: a compiled softmax over ten
neighbours in memory takes three times as long as one over the rows of Z', while X W' is the fastest form of the product. The
few poisons, whose pixels move, stay with autograd; only W may be differentiated here, and twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from core import Bilevel
from pipelines.poisoning import problem
from pipelines.poisoning.problem import SIGNS, Batch, Rows, cross_entropies, into_box


class _Sum(Function):
    """(W [C, d], x [n, d], onehot [n, C]) -> the sum of the cross entropies, and P' [C, n], a constant to autograd."""

    generate_vmap_rule = True

    @staticmethod
    def forward(w: Tensor, x: Tensor, onehot: Tensor) -> tuple[Tensor, Tensor]:
        z = (x @ w.T).T
        return (torch.logsumexp(z, dim=0) - (z * onehot.T).sum(dim=0)).sum(), torch.softmax(z, dim=0)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        check_fixed(ctx)
        return cotangent * _Residual.apply(*ctx.saved_tensors), None, None


class _Residual(Function):
    """(W, x, onehot, P') -> (P - Y)' X [C, d]; its derivative in W knows that P is made of W."""

    generate_vmap_rule = True

    @staticmethod
    def forward(w: Tensor, x: Tensor, onehot: Tensor, p: Tensor) -> Tensor:
        return (p - onehot.T) @ x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, x, _, p = inputs
        ctx.save_for_backward(x, p)

    @staticmethod
    def backward(ctx: Any, q: Tensor) -> tuple[Tensor, None, None, None]:
        check_fixed(ctx)
        x, p = ctx.saved_tensors
        r = (x @ q.T).T
        return (p * (r - (p * r).sum(dim=0))) @ x, None, None, None


def check_fixed(ctx: Any) -> None:
    """Raises ValueError where the rows or their labels are asked for a gradient, which would be a silent zero."""
    if any(ctx.needs_input_grad[1:3]):
        raise ValueError("the explicit product has derivatives in W alone: rows and labels are fixed")


def summed(w: Tensor, rows: Rows) -> Tensor:
    """The sum of the cross entropies of fixed rows, a scalar."""
    total: Tensor = _Sum.apply(w, *rows)[0]
    return total


def poisoning(attack: str, weight_decay: float) -> Bilevel:
    """`pipelines.poisoning.problem.poisoning` with explicit derivatives. Raises KeyError for an unknown attack."""
    sign = SIGNS[attack]

    def upper(u: Tensor, w: Tensor, batch: Batch) -> Tensor:
        return sign / len(batch.validation.x) * summed(w, batch.validation)

    def lower(u: Tensor, w: Tensor, batch: Batch) -> Tensor:
        poisons = (batch.there * cross_entropies(w, u, batch.onehot)).sum()
        return weight_decay * (w * w).sum() + (summed(w, batch.train) + poisons) / batch.count

    return Bilevel(upper, lower, project_upper=into_box)


PRODUCTS = {"generic": problem.poisoning, "explicit": poisoning}
"""Name -> the problem of an attack and a weight decay."""
