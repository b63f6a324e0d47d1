"""Softmax regression, the classifier of the small-scale experiments (Mehra & Hamm, 2021, supplement D.1.1), and a dense
network for small images, with which many cells can be trained in seconds."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from core.networks.classifiers import Network
from core.networks.classifiers import _network as network


def softmax() -> Network:
    """Softmax regression on 28 x 28 images: 7,850 parameters."""
    return _dense((1, 28, 28))


def softmax_digits() -> Network:
    """Softmax regression on 8 x 8 images: 650 parameters."""
    return _dense((1, 8, 8))


def digits_dense() -> Network:
    """Dense 64, 32, 10 with ReLU on 8 x 8 images: 6,570 parameters."""
    return _dense((1, 8, 8), 64, 32)


def _dense(image_shape: tuple[int, int, int], *widths: int) -> Network:
    """Dense layers of these widths with ReLU, and ten class scores."""

    def build() -> nn.Module:
        layers: OrderedDict[str, nn.Module] = OrderedDict(flat=nn.Flatten())
        features = image_shape[0] * image_shape[1] * image_shape[2]
        for index, width in enumerate(widths, 1):
            layers[f"dense{index}"] = nn.Linear(features, width)
            layers[f"relu{index}"] = nn.ReLU()
            features = width
        layers[f"dense{len(widths) + 1}"] = nn.Linear(features, 10)
        return nn.Sequential(layers)

    return network(build, image_shape)
