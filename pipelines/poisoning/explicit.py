"""The poisoning problem with the derivatives of the clean rows written down, in place of those that autograd makes.

Of the cross entropies of fixed rows X [n, d] with labels Y [n, C], summed, and P = softmax(X W'):

    gradient in W           (P - Y)' X
    Hessian product with q  (P * (R - rowsum(P * R)))' X,   R = X q'

Of two forms one keeps P between value, gradient and product. The other, joint, takes Z = X W' and R in one pass over X,
which costs little more than Z alone: for the loops of a linear solver, where a compiled program keeps nothing from one
product to the next. Where the gradient itself is wanted too (Penalty), Z is there already. All that is made of Z is [C,
n]: compiled, `torch.softmax` over ten neighbours in memory takes three times as long as over the rows of Z'.

The few poisons, whose pixels move, stay with autograd; only W may be differentiated here, and twice.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from core import Bilevel
from pipelines.poisoning import problem
from pipelines.poisoning.problem import SIGNS, Batch, Rows, cross_entropies, into_box


class _Sum(Function):
    """(W [C, d], x [n, d], onehot [n, C], joint) -> the summed cross entropies, and P' [C, n], a constant to autograd."""

    generate_vmap_rule = True

    @staticmethod
    def forward(w: Tensor, x: Tensor, onehot: Tensor, joint: bool) -> tuple[Tensor, Tensor]:
        z = (x @ w.T).T
        return (torch.logsumexp(z, dim=0) - (z * onehot.T).sum(dim=0)).sum(), torch.softmax(z, dim=0)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.joint = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*tensors, output[1])

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
        check_fixed(ctx)
        return cotangent * _Residual.apply(*ctx.saved_tensors, ctx.joint), None, None, None


class _Residual(Function):
    """(W, x, onehot, P', joint) -> (P - Y)' X [C, d]; its derivative in W knows that P is made of W."""

    generate_vmap_rule = True

    @staticmethod
    def forward(w: Tensor, x: Tensor, onehot: Tensor, p: Tensor, joint: bool) -> Tensor:
        return (p - onehot.T) @ x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        w, x, _, p, ctx.joint = inputs
        ctx.save_for_backward(w, x, p)

    @staticmethod
    def backward(ctx: Any, q: Tensor) -> tuple[Tensor, None, None, None, None]:
        check_fixed(ctx)
        w, x, p = ctx.saved_tensors
        if ctx.joint:
            z, r = (x @ torch.cat([w, q]).T).T.chunk(2)
            p = torch.softmax(z, dim=0)
        else:
            r = (x @ q.T).T
        return (p * (r - (p * r).sum(dim=0))) @ x, None, None, None, None


def check_fixed(ctx: Any) -> None:
    """Raises ValueError where the rows or their labels are asked for a gradient, which would be a silent zero."""
    if any(ctx.needs_input_grad[1:3]):
        raise ValueError("the explicit product has derivatives in W alone: rows and labels are fixed")


def summed(w: Tensor, rows: Rows, joint: bool = False) -> Tensor:
    """The sum of the cross entropies of fixed rows, a scalar."""
    total: Tensor = _Sum.apply(w, *rows, joint)[0]
    return total


def poisoning(attack: str, weight_decay: float, joint: bool = False) -> Bilevel:
    """`pipelines.poisoning.problem.poisoning` with explicit derivatives. Raises KeyError for an unknown attack."""
    sign = SIGNS[attack]

    def upper(u: Tensor, w: Tensor, batch: Batch) -> Tensor:
        return sign / len(batch.validation.x) * summed(w, batch.validation)

    def lower(u: Tensor, w: Tensor, batch: Batch) -> Tensor:
        poisons = (batch.there * cross_entropies(w, u, batch.onehot)).sum()
        return weight_decay * (w * w).sum() + (summed(w, batch.train, joint) + poisons) / batch.count

    return Bilevel(upper, lower, project_upper=into_box)


PRODUCTS: dict[str, Callable[[str, float], Bilevel]] = {
    "generic": problem.poisoning,
    "explicit": poisoning,
    "explicit-joint": partial(poisoning, joint=True),
}
"""Name -> the problem of an attack and a weight decay."""
