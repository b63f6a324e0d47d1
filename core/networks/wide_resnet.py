"""Wide residual networks (Zagoruyko & Komodakis, 2016), of which the paper trains WRN-28-10 (supplement D.1.2).

Batch norm takes the moments of the batch before it, in training and in prediction alike: a network is a function of its
parameters and the batch, and there are no running statistics, which would be a state that no solver carries. A prediction
then depends a little on what else is in its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor, nn

from core.networks.classifiers import Network, Parameters

Reduce = Callable[[Tensor], Tensor]


def here(moments: Tensor) -> Tensor:
    """The moments of this worker's batch, where it is the whole batch."""
    return moments


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(variance + epsilon), by channel over the batch, times weight plus bias.

    Args:
        channels: of the input [B, channels, H, W].
        reduce: the mean of a tensor [channels] over workers with batches of one size; differentiable. Mean and variance
            are then those of the joined batch.
    """

    def __init__(self, channels: int, reduce: Reduce = here, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.reduce, self.epsilon = reduce, epsilon

    def forward(self, x: Tensor) -> Tensor:
        mean = self.reduce(x.mean((0, 2, 3)))
        centred = x - mean[:, None, None]
        # the mean first: the difference of two large moments would lose digits
        variance = self.reduce((centred * centred).mean((0, 2, 3)))
        scale = self.weight * torch.rsqrt(variance + self.epsilon)
        return centred * scale[:, None, None] + self.bias[:, None, None]


class Block(nn.Module):
    """norm, ReLU, conv3x3, norm, ReLU, conv3x3, and a shortcut, which is a 1 x 1 convolution where the shape changes."""

    def __init__(self, inside: int, outside: int, stride: int, reduce: Reduce) -> None:
        super().__init__()
        self.norm1 = BatchNorm(inside, reduce)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.norm2 = BatchNorm(outside, reduce)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.shortcut = None if inside == outside else nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.norm1(x).relu()
        y: Tensor = self.conv2(self.norm2(self.conv1(active)).relu())
        return y + (x if self.shortcut is None else self.shortcut(active))


class Layers(nn.Module):
    """conv3x3-16, three groups of blocks at 16, 32 and 64 times the width, norm, ReLU, mean over the image, dense 10."""

    def __init__(self, depth: int, width: int, channels: int, reduce: Reduce) -> None:
        super().__init__()
        inside = 16
        self.conv = nn.Conv2d(channels, inside, 3, 1, 1, bias=False)
        blocks: list[nn.Module] = []
        for group in range(3):
            outside = 16 * 2**group * width
            for number in range((depth - 4) // 6):
                blocks.append(Block(inside, outside, 2 if group > 0 and number == 0 else 1, reduce))
                inside = outside
        self.blocks = nn.Sequential(*blocks)
        self.norm = BatchNorm(inside, reduce)
        self.dense = nn.Linear(inside, 10)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.dense(self.norm(self.blocks(self.conv(x))).relu().mean((2, 3)))
        return scores


@dataclass(frozen=True)
class WideResNet(Network):
    """A network that starts as the article's code: convolutions normal with variance 2 / (fan out), norms the identity."""

    def initial(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Parameters:
        """Parameters at the start; the dense layer uniform within 1 / sqrt(fan in), as PyTorch has it, its bias zero."""
        parameters = {}
        for name, leaf in self.module.named_parameters():
            shape = leaf.shape
            if len(shape) == 4:
                weight = torch.randn(shape, generator=generator, dtype=dtype) * sqrt(2 / (shape[0] * prod(shape[2:])))
                parameters[name] = weight.to(memory_format=torch.channels_last)
            elif len(shape) == 2:
                parameters[name] = (2 * torch.rand(shape, generator=generator, dtype=dtype) - 1) / sqrt(shape[1])
            else:
                start = torch.ones if name.endswith("weight") else torch.zeros
                parameters[name] = start(shape, dtype=dtype)
        return parameters


def wide_resnet(depth: int, width: int, image_shape: tuple[int, int, int] = (3, 32, 32), reduce: Reduce = here) -> Network:
    """WRN-depth-width without dropout; raises ValueError for a depth that is not 6 n + 4.

    Args: reduce: see `BatchNorm`.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"the depth of a wide residual network is 10, 16, 22, 28, ..., not {depth}")
    with torch.device("meta"):
        return WideResNet(Layers(depth, width, image_shape[0], reduce), image_shape)


def wrn_28_10() -> Network:
    """WRN-28-10 for 3 x 32 x 32 images: 36,479,194 parameters."""
    return wide_resnet(28, 10)
