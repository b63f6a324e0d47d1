"""How gradients become steps, where a cell names it: an optimiser with the decays of a published recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from core.optimizers import Adam, GradientDescent, Momentum, Optimizer
from core.trees import Tree, add_scaled, counter

OPTIMIZERS: dict[str, Optimizer] = {"adam": Adam(), "momentum": Momentum(), "gradient-descent": GradientDescent()}
"""By the name that a cell gives as its `lower_optimizer` or `upper_optimizer`."""


class RecipeState(NamedTuple):
    """The optimiser's own state, and how many updates there have been."""

    inner: Tree
    updates: Tensor


@dataclass(frozen=True)
class Recipe:
    """An optimiser (`core.optimizers.Optimizer`) with weight decay, and a step size that falls at given updates.

    Attributes:
        rule: the optimiser.
        weight_decay: times the params, added to the gradient.
        boundaries: numbers of updates after which the step size is multiplied by `factor`.
    """

    rule: Optimizer
    weight_decay: float = 0.0
    boundaries: tuple[int, ...] = ()
    factor: float = 0.1

    def init(self, params: Tree) -> RecipeState:
        return RecipeState(self.rule.init(params), counter(params))

    def update(
        self, gradient: Tree, state: RecipeState, params: Tree, step_size: Tensor | float, rows: Tensor | None = None
    ) -> tuple[Tree, RecipeState]:
        passed = sum(((state.updates >= boundary).to(state.updates) for boundary in self.boundaries), state.updates * 0)
        size = step_size * self.factor**passed
        if self.weight_decay:
            gradient = add_scaled(gradient, self.weight_decay, params)
        params, inner = self.rule.update(gradient, state.inner, params, size, rows)
        return params, RecipeState(inner, state.updates + 1)


def with_recipe(rule: Optimizer, recipe: Mapping[str, Any] | None, epoch: int) -> Optimizer:
    """The optimiser with a recipe {weight_decay, boundaries, factor}, each of which may be left out; itself for None.

    Args: epoch: updates in one, for `after_epochs` in the place of `boundaries`.
    Raises: TypeError for another key, and for both of these.
    """
    if recipe is None:
        return rule
    given = dict(recipe)
    epochs = given.pop("after_epochs", None)
    if epochs is not None and "boundaries" in given:
        raise TypeError("give either boundaries or after_epochs")
    given["boundaries"] = tuple(given.get("boundaries", ()) if epochs is None else (epoch * number for number in epochs))
    return Recipe(rule, **given)
