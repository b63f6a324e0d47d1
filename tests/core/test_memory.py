"""No solver leaks: what is alive after many steps is what is alive after few."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from core.products import counting
from core.schedules import growing
from tests.core.cases import CASES, make
from tests.core.checks import alive
from tests.core.quadratics import normal, points


@pytest.fixture(autouse=True, scope="module")
def what_was_there() -> Iterator[None]:
    """Out of the collector's sight, which makes it quick."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def after(solver: Any, *counts: int) -> list[tuple[int, int]]:
    """What is alive after so many steps, and so many more, each on a batch of its own."""
    state, done, found = solver.init(*points(), seed=1), 0, []
    with counting() as calls:
        for count in counts:
            for step in range(done, count):
                state, metrics = solver.step(state, normal(5, seed=step % 7))
            del metrics
            done = count
            found.append(alive())
    assert sum(calls.values()) > 0
    return found


@pytest.mark.parametrize("case", CASES)
def test_fifteen_steps_leave_what_five_left(case: str) -> None:
    first, second = after(make(case), 5, 15)
    assert first == second


FIRST_OF_EACH = list({solver: case for case, (solver, _) in reversed(CASES.items())}.values())
"""One case of each solver."""


@pytest.mark.slow
@pytest.mark.parametrize("case", [*FIRST_OF_EACH, "penalty-reused", "aid-adam"])
def test_two_thousand_steps_leave_what_twenty_left(case: str) -> None:
    """Of each solver, and of the largest states: multipliers, moments of three optimisers."""
    more = {} if CASES[case][0] == "single-level" else {"lower_steps": 1}
    first, second = after(make(case, **more), 20, 2000)
    assert first == second


def test_a_leak_is_seen() -> None:
    """A solver that keeps one metric a step."""
    kept: list[Any] = []

    class Leaking:
        def __init__(self) -> None:
            self.inner = make("gd")
            self.init = self.inner.init

        def step(self, state: Any, batch: Any) -> Any:
            state, metrics = self.inner.step(state, batch)
            kept.append(metrics)
            return state, metrics

    first, second = after(Leaking(), 5, 15)
    assert (second[0] - first[0], second[1] - first[1]) == (10, 10 * 8)


def test_the_lower_steps_of_bsa_add_up_as_its_complexity_asks() -> None:
    """K upper iterations take of order K^{3/2} lower steps (accuracy^-3 for accuracy^-2); sigma_k falls like k^{-1/2}."""
    solver = make("bsa", lower_steps=10**6, lower_decay=0.0)
    assert (solver.first_lower_steps, solver.growth, solver.growth_power, solver.upper_decay) == (1, 1.0, 0.5, 0.5)
    k = torch.arange(40_000)
    totals = growing(solver.first_lower_steps, solver.growth, solver.growth_power, k, ()).cumsum(0)
    ratio = totals[-1].item() / totals[9_999].item()
    assert ratio == pytest.approx(4**1.5, rel=0.02)
