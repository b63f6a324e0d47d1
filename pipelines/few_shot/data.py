"""Tasks as tensors: meta-batches as functions of (seed, iteration), and the tasks that a method is judged on.

Images stay in memory as they are stored, uint8 and not turned; a meta-batch copies, turns and scales its own drawings alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.trees import Tree
from pipelines.datasets import tasks
from pipelines.datasets.corruption import generator
from pipelines.datasets.tasks import Shape, Tasks
from pipelines.few_shot import stored
from pipelines.few_shot.stored import FewShot, MetaTest


class Batch(NamedTuple):
    """Tasks, a leading axis of them on every tensor.

    Attributes:
        support [tasks, way * shot, C, side, side], support_labels [tasks, way * shot]: what g sees.
        query, query_labels: what f sees; of tasks to be judged on the labels are ().
        start: where the lower variables start, () where the method has its own word.
        classes [tasks, way]: their numbers among all of meta-training, () of tasks of meta-test.
    """

    support: Tensor
    support_labels: Tensor
    query: Tensor
    query_labels: Tensor | tuple[()]
    start: Tree = ()
    classes: Tensor | tuple[()] = ()


class Source(NamedTuple):
    """A prepared folder in memory.

    Attributes: meta_batch: tasks of an upper iteration. query: drawings of a class that f sees in meta-training.
    """

    known: FewShot
    test: MetaTest
    meta_batch: int
    query: int
    device: torch.device

    @property
    def shape(self) -> Shape:
        """way, shot and query of the tasks to be judged on."""
        _, _, way, shot = self.known.selection_support.shape
        return Shape(way, shot, self.known.selection_query.shape[-1])

    @property
    def turns(self) -> int:
        """Rotations that are classes of their own."""
        return int(self.known.rotations)

    @property
    def classes(self) -> int:
        """How many classes meta-training has."""
        return len(self.known.train_images) * self.turns

    def meta_batch_of(self, seed: int, iteration: int) -> Batch:
        """The tasks of an upper iteration, without a start."""
        images = self.known.train_images
        drawn = tasks.meta_batch(self.classes, images.shape[1], self.shape, self.meta_batch, seed, iteration)
        return self._batch(images, drawn._replace(query=drawn.query[..., : self.query]))

    def train_tasks(self, seed: int, count: int) -> Batch:
        """Tasks of meta-training classes to be judged on."""
        images = self.known.train_images
        drawn = tasks.fixed(self.classes, images.shape[1], self.shape, count, seed, "meta-train")
        return self._batch(images, drawn)

    def selection_tasks(self, trial: int, count: int) -> Batch:
        """The first tasks of meta-validation."""
        known = self.known
        parts = (known.selection_classes, known.selection_support, known.selection_query)
        return self._batch(known.validation_images, Tasks(*(part[trial, :count] for part in parts)))

    def test_tasks(self, trial: int, first: int, last: int) -> Batch:
        """Tasks first..last-1 of meta-test; the labels of their queries are sealed."""
        support, query = self.test.support[trial, first:last], self.test.query[trial, first:last]
        count, way, shot = support.shape
        labels = _labels(count, way, shot)
        images = self.test.test_images
        known = self._scaled(images[support.reshape(count, -1)])
        return Batch(known, labels.to(self.device), self._scaled(images[query]), ())

    def _batch(self, images: NDArray[np.uint8], drawn: Tasks) -> Batch:
        count, way, _ = drawn.support.shape
        parts: list[Tensor] = []
        for drawings in (drawn.support, drawn.query):
            found = tasks.pictures(images, drawn.classes, drawings, self.turns)
            parts += [
                self._scaled(found.reshape(count, way * drawings.shape[2], *found.shape[3:])),
                _labels(count, way, drawings.shape[2]).to(self.device),
            ]
        return Batch(*parts, classes=torch.from_numpy(drawn.classes.astype(np.int64)).to(self.device))

    def _scaled(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [tasks, n, side, side] or [tasks, n, C, side, side] as floats in [0, 1] with a channel axis."""
        whole = images[:, :, None] if images.ndim == 4 else images
        return torch.from_numpy(np.ascontiguousarray(whole)).to(self.device, torch.float32) / 255


def load(folder: Path, meta_batch: int, query: int, device: torch.device) -> Source:
    """Read a prepared folder, never its sealed labels."""
    return Source(stored.load(folder), stored.load_test(folder), meta_batch, query, device)


def draws(seed: int, purpose: str) -> torch.Generator:
    """Torch's generator for one purpose."""
    return torch.Generator().manual_seed(int(generator(seed, purpose).integers(2**62)))


def ahead(make: Callable[[int], Any], first: int, last: int) -> Iterator[Any]:
    """make(first), .., make(last - 1), each made in the background while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(make, first) if first < last else None
        for number in range(first + 1, last + 1):
            assert waiting is not None
            found = waiting.result()
            waiting = pool.submit(make, number) if number < last else None
            yield found


def parts_of(batch: Batch, size: int) -> Iterator[Batch]:
    """A batch to be answered, in parts of `size` tasks."""
    for first in range(0, len(batch.support), size):
        part = slice(first, first + size)
        yield Batch(batch.support[part], batch.support_labels[part], batch.query[part], ())


def _labels(count: int, way: int, each: int) -> Tensor:
    return torch.arange(way).repeat_interleave(each).expand(count, -1)
