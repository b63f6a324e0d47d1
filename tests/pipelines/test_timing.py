"""Timings: which rows there are, that methods take turns, and what a row says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import small_project

from core import trials
from pipelines import timing

PLAN = {
    "repetitions": 3,
    "eager": {"examples": ["ex1", "ex3"], "iterations": 2},
    "compiled": {"examples": ["ex1"], "iterations": 2},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipelines/synthetic").mkdir(parents=True)
    (tmp_path / "pipelines/synthetic/params.yaml").write_text(small_project.SYNTHETIC)
    return tmp_path


@pytest.mark.parametrize("compiler", [None, "no C++ compiler"])
def test_rows(project: Path, monkeypatch: pytest.MonkeyPatch, compiler: str | None) -> None:
    """Without a compiler the compiled rows are left out, not filled with eager ones."""
    monkeypatch.setattr(trials, "compiler_problem", lambda: compiler)
    monkeypatch.setattr(trials, "advancing", trials.one_by_one)
    rows = timing.measure("embedded", PLAN, [1, 2])
    keys = ("example", "T", "method", "variant", "stacked", "compiled")
    found = [tuple(row[key] for key in keys) for row in rows]
    expected = [
        (example, steps, method, variant, stacked, compiled)
        for compiled, examples in ((False, ("ex1", "ex3")), *(((True, ("ex1",)),) if compiler is None else ()))
        for example in examples
        for steps in (1, 2)
        for stacked in (1, 20)
        for method, variant in (("gd", ""), ("penalty", ""), ("penalty", "reused test"))
    ]
    assert found == expected
    for row in rows:
        assert row["seconds_per_10000"]["n"] == 3
        assert row["seconds_per_10000"]["mean"] > 0


def test_methods_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    clock = iter(range(1000))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))

    def one(name: str) -> timing.Timed:
        def go(count: int) -> Any:
            assert count == 50
            calls.append(name)

        return timing.Timed({"method": name}, go)

    rows = timing.rows([one("a"), one("b")], 50, 3)
    assert calls == ["a", "b"] * 3
    # one second for 50 iterations is 200 for 10,000
    assert [(row["method"], row["seconds_per_10000"]["mean"]) for row in rows] == [("a", 200.0), ("b", 200.0)]
