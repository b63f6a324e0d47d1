"""What is random about a minibatch besides its rows: augmentation, and the number that dropout and random weights follow.

Both are functions of (seed, place in training), so that training goes on anywhere with the same bytes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.draws import Draws
from pipelines.datasets.corruption import generator
from pipelines.denoising.cells import AUGMENTED
from pipelines.denoising.problem import Batch

Augmentation = Callable[[Tensor, np.random.Generator], Tensor]


def augmentation(name: str) -> Augmentation:
    """The augmentation of that name."""
    found: Augmentation = importlib.import_module(AUGMENTED[name]).AUGMENTATIONS[name]
    return found


@dataclass(frozen=True)
class Randomness:
    """What a cell asks for.

    Attributes:
        augment: of the images of both minibatches, or None.
        drawn: whether batches carry a number to draw from (`Batch.draw`).
    """

    augment: Augmentation | None = None
    drawn: bool = False

    def iteration(self, batch: Any, seed: int, number: int) -> Any:
        """A `Batch`, or one for each role of a stochastic solver (`core.draws.Draws`), in upper iteration `number`."""
        if not isinstance(batch, Draws):
            return self.of(batch, seed, f"iteration {number}")
        pair = self.of(batch.upper, seed, f"iteration {number}")
        lower = self.of(batch.lower, seed, f"lower steps of iteration {number}")
        hessian = self.of(batch.hessian, seed, f"Hessian products of iteration {number}")
        return batch._replace(upper=pair, cross=pair, lower=lower, hessian=hessian)

    def of(self, batch: Any, seed: int, place: str, augment: bool = True) -> Any:
        """A batch, perhaps with a leading axis, at a place in training; () is left alone.

        Args: augment: False for a batch that keeps its images, whatever the cell says.
        """
        if not isinstance(batch, Batch):
            return batch
        if self.augment is not None and augment:
            rng = generator(seed, f"augmentation of {place}")
            batch = batch._replace(images=self._augmented(batch.images, rng))
            if batch.clean_images.dim() == 4:  # with a leading axis they are the pair's, which serve f alone
                batch = batch._replace(clean_images=self._augmented(batch.clean_images, rng))
        if self.drawn:
            rng = generator(seed, f"draw of {place}")
            numbers = torch.from_numpy(np.asarray(rng.integers(2**62, size=tuple(batch.images.shape[:-4]))))
            batch = batch._replace(draw=numbers.to(batch.images.device))
        return batch

    def _augmented(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        assert self.augment is not None
        return self.augment(images.flatten(0, -4), rng).reshape(images.shape)
