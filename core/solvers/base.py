"""What every solver has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from core.loops import Limit
from core.problem import Bilevel
from core.trees import Tree, squared_norm

Metrics = dict[str, Tensor]


class State(Protocol):
    """A NamedTuple of tensors: all that a solver carries from one upper iteration to the next."""

    @property
    def u(self) -> Tree: ...

    @property
    def v(self) -> Tree: ...

    @property
    def iteration(self) -> Tensor: ...


class Solver(Protocol):
    """A frozen dataclass of hyper-parameters, with two pure functions.

    `step` has no data-dependent Python branch, no `.item()`, and draws nothing: it can be batched over trials by
    `torch.func.vmap` and compiled, and a state saved and loaded goes on bitwise.
    """

    @property
    def problem(self) -> Bilevel: ...

    @property
    def lower_steps(self) -> int: ...

    def draws(self) -> Mapping[str, int]:
        """How many minibatches of each role one step takes: {"shared": 1} is one for f and g and all T steps."""
        ...

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Limit = ()) -> Any:
        """The state before the first step.

        Args:
            u, v: where to start. seed: for solvers that draw.
            limit: a scalar integer tensor, at most `lower_steps`: how many of the T steps this trial takes. Trials of
                different T then share one program. (): all of them.
        """
        ...

    def step(self, state: Any, batch: Any = None) -> tuple[Any, Metrics]:
        """One upper-level iteration: (new state, scalars of that iteration)."""
        ...


def moved(
    solver: Any, state: Any, v: Tree, gradient: Tree, batch: Any, step_size: float | Tensor | None = None, **kept: Tree
) -> tuple[Any, Metrics]:
    """How most steps end: u moves along `gradient` and is projected, v is as given, the iteration is counted.

    Args:
        solver: with `problem`, `upper_optimizer` and `upper_step_size`. state: with u, v, `upper_optimizer`, `iteration`.
        batch: says which entries of u move (`Bilevel.visited`). step_size: in the place of the solver's own.
        kept: other fields of the state that have changed.

    Returns: (new state, {"upper_gradient": |gradient|^2}).
    """
    u, memory = solver.upper_optimizer.update(
        gradient,
        state.upper_optimizer,
        state.u,
        solver.upper_step_size if step_size is None else step_size,
        solver.problem.visited(batch),
    )
    new = state._replace(
        u=solver.problem.project_upper(u), v=v, upper_optimizer=memory, iteration=state.iteration + 1, **kept
    )
    return new, {"upper_gradient": squared_norm(gradient)}


def check_lower_steps(lower_steps: int) -> None:
    """Raises ValueError for less than one lower step."""
    if lower_steps < 1:
        raise ValueError(f"lower_steps is at least 1, not {lower_steps}")


def one_shared_batch() -> Mapping[str, int]:
    """The draws of the paper's methods: one pair of minibatches serves f, g and all lower steps of an iteration."""
    return {"shared": 1}
