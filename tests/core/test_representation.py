"""Features encoded once in an upper iteration against the naive problem, in which every cost encodes anew."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core import Bilevel, representation, solvers
from core.optimizers import Adam
from core.products import counting
from core.representation import ByFeatures, Features
from core.trees import Tree, flatten

TASKS, WAY, SHOT, QUERY, INPUTS, WIDTH = 3, 4, 2, 3, 5, 6
SETTINGS: dict[str, dict[str, Any]] = {
    "penalty": {"lower_steps": 4, "upper_step_size": 1e-2, "lower_step_size": 1e-2, "epsilon_0": 3.0, "nu_0": 1e-3},
    "approxgrad": {"lower_steps": 4, "upper_step_size": 1e-2, "lower_step_size": 1e-2, "solver_step_size": 1e-2},
    "itd": {"lower_steps": 4, "lower_step_size": 0.1, "upper_step_size": 1e-2, "upper_optimizer": Adam()},
    "fo-itd": {"lower_steps": 4, "lower_step_size": 0.1, "upper_step_size": 1e-2, "upper_optimizer": Adam()},
    "rmd": {"lower_steps": 4, "lower_step_size": 0.1, "upper_step_size": 1e-2},
    "aid": {"lower_steps": 4, "lower_step_size": 0.1, "upper_step_size": 1e-2, "solver_steps": 3},
    "gd": {"lower_steps": 4, "lower_step_size": 1e-2, "upper_step_size": 1e-2},
}


def encode(u: Tree, x: Tensor) -> Tensor:
    return torch.tanh(x @ u["first"]) @ u["second"]


def lower(u: Tree, batch: Any) -> Tensor:
    return encode(u, batch[0])


def upper(u: Tree, batch: Any) -> Tensor:
    return encode(u, batch[1])


def loss(scores: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(scores.flatten(0, 1), labels.flatten())


def in_features() -> Bilevel:
    return Bilevel(
        upper=lambda u, v, batch: loss(u.upper @ v, batch[3]),
        lower=lambda u, v, batch: loss(u.lower @ v, batch[2]) + 0.01 * (v * v).sum(),
    )


def batches(count: int) -> list[Any]:
    draws = torch.Generator().manual_seed(1)
    found = []
    for _ in range(count):
        known = torch.randn(TASKS, WAY * SHOT, INPUTS, generator=draws, dtype=torch.float64)
        asked = torch.randn(TASKS, WAY * QUERY, INPUTS, generator=draws, dtype=torch.float64)
        labels = [torch.arange(WAY).repeat_interleave(each).expand(TASKS, -1) for each in (SHOT, QUERY)]
        found.append((known, asked, *labels))
    return found


def start() -> tuple[Tree, Tensor]:
    draws = torch.Generator().manual_seed(0)
    shapes = {"first": (INPUTS, 8), "second": (8, WIDTH)}
    u = {name: torch.randn(shape, generator=draws, dtype=torch.float64) for name, shape in shapes.items()}
    return u, torch.randn(TASKS, WIDTH, WAY, generator=draws, dtype=torch.float64)


def by_features(name: str, preset: str = "released", **more: Any) -> ByFeatures:
    solver = solvers.make(name, in_features(), preset=preset, **{**SETTINGS[name], **more})
    return ByFeatures(solver, lower, upper)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_whole_state_after_twenty_steps_is_the_naive_one(name: str) -> None:
    cached = by_features(name)
    naive = cached.naive()
    state, wanted = cached.init(*start()), naive.init(*start())
    for batch in batches(20):
        state, _ = cached.step(state, batch)
        wanted, _ = naive.step(wanted, batch)
    assert type(state) is type(wanted)
    for one, other in zip(flatten(state)[0], flatten(wanted)[0], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("preset", ["released", "described"])
def test_the_tolerance_test_was_met_on_the_way(preset: str) -> None:
    """Else the test above would say nothing of what it changes; some meta-batches pass, some do not."""
    cached = by_features("penalty", preset)
    state = cached.init(*start())
    for batch in batches(20):
        state, _ = cached.step(state, batch)
    assert 0 < int(state.rounds) < 20
    assert float(state.gamma) == pytest.approx(1.1 ** int(state.rounds))
    assert int(state.iteration) == 20


@pytest.mark.parametrize("preset", ["released", "described"])
def test_the_tolerance_test_is_the_naive_one_from_every_state(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-12, and back through the encoder for it only where |grad_v| leaves it open: some such states, some others."""
    pulls = []

    def counted(function: Any, u: Tree) -> Any:
        value, pull = representation.torch.func.vjp(function, u)
        return value, lambda gradient: (pulls.append(1), pull(gradient))[1]

    monkeypatch.setattr(representation, "vjp", counted)
    cached = by_features("penalty", preset, epsilon_0=2.5)
    naive, state, settled = cached.naive(), cached.init(*start()), []
    for batch in batches(20):
        pulls.clear()
        wanted, expected = naive.step(state, batch)
        epsilon, (state, found) = state.epsilon, cached.step(state, batch)
        for one, other in zip(flatten(state)[0], flatten(wanted)[0], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
        beyond = bool(expected["lower_gradient"] ** (cached.solver.test_power / 2) > epsilon**2)
        settled.append(beyond)
        assert len(pulls) == (1 if beyond else 2)
        if beyond:
            expected["upper_gradient"] = torch.full_like(expected["upper_gradient"], torch.nan)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=0, equal_nan=True)
    assert 0 < sum(settled) < 20


def test_the_penalty_encodes_once_and_once_for_its_test() -> None:
    """g is encoded for all steps and for the test."""
    calls = []

    def counted(u: Tree, batch: Any) -> Tensor:
        calls.append(1)
        return encode(u, batch[0])

    once = dataclasses.replace(by_features("penalty"), lower=counted)
    state = once.init(*start())
    for batch in batches(3):
        calls.clear()
        state, _ = once.step(state, batch)
        assert len(calls) == 2


def test_how_often_is_encoded() -> None:
    calls = []

    def counted(u: Tree, batch: Any) -> Tensor:
        calls.append(1)
        return encode(u, batch[0])

    (batch,) = batches(1)
    once = dataclasses.replace(by_features("approxgrad"), lower=counted)
    once.step(once.init(*start()), batch)
    assert len(calls) == 1
    calls.clear()
    naive = once.naive()
    naive.step(naive.init(*start()), batch)
    assert len(calls) >= 4 + 2


@pytest.mark.parametrize("name", SETTINGS)
def test_oracle_calls_on_heads_are_the_naive_ones(name: str) -> None:
    """But for what the penalty's step in u is evaluated with."""
    cached = by_features(name)
    (batch,) = batches(1)
    found = []
    for solver in (cached, cached.naive()):
        with counting() as counts:
            solver.step(solver.init(*start()), batch)
        found.append(dict(counts))
    if name == "penalty":
        # the step in u is evaluated with its part in v, which costs no further pass of the encoder
        found[0]["hessian_products"] -= 1
    assert found[0] == found[1]


def test_what_is_taken_of_the_gradient() -> None:
    """Nothing of the implicit term: u moves along the direct gradient alone, as alternating descent does."""
    direct = dataclasses.replace(
        by_features("approxgrad"), taken=lambda one: Features(torch.zeros_like(one.lower), one.upper)
    )
    plain = by_features("gd")
    (batch,) = batches(1)
    found, wanted = (one.step(one.init(*start()), batch)[0].u for one in (direct, plain))
    for name in found:
        torch.testing.assert_close(found[name], wanted[name])


def test_a_penalty_that_cannot_be_tested_so() -> None:
    cached = by_features("penalty", test_gradients="reused")
    with pytest.raises(ValueError, match="test_gradients='fresh'"):
        cached.step(cached.init(*start()), batches(1)[0])
