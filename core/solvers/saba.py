"""SABA: SOBA with the variance-reduced directions of SAGA (Dagreou, Ablin, Vaiter & Moreau, 2022, Algorithm 1 and eq. 9).

    f = mean_j f_j over m samples, g = mean_i g_i over n; a step visits one i and one j (a sample may be a block of examples)
    a memory of grad_v g_i, H_vv^i q, H_uv^i q and of grad_u f_j, grad_v f_j, each at the point where it was last visited
    S[x]_i = x_i(now) - x_i(memory) + mean of the memory;      the memory of i (of j) is then replaced
    D_v = S[grad_v g]_i;   D_q = S[H_vv q]_i - S[grad_v f]_j;   D_u = S[grad_u f]_j - S[H_uv q]_i
    v <- v - rho D_v;     q <- q - rho_q D_q;     u <- u - step D_u

The memory begins at zero; the directions are unbiased all the same, and their variance falls once every sample has been
visited. The memory takes n (2 V + U) + m (U + V) numbers. With n = m = 1 the method is SOBA.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.loops import Limit, repeat
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.products import linearize, upper_gradients
from core.solvers.base import Metrics, check_lower_steps, moved, one_shared_batch
from core.trees import Tree, add_scaled, counter, leaves, subtract, tree_map, zeros_like
from core.validate import check_start


class Sampled(NamedTuple):
    """The batch of a step where n or m is more than one: scalar indices, and what those samples are."""

    lower_index: Tensor
    """i, below n."""
    upper_index: Tensor
    """j, below m."""
    data: Any
    """What f_j and g_i take as their batch."""


class Memory(NamedTuple):
    """What is remembered of one function: values with a leading axis of samples, and their mean over it."""

    values: Tree
    mean: Tree


class SABAState(NamedTuple):
    """All that the method carries from one upper iteration to the next."""

    u: Tree
    v: Tree
    q: Tree
    """The solution of H_vv q = grad_v f in the making, like v."""
    lower_memory: Memory
    """Of (grad_v g_i, H_vv^i q, H_uv^i q)."""
    upper_memory: Memory
    """Of (grad_u f_j, grad_v f_j)."""
    upper_optimizer: Tree
    lower_optimizer: Tree
    iteration: Tensor
    limit: Limit


@dataclass(frozen=True)
class SABA:
    """Hyper-parameters.

    Attributes:
        lower_samples, upper_samples: n and m. Where either is more than one, a batch is a `Sampled`.
        lower_steps: moves of v and q for each u-update; the article's method is 1. u moves along the last D_u.
        upper_step_size, lower_step_size, solver_step_size: of u, v and q; they may stay constant.
        upper_optimizer, lower_optimizer: how directions of u and v become steps; q moves by plain descent.
    """

    problem: Bilevel
    lower_samples: int = 1
    upper_samples: int = 1
    lower_steps: int = 1
    upper_step_size: float = 1e-2
    lower_step_size: float = 1e-2
    solver_step_size: float = 1e-2
    upper_optimizer: Optimizer = GradientDescent()
    lower_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)
        if min(self.lower_samples, self.upper_samples) < 1:
            samples = f"{self.lower_samples} and {self.upper_samples}"
            raise ValueError(f"lower_samples and upper_samples are at least 1, not {samples}")

    def draws(self) -> Mapping[str, int]:
        return one_shared_batch() if self.lower_samples == self.upper_samples == 1 else {"lower": 1, "upper": 1}

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> SABAState:
        """See `core.solvers.base.Solver.init`. The method draws nothing, so `seed` changes nothing."""
        check_start(u, v)
        lower, upper = _empty((v, v, u), self.lower_samples), _empty((u, v), self.upper_samples)
        optimizers = self.upper_optimizer.init(u), self.lower_optimizer.init(v)
        return SABAState(u, v, zeros_like(v), lower, upper, *optimizers, counter(v), limit)

    def step(self, state: SABAState, batch: Any = None) -> tuple[SABAState, Metrics]:
        """One u-update together with `lower_steps` moves of v and q. See `core.solvers.base.Solver.step`.

        Raises: ValueError for a batch without indices where n or m is more than one.
        """
        problem, u = self.problem, state.u
        if isinstance(batch, Sampled):
            i, j, batch = batch
        elif self.lower_samples == self.upper_samples == 1:
            i = j = torch.zeros_like(state.iteration)
        else:
            raise ValueError(f"n={self.lower_samples} and m={self.upper_samples} samples: the batch must be a saba.Sampled")

        def move(carry: tuple[Tree, ...]) -> tuple[Tree, ...]:
            v, q, lower_memory, upper_memory, optimizer, _ = carry
            point = linearize(problem, u, v, batch)
            of_g = (point.lower_gradient, point.hessian(q), point.cross(q))
            (g_v, image, cross), lower_memory = _reduced(of_g, lower_memory, i)
            (f_u, f_v), upper_memory = _reduced(upper_gradients(problem, u, v, batch), upper_memory, j)
            v, optimizer = self.lower_optimizer.update(g_v, optimizer, v, self.lower_step_size)
            q = add_scaled(q, -self.solver_step_size, subtract(image, f_v))
            return problem.project_lower(v), q, lower_memory, upper_memory, optimizer, subtract(f_u, cross)

        start = (state.v, state.q, state.lower_memory, state.upper_memory, state.lower_optimizer, zeros_like(u))
        v, q, lower, upper, lower_optimizer, gradient = repeat(move, start, self.lower_steps, state.limit)
        kept = {"q": q, "lower_memory": lower, "upper_memory": upper, "lower_optimizer": lower_optimizer}
        return moved(self, state, v, gradient, batch, **kept)


def _empty(like: Tree, samples: int) -> Memory:
    return Memory(tree_map(lambda leaf: leaf.new_zeros((samples, *leaf.shape)), like), zeros_like(like))


def _reduced(new: Tree, memory: Memory, index: Tensor) -> tuple[Tree, Memory]:
    """(SAGA's estimate of the mean, the memory with `new` at the index)."""
    samples = leaves(memory.values)[0].shape[0]
    rows = index[None]
    change = subtract(new, tree_map(lambda leaf: leaf[rows][0], memory.values))
    values = tree_map(lambda leaf, entry: leaf.index_put((rows,), entry[None]), memory.values, new)
    return tree_map(torch.add, change, memory.mean), Memory(values, add_scaled(memory.mean, 1 / samples, change))


SOLVER = SABA
PRESETS: dict[str, dict[str, Any]] = {"described": {}, "released": {}}
