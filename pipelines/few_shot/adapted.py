"""MAML (Finn, Abbeel & Levine, 2017) and iMAML (Rajeswaran et al., 2019): a network for every task, from common parameters.

The network is an encoder and a linear head, the problems are those of `core.meta`. MAML's meta-gradient is reverse mode
through the T lower steps (solver `itd`), iMAML's the implicit one at the end of them (solver `aid`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core import Bilevel, meta, solvers
from core.meta import Split
from core.networks import episodic
from core.networks.classifiers import Network
from core.optimizers import GradientDescent
from core.trees import Tree, detach, tree_map
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
    """MAML; the protocol is `pipelines.few_shot.learning.Learner`. A cell's `adapt` {steps, step_size} is of the tasks to be
    judged on."""

    def __init__(self, making: Making) -> None:
        settings: Mapping[str, Any] = making.settings
        self.settings = settings
        self.network = chosen(making, "network", episodic.ENCODERS)()
        self.way, self.width = making.way, episodic.features_of(self.network)
        problem = self.problem()
        self.solver = meta.Restarted(making.solver(problem), self.first)
        adapt = settings["adapt"]
        self.adaptation = solvers.make(
            "single-level",
            problem,
            lower_steps=number_of(adapt["steps"]),
            lower_step_size=adapt["step_size"],
            lower_optimizer=GradientDescent(),
        )

    def problem(self) -> Bilevel:
        """What the method solves."""
        return meta.maml(*task_costs(self.network))

    def first(self, theta: Split, tasks: Batch) -> Tree:
        """Where the lower variables of the tasks start."""
        return meta.maml_start(theta, tasks)

    def own(self, theta: Split, v: Tree, place: int) -> Split:
        """A task's own parameters."""
        parameters: Split = tree_map(lambda leaf, change: leaf + change[place], theta, v)
        return parameters

    def begin(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Every task starts at the parameters themselves."""
        return batch

    def start(self, batch: Batch, generator: torch.Generator, seed: int) -> Any:
        """The state before the first iteration."""
        theta = network_start(self.network, self.way, self.width, generator, batch.support.device)
        return self.solver.init(theta, self.first(theta, batch), seed)

    def step(self, state: Any, batch: Batch) -> Any:
        """One upper iteration."""
        # the second derivative of torch's batch norm leaves a graph, which would hold all that went before
        return detach(self.solver.step(state, batch)[0])

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
            v = self.adaptation.step(self.adaptation.init(learned, self.first(learned, one)), one)[0].v
            with torch.no_grad():
                for place, images in enumerate(one.query):
                    found.append(network_scores(self.network, self.own(learned, v, place), images).argmax(-1))
        return torch.stack(found)


class Implicit(Learner):
    """iMAML, whose `regularisation` holds a task's parameters near the common ones."""

    def problem(self) -> Bilevel:
        return meta.imaml(*task_costs(self.network), regularisation=float(self.settings["regularisation"]))

    def first(self, theta: Split, tasks: Batch) -> Tree:
        return meta.imaml_start(theta, tasks)

    def own(self, theta: Split, v: Tree, place: int) -> Split:
        parameters: Split = tree_map(lambda leaf: leaf[place], v)
        return parameters


def network_start(network: Network, way: int, width: int, generator: torch.Generator, device: torch.device) -> Split:
    """The parameters of an encoder and a linear head before training."""
    head = episodic.Linear.initial(1, way, width, generator)
    theta = Split(network.initial(generator), {name: leaf[0] for name, leaf in head.items()})
    return Split(*({name: leaf.to(device) for name, leaf in part.items()} for part in theta))
