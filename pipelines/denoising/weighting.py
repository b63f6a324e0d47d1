"""Weights by a rule, anew for every minibatch: the baselines against which learning to reweight is held.

Ren, Zeng, Yang & Urtasun (2018), Section 4.1, as their code has them (mnist/mnist_train.py, mnist/reweight.py). The classes
are 0 (the minority) and 1 (the majority).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core import Bilevel
from core.counter_random import integers
from core.networks.classifiers import Network, Parameters
from pipelines.denoising.problem import Batch, losses_of

Rule = Callable[[Tensor, Batch, float], Tensor]
_LEVELS = 1 << 24


def ratio(losses: Tensor, batch: Batch, majority: float) -> Tensor:
    """The other class's share, not divided by anything: the sum grows with the minibatch, as released."""
    many = (batch.labels == 1).to(losses)
    return (1 - majority) * many + majority * (1 - many)


def hard_mining(losses: Tensor, batch: Batch, majority: float) -> Tensor:
    """Equal weights for the minority and for as many of the majority, at least one, those with the largest losses."""
    many = batch.labels == 1
    few = (~many).sum()
    # by rank, so that the number taken is no shape
    rank = torch.argsort(torch.argsort(torch.where(many, losses, -1.0), descending=True, stable=True), stable=True)
    taken = ~many | (many & (rank < few.clamp(min=1)))
    return taken / taken.sum().clamp(min=1).to(losses)


def random(losses: Tensor, batch: Batch, majority: float) -> Tensor:
    """Normal numbers, negative ones cut to zero, divided by their sum."""
    assert isinstance(batch.draw, Tensor)
    counter = torch.arange(len(batch.labels), device=losses.device)
    # in the middle of a level, so that none is infinite
    uniform = (integers(batch.draw, counter, _LEVELS) + 0.5) / _LEVELS
    weights = torch.special.ndtri(uniform.to(torch.float64)).clamp(min=0).to(losses)
    total = weights.sum()
    return weights / torch.where(total > 0, total, 1.0)


RULES: dict[str, Rule] = {"ratio": ratio, "hard-mining": hard_mining, "random": random}
"""By the name that a cell gives as its `weighting`: (losses [B], minibatch, share of the majority) -> weights [B]."""


def weighted_by_rule(network: Network, rule: Rule, majority: float) -> Bilevel:
    """Plain training with g = sum_i w_i l_i; the weights are held fixed, and u is not used (give it any tensor).

    Args: majority: share of the class 1 in the training labels.
    """

    def lower(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
        losses = losses_of(network, v, batch)
        return (rule(losses.detach(), batch, majority) * losses).sum()

    return Bilevel(lower, lower)
