"""The paper's CIFAR-10 and SVHN classifiers (Mehra & Hamm, 2021, supplement E.2), and its MNIST network, thinner.

Dropout layers are left out, as in `core.networks.classifiers`.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from core.networks.classifiers import Network
from core.networks.classifiers import _network as network


def cifar10() -> Network:
    """Three times conv3x3 (same), conv3x3 (valid), pool2, with 48, 96, 192 channels; dense 512, 256, 10: 1,172,410
    parameters for 3 x 32 x 32 images."""
    return network(lambda: _blocks(3, (48, 96, 192), second_padding=0, flat=768, dense=(512, 256)), (3, 32, 32))


def svhn() -> Network:
    """Three times conv3x3 (same) twice, pool2, with 32, 64, 128 channels; dense 512, 10: 1,340,650 parameters for grey
    32 x 32 images."""
    return network(lambda: _blocks(1, (32, 64, 128), second_padding=1, flat=2048, dense=(512,)), (1, 32, 32))


def mnist_quarter() -> Network:
    """The paper's MNIST network with a quarter of its channels: conv5x5-16, pool2, conv5x5-32, pool2, dense 128, 64, 10:
    87,818 parameters for 28 x 28 images."""
    return network(
        lambda: nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 16, 5),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(16, 32, 5),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flat=nn.Flatten(),
                **_head(512, (128, 64)),
            )
        ),
        (1, 28, 28),
    )


def _blocks(channels: int, widths: tuple[int, ...], second_padding: int, flat: int, dense: tuple[int, ...]) -> nn.Module:
    """Two 3 x 3 convolutions and a pooling for each width, then the head."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for block, width in enumerate(widths, 1):
        layers[f"conv{block}a"] = nn.Conv2d(channels, width, 3, padding=1)
        layers[f"relu{block}a"] = nn.ReLU()
        layers[f"conv{block}b"] = nn.Conv2d(width, width, 3, padding=second_padding)
        layers[f"relu{block}b"] = nn.ReLU()
        layers[f"pool{block}"] = nn.MaxPool2d(2)
        channels = width
    layers["flat"] = nn.Flatten()
    layers.update(_head(flat, dense))
    return nn.Sequential(layers)


def _head(features: int, widths: tuple[int, ...]) -> dict[str, nn.Module]:
    """Dense layers with ReLU, and ten class scores."""
    layers: dict[str, nn.Module] = {}
    for index, width in enumerate(widths, 1):
        layers[f"dense{index}"] = nn.Linear(features, width)
        layers[f"dense{index}_relu"] = nn.ReLU()
        features = width
    layers[f"dense{len(widths) + 1}"] = nn.Linear(features, 10)
    return layers
