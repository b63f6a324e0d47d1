"""What one step of a solver costs: oracle calls, floating-point operations, and the most memory its tensors hold at once.

Memory is counted, not sampled: every storage that an operation makes is added when it is made and taken off when it is
freed, so the number is the same on every machine. Operations run eagerly.

The cost model: with F the forward pass of one cost over one minibatch, a gradient is F forward and 2F backward, 3F in all;
the penalty's product is f forward and back (3F), grad_v g (3F), and the reverse pass over that (6F): 12F.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from core.products import counting
from core.solvers.base import Solver

FORWARD_PASSES = {"forward": 1, "gradient": 3, "penalty": 12}
"""Work of one forward pass of a cost, one plain gradient step, one v-step of the penalty method, in forward passes F."""


def _of_product(matrix: Sequence[int], *_: Any, **__: Any) -> int:
    """Operations of a matrix or a vector, of this shape, times a vector."""
    return 2 * math.prod(matrix)


def _of_sum_and_product(_: Sequence[int], matrix: Sequence[int], *__: Any, **___: Any) -> int:
    """Of a product added to a vector; the addition is not counted, as torch counts none in `addmm`."""
    return _of_product(matrix)


OF_VECTORS = {
    torch.ops.aten.mv: _of_product,
    torch.ops.aten.dot: _of_product,
    torch.ops.aten.addmv: _of_sum_and_product,
}
"""Operations of the products with a vector, which torch's counter leaves out, from the shapes of what they take."""


class Cost(NamedTuple):
    """What one step took."""

    calls: Mapping[str, int]
    """Oracle calls by kind, `core.products.KINDS`."""
    flops: int
    """Multiplications and additions of products of matrices and vectors and of convolutions, as torch counts them."""
    peak_bytes: int
    """Most bytes that tensors made by the step held at once, those of its result included."""


class MemoryMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of storages made inside the block: `held` now, `peak` at most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = {id_of(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            # a view, or a result in place, makes no storage
            if isinstance(leaf, Tensor) and id_of(leaf) not in given | self._known:
                self._add(leaf)
        return made

    def _add(self, leaf: Tensor) -> None:
        storage, key = leaf.untyped_storage(), id_of(leaf)
        size = storage.nbytes()
        self._known.add(key)
        self.held += size
        self.peak = max(self.peak, self.held)

        def freed() -> None:
            self._known.discard(key)
            self.held -= size

        weakref.finalize(storage, freed)


def id_of(leaf: Tensor) -> int:
    """What tells one storage from another while both are alive."""
    key: int = leaf.untyped_storage()._cdata
    return key


def peak_bytes(call: Callable[[], Any]) -> int:
    """The most bytes that tensors made by `call` held at once, those of its result included."""
    with MemoryMode() as mode:
        result = call()
    del result
    return int(mode.peak)


def flops(call: Callable[[], Any]) -> int:
    """Floating-point operations in `call` of products of matrices and vectors and of convolutions, by torch's counter."""
    with FlopCounterMode(display=False, custom_mapping=OF_VECTORS) as counter:
        call()
    return int(counter.get_total_flops())


def cost_of_step(solver: Solver, state: Any, batch: Any = None) -> Cost:
    """The cost of `solver.step(state, batch)`; the state is left as it is."""
    with counting() as calls:
        solver.step(state, batch)
    return Cost(dict(calls), flops(lambda: solver.step(state, batch)), peak_bytes(lambda: solver.step(state, batch)))
