"""The explicit softmax product against the generic one: derivatives and steps in float64, programs, a trained cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_project import ROOT, done
from test_poisoning import PARAMS
from test_poisoning_problem import DECAY, Sizes, draw
from torch import Tensor
from torch.func import grad

from core import solvers, trials
from core.products import linearize, lower_gradients, lower_tangents, penalty_gradients, upper_gradients
from core.trees import leaves, tree_map
from pipelines import corrupt, families
from pipelines.errors import UserError
from pipelines.poisoning import explicit, timing
from pipelines.poisoning.explicit import PRODUCTS
from pipelines.poisoning.problem import Rows
from pipelines.poisoning.run import Run
from pipelines.records import unpack
from pipelines.settings import Cell

FORMS = ("explicit", "explicit-joint")
ATTACKS = ("untargeted", "targeted")
SETTINGS: dict[str, dict[str, Any]] = {
    "penalty": {"lower_steps": 3, "upper_step_size": 0.1, "lower_step_size": 0.01, "gamma_0": 10.0, "lambda_0": 1.0},
    "approxgrad": {"lower_steps": 3, "upper_step_size": 0.1, "lower_step_size": 0.01, "solver_step_size": 0.1},
    "rmd": {"lower_steps": 3, "upper_step_size": 0.1, "lower_step_size": 0.5},
    "stocbio": {"lower_steps": 3, "upper_step_size": 0.1, "lower_step_size": 0.5},
    "f2sa": {"lower_steps": 3, "upper_step_size": 0.1, "lower_step_size": 0.1},
}
CELLS = (("as-generic", "generic", True), ("stacked", "explicit", True), ("alone", "explicit-joint", False))
"""(name, product, stacked)"""


def same(found: Any, expected: Any) -> None:
    """The same trees of numbers to 1e-12."""
    found, expected = leaves(found), leaves(expected)
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("seed", range(3))
def test_values_and_products(name: str, attack: str, seed: int) -> None:
    u, w, batch = draw(seed)
    assert not bool(batch.there.all())  # some rows only fill up
    q, nu = (torch.from_numpy(np.random.default_rng(seed + i).normal(size=w.shape)) for i in (10, 20))
    generic, found = (PRODUCTS[one](attack, DECAY) for one in ("generic", name))
    for cost, other in ((generic.upper, found.upper), (generic.lower, found.lower)):
        same(other(u, w, batch), cost(u, w, batch))
    for products in (lower_gradients, upper_gradients):
        same(products(found, u, w, batch), products(generic, u, w, batch))
    point, expected = linearize(found, u, w, batch), linearize(generic, u, w, batch)
    same(point.lower_gradient, expected.lower_gradient)
    same(point.hessian(q), expected.hessian(q))
    same(point.hessian(nu), expected.hessian(nu))  # a second one of the same graph
    same(point.cross(q), expected.cross(q))
    for wrt in ("u", "v", "uv"):
        weights = {"gamma": 3.0, "nu": nu, "lam": 0.5, "wrt": wrt}
        same(*(penalty_gradients(one, u, w, batch, **weights) for one in (found, generic)))
    along = torch.stack([u, 2 * u]), torch.stack([q, nu])
    same(*(lower_tangents(one, u, w, batch, *along) for one in (found, generic)))


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("method", SETTINGS)
def test_steps_of_solvers_alone_and_side_by_side(method: str, attack: str) -> None:
    """Two iterations with either product, of three trials stacked by vmap and of each alone."""
    some = [draw(seed) for seed in range(3)]
    batch = tree_map(lambda *parts: torch.stack(parts).movedim(0, -1), *(one[2] for one in some))
    ends = {}
    for name, problem in PRODUCTS.items():
        solver = solvers.make(method, problem(attack, DECAY), **SETTINGS[method])
        advance, alone = trials.one_by_one(trials.batched(solver)), trials.one_by_one(solver.step)
        starts = [solver.init(u, w) for u, w, _ in some]
        ends[name] = advance(trials.stack(starts), batch, 2)
        ends[f"{name}, alone"] = trials.stack([alone(a, one[2], 2) for a, one in zip(starts, some, strict=True)])
    assert len(ends) == 6
    for name in ends:
        for part in ("u", "v"):
            torch.testing.assert_close(getattr(ends[name], part), getattr(ends["generic"], part), rtol=1e-9, atol=1e-11)
    assert not torch.equal(ends["explicit"].u[..., 0], some[0][0])


@pytest.mark.slow
@pytest.mark.skipif(trials.compiler_problem() is not None, reason=str(trials.compiler_problem()))
@pytest.mark.parametrize(("method", "name"), [("penalty", "explicit"), ("approxgrad", "explicit-joint")])
def test_a_compiled_program_is_the_steps(method: str, name: str) -> None:
    u, w, batch = draw()
    solver = solvers.make(method, PRODUCTS[name]("untargeted", DECAY), **SETTINGS[method])
    state = solver.init(u, w)
    found = trials.advancing(solver.step)(state, batch, 3)
    expected = trials.one_by_one(solver.step)(state, batch, 3)
    torch.testing.assert_close(found.u, expected.u, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.v, expected.v, rtol=1e-10, atol=1e-12)


def test_no_lower_step_copies_the_rows() -> None:
    u, w, batch = draw(n=50, d=40)
    problem = explicit.poisoning("untargeted", DECAY)
    problem.asked.update(("f", False, True))  # which is done once, on copies, before the first product
    with Sizes() as noted:
        penalty_gradients(problem, u, w, batch, gamma=1.0, nu=torch.zeros_like(w), lam=1.0, wrt="v")
        linearize(problem, u, w, batch).hessian(w)
    assert len(noted.made) > 20
    assert max(noted.made) < 50 * 40


@pytest.mark.parametrize("first", [True, False])
def test_fixed_rows_have_no_gradient_that_is_silently_zero(first: bool) -> None:
    _, w, batch = draw()

    def of_rows(x: Tensor) -> Tensor:
        whole = explicit.summed(w, Rows(x, batch.train.onehot))
        return whole if first else grad(lambda v: explicit.summed(v, Rows(x, batch.train.onehot)))(w).sum()

    with pytest.raises(ValueError, match="derivatives in W alone: rows and labels are fixed"):
        grad(of_rows)(batch.train.x)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with prepared data and cells of both products, one by one and stacked."""
    monkeypatch.chdir(tmp_path)
    Path("pipelines/poisoning").mkdir(parents=True)
    more = "".join(
        f"      {name}: {{<<: *penalty, product: {product}, stacked: {str(stacked).lower()}, points: [8]}}\n"
        for name, product, stacked in CELLS
    )
    last = "    targeted: {<<: *cells"
    assert last in PARAMS
    Path("pipelines/poisoning/params.yaml").write_text(PARAMS.replace(last, more + last))
    corrupt.main(["poisoning", "embedded", "untargeted"])
    return tmp_path


def test_a_cell_trained_with_either_product(root: Path) -> None:
    """Step by step in float32: costs to 1e-4 of themselves, pixels to two of 255 levels, as many oracle calls."""

    def trained(name: str) -> list[dict[str, Any]]:
        command = ("-m", "pipelines.train", "poisoning", "embedded", "untargeted", name)
        done(root, *command, PYTHONPATH=str(ROOT), BILEVEL_COMPILE="0")
        record = json.loads(Path(f"results/embedded/poisoning/untargeted-{name}/train.json").read_text())
        return list(record["trials"])

    expected = trained("as-generic")
    for name in ("stacked", "alone"):
        for one, other in zip(trained(name), expected, strict=True):
            assert (one["seed"], one["points"], one["status"]) == (other["seed"], other["points"], "finished")
            assert one["oracle_calls"] == other["oracle_calls"]
            for cost in ("upper cost", "lower cost"):
                np.testing.assert_allclose(one["curve"][cost], other["curve"][cost], rtol=1e-4)
            moved = unpack(one["poisons"])[-1].astype(int)
            assert np.abs(moved - unpack(other["poisons"])[-1].astype(int)).max() <= 2


def test_a_product_that_does_not_exist(root: Path) -> None:
    found = families.cell("poisoning", "embedded", ("untargeted", "stacked"))
    cell = Cell(found.family, found.profile, found.parts, {**found.settings, "product": "explicitly"}, found.common)
    with pytest.raises(
        UserError,
        match=r"params.yaml: embedded.cells.untargeted.stacked.product is 'explicitly' \(did you mean explicit\?\);"
        " there are: generic, explicit, explicit-joint",
    ):
        Run(cell, torch.device("cpu"))


def test_both_products_are_timed_in_turn(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compared cell has one row with a speed for each product, its own first timed with the other cells."""
    monkeypatch.setattr("core.trials.compiler_problem", lambda: "this test")
    monkeypatch.setattr(timing, "REPEATED", 1)
    plan = {"iterations": 1, "repetitions": 2, "cells": [["untargeted", "penalty"], ["untargeted", "alone"]],
            "compared": [["untargeted", "alone"]], "products": ["generic", "explicit-joint"]}  # fmt: skip
    advanced: list[str] = []
    advance = Run.advance

    def noted(work: Run, *args: Any) -> Any:
        advanced.append(work.product)
        return advance(work, *args)

    monkeypatch.setattr(Run, "advance", noted)
    plain, compared = timing.measure("embedded", plan)
    assert advanced == 3 * ["generic", "explicit-joint", "generic"]  # the start, and two rounds
    assert "products" not in plain and plain["cell"] == ["untargeted", "penalty"]
    assert compared["product"] == "explicit-joint" and list(compared["products"]) == ["explicit-joint", "generic"]
    for name in ("seconds_per_iteration", "lower_steps_per_second"):
        assert compared["products"]["explicit-joint"][name] == compared[name]
        assert compared["products"]["generic"][name] != compared[name]
    assert compared["products"]["generic"]["seconds_per_iteration"]["n"] == 2
    assert {"lower_steps", "bounds"} <= compared.keys() and "lower_steps" not in compared["products"]["generic"]
