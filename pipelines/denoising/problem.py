"""Denoising by importances, as a bilevel problem (Mehra & Hamm, 2021, Section 3.2 and supplement E.2).

    f(u, v) = mean cross entropy of a clean validation minibatch
    g(u, v) = sum_i u'_i l_i / sum_i u'_i over a noisy training minibatch,  u' = (tanh u + 1) / 2
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from core import Bilevel
from core.networks.classifiers import Network, Parameters


class Batch(NamedTuple):
    """One pair of minibatches.

    Attributes:
        images [B, C, H, W], labels [B]: from the training set, labels partly wrong.
        index [B]: which entries of u are these examples' importances.
        clean_images [C, ...], clean_labels: from the validation set.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    clean_images: Tensor
    clean_labels: Tensor


def importances(u: Tensor) -> Tensor:
    """u' in (0, 1), the weight of each example, from the unconstrained u."""
    return (torch.tanh(u) + 1) / 2


def unconstrained(weights: Tensor, floor: float = 1e-5) -> Tensor:
    """u of given importances, which are kept `floor` away from 0 and 1."""
    return torch.atanh(2 * weights.clamp(floor, 1 - floor) - 1)


def denoising(network: Network) -> Bilevel:
    """The problem for one network; u [n] are all training examples' importances, v the network's parameters."""

    def upper(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
        return F.cross_entropy(network.logits(v, batch.clean_images), batch.clean_labels)

    def lower(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
        weights = importances(u[batch.index])
        losses = F.cross_entropy(network.logits(v, batch.images), batch.labels, reduction="none")
        return (weights * losses).sum() / weights.sum()

    return Bilevel(upper, lower, visited=lambda batch: batch.index)


def training(network: Network) -> Bilevel:
    """Plain training of the same network: g is the mean cross entropy, and u is not used (give it any tensor)."""

    def lower(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
        return F.cross_entropy(network.logits(v, batch.images), batch.labels)

    return Bilevel(lower, lower)
