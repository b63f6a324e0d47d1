"""How the tests compare trees of tensors, and count those that are alive."""

from __future__ import annotations

import gc
from typing import Any

import torch
from torch.utils import _pytree as pytree


def assert_near(actual: Any, expected: Any, tolerance: float = 1e-12) -> None:
    """Leaf by leaf |actual - expected| <= tolerance * |expected| in the maximum norm; equal for integers."""
    got, wanted = pytree.tree_leaves(actual), pytree.tree_leaves(expected)
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        if b is None:
            assert a is None
            continue
        a, b = torch.as_tensor(a), torch.as_tensor(b)
        assert a.shape == b.shape, f"shape {tuple(a.shape)}, expected {tuple(b.shape)}"
        assert a.dtype == b.dtype, f"dtype {a.dtype}, expected {b.dtype}"
        if not b.is_floating_point():
            assert torch.equal(a, b), f"{a} is not {b}"
        elif b.numel():
            error, size = float((a - b).abs().max()), float(b.abs().max())
            assert error <= tolerance * size, f"error {error:.3e} at size {size:.3e}:\n{a}\nexpected\n{b}"


def assert_identical(actual: Any, expected: Any) -> None:
    """The same structure and the same bits."""
    got, structure = pytree.tree_flatten(actual)
    wanted, wanted_structure = pytree.tree_flatten(expected)
    assert structure == wanted_structure
    for a, b in zip(got, wanted, strict=True):
        assert (a is None and b is None) or (a.dtype == b.dtype and torch.equal(a, b)), f"{a}\nis not\n{b}"


def alive() -> tuple[int, int]:
    """How many tensors there are, and the bytes of their storages, each counted once.

    What torch.func wraps has no storage of its own; a failure that pytest keeps may hold such a tensor for long.
    """
    gc.collect()
    tensors = [one for one in gc.get_objects() if issubclass(type(one), torch.Tensor)]
    found = [one for one in tensors if not torch._C._functorch.is_functorch_wrapped_tensor(one)]
    storages = {one.untyped_storage()._cdata: one.untyped_storage().nbytes() for one in found}
    return len(found), sum(storages.values())
