"""The network r on whose features the victim trains its last layer: pixels, Inception-v3, or one that is trained here.

The last is small: blocks of [conv3x3, ReLU, max-pool 2], and of what they leave means over places, a few or all. It is
trained on classes that the victim does not have, by Adam on the cross entropy, on one thread, so that one machine gives one
network. An encoder takes images [n, C, H, W] with pixels in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from pipelines.datasets import inception
from pipelines.datasets.corruption import generator
from pipelines.datasets.entries import Entry, is_integer, is_number
from pipelines.errors import UserError

PIXELS, LEARNED, INCEPTION = "pixels", "learned", "inception"
SOURCES = ("digits", "mnist", "mini-imagenet-lite")
"""What a network may be trained on."""
AT_ONCE = 256
Encode = Callable[[Tensor], Tensor]
"""Images [n, C, H, W] in [0, 1] -> features [n, d]."""


@dataclass(frozen=True)
class Learning:
    """How a network is trained.

    Attributes:
        source: a name of `SOURCES`. widths: channels of its blocks.
        places: the means are taken over so many by so many parts of the image, and the last channels of each are features.
        epochs, batch, step_size: of Adam.
    """

    source: str
    widths: tuple[int, ...]
    places: int
    epochs: int
    batch: int
    step_size: float


def read(entry: Entry) -> Learning:
    """From the part `learned` of an entry of params.yaml; raises UserError for a bad value."""
    widths: Any = entry.found.get("widths")
    good = isinstance(widths, list) and len(widths) > 0 and all(is_integer(one) and one > 0 for one in widths)
    entry.must(good, "widths", "a list of positive integers")
    step_size: Any = entry.found.get("step_size")
    entry.must(is_number(step_size) and step_size > 0, "step_size", "a positive number")
    source, places = entry.one_of("source", SOURCES), entry.integer("places", 1, 1)
    epochs, batch = entry.integer("epochs", 1), entry.integer("batch", 1)
    return Learning(source, tuple(widths), places, epochs, batch, float(step_size))


def convolutional(channels: int, widths: tuple[int, ...], places: int = 1) -> nn.Sequential:
    """The network without its head, in float32."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(places), nn.Flatten())


def learned(images: NDArray[np.float32], labels: NDArray[np.integer], how: Learning) -> NDArray[np.float32]:
    """The parameters of a trained network, one vector.

    Args: images: [n, C, H, W] in [0, 1]. labels: [n], of any classes.
    Raises: UserError where the images are too small for so many blocks, or of fewer than two classes.
    """
    classes, places = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UserError(f"a network is trained on at least two classes, {how.source} leaves {len(classes)}")
    if min(images.shape[2:]) < 2 ** len(how.widths):
        raise UserError(f"images of {images.shape[2:]} cannot be halved {len(how.widths)} times: take fewer widths")
    x, y = torch.from_numpy(images), torch.from_numpy(places.astype(np.int64))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        body = convolutional(images.shape[1], how.widths, how.places)
        whole = nn.Sequential(body, nn.Linear(how.widths[-1] * how.places**2, len(classes)))
        rule = torch.optim.Adam(whole.parameters(), lr=how.step_size)
        for epoch in range(how.epochs):
            order = torch.from_numpy(generator(epoch, "minibatches of the clean-label network").permutation(len(x)))
            for rows in order.split(how.batch):
                rule.zero_grad()
                F.cross_entropy(whole(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
                rule.step()
    torch.set_num_threads(threads)
    return np.asarray(parameters_to_vector(body.parameters()).detach().numpy())


def encoder(features: str, how: Mapping[str, Any] | None, channels: int, parameters: NDArray[np.float32]) -> Encode:
    """r itself, through which gradients for images pass.

    Args: features: `PIXELS`, `LEARNED` or `INCEPTION`. how, channels, parameters: of a learned network, its `Learning` as a
        mapping, such as index.json of a prepared data set has it.
    Raises: UserError where Inception's weights are missing.
    """
    if features == PIXELS:
        return lambda images: images.flatten(1)
    if features == INCEPTION:
        network = inception.load()
        return lambda images: network(2 * images - 1)
    assert how is not None
    body = convolutional(channels, tuple(how["widths"]), how["places"]).requires_grad_(False)
    vector_to_parameters(torch.from_numpy(parameters), body.parameters())
    return body


def features(encode: Encode, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features [n, d] of images [n, C, H, W] in [0, 1]."""
    parts = torch.from_numpy(images).split(AT_ONCE)
    with torch.no_grad():
        return np.concatenate([encode(part).numpy() for part in parts])
