"""Poisoning a softmax regression as a bilevel problem (Mehra & Hamm, 2021, Section 3.4, supplement D.2).

    g(u, W) = weight_decay |W|^2 + (sum over clean rows and poisons of the cross entropy) / (n + points)
    f(u, W) = -(mean cross entropy of the validation rows)     untargeted: as wrong as can be
            = +(the same), eights that shall be called threes   targeted

u [P, d] are the poisons' pixels, kept in [0, 1] by projection; their labels are fixed. W [C, d] has no bias.

Clean rows and poisons are never put into one matrix: no step copies X. Z = X W' and its derivative dZ' X read X along its
rows, which is what makes them run near the speed of reading it (`pipelines.poisoning.timing`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from core import Bilevel


class Rows(NamedTuple):
    """Examples that never change: x [n, d] in [0, 1], and their labels as rows of ones and zeros, [n, C]."""

    x: Tensor
    onehot: Tensor


class Batch(NamedTuple):
    """All data of a trial.

    Attributes:
        train, validation: clean rows; what f is computed on.
        onehot: the poisons' labels [P, C].
        there: one for a poison, zero for a row of u that only fills it up, so that attacks of all sizes have one shape [P].
        count: n + points, a scalar.
    """

    train: Rows
    validation: Rows
    onehot: Tensor
    there: Tensor
    count: Tensor


SIGNS = {"untargeted": -1.0, "targeted": 1.0}
"""Attack -> the sign of f."""


def cross_entropies(w: Tensor, x: Tensor, onehot: Tensor) -> Tensor:
    """Of each row, [n]: log sum_c exp(z_c) - z_y with z = W x."""
    z = x @ w.T
    return torch.logsumexp(z, dim=1) - (z * onehot).sum(dim=1)


def into_box(u: Tensor) -> Tensor:
    """The projection onto [0, 1]."""
    return u.clamp(0.0, 1.0)


def poisoning(attack: str, weight_decay: float) -> Bilevel:
    """The problem of an attack; its batch is a `Batch`. Raises KeyError for an unknown attack."""
    sign = SIGNS[attack]

    def upper(u: Tensor, w: Tensor, batch: Batch) -> Tensor:
        return sign * cross_entropies(w, *batch.validation).mean()

    def lower(u: Tensor, w: Tensor, batch: Batch) -> Tensor:
        poisons = (batch.there * cross_entropies(w, u, batch.onehot)).sum()
        return weight_decay * (w * w).sum() + (cross_entropies(w, *batch.train).sum() + poisons) / batch.count

    return Bilevel(upper, lower, project_upper=into_box)
