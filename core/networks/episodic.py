"""Encoders of few-shot learning, whose batch normalisation knows one task at a time, and heads for all tasks at once.

The paper's Omniglot encoder is four times [conv3x3-64, batch norm, ReLU (none in the last), max-pool 2]: convolutions have
no bias and batch norm has no scale (contrib's default), 111,424 parameters for grey 28 x 28 images, 64 features. There are
no running statistics: a set of images is normalised by its own, so that at meta-test the queries of a task are used
together ("transductive", as released), or by those of the task's support images ("support").

Source: Mehra & Hamm (2021), supplement E.3, and the released code; ConvBase of stocBiO's authors, from learn2learn.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from core.networks.classifiers import Network, Parameters
from core.networks.classifiers import _network as network

STATISTICS = ("transductive", "support")


class SetNorm(nn.Module):
    """Batch normalisation by the statistics of the images at hand; the scale, where there is one, is 1 + `scale`, so that
    all parameters start at zero."""

    def __init__(self, channels: int, scaled: bool, epsilon: float) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))
        self.scale = nn.Parameter(torch.empty(channels)) if scaled else None
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """x [n, C, H, W] normalised over n, H and W."""
        return F.batch_norm(x, None, None, self._factor(), self.bias, training=True, momentum=0.0, eps=self.epsilon)

    def by(self, x: Tensor, known: Tensor) -> Tensor:
        """x by the statistics of `known` [m, C, H, W]."""
        # written out: torch's batch norm takes statistics that it is given for constants
        var, mean = torch.var_mean(known, dim=(0, 2, 3), correction=0)
        scale = self._factor() * torch.rsqrt(var + self.epsilon)
        scale, shift = (one[:, None, None] for one in (scale, self.bias - mean * scale))
        return torch.addcmul(shift, x, scale)

    def _factor(self) -> Tensor:
        # ones rather than None, of which torch has no second derivative
        return torch.ones_like(self.bias) if self.scale is None else 1 + self.scale


def omniglot(width: int = 64) -> Network:
    """The paper's encoder: 111,424 parameters and 64 features at its width."""
    return network(lambda: _blocks(1, width, scaled=False, last=False, epsilon=1e-3), (1, 28, 28))


def conv_base(width: int = 64, side: int = 84) -> Network:
    """ConvBase for colour images: ReLU after all four blocks, batch norm with a scale; 25 features a channel of 84 x 84
    images (1600 at its width), 4 of 32 x 32 (256)."""
    return network(lambda: _blocks(3, width, scaled=True, last=True, epsilon=1e-5), (3, side, side))


def mini_imagenet() -> Network:
    """The paper's residual encoder, 3,543,424 parameters and 384 features: blocks of 64, 96, 128, 256 channels, then
    convolutions 1 x 1 to 2048 (ReLU) and, of the mean over places, to 384."""
    return network(_residual, (3, 84, 84))


class Residual(nn.Module):
    """Three times [conv3x3, batch norm, leaky ReLU 0.1], with a convolution 1 x 1 beside them, pooled."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for place in range(1, 4):
            layers[f"conv{place}"] = nn.Conv2d(channels if place == 1 else width, width, 3, padding=1, bias=False)
            layers[f"norm{place}"] = SetNorm(width, scaled=False, epsilon=1e-3)
            layers[f"relu{place}"] = nn.LeakyReLU(0.1)
        self.path = nn.Sequential(layers)
        self.skip = nn.Conv2d(channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [n, C, H, W] -> [n, width, H / 2, W / 2], rounded down."""
        return F.max_pool2d(self.path(x) + self.skip(x), 2)

    def by(self, x: Tensor, known: Tensor) -> Tensor:
        """The same, normalised by the statistics of `known`."""
        return F.max_pool2d(_Both(self.path)(x, known) + self.skip(x), 2)


def _residual() -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    widths = (3, 64, 96, 128, 256)
    for place, (channels, width) in enumerate(pairwise(widths), 1):
        layers[f"block{place}"] = Residual(channels, width)
    layers["wide"] = nn.Conv2d(256, 2048, 1)
    layers["relu"] = nn.ReLU()
    layers["mean"] = nn.AdaptiveAvgPool2d(1)
    layers["narrow"] = nn.Conv2d(2048, 384, 1)
    layers["flat"] = nn.Flatten()
    return nn.Sequential(layers)


def features_of(net: Network) -> int:
    """How many features an image has."""
    nothing = {name: torch.zeros(leaf.shape) for name, leaf in net.module.named_parameters()}
    # not on the meta device, where torch's batch norm loads its compiler, which takes longer
    with torch.no_grad():
        return int(net.logits(nothing, torch.zeros(2, *net.image_shape)).shape[1])


def encoded(net: Network, parameters: Parameters, images: Tensor) -> Tensor:
    """Features [tasks, n, F] of images [tasks, n, C, H, W], each task normalised by its own n images."""
    return torch.stack([net.logits(parameters, one) for one in images])


def encoded_by(net: Network, parameters: Parameters, images: Tensor, known: Tensor) -> Tensor:
    """The same, each task normalised by its images `known` [tasks, m, C, H, W]."""
    net.check(images[0])
    named, both = {f"layers.{name}": leaf for name, leaf in parameters.items()}, _Both(net.module)
    return torch.stack([functional_call(both, named, pair) for pair in zip(images, known, strict=True)])


class _Both(nn.Module):
    """A network's layers on images x along with `known`, which alone say how both are normalised."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        for layer in self.layers.children():
            x = layer.by(x, known) if isinstance(layer, SetNorm | Residual) else layer(x)
            known = layer(known)
        return x


def _blocks(channels: int, width: int, scaled: bool, last: bool, epsilon: float) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for block in range(1, 5):
        layers[f"conv{block}"] = nn.Conv2d(channels, width, 3, padding=1, bias=scaled)
        layers[f"norm{block}"] = SetNorm(width, scaled, epsilon)
        # before the ReLU, with which it commutes, derivatives too: a fourth of the entries is left to it
        layers[f"pool{block}"] = nn.MaxPool2d(2)
        if last or block < 4:
            layers[f"relu{block}"] = nn.ReLU()
        channels = width
    layers["flat"] = nn.Flatten()
    return nn.Sequential(layers)


class Cosine:
    """The paper's head: class scores 10 (x'w_k + 0.001 b_k) / (sqrt(|x|^2 + 1e-6) sqrt(|w_k|^2 + b_k^2)).

    A head is {"weight": [tasks, way, F], "bias": [tasks, way]}.
    """

    @staticmethod
    def initial(tasks: int, way: int, features: int, generator: torch.Generator) -> Parameters:
        """W normal with standard deviation 0.01, b = 0.001."""
        weight = 0.01 * torch.randn(tasks, way, features, generator=generator)
        return {"weight": weight, "bias": torch.full((tasks, way), 0.001)}

    @staticmethod
    def scores(head: Parameters, x: Tensor) -> Tensor:
        """Class scores [tasks, n, way] of features [tasks, n, F]."""
        weight, bias = head["weight"], head["bias"]
        length = torch.sqrt((weight * weight).sum(-1) + bias * bias)
        size = torch.sqrt((x * x).sum(-1, keepdim=True) + 1e-6)
        return 10 * (x @ weight.mT + 0.001 * bias[..., None, :]) / (size * length[..., None, :])


class Linear:
    """Plain class scores x'w_k + b_k, with Glorot's uniform weights and b = 0; of the same form as `Cosine`."""

    @staticmethod
    def initial(tasks: int, way: int, features: int, generator: torch.Generator) -> Parameters:
        """One draw, shared by all tasks."""
        bound = (6 / (way + features)) ** 0.5
        weight = (2 * torch.rand(way, features, generator=generator) - 1) * bound
        return {"weight": weight.repeat(tasks, 1, 1), "bias": torch.zeros(tasks, way)}

    @staticmethod
    def scores(head: Parameters, x: Tensor) -> Tensor:
        """Class scores [tasks, n, way] of features [tasks, n, F]."""
        return x @ head["weight"].mT + head["bias"][..., None, :]


HEADS: dict[str, type[Cosine] | type[Linear]] = {"cosine": Cosine, "linear": Linear}
ENCODERS = {
    "omniglot": omniglot,
    "omniglot-32": lambda: omniglot(32),
    "omniglot-16": lambda: omniglot(16),
    "conv-base": conv_base,
    "conv-base-32": lambda: conv_base(32),
    "conv-base-fc100": lambda: conv_base(64, 32),
    "mini-imagenet": mini_imagenet,
}
"""By the name that a cell gives as its `network`."""
