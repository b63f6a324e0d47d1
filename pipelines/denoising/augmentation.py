"""Augmentation of minibatches: random maps of the images, each image its own, as a function of what they are drawn from.

The transforms of torchvision (v2) draw once for a batch and fill with one colour; what is needed here differs from image to
image, and repeats the nearest pixel at the border. So the maps are drawn here, flips and padding are torchvision's, and the
affine maps are applied by torch's own sampling of a grid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

ROTATION = 40.0
"""Degrees, either way."""
SHIFT = 0.2
"""Of the image's side, either way, along each axis."""
SHEAR = 0.2
"""Degrees, either way: so Keras reads the authors' 0.2."""
ZOOM = 0.2
"""The scale is 1 less to 1 more of this, along each axis on its own."""
PADDING = 4
"""Pixels on each side, of which a random square is cut."""


def affine(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Rotation, shift, shear, zoom and a flip from left to right, as Keras makes them: linear interpolation, and the
    nearest pixel of the border outside.

    Args: images: [B, C, H, H].
    Source: Keras's ImageDataGenerator with the settings of the authors' test_bilevel_importance*.py for CIFAR-10.
    """
    count, side = images.shape[0], images.shape[-1]
    angle = np.deg2rad(rng.uniform(-ROTATION, ROTATION, count))
    shift = rng.uniform(-SHIFT, SHIFT, (count, 2)) * side
    shear = np.deg2rad(rng.uniform(-SHEAR, SHEAR, count))
    zoom = rng.uniform(1 - ZOOM, 1 + ZOOM, (count, 2))
    matrix, offset = sampled_at(angle, shift, shear, zoom)
    # torch counts (x, y) where Keras counts (row, column), and from -1 to 1 over the image
    theta = np.concatenate([matrix[:, ::-1, ::-1], offset[:, ::-1, None] * 2 / side], axis=2)
    grid = F.affine_grid(torch.from_numpy(theta).to(images), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return _flipped(moved, rng)


def sampled_at(
    angle: NDArray[np.float64], shift: NDArray[np.float64], shear: NDArray[np.float64], zoom: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(matrix [B, 2, 2], offset [B, 2]): where each image is sampled, matrix @ (row, column) + offset from its centre.

    Args: angle, shear: radians [B]. shift: pixels [B, 2]. zoom: factors [B, 2].
    """
    rotation = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    one, zero = np.ones_like(shear), np.zeros_like(shear)
    shearing = np.stack([one, -np.sin(shear), zero, np.cos(shear)], axis=1).reshape(-1, 2, 2)
    return rotation @ shearing * zoom[:, None, :], (rotation @ shift[:, :, None])[:, :, 0]


def crop(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A square of the old size out of the image padded by four zeros on each side, and a flip from left to right.

    Args: images: [B, C, H, H].
    Source: He et al. (2016), Section 4.2; Ren et al. (2018) and Shu et al. (2019) train on CIFAR with it.
    """
    count, side = images.shape[0], images.shape[-1]
    padded = vision.pad(images, [PADDING] * 4)
    corners = torch.from_numpy(rng.integers(0, 2 * PADDING + 1, (2, count))).to(images.device)
    along = torch.arange(side, device=images.device)
    rows, columns = (corner[:, None] + along for corner in corners)
    which = torch.arange(count, device=images.device)[:, None, None]
    cut = padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return _flipped(cut.contiguous(), rng)


def _flipped(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Every second image, by chance, from left to right."""
    flip = torch.from_numpy(rng.random(images.shape[0]) < 0.5).to(images.device)
    return torch.where(flip[:, None, None, None], vision.horizontal_flip(images), images)


AUGMENTATIONS: dict[str, Callable[[Tensor, np.random.Generator], Tensor]] = {"affine": affine, "crop": crop}
"""By the name that a cell gives as its `augment`."""
