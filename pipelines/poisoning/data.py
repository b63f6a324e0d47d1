"""The prepared data of poisoning as tensors: one trial is a seed and a number of poisons."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipelines.datasets.corruption import first_rows
from pipelines.denoising.pixels import unit
from pipelines.errors import UserError
from pipelines.poisoning.problem import Batch, Rows
from pipelines.poisoning.stored import Poisoning

CLASSES = 10
STARTS = ("training", "validation", "validation, swapped")


class Start(NamedTuple):
    """Where an attack starts: images uint8 [points, height, width] and labels [points]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


class Trial(NamedTuple):
    """u [most, d], W [C, d] at the start, the batch, and rows that are in neither cost."""

    u: Tensor
    w: Tensor
    batch: Batch
    selection: Rows


def flat(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Pixels in [0, 1], [n, d]."""
    return unit(torch.from_numpy(images).float()).flatten(1).to(device)


def rows(images: NDArray[np.uint8], labels: NDArray[np.uint8], device: torch.device) -> Rows:
    """`Rows` of images [n, height, width] and labels [n]."""
    return Rows(flat(images, device), onehot(labels, device))


def onehot(labels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Labels [n] as rows of ones and zeros, [n, C]."""
    return F.one_hot(torch.from_numpy(labels.astype(np.int64)), CLASSES).float().to(device)


def start(prepared: Poisoning, index: int, points: int, of: str) -> Start:
    """The first poisons of a trial.

    Args: of: "training": copies of training rows, as the attacks start (`pipelines.datasets.poison`). "validation": rows
        of the validation split with wrong labels drawn at random, which the paper's untargeted label flipping adds.
        "validation, swapped": those of a targeted attack with the labels they have there, eights called threes; with them
        the published numbers of the targeted label flipping come back, and not with both classes swapped.

    Raises: UserError for another word.
    """
    if of not in STARTS:
        raise UserError(f"start: {of!r} is none of {', '.join(map(repr, STARTS))} (pipelines/poisoning/params.yaml)")
    if of == "training":
        return Start(prepared.poison_images[index, :points], prepared.poison_labels[index, :points])
    labels = prepared.validation_labels[index, :points]
    if of == "validation, swapped":
        return Start(prepared.validation_images[index, :points], labels)
    wrong = first_rows(labels, 1.0, int(prepared.seeds[index]), CLASSES).labels
    return Start(prepared.validation_images[index, :points], wrong)


def trial(prepared: Poisoning, index: int, begin: Start, most: int, device: torch.device) -> Trial:
    """The trial of a seed's place with these first poisons, filled up to `most` rows."""
    points = len(begin.labels)
    train = rows(prepared.train_images[index], prepared.train_labels[index], device)
    empty = torch.zeros(most - points, train.x.shape[1], device=device)
    labels = torch.cat([onehot(begin.labels, device), torch.zeros(most - points, CLASSES, device=device)])
    batch = Batch(
        train=train,
        validation=rows(prepared.validation_images[index], prepared.validation_labels[index], device),
        onehot=labels,
        there=(torch.arange(most, device=device) < points).float(),
        count=torch.tensor(float(len(train.x) + points), device=device),
    )
    w = torch.zeros(CLASSES, train.x.shape[1], device=device)
    selection = rows(prepared.selection_images[index], prepared.selection_labels[index], device)
    return Trial(torch.cat([flat(begin.images, device), empty]), w, batch, selection)
