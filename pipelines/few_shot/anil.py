"""ANIL (Raghu et al., 2020): only the head is changed for a task, from a common one; the encoder is shared by all.

The problem is `core.meta.anil`, over features: u has the encoder and the common head, v what each task adds to the head.
With the encoder's features held, the lower steps are those of all tasks in one batched product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from core import Bilevel, solvers
from core.meta import Split, copies
from core.networks import episodic
from core.networks.classifiers import Parameters
from core.optimizers import GradientDescent
from core.representation import ByFeatures, Features
from core.trees import Tree, tree_map, zeros_like
from pipelines.few_shot import adapted
from pipelines.few_shot.data import Batch
from pipelines.few_shot.heads import loss
from pipelines.few_shot.learning import Making, chosen, number_of


def scores(common: Parameters, changes: Parameters, x: Tensor) -> Tensor:
    """Class scores [tasks, n, way] of features [tasks, n, F] by the common head and each task's changes of it."""
    return episodic.Linear.scores(tree_map(torch.add, common, changes), x)


def problem() -> Bilevel:
    """In `Features`: u has (features, common head) for g and for f, v the changes [tasks, ...]; g is the sum over tasks."""

    def upper(u: Features, v: Parameters, batch: Batch) -> Tensor:
        return loss(scores(u.upper[1], v, u.upper[0]), batch.query_labels)

    def lower(u: Features, v: Parameters, batch: Batch) -> Tensor:
        return loss(scores(u.lower[1], v, u.lower[0]), batch.support_labels) * len(batch.support_labels)

    return Bilevel(upper, lower)


class Learner:
    """The protocol is `pipelines.few_shot.learning.Learner`; `adapt` {steps, step_size} is of the tasks to be judged on."""

    def __init__(self, making: Making) -> None:
        self.network = chosen(making, "network", episodic.ENCODERS)()
        self.way, self.width = making.way, episodic.features_of(self.network)
        costs = problem()
        self.solver = ByFeatures(making.solver(costs), self._seen("support"), self._seen("query"))
        adapt = making.settings["adapt"]
        self.adaptation = solvers.make(
            "single-level",
            costs,
            lower_steps=number_of(adapt["steps"]),
            lower_step_size=adapt["step_size"],
            lower_optimizer=GradientDescent(),
        )

    def _seen(self, name: str) -> Callable[[Split, Batch], Tree]:
        return lambda u, batch: (episodic.encoded(self.network, u.body, getattr(batch, name)), u.head)

    def begin(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Every task starts at the common head."""
        return batch

    def start(self, batch: Batch, generator: torch.Generator, seed: int) -> Any:
        """The state before the first iteration."""
        u = adapted.network_start(self.network, self.way, self.width, generator, batch.support.device)
        return self.solver.init(u, zeros_like(copies(u.head, batch)), seed)

    def step(self, state: Any, batch: Batch) -> Any:
        """One upper iteration from the common head."""
        return self.solver.step(self.restarted(state, batch), batch)[0]

    def restarted(self, state: Any, batch: Batch) -> Any:
        """The state without any task's changes."""
        return state._replace(v=zeros_like(copies(state.u.head, batch)))

    def learned(self, state: Any) -> Split:
        """The encoder and the common head."""
        u: Split = state.u
        return u

    def features(self, learned: Split, images: Tensor) -> Tensor:
        """Features [tasks, n, F] of images, each task normalised by its own."""
        with torch.no_grad():
            return episodic.encoded(self.network, learned.body, images)

    def answers(self, learned: Split, batches: list[Batch], seed: int) -> Tensor:
        """By each task's own head; all heads are found side by side."""
        support, query = (
            torch.cat([self.features(learned, getattr(one, name)) for one in batches]) for name in ("support", "query")
        )
        known = Batch(support, torch.cat([one.support_labels for one in batches]), query, ())
        at = Features((support, learned.head), (query, learned.head))
        v = zeros_like(copies(learned.head, support))
        found = self.adaptation.step(self.adaptation.init(at, v), known)[0].v
        with torch.no_grad():
            return scores(learned.head, found, query).argmax(-1)
