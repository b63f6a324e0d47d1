"""Loops over lower steps, outside of compiled programs."""

from __future__ import annotations

import torch
from torch import Tensor

from core.loops import part, repeat, scan
from tests.core.checks import assert_identical


def halved(x: Tensor) -> Tensor:
    return x / 2


def test_repeat_applies_the_body_so_often() -> None:
    assert_identical(repeat(halved, torch.tensor(64.0), 5), torch.tensor(2.0))
    assert_identical(repeat(halved, torch.tensor(64.0), 0), torch.tensor(64.0))


def test_steps_from_the_limit_on_change_nothing() -> None:
    for limit in range(6):
        end = repeat(halved, torch.tensor(64.0), 5, torch.tensor(limit))
        assert_identical(end, torch.tensor(64.0 / 2**limit))


def test_the_path_holds_the_carry_before_each_step() -> None:
    end, path = scan(lambda x, _: halved(x), torch.tensor(64.0), 3, keep=True)
    assert_identical(path, [torch.tensor(64.0), torch.tensor(32.0), torch.tensor(16.0)])
    assert_identical(part(path, 1), path[1:])
    assert_identical(end, torch.tensor(8.0))


def test_a_scan_backwards_meets_the_path_from_its_end() -> None:
    _, path = scan(lambda x, _: halved(x), torch.tensor(64.0), 3, keep=True)
    horner, seen = scan(
        lambda carry, x: 10 * carry + x, torch.tensor(0.0), 3, along=path, reverse=True, keep=True
    )
    assert_identical(horner, torch.tensor(16.0 * 100 + 32.0 * 10 + 64.0))
    assert_identical(seen, [torch.tensor(16.0 * 10 + 32.0), torch.tensor(16.0), torch.tensor(0.0)])


def test_a_limit_backwards_counts_indices_not_turns() -> None:
    _, path = scan(lambda x, _: halved(x), torch.tensor(64.0), 3, keep=True)
    horner, _ = scan(
        lambda carry, x: 10 * carry + x, torch.tensor(0.0), 3, torch.tensor(2), along=path, reverse=True
    )
    assert_identical(horner, torch.tensor(32.0 * 10 + 64.0))
