"""Denoising by importances, as a bilevel problem (Mehra & Hamm, 2021, Section 3.2 and supplement E.2).

    f(u, v) = mean cross entropy of a clean validation minibatch
    g(u, v) = sum_i u'_i l_i / sum_i u'_i over a noisy training minibatch,  u' = (tanh u + 1) / 2

The methods that reweight without this pose it in their own form (`FORMS`, and those of `pipelines.denoising.forms`); the
data and f are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from core import Bilevel
from core.networks import weight_net
from core.networks.classifiers import Network, Parameters
from core.networks.dropout import WithDropout
from core.trees import Tree


class Batch(NamedTuple):
    """One pair of minibatches.

    Attributes:
        images [B, C, H, W], labels [B]: from the training set, labels partly wrong.
        index [B]: which entries of u are these examples' importances.
        clean_images [C, ...], clean_labels: from the validation set.
        draw: int64 scalar that dropout and random weights follow from, () where nothing is drawn.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    clean_images: Tensor
    clean_labels: Tensor
    draw: Tensor | tuple[()] = ()


def scores(network: Network, v: Parameters, batch: Batch, clean: bool = False) -> Tensor:
    """Class scores [B, classes] of the minibatch of g, or of f; with dropout where the network has it."""
    images = batch.clean_images if clean else batch.images
    if isinstance(network, WithDropout) and isinstance(batch.draw, Tensor):
        return network.dropped_logits(v, images, batch.draw, int(clean))
    return network.logits(v, images)


def losses_of(network: Network, v: Parameters, batch: Batch) -> Tensor:
    """Cross entropy of each example of the minibatch of g, [B]."""
    return F.cross_entropy(scores(network, v, batch), batch.labels, reduction="none")


def clean_loss(network: Network, v: Parameters, batch: Batch) -> Tensor:
    """f: mean cross entropy of the minibatch from the validation set."""
    return F.cross_entropy(scores(network, v, batch, clean=True), batch.clean_labels)


def importances(u: Tensor) -> Tensor:
    """u' in (0, 1), the weight of each example, from the unconstrained u."""
    return (torch.tanh(u) + 1) / 2


def unconstrained(weights: Tensor, floor: float = 1e-5) -> Tensor:
    """u of given importances, which are kept `floor` away from 0 and 1."""
    return torch.atanh(2 * weights.clamp(floor, 1 - floor) - 1)


def denoising(network: Network) -> Bilevel:
    """The problem for one network; u [n] are all training examples' importances, v the network's parameters."""

    def upper(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
        return clean_loss(network, v, batch)

    def lower(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
        weights = importances(u[batch.index])
        losses = losses_of(network, v, batch)
        return (weights * losses).sum() / weights.sum()

    return Bilevel(upper, lower, visited=lambda batch: batch.index)


def training(network: Network) -> Bilevel:
    """Plain training of the same network: g is the mean cross entropy, and u is not used (give it any tensor)."""

    def lower(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
        return F.cross_entropy(scores(network, v, batch), batch.labels)

    return Bilevel(lower, lower)


def weighted_training(network: Network) -> Bilevel:
    """Training with fixed weights: g = sum_i u_i l_i / sum_i u_i, with u [n] the weights themselves, in [0, 1]."""

    def lower(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
        losses = losses_of(network, v, batch)
        weights = u[batch.index]
        # a minibatch of zeros has no gradient
        return (weights * losses).sum() / weights.sum().clamp(min=1e-12)

    return Bilevel(lower, lower)


def reweighting(network: Network) -> Bilevel:
    """The form of learning to reweight: g = sum_i u_i l_i is linear in u [n], and f as in `denoising`."""

    def lower(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
        losses = losses_of(network, v, batch)
        return (u[batch.index] * losses).sum()

    return Bilevel(denoising(network).upper, lower, visited=lambda batch: batch.index)


def weighing_by_loss(network: Network) -> Bilevel:
    """The form of the Meta-Weight-Net: u are the parameters of a net that weighs an example by its loss; f as in
    `denoising`."""

    def lower(u: Parameters, v: Parameters, batch: Batch) -> Tensor:
        losses = losses_of(network, v, batch)
        return weight_net.weighted_mean(u, losses)

    return Bilevel(denoising(network).upper, lower)


class Form(NamedTuple):
    """How a method's problem is posed.

    Attributes:
        problem: for a network.
        start: (first importances [n], draws) -> u.
        weights: (u, a function that gives the losses [n] of the training examples, size of a minibatch) -> their
            weights in [0, 1], [n].
    """

    problem: Callable[[Network], Bilevel]
    start: Callable[[Tensor, torch.Generator], Tree]
    weights: Callable[[Tree, Callable[[], Tensor], int], Tensor]


FORMS = {
    "importances": Form(denoising, lambda first, _: unconstrained(first), lambda u, losses, size: importances(u)),
    # weights of a minibatch have sum one; as importances after renormalisation their mean is one half
    "weights": Form(
        reweighting,
        lambda first, _: torch.full_like(first, 0.0),
        lambda u, losses, size: (0.5 * size * u).clamp(0, 1),
    ),
    "weight-net": Form(
        weighing_by_loss,
        lambda first, draws: {name: leaf.to(first.device) for name, leaf in weight_net.initial(draws).items()},
        lambda u, losses, size: weight_net.weights(u, losses()),
    ),
}
"""By the name that a cell gives as its `form`."""
