"""Forms of the denoising problem other than the paper's for large networks; f is the same in all.

    normalised   g = sum_i u_i l_i / sum_i u_i, u >= 0 by projection: no tanh          (Mehra & Hamm, 2021, supplement D.1.2)
    ball         g = sum_i u_i l_i / R, 0 <= u <= 1, sum u <= R by projection           (Franceschi et al., 2017)
    sigmoid      g = mean_i sigmoid(u_i) l_i + c |v|^2                                  (Ji et al., 2021)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core import Bilevel
from core.networks.classifiers import Network, Parameters
from core.trees import squared_norm
from pipelines.denoising.problem import FORMS, Batch, Form, clean_loss, losses_of

BISECTIONS = 60
"""Halvings of the interval in which the threshold of a projection lies: beyond the last digit of float32."""


def into_ball(u: Tensor, radius: float) -> Tensor:
    """The point of {0 <= x <= 1, sum x <= radius} nearest to u [n].

    It is clip(u - t, 0, 1) with the smallest t >= 0 that meets the sum. The sum falls with t, so t is found by halving
    intervals: a fixed number of steps, and no branch on the data.
    """
    low, high = torch.zeros((), dtype=torch.float64, device=u.device), u.max().to(torch.float64).clamp(min=0)
    wide = u.to(torch.float64)
    fits = wide.clamp(0, 1).sum() <= radius
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        above = (wide - middle).clamp(0, 1).sum() > radius
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    # the upper end of the interval is inside the ball
    return (wide - torch.where(fits, 0.0, high)).clamp(0, 1).to(u.dtype)


def normalised() -> Form:
    """Weights as they are, divided by their sum over the minibatch; a minibatch of zeros has g = 0."""

    def problem(network: Network) -> Bilevel:
        def lower(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
            weights = u[batch.index]
            total = weights.sum()
            return (weights * losses_of(network, v, batch)).sum() / torch.where(total > 0, total, 1.0)

        return Bilevel(
            lambda u, v, batch: clean_loss(network, v, batch),
            lower,
            project_upper=lambda u: u.clamp(min=0),
            visited=lambda batch: batch.index,
        )

    return Form(problem, lambda first, _: first.clone(), lambda u, losses, size: u.clamp(0, 1))


def ball(radius: float | None = None) -> Form:
    """Weights in [0, 1] of sum at most `radius`; without one they are bounded by the box alone, and R is n.

    They start equal: radius / n, or one. Of a minibatch of B the sum in g is scaled by n / B.
    """

    def problem(network: Network) -> Bilevel:
        def lower(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
            share = len(u) / len(batch.labels) / (len(u) if radius is None else radius)
            return share * (u[batch.index] * losses_of(network, v, batch)).sum()

        return Bilevel(
            lambda u, v, batch: clean_loss(network, v, batch),
            lower,
            project_upper=lambda u: u.clamp(0, 1) if radius is None else into_ball(u, radius),
            visited=lambda batch: batch.index,
        )

    def start(first: Tensor, _: torch.Generator) -> Tensor:
        return torch.full_like(first, 1.0 if radius is None else min(1.0, radius / len(first)))

    return Form(problem, start, lambda u, losses, size: u)


def sigmoid(decay: float = 0.0) -> Form:
    """Weights sigmoid(u), not normalised, and `decay` times the squared norm of v beside the mean."""

    def problem(network: Network) -> Bilevel:
        def lower(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
            return (torch.sigmoid(u[batch.index]) * losses_of(network, v, batch)).mean() + decay * squared_norm(v)

        return Bilevel(lambda u, v, batch: clean_loss(network, v, batch), lower, visited=lambda batch: batch.index)

    return Form(problem, lambda first, _: torch.logit(first, eps=1e-5), lambda u, losses, size: torch.sigmoid(u))


def _fixed(form: Form) -> Callable[[], Form]:
    """What makes a form that takes no settings."""
    return lambda: form


MAKERS: dict[str, Callable[..., Form]] = {
    **{name: _fixed(form) for name, form in FORMS.items()},
    "normalised": normalised,
    "ball": ball,
    "sigmoid": sigmoid,
}
"""Every form by the name that a cell gives as its `form`; what it takes is the cell's `form_settings`."""

