"""Dropout (Srivastava et al., 2014) as a pure function: the mask follows from a number that comes with the minibatch.

Within an upper iteration of a solver the number stays the same, so f and g are fixed functions there, and their second
derivatives are those of the network with that mask. A prediction has no dropout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from core.counter_random import integers
from core.networks.classifiers import Network, Parameters

RATES: dict[str, dict[str, float]] = {
    "mnist": {"pool1": 0.25, "pool2": 0.25, "relu3": 0.5, "relu4": 0.5},
    "cifar10": {"pool1": 0.25, "pool2": 0.25, "pool3": 0.25, "dense1_relu": 0.5, "dense2_relu": 0.5},
    "svhn": {"pool1": 0.3, "pool2": 0.3, "pool3": 0.3, "dense1_relu": 0.3},
    "mnist-quarter": {"pool1": 0.25, "pool2": 0.25, "dense1_relu": 0.5, "dense2_relu": 0.5},
    "digits-dense": {"relu1": 0.5, "relu2": 0.5},
}
"""The paper's networks (Mehra & Hamm, 2021, supplement E.2): after which layer, and what share is dropped; the small ones
as its MNIST network."""

_LEVELS = 1 << 24
"""A share is met up to one part of so many."""


def dropped(x: Tensor, rate: float, draw: Tensor, stream: int) -> Tensor:
    """x where it is kept, scaled by 1 / (1 - rate), else 0.

    Args: rate: the chance of an entry to be dropped, in [0, 1). draw: int64 scalar, what the mask follows from.
        stream: which of the masks of one draw.
    """
    counter = torch.arange(x.numel(), device=x.device).reshape(x.shape)
    kept = integers(draw, counter, _LEVELS, stream) >= round(rate * _LEVELS)
    return torch.where(kept, x / (1 - rate), 0.0)


@dataclass(frozen=True)
class WithDropout(Network):
    """A network of layers in a row, some of them followed by dropout while it is trained.

    Attributes: rates: layer -> share of its outputs that is dropped.
    """

    whole: Network
    rates: Mapping[str, float]

    def initial(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Parameters:
        return self.whole.initial(generator, dtype)

    def dropped_logits(self, parameters: Parameters, images: Tensor, draw: Tensor, which: int = 0) -> Tensor:
        """Class scores [B, classes] with dropout; raises ValueError as `logits`.

        Args: draw: int64 scalar. which: of two minibatches of one draw, 0 or 1.
        """
        self.whole.check(images)
        x = images
        for stream, (name, layer) in enumerate(self.module.named_children()):
            own = {key: parameters[f"{name}.{key}"] for key, _ in layer.named_parameters()}
            x = functional_call(layer, own, (x,))
            if name in self.rates:
                x = dropped(x, self.rates[name], draw, 2 * stream + which)
        return x


def with_dropout(name: str, network: Network) -> WithDropout:
    """A network with its dropout layers; raises ValueError, listing those that have some, for another."""
    if name not in RATES:
        raise ValueError(f"network {name} has no dropout layers; those that have: {', '.join(sorted(RATES))}")
    return WithDropout(network.module, network.image_shape, network, RATES[name])
