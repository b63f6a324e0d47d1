"""Prepared data as tensors, and the minibatches of a trial, each a function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.draws import Draws
from pipelines.datasets.corruption import generator
from pipelines.datasets.prepared import Prepared, load_oracle_mask, load_training
from pipelines.denoising.pixels import unit
from pipelines.denoising.problem import Batch
from pipelines.errors import UserError


class Split(NamedTuple):
    """Images [n, C, H, W], in [0, 1] where the cell does not ask for other `pixels`, and labels [n]."""

    images: Tensor
    labels: Tensor


class Data(NamedTuple):
    """All that one trial sees. `test_images` come without labels."""

    train: Split
    validation: Split
    selection: Split
    test_images: Tensor


class Source(NamedTuple):
    """A prepared folder in memory; `trial` gives the part that belongs to one trial."""

    prepared: Prepared
    clean: np.ndarray | None
    """[trials, n], True where a label is right; loaded for the Oracle alone."""
    pixels: Callable[[Tensor], Tensor] = unit
    """How bytes become what the network takes."""

    def trial(self, index: int, use: str, device: torch.device) -> Data:
        """The data of trial `index`.

        Args: use: what the training split is: "train" (all, noisy), "oracle" (its right labels, and validation),
            "validation" (validation alone) or "both" (noisy and validation).
        """
        prepared = self.prepared
        train = self._split(prepared.train_images, prepared.noisy_labels[index], device)
        validation = self._split(prepared.validation_images, prepared.validation_labels, device)
        if use == "oracle":
            if self.clean is None:
                raise UserError("the Oracle needs oracle.npz, which was not loaded")
            right = torch.from_numpy(self.clean[index]).to(device)
            train = _joined(Split(train.images[right], train.labels[right]), validation)
        elif use == "validation":
            train = validation
        elif use == "both":
            train = _joined(train, validation)
        selection = self._split(prepared.selection_images, prepared.selection_labels, device)
        return Data(train, validation, selection, self._images(prepared.test_images, device))

    def _split(self, images: np.ndarray, labels: np.ndarray, device: torch.device) -> Split:
        return Split(self._images(images, device), torch.from_numpy(labels.astype(np.int64)).to(device))

    def _images(self, images: np.ndarray, device: torch.device) -> Tensor:
        # grey images have no axis for the channel
        channels = images[:, None] if images.ndim == 3 else images
        return self.pixels(torch.from_numpy(channels).to(device, torch.float32))


def load(folder: Path, use: str, pixels: Callable[[Tensor], Tensor] = unit) -> Source:
    """Read a prepared folder; opens train.npz, and for the Oracle oracle.npz, never the sealed labels."""
    return Source(load_training(folder), load_oracle_mask(folder) if use == "oracle" else None, pixels)


def epoch(data: Data, size: int, seed: int, number: int) -> Iterator[Batch]:
    """The minibatches of epoch `number`: the training split in a random order, cut into minibatches of `size`.

    Beside each stands a validation minibatch of `size`, drawn without replacement. The last, partial minibatch is
    left out, as in the authors' code.
    """
    rng = generator(seed, f"minibatches of epoch {number}")
    order = torch.from_numpy(rng.permutation(len(data.train.labels)))
    for start in range(0, len(order) - size + 1, size):
        index = order[start : start + size].to(data.train.labels.device)
        drawn = rng.choice(len(data.validation.labels), size=min(size, len(data.validation.labels)), replace=False)
        clean = torch.from_numpy(drawn).to(index.device)
        yield Batch(
            data.train.images[index],
            data.train.labels[index],
            index,
            data.validation.images[clean],
            data.validation.labels[clean],
        )


def by_role(data: Data, batch: Batch, draws: Mapping[str, int], seed: int, iteration: int) -> Draws:
    """Minibatches for each role of a stochastic solver in upper iteration `iteration`.

    Args: batch: the epoch's pair, which serves f and the cross product, so that it is this pair's importances that move.
        draws: the solver's word: the lower steps and the products with H_vv take so many training minibatches of the same
        size, drawn anew.
    """
    rng = generator(seed, f"minibatches by role in iteration {iteration}")

    def drawn(count: int) -> Batch | tuple[()]:
        if count == 0:
            return ()
        rows = np.stack([rng.choice(len(data.train.labels), size=len(batch.labels), replace=False) for _ in range(count)])
        index = torch.from_numpy(rows).to(batch.index.device)
        clean = (batch.clean_images.expand(count, *batch.clean_images.shape), batch.clean_labels.expand(count, -1))
        return Batch(data.train.images[index], data.train.labels[index], index, *clean)

    return Draws(upper=batch, lower=drawn(draws.get("lower", 0)), hessian=drawn(draws.get("hessian", 0)), cross=batch)


def _joined(first: Split, second: Split) -> Split:
    return Split(torch.cat([first.images, second.images]), torch.cat([first.labels, second.labels]))
