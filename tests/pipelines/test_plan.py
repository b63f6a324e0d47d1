"""What would run, and how long: measured times, those reckoned from cells of the same kind, and rates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines import plan, planning, records, settings
from pipelines.planning import Past, estimate
from pipelines.settings import Cell

ROOT = Path(__file__).resolve().parents[2]
CELL = {"solver": "penalty", "network": "small", "batch": 10, "epochs": 2, "settings": {"lower_steps": 4}}
BLOCK: dict[str, Any] = {
    "prepared": {"some": {"source": "mnist", "train_size": 100, "seeds": [0, 1]}},
    "cells": {"some": {"penalty": CELL, "twice": {**CELL, "epochs": 4}, "other": {**CELL, "network": "mnist"},
                       "unknown": {**CELL, "network": "none of ours"}}},
}  # fmt: skip


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[Past]:
    monkeypatch.setattr(settings, "profile_params", lambda family, profile: BLOCK)
    return [Past("denoising", "cpu", ("some", "penalty"), 30.0)]


def test_work_is_counted_in_rows_that_lower_steps_read() -> None:
    # two trials, 2 epochs of 10 minibatches of 10 rows, four lower steps and the upper one
    assert planning.work("denoising", BLOCK, CELL, ("some", "penalty")) == 2 * 20 * 10 * 5


def test_work_of_a_clean_label_attack_is_counted_in_pixels_that_are_encoded() -> None:
    block = {"prepared": {"pair": {"source": "dogfish-imagenette", "shrink": 2, "test_rows": 9}}}
    cell = {"solver": "penalty", "form": "constrained", "epsilons": [1, 2], "targets": 5, "iterations": 7, "settings": {}}
    assert planning.work("clean_label", block, cell, ("pair", "penalty")) == 48 * 48 * 2 * 5 * 7
    assert planning.kind_of("clean_label", cell) == "constrained"


def test_times(known: list[Past]) -> None:
    assert estimate(known, "denoising", "cpu", ("some", "penalty")) == (30.0, "measured")
    assert estimate(known, "denoising", "paper", ("some", "penalty")) == (30.0, "reckoned")
    assert estimate(known, "denoising", "cpu", ("some", "twice")) == (60.0, "reckoned")
    rate = planning.RATES["denoising", "mnist"]
    assert estimate(known, "denoising", "cpu", ("some", "other")) == (2 * 20 * 10 * 5 * rate, "by a rate")
    assert estimate(known, "denoising", "cpu", ("some", "unknown")) is None
    assert estimate(known, "denoising", "cpu", ("some", "none")) is None


def test_past_times_are_those_of_the_records(tmp_path: Path) -> None:
    folder = tmp_path / "cpu/denoising/some-penalty"
    folder.mkdir(parents=True)
    (folder / "train.json").write_text(json.dumps({"cell": ["some", "penalty"]}))
    (folder / "run.json").write_text(json.dumps({"cpu_seconds": 7.5}))
    assert planning.past_here(tmp_path) == [Past("denoising", "cpu", ("some", "penalty"), 7.5)]


def test_long_times() -> None:
    assert [planning.said(seconds) for seconds in (12, 600, 7200, 86400 * 30)] == ["12 s", "10 min", "2.0 h", "30 days"]


def test_the_plan(known: list[Past], monkeypatch: pytest.MonkeyPatch) -> None:
    stale = [{"changed deps": {"core/x.py": "modified"}}]
    names = dict.fromkeys(("p:train_cpu_penalty@some", "p:evaluate_cpu@x"), stale)
    monkeypatch.setattr(plan, "status", lambda profile: names)
    cells = [Cell("denoising", "cpu", ("some", "penalty"), CELL, {})]
    monkeypatch.setattr(plan, "every_cell", lambda profile: cells)
    monkeypatch.setattr(plan, "stage_of", lambda cell: "p:train_cpu_penalty@some")
    monkeypatch.setattr(planning, "past_here", lambda: known)
    said = plan.lines("cpu")
    assert said[0] == "make repro PROFILE=cpu would run 2 stages, 1 of them training:"
    assert said[1].split() == ["30", "s", "measured", "denoising", "some", "penalty"]
    assert said[2].split()[:2] == ["30", "s"] and said[3].endswith("evaluate 1")
    assert said[4:] == ["and what is made of the trained cells: evaluations and summaries"]
    # nothing trains
    monkeypatch.setattr(plan, "status", lambda profile: {"p:evaluate_cpu@x": stale, "tables@cpu": stale})
    assert plan.lines("cpu") == ["make repro PROFILE=cpu would run 2 stages, none of them training:",
                                 "without training, seconds to minutes: evaluate 1, tables 1"]  # fmt: skip
    # what is drawn for another profile, which params.yaml may name
    monkeypatch.setattr(plan, "status", lambda profile: {"tables@embedded": stale})
    assert plan.lines("cpu") == ["profile cpu is up to date: make repro PROFILE=cpu would run nothing"]


def test_every_cell_of_the_committed_profile_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    here = [one for one in planning.past_here() if one.profile == "cpu"]
    assert {(one.family, "-".join(one.parts)) for one in here} == {
        (path.parent.name, path.name) for path in records.RESULTS.glob("cpu/*/*") if (path / "run.json").exists()
    }
