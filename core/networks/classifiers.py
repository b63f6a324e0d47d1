"""Convolutional classifiers of the denoising experiments (Mehra & Hamm, 2021, supplement E.2).

Dropout layers of the paper are left out: in the authors' code they are never active (Keras's learning phase is never
fed), and the published numbers were made without them. `core.networks.dropout` puts them in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.func import functional_call

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Network:
    """A network as functions: parameters are an argument, and nothing is kept.

    Attributes:
        module: layers; its own parameters are never used.
        image_shape: (channels, height, width) of one input.
    """

    module: nn.Module
    image_shape: tuple[int, int, int]

    def initial(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Parameters:
        """Parameters at the start: weights uniform with variance 2 / (fan in + fan out), as Keras has it; biases zero.

        Convolution kernels lie channels-last, which the CPU kernels run a third faster on.
        """
        parameters = {}
        for name, shape in ((name, leaf.shape) for name, leaf in self.module.named_parameters()):
            if len(shape) == 1:
                parameters[name] = torch.zeros(shape, dtype=dtype)
                continue
            receptive = prod(shape[2:])
            bound = sqrt(6 / (receptive * (shape[0] + shape[1])))
            weight = (2 * torch.rand(shape, generator=generator, dtype=dtype) - 1) * bound
            parameters[name] = weight.to(memory_format=torch.channels_last) if len(shape) == 4 else weight
        return parameters

    def logits(self, parameters: Parameters, images: Tensor) -> Tensor:
        """Class scores [B, classes] of images [B, channels, height, width]; raises ValueError for another shape."""
        self.check(images)
        scores: Tensor = functional_call(self.module, parameters, (images,))
        return scores

    def check(self, images: Tensor) -> None:
        """Raises ValueError for images [B, ...] of another shape than the network takes."""
        if images.shape[1:] != self.image_shape:
            raise ValueError(f"images are {tuple(images.shape[1:])}, the network takes {self.image_shape}")


def _network(build: Callable[[], nn.Module], image_shape: tuple[int, int, int]) -> Network:
    """A network whose layers hold no numbers, so that building them draws none."""
    with torch.device("meta"):
        return Network(build(), image_shape)


def mnist() -> Network:
    """conv5x5-64, pool2, conv5x5-128, pool2, dense 512, 256, 10: 1,389,578 parameters for 28 x 28 images."""
    return _network(
        lambda: nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 64, 5),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(64, 128, 5),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flat=nn.Flatten(),
                dense1=nn.Linear(2048, 512),
                relu3=nn.ReLU(),
                dense2=nn.Linear(512, 256),
                relu4=nn.ReLU(),
                dense3=nn.Linear(256, 10),
            )
        ),
        (1, 28, 28),
    )


def digits() -> Network:
    """The MNIST network's plan at the size of 8 x 8 images: conv3x3-16, pool2, conv3x3-32, pool2, dense 64, 32, 10."""
    return _network(
        lambda: nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 16, 3, padding=1),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(16, 32, 3, padding=1),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flat=nn.Flatten(),
                dense1=nn.Linear(128, 64),
                relu3=nn.ReLU(),
                dense2=nn.Linear(64, 32),
                relu4=nn.ReLU(),
                dense3=nn.Linear(32, 10),
            )
        ),
        (1, 8, 8),
    )


NETWORKS: dict[str, Callable[[], Network]] = {"mnist": mnist, "digits": digits}
