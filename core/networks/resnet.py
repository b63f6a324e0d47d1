"""ResNet-32 for small images (He, Zhang, Ren & Sun, 2016, Section 4.2), which Meta-Weight-Net trains on long-tailed CIFAR.

Batch norm takes the moments of the batch before it, as in `core.networks.wide_resnet`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.networks.classifiers import Network, Parameters
from core.networks.wide_resnet import BatchNorm, Reduce, here


class Block(nn.Module):
    """conv3x3, norm, ReLU, conv3x3, norm, plus the input; where the shape changes, every second pixel of it and zeros."""

    def __init__(self, inside: int, outside: int, stride: int, reduce: Reduce) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.norm1 = BatchNorm(outside, reduce)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm2 = BatchNorm(outside, reduce)
        self.stride, self.more = stride, outside - inside

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        added = F.pad(shortcut, (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        result: Tensor = (y + added).relu()
        return result


class Layers(nn.Module):
    """conv3x3-16, norm, ReLU, three groups of blocks with 16, 32 and 64 channels, mean over the image, dense 10."""

    def __init__(self, blocks: int, channels: int, reduce: Reduce) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.norm = BatchNorm(16, reduce)
        inside, made = 16, []
        for group in range(3):
            outside = 16 * 2**group
            for number in range(blocks):
                made.append(Block(inside, outside, 2 if group > 0 and number == 0 else 1, reduce))
                inside = outside
        self.blocks = nn.Sequential(*made)
        self.dense = nn.Linear(inside, 10)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.dense(self.blocks(self.norm(self.conv(x)).relu()).mean((2, 3)))
        return scores


@dataclass(frozen=True)
class ResNet(Network):
    """A network whose weights start normal with variance 2 / (fan in), norms the identity, biases zero."""

    def initial(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Parameters:
        """Parameters at the start; convolution kernels lie channels-last."""
        parameters = {}
        for name, leaf in self.module.named_parameters():
            if leaf.dim() == 1:
                start = torch.ones if name.endswith("weight") else torch.zeros
                parameters[name] = start(leaf.shape, dtype=dtype)
                continue
            weight = torch.randn(leaf.shape, generator=generator, dtype=dtype) * sqrt(2 / prod(leaf.shape[1:]))
            parameters[name] = weight.to(memory_format=torch.channels_last) if leaf.dim() == 4 else weight
        return parameters


def resnet(depth: int, image_shape: tuple[int, int, int] = (3, 32, 32), reduce: Reduce = here) -> ResNet:
    """ResNet-depth; raises ValueError for a depth that is not 6 n + 2.

    Args: reduce: see `core.networks.wide_resnet.BatchNorm`.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"the depth of a residual network of basic blocks is 8, 14, 20, ..., not {depth}")
    with torch.device("meta"):
        return ResNet(Layers((depth - 2) // 6, image_shape[0], reduce), image_shape)


def resnet_32() -> ResNet:
    """ResNet-32 for 3 x 32 x 32 images: 464,154 parameters."""
    return resnet(32)
