"""A common representation as a bilevel problem (Mehra & Hamm, 2021, Section 3.3 and supplement E.3).

    u: the encoder;  v: a head for each task of the meta-batch, drawn anew for each
    f = mean over tasks of the mean cross entropy of its queries;   g = the same of its support images

Methods whose lower steps are plain gradient descent take g as the sum over tasks (`lower_cost: sum`), so that a step size is
that of one task.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core import Bilevel, solvers
from core.networks import episodic
from core.networks.classifiers import Parameters
from core.representation import ByFeatures, Features
from core.trees import Tree
from pipelines.few_shot.data import Batch, draws
from pipelines.few_shot.learning import OPTIMIZERS, Making, chosen, number_of

LOWER_COSTS = {"mean": True, "sum": False}
"""What a cell names as its `lower_cost`: whether g is the mean over tasks."""


def problem(scores: Any, mean: bool = True) -> Bilevel:
    """In `Features`: u has the features [tasks, n, F] of support and query images, v the heads of all tasks.

    Args: scores: of a head (`core.networks.episodic.HEADS`). mean: g is the mean over tasks, else their sum.
    """

    def upper(u: Features, v: Tree, batch: Batch) -> Tensor:
        return loss(scores(v, u.upper), batch.query_labels)

    def lower(u: Features, v: Tree, batch: Batch) -> Tensor:
        cost = loss(scores(v, u.lower), batch.support_labels)
        return cost if mean else cost * len(batch.support_labels)

    return Bilevel(upper, lower)


def loss(scores: Tensor, labels: Tensor | tuple[()]) -> Tensor:
    """Mean cross entropy of scores [tasks, n, way]."""
    assert isinstance(labels, Tensor)
    return F.cross_entropy(scores.flatten(0, 1), labels.flatten())


def first_task_alone(gradient: Features) -> Features:
    """What the released ApproxGrad takes: the implicit terms of the first task, the direct gradients of all.

    g sees the support images alone and f the queries alone, so the implicit term is what lies on `lower`.
    """
    kept = torch.zeros_like(gradient.lower)
    kept[0] = gradient.lower[0]
    return Features(kept, gradient.upper)


IMPLICIT_TASKS = {"all": None, "first": first_task_alone}
"""What a cell names as its `implicit_tasks`."""


class OnFeatures:
    """Answers by an encoder and a head for each task, found on features that do not change.

    Settings of a cell: `network` (`episodic.ENCODERS`), `head` (`episodic.HEADS`), `statistics` (`episodic.STATISTICS`), and
    `adapt` {optimizer, steps, step_size}: how the heads of tasks to be judged on are found.
    """

    def __init__(self, making: Making) -> None:
        self.network = chosen(making, "network", episodic.ENCODERS)()
        self.head = chosen(making, "head", episodic.HEADS, "cosine")
        self.way, self.width = making.way, episodic.features_of(self.network)
        self.by_support = chosen(making, "statistics", {"transductive": False, "support": True}, "transductive")
        adapt = making.settings["adapt"]
        self.adaptation = solvers.make(
            "single-level",
            problem(self.head.scores, mean=False),
            lower_steps=number_of(adapt["steps"]),
            lower_step_size=adapt["step_size"],
            lower_optimizer=chosen(making, "adapt.optimizer", OPTIMIZERS, "adam"),
        )

    def lower(self, u: Parameters, batch: Batch) -> Tensor:
        """Features of the support images."""
        return episodic.encoded(self.network, u, batch.support)

    def upper(self, u: Parameters, batch: Batch) -> Tensor:
        """Features of the queries."""
        if self.by_support:
            return episodic.encoded_by(self.network, u, batch.query, batch.support)
        return episodic.encoded(self.network, u, batch.query)

    def features(self, learned: Parameters, images: Tensor) -> Tensor:
        """Features [tasks, n, F] of images, each task normalised by its own."""
        with torch.no_grad():
            return episodic.encoded(self.network, learned, images)

    def answers(self, learned: Parameters, batches: list[Batch], seed: int) -> Tensor:
        """Classes [tasks, n] of the queries of all batches; all heads are found side by side."""
        with torch.no_grad():
            support = torch.cat([self.lower(learned, one) for one in batches])
            query = torch.cat([self.upper(learned, one) for one in batches])
        labels = torch.cat([one.support_labels for one in batches])
        start = self.head.initial(len(support), self.way, self.width, draws(seed, "heads of tasks to be judged on"))
        known = Batch(support, labels, query, ())
        at = Features(support, query)
        heads = {name: leaf.to(support.device) for name, leaf in start.items()}
        found = self.adaptation.step(self.adaptation.init(at, heads), known)[0].v
        with torch.no_grad():
            said: Tensor = self.head.scores(found, query).argmax(-1)
        return said


class Learner(OnFeatures):
    """The bilevel methods; the protocol is `pipelines.few_shot.learning.Learner`.

    Settings of a cell besides those of `OnFeatures` and the solver's: `lower_cost` (`LOWER_COSTS`), `implicit_tasks` ("all",
    or "first" as the released ApproxGrad), and `moments` of the lower optimiser from one meta-batch to the next ("kept" as
    released, or "fresh").
    """

    def __init__(self, making: Making) -> None:
        super().__init__(making)
        self.fresh = chosen(making, "moments", {"kept": False, "fresh": True}, "kept")
        mean = chosen(making, "lower_cost", LOWER_COSTS, "mean")
        taken = chosen(making, "implicit_tasks", IMPLICIT_TASKS, "all")
        solver = making.solver(problem(self.head.scores, mean))
        self.solver = ByFeatures(solver, self.lower, self.upper, *([] if taken is None else [taken]))

    def begin(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The meta-batch with heads to start from."""
        start = self.head.initial(len(batch.support), self.way, self.width, generator)
        return batch._replace(start={name: leaf.to(batch.support.device) for name, leaf in start.items()})

    def start(self, batch: Batch, generator: torch.Generator, seed: int) -> Any:
        """The state before the first iteration."""
        u = {name: leaf.to(batch.support.device) for name, leaf in self.network.initial(generator).items()}
        return self.solver.init(u, batch.start, seed)

    def step(self, state: Any, batch: Batch) -> Any:
        """One upper iteration from heads drawn anew."""
        return self.solver.step(self.restarted(state, batch), batch)[0]

    def restarted(self, state: Any, batch: Batch) -> Any:
        """The state with the heads of the meta-batch."""
        state = state._replace(v=batch.start)
        if self.fresh:
            state = state._replace(lower_optimizer=self.solver.solver.lower_optimizer.init(batch.start))
        return state

    def learned(self, state: Any) -> Parameters:
        """The encoder."""
        u: Parameters = state.u
        return u
