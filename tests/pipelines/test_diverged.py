"""A NaN in one trial: its record says so, counts what was done, and the other trials are what they would have been."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import small_project
import torch

from core.trees import tree_map
from pipelines import checkpoints, corrupt, evaluate, families, records, train
from pipelines.denoising import run as denoising_run
from pipelines.synthetic import run as synthetic_run

CPU = torch.device("cpu")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the small families' parameters."""
    monkeypatch.chdir(tmp_path)
    for family, text in (("synthetic", small_project.SYNTHETIC), ("denoising", small_project.DENOISING)):
        (tmp_path / "pipelines" / family).mkdir(parents=True)
        (tmp_path / "pipelines" / family / "params.yaml").write_text(text)
    return tmp_path


def spoilt(run: type, trial: int, at: int) -> type:
    """The family's Run with a NaN in v of one trial from iteration `at` on."""

    class Spoilt(run):  # type: ignore[misc]
        def advance(self, state: Any, group: list[int], first: int, last: int) -> Any:
            state = super().advance(state, group, first, last)
            if trial not in group or last < at:
                return state

            def nan(leaf: torch.Tensor) -> torch.Tensor:
                leaf = leaf.clone()
                leaf[..., group.index(trial)] = float("nan")
                return leaf

            return state._replace(v=tree_map(nan, state.v))

    return Spoilt


def trained(family: str, parts: tuple[str, ...]) -> dict[str, Any]:
    cell = families.cell(family, "embedded", parts)
    record = train.train(cell, CPU)
    checkpoints.forget(train.checkpoint_key(cell, CPU, record["data"]))
    records.write_json(cell.folder / "train.json", record)
    return record


def test_stacked_trials(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILEVEL_COMPILE", "0")
    parts = ("ex1", "penalty", "released")
    whole = trained("synthetic", parts)
    monkeypatch.setattr(synthetic_run, "Run", spoilt(synthetic_run.Run, trial=2, at=20))
    record = trained("synthetic", parts)
    assert [one["status"] for one in record["trials"]] == ["finished", "finished", "diverged", "finished"]
    for index in (0, 1, 3):
        assert record["trials"][index] == whole["trials"][index]
    curve = record["trials"][2]["curve"]
    assert curve["iteration"] == whole["trials"][2]["curve"]["iteration"]
    assert [value is None for value in curve["error"]] == [at >= 20 for at in curve["iteration"]]
    metrics = evaluate.evaluate("synthetic", "embedded", parts)
    assert [metrics["summary"][f"T={steps}"]["diverged"] for steps in (1, 2)] == [0, 1]
    assert metrics["summary"]["T=2"]["error"]["mean"] == whole["trials"][3]["curve"]["error"][-1]


def test_trials_one_by_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = ("digits-25", "penalty")
    corrupt.main(["denoising", "embedded", "digits-25"])
    whole = trained("denoising", parts)
    monkeypatch.setattr(denoising_run, "Run", spoilt(denoising_run.Run, trial=1, at=12))
    record = trained("denoising", parts)
    assert [one["status"] for one in record["trials"]] == ["finished", "diverged", "finished"]
    assert record["trials"][0] == whole["trials"][0]
    assert record["trials"][2] == whole["trials"][2]
    lost, full = record["trials"][1], whole["trials"][1]
    assert lost["curve"]["iteration"] == [0, 8, 16]  # it ends at the first stop after the NaN
    assert (lost["iterations"], full["iterations"]) == (16, 32)
    pretraining = full["oracle_calls"]["gradients_f"] - full["oracle_calls"]["gradients_g"]
    assert lost["oracle_calls"]["gradients_g"] * 2 == full["oracle_calls"]["gradients_g"]
    assert lost["oracle_calls"]["gradients_f"] == lost["oracle_calls"]["gradients_g"] + pretraining
    metrics = evaluate.evaluate("denoising", "embedded", parts)
    assert metrics["summary"]["diverged"] == 1
    assert metrics["summary"]["last"]["test accuracy"]["n"] == 2


def test_a_diverged_trial_is_not_gone_on_with(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted after it diverged, the cell comes to the same record."""
    corrupt.main(["denoising", "embedded", "digits-25"])
    Spoilt = spoilt(denoising_run.Run, trial=1, at=12)

    class Interrupted(Spoilt):  # type: ignore[misc, valid-type]
        def start(self, group: list[int]) -> Any:
            if group == [2] and os.environ.get("INTERRUPT"):
                raise KeyboardInterrupt
            return super().start(group)

    monkeypatch.setattr(denoising_run, "Run", Interrupted)
    whole = trained("denoising", ("digits-25", "penalty"))
    monkeypatch.setenv("INTERRUPT", "1")
    with pytest.raises(KeyboardInterrupt):
        trained("denoising", ("digits-25", "penalty"))
    monkeypatch.delenv("INTERRUPT")
    assert trained("denoising", ("digits-25", "penalty")) == whole
