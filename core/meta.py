"""Meta-learning as bilevel problems: MAML, ANIL and iMAML, over a stacked batch of M tasks.

    MAML (Finn et al., 2017):      theta_i = theta + delta_i,  g = sum_i L_tr_i(theta_i),  f = mean_i L_te_i(theta_i)
    ANIL (Raghu et al., 2020):     the same, but delta_i is added to the head only
    iMAML (Rajeswaran et al., 2019):  g = sum_i L_tr_i(phi_i) + lambda/2 |phi_i - theta|^2,  f = mean_i L_te_i(phi_i)

u = theta, and v holds the delta_i (or phi_i) with a leading axis of tasks; g is a sum, so that a step on it is one on each
task. MAML has no lower minimum in mind but T steps from theta. In delta, these are T gradient steps on g from delta = 0, and
reverse mode through them is MAML's whole meta-gradient (`hypergradient(..., method="reverse")`, the solver `rmd`); without
it, grad_u f alone is first-order MAML (the solver `gd`). Every iteration must begin at delta = 0: `Restarted`.

The implicit hypergradient of iMAML is mean_i (I + H_i / lambda)^{-1} grad L_te_i(phi_i), H_i the Hessian of L_tr_i.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import vmap

from core.loops import Limit
from core.problem import Bilevel
from core.solvers.base import Metrics, Solver
from core.trees import Tree, leaves, squared_norm, subtract, tree_map, zeros_like

TaskCost = Callable[[Tree, Any], Tensor]
"""L(parameters, task), a scalar: of one task, that is of a batch's tensors without their first axis."""


class Split(NamedTuple):
    """The parameters of a network for ANIL."""

    body: Tree
    head: Tree


def maml(support: TaskCost, query: TaskCost) -> Bilevel:
    """u = theta, v = the changes delta_i [M, ...]; a batch is a tree of tensors with a leading axis of tasks.

    Args: support, query: L_tr and L_te.
    """

    def adapted(cost: TaskCost) -> Callable[[Tree, Tree, Any], Tensor]:
        return _over_tasks(lambda theta, delta, task: cost(tree_map(torch.add, theta, delta), task))

    return _problem(adapted(support), adapted(query))


def anil(support: TaskCost, query: TaskCost) -> Bilevel:
    """u = a `Split`, v = the changes of its head [M, ...]; both costs take a `Split`."""

    def adapted(cost: TaskCost) -> Callable[[Tree, Tree, Any], Tensor]:
        return _over_tasks(
            lambda theta, delta, task: cost(Split(theta.body, tree_map(torch.add, theta.head, delta)), task)
        )

    return _problem(adapted(support), adapted(query))


def imaml(support: TaskCost, query: TaskCost, regularisation: float) -> Bilevel:
    """u = theta, v = the parameters phi_i of every task [M, ...].

    Args: regularisation: lambda, positive.
    Raises: ValueError for one that is not.
    """
    if regularisation <= 0:
        raise ValueError(f"regularisation must be positive, not {regularisation}")

    def near(theta: Tree, phi: Tree, task: Any) -> Tensor:
        return support(phi, task) + 0.5 * regularisation * squared_norm(subtract(phi, theta))

    return _problem(_over_tasks(near), _over_tasks(lambda theta, phi, task: query(phi, task)))


def maml_start(theta: Tree, tasks: Any) -> Tree:
    """delta = 0 for every task."""
    return zeros_like(copies(theta, tasks))


def anil_start(theta: Split, tasks: Any) -> Tree:
    """delta = 0 for the head of every task."""
    return maml_start(theta.head, tasks)


def imaml_start(theta: Tree, tasks: Any) -> Tree:
    """phi_i = theta."""
    return copies(theta, tasks)


def copies(tree: Tree, tasks: Any) -> Tree:
    """The tree with a leading axis of tasks on every tensor."""
    count = leaves(tasks)[0].shape[0]
    return tree_map(lambda leaf: leaf.expand(count, *leaf.shape).clone(), tree)


@dataclass(frozen=True)
class Restarted:
    """A solver that forgets v: every iteration begins at `start(theta, tasks)`, for its tasks are new ones.

    Attributes:
        solver: what makes the step; of its lower optimizer the memory stays, so give it one without.
        start: `maml_start`, `anil_start` or `imaml_start`; the tasks are the batch.
    """

    solver: Solver
    start: Callable[[Tree, Any], Tree]

    @property
    def problem(self) -> Bilevel:
        return self.solver.problem

    @property
    def lower_steps(self) -> int:
        return self.solver.lower_steps

    def draws(self) -> Mapping[str, int]:
        return self.solver.draws()

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> Any:
        """See `core.solvers.base.Solver.init`; v is of the shape the steps will have, its numbers do not matter."""
        return self.solver.init(u, v, seed, limit)

    def step(self, state: Any, batch: Any = None) -> tuple[Any, Metrics]:
        """One upper iteration on the tasks of the batch. See `core.solvers.base.Solver.step`."""
        return self.solver.step(state._replace(v=self.start(state.u, batch)), batch)


def _over_tasks(cost: Callable[[Tree, Tree, Any], Tensor]) -> Callable[[Tree, Tree, Any], Tensor]:
    """Costs [M] of all tasks."""
    return lambda u, v, tasks: vmap(lambda v_i, task: cost(u, v_i, task))(v, tasks)


def _problem(support: Callable[..., Tensor], query: Callable[..., Tensor]) -> Bilevel:
    return Bilevel(
        upper=lambda u, v, tasks: query(u, v, tasks).mean(), lower=lambda u, v, tasks: support(u, v, tasks).sum()
    )
