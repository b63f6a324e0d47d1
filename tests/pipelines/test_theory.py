"""The theory family: known problems, a ledger that can fail, exponents, and the command lines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.func import grad

from core import hypergradients, solvers
from core.products import lower_gradient
from pipelines.errors import UserError
from pipelines.theory import complexity, entries, ledger, problems
from pipelines.theory.settings import load

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("make", problems.MAKERS)
def test_problems_are_solved(make: Callable[[int], problems.Analytic]) -> None:
    """v is stationary, a minimum, and df/du there is the derivative of f(u, v*(u)) by central differences."""
    p = make(0)
    assert lower_gradient(p.problem, p.u, p.v, None).norm() < 1e-11
    assert 0 < p.smallest <= p.largest

    def value(u: torch.Tensor) -> torch.Tensor:
        v = p.v
        for _ in range(4):
            hessian = torch.func.hessian(p.problem.lower, argnums=1)(u, v, None)
            v = v - torch.linalg.solve(hessian, grad(p.problem.lower, argnums=1)(u, v, None))
        return p.problem.upper(u, v, None)

    step = 1e-4
    rows = step * torch.eye(len(p.u), dtype=torch.float64)
    slopes = torch.stack([(value(p.u + row) - value(p.u - row)) / (2 * step) for row in rows])
    assert p.relative_error(slopes) < 1e-6


def test_the_series_at_its_ends() -> None:
    p = problems.quadratic(10.0, 3)
    assert torch.equal(entries.series(p, 0), grad(p.problem.upper, argnums=0)(p.u, p.v, None))
    assert p.relative_error(entries.series(p, 400)) < 1e-12


def test_every_solver_and_estimator_is_in_the_ledger() -> None:
    """Those of another form say so, and nothing is run for them."""
    assert {entry.solver for entry in entries.SOLVERS} == set(solvers.names())
    assert {one.method for one in entries.ESTIMATORS} == set(hypergradients.names())
    outside = {entry.solver: entry for entry in entries.SOLVERS if entry.reason}
    assert set(outside) == {"single-level", "l2rw", "meta-weight-net"}
    row = ledger.solver_row(problems.ridge(0), outside["l2rw"], 80)
    assert (row["verdict"], row["error"], row["steps"]) == (ledger.OUTSIDE, None, 0)


def test_bome_follows_the_series_of_its_lower_steps() -> None:
    """To the order of 1/eta, where its barrier is active; where it is not, v never rests and nothing is claimed."""
    entry = next(entry for entry in entries.SOLVERS if entry.solver == "bome")
    p = problems.quadratic(1.0, 0)
    row = ledger.solver_row(p, dataclasses.replace(entry, patience=1), 60)
    assert (row["verdict"], row["derived"]) == (ledger.ORDER, 0.5)
    assert row["measured"] == pytest.approx(0.5, abs=0.02)
    # the weight that is derived is the one the solver has
    solver = solvers.make("bome", p.problem, lower_steps=entries.LOWER_STEPS, **entry.settings(p, 1e4))
    state = solver.init(p.u, p.v)
    for _ in range(60):
        moved, metrics = solver.step(state)
        state = moved._replace(u=p.u)
    assert float(metrics["weight"]) == pytest.approx(entries.barrier_weight(p, 1e4), rel=1e-3)
    # turned round, f falls towards the lower solution
    away = dataclasses.replace(p.problem, upper=lambda u, v, batch: p.problem.upper(u, v, batch) + 1e3 * (u @ slope(p)))
    turned = dataclasses.replace(p, problem=away)
    assert entries.barrier_weight(turned, 1.0) < 0
    assert ledger.solver_row(turned, entry, 60)["verdict"] == ledger.OUTSIDE


def slope(p: problems.Analytic) -> torch.Tensor:
    """What the lower level adds to grad_u f, with its sign turned."""
    return grad(p.problem.upper, argnums=0)(p.u, p.v, None) - entries.series(p, entries.LOWER_STEPS)


def test_a_row_of_each_kind() -> None:
    p = problems.ridge(0)
    by_name = {one.method: one for one in entries.ESTIMATORS}
    reverse = ledger.estimator_row(p, by_name["reverse"], 60)
    assert reverse["verdict"] == ledger.ORDER
    assert reverse["measured"] == pytest.approx(1 - p.smallest / p.largest, rel=0.01)
    assert ledger.estimator_row(p, by_name["implicit-cg"], 8)["verdict"] == ledger.EXACT
    assert ledger.estimator_row(p, by_name["one-step"], 8)["verdict"] == ledger.BIAS
    solver = {entry.name: entry for entry in entries.SOLVERS}
    assert ledger.solver_row(p, solver["SOBA"], 200)["verdict"] == ledger.EXACT
    assert ledger.solver_row(p, solver["K-RMD"], 40)["verdict"] == ledger.BIAS
    row = ledger.solver_row(p, solver["F2SA, lambda held"], 40)
    assert (row["verdict"], row["derived"]) == (ledger.ORDER, 0.5)
    assert row["measured"] == pytest.approx(0.5, abs=0.02)


def test_a_wrong_claim_is_found() -> None:
    """Were RMD at T = 5 said to be the exact hypergradient, or CG to be a slow method, the ledger would say so."""
    p = problems.ridge(0)
    rmd = next(entry for entry in entries.SOLVERS if entry.name == "RMD")
    assert ledger.solver_row(p, rmd, 80)["verdict"] == ledger.BIAS
    assert ledger.solver_row(p, dataclasses.replace(rmd, predicted=None), 80)["verdict"] == ledger.OTHER
    assert ledger.solver_row(p, dataclasses.replace(rmd, predicted=lambda p: p.exact), 80)["verdict"] == ledger.OTHER
    neumann = next(one for one in entries.ESTIMATORS if one.method == "implicit-neumann")
    wrong = dataclasses.replace(neumann, factor=lambda p: (1 - p.smallest / p.largest) ** 0.5)
    assert ledger.estimator_row(p, wrong, 200)["verdict"] in (ledger.OTHER, ledger.EXACT)
    slower = dataclasses.replace(neumann, factor=lambda p: (1 - p.smallest / p.largest) ** 2)
    assert ledger.estimator_row(p, slower, 200)["verdict"] == ledger.OTHER


@pytest.mark.parametrize(
    ("costs", "expected"),
    [([7, 7, 7, 7], 0.0), ([3 + 4, 3 + 8, 3 + 16, 3 + 32], 1.0), ([16, 64, 256, 1024], 2.0), ([100, 101, 103, 107], 0.0)],
)
def test_exponents(costs: list[float], expected: float) -> None:
    assert complexity.exponent([4, 8, 16, 32], costs) == pytest.approx(expected)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_an_exponent_stands_noise(p: float) -> None:
    """3% off at one size moves it by less than a tenth."""
    costs = [2.0 + (size / 4) ** p for size in (4, 8, 16, 32)]
    for place in range(4):
        for off in (0.97, 1.03):
            noisy = [cost * (off if index == place else 1) for index, cost in enumerate(costs)]
            assert complexity.exponent([4, 8, 16, 32], noisy) == pytest.approx(p, abs=0.1)


def test_bytes_are_counted_the_same_twice_and_have_the_orders_of_table_1() -> None:
    plan = {"base": {"T": 4, "U": 4, "V": 512}, "grids": {"T": [4, 8, 16, 32], "U": [4, 8, 16, 32]}}
    rows = {(row["method"], row["varied"]): row for row in complexity.memory(plan)}
    again = complexity.memory({"base": plan["base"], "grids": {"T": [4, 8]}})
    assert [row["bytes"] for row in again] == [rows[row["method"], "T"]["bytes"][:2] for row in again]
    assert rows["penalty", "T"]["exponent"] == rows["approxgrad", "T"]["exponent"] == rows["fmd", "T"]["exponent"] == 0
    assert rows["rmd", "T"]["exponent"] == pytest.approx(1, abs=0.02)
    # an iterate of 512 doubles for each further step, no more
    assert rows["rmd", "T"]["bytes"][-1] - rows["rmd", "T"]["bytes"][-2] == 16 * 512 * 8
    assert rows["fmd", "U"]["exponent"] == pytest.approx(1, abs=0.1)
    assert rows["rmd", "U"]["exponent"] == 0
    # T lower gradients, T and T products, one of f: calls are counted too
    assert rows["rmd", "T"]["calls"] == [4 * steps + 1 for steps in (4, 8, 16, 32)]


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load("cpu", "ledger") == load("embedded", "ledger")
    with pytest.raises(UserError, match="no profile 'cpus'"):
        load("cpus", "ledger")
    with pytest.raises(UserError, match="has no mapping 'tables'"):
        load("cpu", "tables")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"params.yaml is missing: run this from the root"):
        load("cpu", "ledger")


def test_a_profile_has_its_own_sizes_and_the_common_rest() -> None:
    cpu, embedded = load("cpu", "complexity"), load("embedded", "complexity")
    assert (cpu["base"]["V"], embedded["base"]["V"]) == (65536, 16384)
    assert embedded["grids"]["V"] == [size // 4 for size in cpu["grids"]["V"]]
    assert {**embedded, "base": cpu["base"], "grids": cpu["grids"]} == cpu


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "pipelines/theory"
    place.mkdir(parents=True)
    text = (ROOT / "pipelines/theory/params.yaml").read_text()
    smaller = {"65536": "64", "32768": "32", "131072": "128", ", 262144": "", "[4, 8, 16, 32]": "[2, 4, 8]",
               "[12, 8, 5, 4]": "[1, 1, 1]"}  # fmt: skip
    for old, new in smaller.items():
        text = text.replace(old, new)
    (place / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    for what, name in (("memory", "memory.json"), ("time", "timings.json")):
        complexity.main(["cpu", what])
        record = json.loads((tmp_path / "results/cpu/theory" / name).read_text())
        assert {row["method"] for row in record["rows"]} == set(complexity.METHODS)
    assert record["machine"]["threads"] == 1
