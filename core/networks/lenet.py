"""The LeNet with which learning to reweight tells 4 from 9 (Ren, Zeng, Yang & Urtasun, 2018, and its code)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.networks.classifiers import Network, Parameters

DEVIATION = 0.1
"""Of the normal distribution that weights are drawn from, cut at two of them."""


@dataclass(frozen=True)
class LeNet(Network):
    """A network whose weights start normal, cut at two standard deviations; biases zero."""

    def initial(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Parameters:
        """Parameters at the start, as TensorFlow's truncated normal."""
        parameters = {}
        for name, leaf in self.module.named_parameters():
            start = torch.zeros(leaf.shape, dtype=dtype)
            if leaf.dim() > 1:
                nn.init.trunc_normal_(start, 0.0, DEVIATION, -2 * DEVIATION, 2 * DEVIATION, generator=generator)
            parameters[name] = start
        return parameters


@dataclass(frozen=True)
class Classes(LeNet):
    """The same with a score for each class, of which the first is 0: cross entropy is then the logistic loss."""

    def logits(self, parameters: Parameters, images: Tensor) -> Tensor:
        """Class scores [B, 2]."""
        score = super().logits(parameters, images)
        return torch.cat([torch.zeros_like(score), score], dim=1)


def lenet_classes() -> Network:
    """`lenet` with two class scores [B, 2]."""
    return Classes(lenet().module, (1, 28, 28))


def lenet() -> Network:
    """conv5x5-16, -32, -64 (same), each with a 3 x 3 pooling by 2; dense 100, 1: 167,113 parameters for 28 x 28 images.

    One score [B, 1]: of the class 1 against the class 0.
    """
    with torch.device("meta"):
        module = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 16, 5, padding=2),
                # TensorFlow's "same" puts an odd row at the end, which ceil_mode does too
                pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(16, 32, 5, padding=2),
                pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
                relu2=nn.ReLU(),
                conv3=nn.Conv2d(32, 64, 5, padding=2),
                pool3=nn.MaxPool2d(3, 2, padding=1),
                relu3=nn.ReLU(),
                flat=nn.Flatten(),
                dense1=nn.Linear(1024, 100),
                relu4=nn.ReLU(),
                dense2=nn.Linear(100, 1),
            )
        )
    return LeNet(module, (1, 28, 28))
