"""Schedules at their break points."""

from __future__ import annotations

import pytest
import torch

from core.schedules import Constant, StepDecay, as_schedule


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [(0, 0.8), (1, 0.8), (2, 0.8), (3, 0.4), (5, 0.4), (6, 0.2), (8, 0.2), (9, 0.1)],
)
def test_step_decay_falls_at_every_third_iteration(iteration: int, expected: float) -> None:
    value = StepDecay(0.8, factor=0.5, every=3)(torch.tensor(iteration))
    assert value.item() == expected
    assert value.shape == ()


def test_step_decay_of_zero_never_falls() -> None:
    assert StepDecay(0.8, factor=0.5, every=0)(torch.tensor(10**6)).item() == 0.8


def test_step_decay_is_a_function_of_a_whole_vector_of_counters() -> None:
    values = StepDecay(1.0, factor=0.1, every=2)(torch.tensor([0, 1, 2, 4]))
    torch.testing.assert_close(
        values, torch.tensor([1, 1, 0.1, 0.01], dtype=torch.float64), rtol=1e-15, atol=0
    )


def test_a_number_is_a_constant() -> None:
    assert as_schedule(3) == Constant(3.0)
    assert Constant(0.3)(torch.tensor(99)).item() == 0.3
    decay = StepDecay(1.0, every=5)
    assert as_schedule(decay) is decay
