"""A linear probe on pre-trained features: no meta-learning at all.

The encoder is trained to tell all classes of meta-training apart, a meta-batch at a time; at meta-test a head is found for
each task on features that do not change.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core import Bilevel
from core.meta import Split
from core.networks import episodic
from core.networks.classifiers import Network
from pipelines.few_shot import adapted, heads
from pipelines.few_shot.data import Batch
from pipelines.few_shot.heads import loss
from pipelines.few_shot.learning import Making


def problem(network: Network) -> Bilevel:
    """Plain training: g is the cross entropy of v, an encoder and a head of all classes, on all images of the meta-batch; u
    is not used."""

    def lower(u: Any, v: Split, batch: Batch) -> Tensor:
        assert isinstance(batch.classes, Tensor)
        cost = torch.zeros((), device=batch.support.device)
        for images in (batch.support, batch.query):
            scores = episodic.encoded(network, v.body, images) @ v.head["weight"].mT + v.head["bias"]
            each = images.shape[1] // batch.classes.shape[1]
            cost = cost + loss(scores, batch.classes.repeat_interleave(each, 1)) * images.shape[1]
        return cost / (batch.support.shape[1] + batch.query.shape[1])

    return Bilevel(lower, lower)


class Learner(heads.OnFeatures):
    """The protocol is `pipelines.few_shot.learning.Learner`; its answers are those of `heads.OnFeatures`."""

    def __init__(self, making: Making) -> None:
        super().__init__(making)
        self.training = making.solver(problem(self.network))
        self.classes = making.classes

    def begin(self, batch: Batch, generator: torch.Generator) -> Batch:
        """There is no lower variable."""
        return batch

    def start(self, batch: Batch, generator: torch.Generator, seed: int) -> Any:
        """The state before the first iteration."""
        device = batch.support.device
        v = adapted.network_start(self.network, self.classes, self.width, generator, device)
        return self.training.init(torch.zeros((), device=device), v, seed)

    def step(self, state: Any, batch: Batch) -> Any:
        """One step on a meta-batch."""
        return self.training.step(state, batch)[0]

    def learned(self, state: Any) -> Any:
        """The encoder."""
        return state.v.body
