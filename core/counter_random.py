"""Random integers as a pure function of (seed, counter): Threefry-2x32, 20 rounds (Salmon et al., SC 2011).

Torch has no functional generator; this one is integer arithmetic on tensors, so it runs under vmap and compilers, on any
device, with the same bits everywhere. Words of 32 bits are held in int64, which nothing here overflows.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_PARITY = 0x1BD11BDA
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry(key: tuple[Tensor, Tensor], count: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Two random words from two words of key and two of counter, int64 tensors of entries in [0, 2^32)."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x, y = (count[0] + keys[0]) & _MASK, (count[1] + keys[1]) & _MASK
    for group in range(5):
        for by in _ROTATIONS[group % 2]:
            x = (x + y) & _MASK
            y = (((y << by) & _MASK) | (y >> (32 - by))) ^ x
        x = (x + keys[(group + 1) % 3]) & _MASK
        y = (y + keys[(group + 2) % 3] + group + 1) & _MASK
    return x, y


def seed_tensor(seed: int, like: Tensor) -> Tensor:
    """The seed as a scalar int64 tensor on the device of `like`, to be kept in a state."""
    return torch.full((), seed, dtype=torch.int64, device=like.device)


def integers(seed: Tensor, counter: Tensor, high: int, stream: int = 0) -> Tensor:
    """Integers in {0, .., high - 1}, one for each entry of `counter` (below 2^32), uniform but for high / 2^32.

    Args: seed: int64 tensor. stream: which of several sequences of one seed, below 2^32.
    Raises: ValueError for `high` outside [1, 2^31).
    """
    if not 1 <= high < 2**31:
        raise ValueError(f"high is from 1 to 2^31 - 1, not {high}")
    key = (seed & _MASK, (seed >> 32) & _MASK)
    word, _ = threefry(key, (counter & _MASK, torch.full_like(counter, stream)))
    return (word * high) >> 32
