"""What becomes of the bytes of an image: scales of pixels, by the name that a cell gives as its `pixels`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LARGEST = {28: 255.0, 8: 16.0, 32: 255.0}
"""The largest value of a pixel by the width of the images: of scikit-learn's digits (8) it is 16."""
LUMA = (0.2989, 0.5870, 0.1140)
"""Red, green and blue in a grey value, as the authors' pre-processing of SVHN weighs them."""


def unit(images: Tensor) -> Tensor:
    """Pixels in [0, 1]."""
    return images / LARGEST[images.shape[-1]]


def grey(images: Tensor) -> Tensor:
    """One channel in [0, 255], not scaled: so the released code trains on SVHN."""
    weights = torch.tensor(LUMA, dtype=images.dtype, device=images.device)
    return (weights[:, None, None] * images).sum(1, keepdim=True)


def grey_unit(images: Tensor) -> Tensor:
    """The same in [0, 1]."""
    return grey(images) / 255.0


def standardised(mean: tuple[float, ...], deviation: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    """(pixel - mean) / deviation, both by channel and of bytes."""

    def scale(images: Tensor) -> Tensor:
        constants = torch.tensor([mean, deviation], dtype=images.dtype, device=images.device)[:, :, None, None]
        return (images - constants[0]) / constants[1]

    return scale


PIXELS: dict[str, Callable[[Tensor], Tensor]] = {
    "unit": unit,
    "grey": grey,
    "grey-unit": grey_unit,
    # Ji et al. (2021), experimental/mnist_exp.py
    "mnist-standardised": standardised((0.1307 * 255,), (0.3081 * 255,)),
    # Shu et al. (2019), train_WRN-28-10_Meta_PGC.py
    "cifar-standardised": standardised((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
}
"""Name -> (images [n, C, H, W] of values of a byte -> what the network takes, [n, 1 or C, H, W])."""
