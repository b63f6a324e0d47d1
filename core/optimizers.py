"""Gradient descent, momentum and Adam as functions of an explicit state.

`init(params) -> state` and `update(gradient, state, params, step_size, rows) -> (params, state)`, all pure. The step
size is an argument, not a setting, since solvers change it as they go.

`rows` is the index tensor [B] of the entries of a vector of params that a minibatch touched, or None for all of them.
Gradient descent needs no such thing (untouched entries have gradient zero); methods with moments do: a dense update
would move entries that were never visited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from core.trees import Tree, add_scaled, leaves, tree_map, zeros_like


class Optimizer(Protocol):
    """What a solver asks of an optimiser."""

    def init(self, params: Tree) -> Tree:
        """The state before the first update."""
        ...

    def update(
        self, gradient: Tree, state: Tree, params: Tree, step_size: Tensor | float, rows: Tensor | None = None
    ) -> tuple[Tree, Tree]:
        """One descent step: (new params, new state)."""
        ...


@dataclass(frozen=True)
class GradientDescent:
    """params - step_size * gradient."""

    def init(self, params: Tree) -> Tree:
        return ()

    def update(
        self, gradient: Tree, state: Tree, params: Tree, step_size: Tensor | float, rows: Tensor | None = None
    ) -> tuple[Tree, Tree]:
        return add_scaled(params, -step_size, gradient), state


@dataclass(frozen=True)
class Momentum:
    """Polyak's heavy ball: m <- decay m + gradient; params - step_size * m (Polyak, 1964)."""

    decay: float = 0.9

    def init(self, params: Tree) -> Tree:
        return zeros_like(params)

    def update(
        self, gradient: Tree, state: Tree, params: Tree, step_size: Tensor | float, rows: Tensor | None = None
    ) -> tuple[Tree, Tree]:
        if rows is not None:
            raise ValueError("Momentum moves every entry; for u that a batch visits in part use SparseAdam")
        state = add_scaled(gradient, self.decay, state)
        return add_scaled(params, -step_size, state), state


class AdamState(NamedTuple):
    """First and second moments like the params, and beta1^k, beta2^k after k updates (scalars, or one for each entry).

    The powers are carried along, as TensorFlow does, since a power in the step costs a compiled loop more than all else.
    """

    mean: Tree
    square: Tree
    power1: Tensor
    power2: Tensor


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba, 2015).

    Attributes:
        beta1, beta2: decay of the moments.
        epsilon: added to the root of the second moment.
        epsilon_hat: add epsilon before the bias correction, as TensorFlow 1 does (and so the authors' code), instead of
            after it, as the article's Algorithm 1 and PyTorch do.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_hat: bool = True

    def init(self, params: Tree) -> AdamState:
        first = leaves(params)[0]
        one = torch.ones((), dtype=first.dtype, device=first.device)
        return AdamState(zeros_like(params), zeros_like(params), one, one.clone())

    def update(
        self, gradient: Tree, state: AdamState, params: Tree, step_size: Tensor | float, rows: Tensor | None = None
    ) -> tuple[Tree, AdamState]:
        if rows is not None:
            raise ValueError("Adam moves every entry; for u that a batch visits in part use SparseAdam")
        power1, power2 = self.beta1 * state.power1, self.beta2 * state.power2
        rate1, rate2 = 1 / (1 - power1), torch.sqrt(1 - power2)
        mean = tree_map(lambda m, d: self.beta1 * m + (1 - self.beta1) * d, state.mean, gradient)
        square = tree_map(lambda s, d: self.beta2 * s + (1 - self.beta2) * d * d, state.square, gradient)
        if self.epsilon_hat:
            rate = step_size * rate1 * rate2
            params = tree_map(lambda p, m, s: p - rate * m / (s.sqrt() + self.epsilon), params, mean, square)
        else:
            rate = step_size * rate1
            params = tree_map(lambda p, m, s: p - rate * m / (s.sqrt() / rate2 + self.epsilon), params, mean, square)
        return params, AdamState(mean, square, power1, power2)


@dataclass(frozen=True)
class SparseAdam:
    """Adam for a vector u [N] of which each minibatch visits B entries.

    Attributes:
        moments: "example": an entry has its own moments and counter, which move when it is visited. "position": the
            moments belong to the B positions in the minibatch, as in the authors' code, so that examples that come to
            stand at one position share them.
        positions: B, needed for "position".
        adam: the rule.
    """

    moments: str = "example"
    positions: int = 0
    adam: Adam = Adam()

    def __post_init__(self) -> None:
        if self.moments not in ("example", "position"):
            raise ValueError(f"moments is 'example' or 'position', not {self.moments!r}")
        if self.moments == "position" and self.positions < 1:
            raise ValueError("moments='position' needs positions, the size of a minibatch")

    def init(self, params: Tree) -> AdamState:
        size = params.shape[0] if self.moments == "example" else self.positions
        zeros = torch.zeros(size, dtype=params.dtype, device=params.device)
        ones = torch.ones_like(zeros) if self.moments == "example" else zeros.new_ones(())
        return AdamState(zeros, zeros.clone(), ones, ones.clone())

    def update(
        self, gradient: Tree, state: AdamState, params: Tree, step_size: Tensor | float, rows: Tensor | None = None
    ) -> tuple[Tree, AdamState]:
        if rows is None:
            raise ValueError("SparseAdam needs the rows that the batch visited: give the problem `visited`")
        per_example = self.moments == "example"
        visited = tree_map(lambda leaf: leaf[rows], state) if per_example else state
        here, visited = self.adam.update(gradient[rows], visited, params[rows], step_size)
        params = params.index_put((rows,), here)
        if not per_example:
            return params, visited
        return params, tree_map(lambda leaf, new: leaf.index_put((rows,), new), state, visited)
