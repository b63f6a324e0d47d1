"""Prototypical networks (Snell, Swersky & Zemel, 2017): no lower level, a class is the mean of its support features.

    loss = mean cross entropy of -|x - c_k|^2 over the queries x of all tasks of the meta-batch
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core import Bilevel
from core.networks import episodic
from core.networks.classifiers import Network, Parameters
from pipelines.few_shot.data import Batch
from pipelines.few_shot.heads import loss
from pipelines.few_shot.learning import Making, chosen


def scores(support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
    """-|x - c_k|^2, [tasks, n, way], of features [tasks, ., F]; labels [tasks, way * shot]."""
    member = torch.nn.functional.one_hot(labels, way).to(support)
    centre = (member / member.sum(1, keepdim=True)).mT @ support
    return -((query[:, :, None] - centre[:, None]) ** 2).sum(-1)


def problem(network: Network, way: int) -> Bilevel:
    """Plain training: g is the loss of the encoder v; u is not used."""

    def lower(u: Any, v: Parameters, batch: Batch) -> Tensor:
        known, asked = (episodic.encoded(network, v, images) for images in (batch.support, batch.query))
        return loss(scores(known, batch.support_labels, asked, way), batch.query_labels)

    return Bilevel(lower, lower)


class Learner:
    """The protocol is `pipelines.few_shot.learning.Learner`."""

    def __init__(self, making: Making) -> None:
        self.network = chosen(making, "network", episodic.ENCODERS)()
        self.way = making.way
        self.solver = making.solver(problem(self.network, self.way))

    def begin(self, batch: Batch, generator: torch.Generator) -> Batch:
        """There is no lower variable."""
        return batch

    def start(self, batch: Batch, generator: torch.Generator, seed: int) -> Any:
        """The state before the first iteration."""
        device = batch.support.device
        v = {name: leaf.to(device) for name, leaf in self.network.initial(generator).items()}
        return self.solver.init(torch.zeros((), device=device), v, seed)

    def step(self, state: Any, batch: Batch) -> Any:
        """One step on a meta-batch."""
        return self.solver.step(state, batch)[0]

    def learned(self, state: Any) -> Parameters:
        """The encoder."""
        v: Parameters = state.v
        return v

    def features(self, learned: Parameters, images: Tensor) -> Tensor:
        """Features [tasks, n, F] of images, each task normalised by its own."""
        with torch.no_grad():
            return episodic.encoded(self.network, learned, images)

    def answers(self, learned: Parameters, batches: list[Batch], seed: int) -> Tensor:
        """The class with the nearest mean."""
        found = []
        for one in batches:
            known, asked = self.features(learned, one.support), self.features(learned, one.query)
            found.append(scores(known, one.support_labels, asked, self.way).argmax(-1))
        return torch.cat(found)
