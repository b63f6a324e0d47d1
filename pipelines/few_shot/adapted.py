"""MAML (Finn, Abbeel & Levine, 2017): a whole network from which few steps on a task's support images lead to its own.

The network is an encoder and a linear head; the problem is that of `core.meta`, and MAML's meta-gradient reverse mode
through the T lower steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core import meta, solvers
from core.meta import Split
from core.networks import episodic
from core.networks.classifiers import Network
from core.optimizers import GradientDescent
from core.trees import Tree, tree_map
from pipelines.few_shot.data import Batch
from pipelines.few_shot.learning import Making, chosen, number_of


def network_scores(network: Network, theta: Split, images: Tensor) -> Tensor:
    """Class scores [n, way] of the images of one task."""
    scores: Tensor = network.logits(theta.body, images) @ theta.head["weight"].mT + theta.head["bias"]
    return scores


def task_costs(network: Network) -> tuple[meta.TaskCost, meta.TaskCost]:
    """(L_tr, L_te) of one task, cross entropies of a `Split`."""

    def support(theta: Split, task: Batch) -> Tensor:
        return F.cross_entropy(network_scores(network, theta, task.support), task.support_labels)

    def query(theta: Split, task: Batch) -> Tensor:
        assert isinstance(task.query_labels, Tensor)
        return F.cross_entropy(network_scores(network, theta, task.query), task.query_labels)

    return support, query


class Learner:
    """The protocol is `pipelines.few_shot.learning.Learner`; `adapt` {steps, step_size} is of the tasks to be judged on."""

    def __init__(self, making: Making) -> None:
        settings: Mapping[str, Any] = making.settings
        self.network = chosen(making, "network", episodic.ENCODERS)()
        self.way, self.width = making.way, episodic.features_of(self.network)
        problem = meta.maml(*task_costs(self.network))
        self.solver = meta.Restarted(making.solver(problem), meta.maml_start)
        adapt = settings["adapt"]
        self.adaptation = solvers.make(
            "single-level",
            problem,
            lower_steps=number_of(adapt["steps"]),
            lower_step_size=adapt["step_size"],
            lower_optimizer=GradientDescent(),
        )

    def begin(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Every task starts at the parameters themselves."""
        return batch

    def start(self, batch: Batch, generator: torch.Generator, seed: int) -> Any:
        """The state before the first iteration."""
        head = episodic.Linear.initial(1, self.way, self.width, generator)
        theta = Split(self.network.initial(generator), {name: leaf[0] for name, leaf in head.items()})
        theta = Split(*({name: leaf.to(batch.support.device) for name, leaf in part.items()} for part in theta))
        return self.solver.init(theta, meta.maml_start(theta, batch), seed)

    def step(self, state: Any, batch: Batch) -> Any:
        """One upper iteration."""
        return self.solver.step(state, batch)[0]

    def learned(self, state: Any) -> Split:
        """The parameters that every task starts from."""
        theta: Split = state.u
        return theta

    def features(self, learned: Split, images: Tensor) -> Tensor:
        """Features [tasks, n, F] of images before adaptation."""
        with torch.no_grad():
            return episodic.encoded(self.network, learned.body, images)

    def answers(self, learned: Split, batches: list[Batch], seed: int) -> Tensor:
        """By each task's own network."""
        found = []
        for one in batches:
            start: Tree = meta.maml_start(learned, one)
            delta = self.adaptation.step(self.adaptation.init(learned, start), one)[0].v
            with torch.no_grad():
                for place, images in enumerate(one.query):
                    theta = tree_map(lambda leaf, change, place=place: leaf + change[place], learned, delta)
                    found.append(network_scores(self.network, theta, images).argmax(-1))
        return torch.stack(found)
