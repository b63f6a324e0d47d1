"""Inception-v3 as torchvision has it, cut off before its classifier: the features of the clean-label attack."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.datasets.registry import DATA_SETS, RAW, DataSet
from pipelines.errors import UserError

INCEPTION = DATA_SETS["inception"]
FEATURES = 2048
AT_ONCE = 32  # images in one forward pass


class Features(nn.Module):
    """Images [n, 3, 299, 299] in [-1, 1], as Google's network takes them, to features [n, 2048], the global averages.

    In evaluation mode, without gradients for its weights; gradients for the images pass through.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(images)
        return features

    def train(self, mode: bool = True) -> Features:
        """Stays in evaluation mode: statistics of batches have no part in features."""
        return super().train(False)


def load(folder: Path = RAW / INCEPTION.name, entry: DataSet = INCEPTION) -> Features:
    """Build the network from the fetched weights.

    Raises:
        UserError: the file is missing or wrong, holds more than tensors, or other tensors; names the command.
    """
    from torchvision.models import inception_v3  # type: ignore[import-untyped]

    path = entry.checked(entry.files[0], folder)
    # the weights were ported from a network that takes [-1, 1]: torchvision's own rescaling is left out
    network = inception_v3(weights=None, init_weights=False, aux_logits=True, transform_input=False)
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, RuntimeError, TypeError, AttributeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} has no weights of Inception-v3 ({reason}): run `{entry.command}`") from error
    network.fc = nn.Identity()
    network.AuxLogits = None
    return Features(network)


def features_of(
    images: NDArray[np.uint8], folder: Path = RAW / INCEPTION.name, entry: DataSet = INCEPTION
) -> NDArray[np.float64]:
    """Features, float64 [n, 2048], of images uint8 [n, 3, side, side]; a fifth of a second for each of 299x299 on one core.

    They are computed in float32 on the CPU; another processor may round their last bits otherwise.

    Raises:
        UserError: as `load`, or the images are not in colour.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise UserError(f"Inception-v3 takes colour images, these are {images.shape[1:]}: take other features, as pixels")
    network = load(folder, entry)
    found = []
    with torch.no_grad():
        for first in range(0, len(images), AT_ONCE):
            pixels = torch.from_numpy(images[first : first + AT_ONCE]).to(torch.float32)
            found.append(network(pixels / 127.5 - 1).numpy().astype(np.float64))
    return np.concatenate(found)
