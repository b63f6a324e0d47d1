"""Where the time of an upper iteration goes."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from core import Bilevel, products
from core.optimizers import Adam
from pipelines.denoising import profiling


def test_shares_are_of_what_each_part_takes() -> None:
    def lower(u: torch.Tensor, v: torch.Tensor, batch: object) -> torch.Tensor:
        time.sleep(0.15)
        return ((u - v) ** 2).sum()

    problem, u, v = Bilevel(lower, lower), torch.zeros(3), torch.ones(3)
    frames = compile_as("core/solvers/made_up.py")
    frames["step"](problem, u, v)  # torch loads parts of itself
    found = profiling.shares(lambda: frames["step"](problem, u, v))
    assert set(found) == {"products", "optimisers", "minibatches", "rest"}
    assert sum(found.values()) == pytest.approx(1.0)
    # 0.3 s of 0.4 s in two products, and 0.1 s in none
    assert found["products"] == pytest.approx(0.75, abs=0.08)
    assert found["minibatches"] == 0.0
    assert 0 <= found["optimisers"] < 0.05
    assert found["rest"] == pytest.approx(0.25, abs=0.08)


def compile_as(file: str) -> dict[str, Any]:
    """A function of a solver's file: two products, an update, and a while of nothing."""
    source = """
def step(problem, u, v):
    gradient = products.lower_gradient(problem, u, v, None)
    products.lower_gradient(problem, u, v, None)
    Adam().update(gradient, Adam().init(v), v, 0.1)
    time.sleep(0.1)
"""
    names: dict[str, Any] = {"products": products, "Adam": Adam, "time": time}
    exec(compile(source, str(profiling.ROOT / file), "exec"), names)
    return names
