"""The theory family: known problems, a ledger that can fail, exponents, and the command lines."""

from __future__ import annotations

import dataclasses
import json
import math
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
from tests.core.cases import NAMES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("seed", range(load("cpu", "ledger")["seeds"]))
@pytest.mark.parametrize("make", problems.MAKERS)
def test_problems_are_solved(make: Callable[[int], problems.Analytic], seed: int) -> None:
    """v is stationary, a minimum, and df/du there is the derivative of f(u, v*(u)) by central differences."""
    p = make(seed)
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
    """Of the package's: those of another form say so, and nothing is run for them; one that was added has no theory here."""
    assert {entry.solver for entry in entries.SOLVERS} == NAMES <= set(solvers.names())
    assert {one.method for one in entries.ESTIMATORS} == set(hypergradients.names())
    outside = {entry.solver: entry for entry in entries.SOLVERS if entry.reason}
    assert set(outside) == {"single-level", "l2rw", "meta-weight-net"}
    row = ledger.solver_row(problems.ridge(0), outside["l2rw"])
    assert (row["verdict"], row["error"], row["steps"]) == (ledger.OUTSIDE, None, None)


SOLVERS = {entry.name: entry for entry in entries.SOLVERS}
ESTIMATORS = {one.method: one for one in entries.ESTIMATORS}
RESTING = [name for name, entry in SOLVERS.items() if not entry.reason and not entry.reference]


def ran(p: problems.Analytic, entry: entries.Entry, weight: float, rounds: int) -> list[torch.Tensor]:
    """What a solver carries after each of so many upper iterations from the problem's start, u put back; then the last
    hypergradient that it followed."""
    solver = ledger.made(p, entry, weight)
    state = solver.init(p.u, p.start if entry.start is None else entry.start(p, weight))
    found = []
    for _ in range(rounds):
        moved, _ = solver.step(state)
        state = moved._replace(u=p.u)
        found.append(torch.cat([getattr(state, name) for name in entry.kept]))
    return [*found, p.u - moved.u]


@pytest.mark.parametrize("name", RESTING)
def test_a_run_comes_to_rest_where_newton_says_and_as_fast(name: str) -> None:
    """Condition number 3, so that few iterations do: the same hypergradient, and the last steps shrink by the factor."""
    entry = SOLVERS[name]
    seed = next(seed for seed in range(20) if entry.applies(problems.quadratic(3.0, seed)))
    p = problems.quadratic(3.0, seed)
    unit = entry.unit or entry.held
    weight = 1.0 if unit is None else 4 * unit(p)
    rest = ledger.rest_of(p, entry, weight)
    *path, last = ran(p, entry, weight, 160)
    assert p.relative_error(last) == pytest.approx(p.relative_error(rest.direction), abs=1e-8)
    assert float((last - rest.direction).norm()) < 1e-8 * float(p.exact.norm())
    # over the later half of the iterations in which rounding is not seen; with multipliers the slowest modes turn
    sizes = [float((point - path[-1]).norm()) for point in path]
    place = max(count for count, size in enumerate(sizes[:100]) if size > 1e-9 * float(path[-1].norm()))
    half = place // 2
    assert half >= 4
    measured = (sizes[place] / sizes[half]) ** (1 / (place - half))
    assert ledger.rate(measured) == pytest.approx(ledger.rate(rest.factor), rel=0.1)


def test_what_goes_on_between_iterations_must_be_named() -> None:
    """With q left out of what AID's fixed-point steps carry, the rest of v is none of the solver."""
    p, entry = problems.quadratic(10.0, 0), SOLVERS["AID-BiO, fixed point"]
    assert ledger.solver_row(p, entry)["verdict"] == ledger.EXACT
    partly = dataclasses.replace(entry, kept=("v",))
    with pytest.raises(ArithmeticError, match="AID does not stay at its rest"):
        ledger.rest_of(p, partly, 1.0)
    row = ledger.solver_row(p, partly)
    assert (row["verdict"], row["error"], row["rate"]) == (ledger.NO_REST, None, None)
    good = ledger.solver_row(p, entry)
    assert ledger.worst([good, row, good]) == {**row, "seeds": 3}


def test_a_solver_that_stays_nowhere_is_told() -> None:
    """A lower cost without a minimum in v: every step goes on, and Newton's system is singular."""
    p, entry = problems.quadratic(10.0, 0), SOLVERS["GD"]
    slope = torch.ones_like(p.v)
    sloping = dataclasses.replace(p.problem, lower=lambda u, v, batch: slope @ v * (2 + (u * u).sum()))
    with pytest.raises(ArithmeticError, match="GD has no rest near its start"):
        ledger.rest_of(dataclasses.replace(p, problem=sloping), entry, 1.0)
    row = ledger.solver_row(dataclasses.replace(p, problem=sloping), entry)
    assert row["verdict"] == ledger.NO_REST


def test_a_solver_without_a_rest_is_told() -> None:
    """Steps of 3/L on g: the rest is there, but nothing goes to it."""
    p, entry = problems.quadratic(10.0, 0), SOLVERS["RMD"]
    wild = dataclasses.replace(entry, settings=lambda p, weight: {"lower_step_size": 3 / p.largest})
    rest = ledger.rest_of(p, wild, 1.0)
    assert rest.factor == pytest.approx(2**entries.LOWER_STEPS)
    assert ledger.solver_row(p, wild)["verdict"] == ledger.OTHER


def test_bome_follows_the_series_of_its_lower_steps() -> None:
    """To the order of 1/eta, where its barrier is active; where it is not, v never rests and nothing is claimed."""
    entry = SOLVERS["BOME, barrier active"]
    p = problems.quadratic(1.0, 0)
    row = ledger.solver_row(p, entry)
    assert row["verdict"] == ledger.ORDER
    assert row["exponent"] == pytest.approx(-1, abs=0.05)
    # the weight that is derived is the one the solver has
    *_, metrics = weights_of(p, entry, 1e4, 60)
    assert float(metrics["weight"]) == pytest.approx(entries.barrier_weight(p, 1e4), rel=1e-3)
    # turned round, f falls towards the lower solution
    away = dataclasses.replace(p.problem, upper=lambda u, v, batch: p.problem.upper(u, v, batch) + 1e3 * (u @ slope(p)))
    turned = dataclasses.replace(p, problem=away)
    assert entries.barrier_weight(turned, 1.0) < 0
    assert ledger.solver_row(turned, entry)["verdict"] == ledger.OUTSIDE


def weights_of(p: problems.Analytic, entry: entries.Entry, weight: float, rounds: int) -> list[dict[str, torch.Tensor]]:
    """The metrics of each upper iteration from the problem's start, u put back."""
    solver, found = ledger.made(p, entry, weight), []
    state = solver.init(p.u, p.start)
    for _ in range(rounds):
        moved, metrics = solver.step(state)
        state = moved._replace(u=p.u)
        found.append(metrics)
    return found


def slope(p: problems.Analytic) -> torch.Tensor:
    """What the lower level adds to grad_u f, with its sign turned."""
    return grad(p.problem.upper, argnums=0)(p.u, p.v, None) - entries.series(p, entries.LOWER_STEPS)


def test_a_row_of_each_kind() -> None:
    p = problems.ridge(0)
    reverse = ledger.estimator_row(p, ESTIMATORS["reverse"], 60)
    assert reverse["verdict"] == ledger.ORDER
    assert reverse["rate"] == pytest.approx(-math.log(1 - p.smallest / p.largest), rel=1e-5)
    assert ledger.estimator_row(p, ESTIMATORS["implicit-cg"], 8)["verdict"] == ledger.EXACT
    assert ledger.estimator_row(p, ESTIMATORS["one-step"], 8)["verdict"] == ledger.BIAS
    adam = ledger.estimator_row(p, ESTIMATORS["implicit-adam"], 8)
    assert (adam["verdict"], adam["rate"]) == (ledger.SAME, None) and adam["error"] > ledger.ROUNDING
    assert ledger.solver_row(p, SOLVERS["SOBA"])["verdict"] == ledger.EXACT
    assert ledger.solver_row(p, SOLVERS["ApproxGrad, Adam"])["verdict"] == ledger.SAME
    short = ledger.solver_row(p, SOLVERS["K-RMD"])
    assert short["verdict"] == ledger.BIAS
    assert short["rate"] == pytest.approx(-5 * math.log(1 - p.smallest / p.largest), rel=1e-3)
    row = ledger.solver_row(p, SOLVERS["F2SA, lambda held"])
    assert (row["verdict"], row["exponent"]) == (ledger.ORDER, pytest.approx(-1, abs=0.02))


def test_a_slow_problem_is_no_excuse() -> None:
    """At a condition number of 1e4 a mode takes a hundred million iterations; rest and rate are found all the same."""
    p = problems.quadratic(1e4, 0)
    row = ledger.solver_row(p, SOLVERS["ApproxGrad, fixed point"])
    assert row["verdict"] == ledger.EXACT
    assert row["rate"] == pytest.approx(5e-4, rel=0.01)
    slow = ledger.estimator_row(p, ESTIMATORS["implicit-gd"], 100)
    assert slow["verdict"] == ledger.ORDER
    assert slow["rate"] == pytest.approx(1e-8, rel=0.01) and slow["error"] > 0.9


def test_a_wrong_claim_is_found() -> None:
    """Of vectors, of orders and of rates: whatever else were said, the ledger would say that it differs."""
    p = problems.ridge(0)

    def verdict(name: str, **wrong: object) -> str:
        return ledger.solver_row(p, dataclasses.replace(SOLVERS[name], **wrong))["verdict"]  # type: ignore[arg-type]

    assert verdict("RMD") == ledger.BIAS
    assert verdict("RMD", predicted=None) == ledger.OTHER
    assert verdict("RMD", predicted=lambda p: entries.series(p, entries.LOWER_STEPS + 1)) == ledger.OTHER
    assert verdict("RMD", factor=lambda p, weight, v: (1 - p.smallest / p.largest) ** 6) == ledger.OTHER
    assert verdict("Penalty") == ledger.ORDER
    assert verdict("Penalty", predicted=lambda p: entries.series(p, 5)) == ledger.OTHER
    assert verdict("Penalty", unit=None, held=lambda p: p.smallest**-2) == ledger.OTHER
    assert verdict("Penalty with multipliers") == ledger.EXACT
    assert verdict("Penalty with multipliers", factor=SOLVERS["Penalty"].factor) == ledger.OTHER
    assert verdict("ApproxGrad, Adam", predicted=lambda p: entries.by_torch_adam(p, 99)) == ledger.OTHER

    def claimed(method: str, **wrong: object) -> str:
        return ledger.estimator_row(p, dataclasses.replace(ESTIMATORS[method], **wrong), 20)["verdict"]  # type: ignore[arg-type]

    neumann = ESTIMATORS["implicit-neumann"]
    assert claimed("implicit-neumann") == ledger.ORDER
    for power in (0.5, 2.0):
        assert claimed("implicit-neumann", factor=lambda p, power=power: neumann.factor(p) ** power) == ledger.OTHER
    assert claimed("implicit-neumann", predicted=entries.series) == ledger.OTHER
    assert claimed("implicit-adam", predicted=lambda p, n: entries.by_torch_adam(p, n + 1)) == ledger.OTHER


def test_the_worst_draw_is_kept() -> None:
    def row(verdict: str, error: float | None) -> dict[str, object]:
        return {"verdict": verdict, "error": error}

    rows = [row(ledger.BIAS, 0.1), row(ledger.OUTSIDE, None), row(ledger.BIAS, 0.3), row(ledger.EXACT, 0.0)]
    assert ledger.worst(rows) == {"verdict": ledger.BIAS, "error": 0.3, "seeds": 3}
    assert ledger.worst([*rows, row(ledger.OTHER, 0.2)])["verdict"] == ledger.OTHER
    assert ledger.worst([row(ledger.OUTSIDE, None)] * 2) == {"verdict": ledger.OUTSIDE, "error": None, "seeds": 0}


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
    assert {**load("cpu", "ledger"), "seeds": 2} == load("embedded", "ledger")
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
    own = {name: cpu[name] for name in ("base", "grids", "repetitions")}
    assert {**embedded, **own} == cpu and embedded["repetitions"] == [7, 5, 3, 3]


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
