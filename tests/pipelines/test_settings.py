"""Parameters: every cell can be built, and what a search chose is what the cells say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_project import ROOT

from core import solvers
from pipelines import families, search, settings, summary
from pipelines.errors import UserError
from pipelines.synthetic.problem import EXAMPLES
from pipelines.synthetic.run import solver_settings

EVERY = [
    (family, profile, parts)
    for family in settings.FAMILIES
    for profile in settings.PROFILES
    for parts in summary.names(family, profile)
]


def test_how_many_cells_there_are() -> None:
    count = {(family, profile): 0 for family, profile, _ in EVERY}
    for family, profile, _ in EVERY:
        count[family, profile] += 1
    # 4 examples of 4 methods and 8 ablations, by preset; 2 noise levels of 5 methods
    assert {key: value for key, value in count.items() if key[0] == "synthetic"} == {
        ("synthetic", "embedded"): 24, ("synthetic", "cpu"): 48, ("synthetic", "paper"): 48,
    }  # fmt: skip
    assert {value for key, value in count.items() if key[0] == "denoising"} == {10}


@pytest.mark.parametrize(("family", "profile", "parts"), EVERY, ids=lambda part: "-".join(part) if isinstance(part, tuple)
                         else part)  # fmt: skip
def test_a_solver_knows_its_settings(family: str, profile: str, parts: tuple[str, ...]) -> None:
    cell = families.cell(family, profile, parts)
    chosen = cell.settings["settings"] if family == "denoising" else solver_settings(cell)
    preset = cell.settings["preset"] if family == "denoising" else parts[2]
    solver = solvers.make(cell.settings["solver"], EXAMPLES["ex1"].problem, preset=preset, **chosen)
    for name, value in chosen.items():
        assert getattr(solver, name) == value


def test_presets_are_told_apart() -> None:
    """The preset of a synthetic Penalty cell is the authors' code, or the text of the paper."""
    by_preset: dict[str, dict[str, Any]] = {}
    for preset in ("described", "released"):
        cell = families.cell("synthetic", "cpu", ("ex1", "penalty", preset))
        solver = solvers.make("penalty", EXAMPLES["ex1"].problem, preset=preset, **solver_settings(cell))
        by_preset[preset] = {name: getattr(solver, name) for name in ("test_power", "step_size_decay", "multiplier_gamma")}
    assert by_preset["described"] == {"test_power": 2, "step_size_decay": 1.0, "multiplier_gamma": "old"}
    assert by_preset["released"] == {"test_power": 4, "step_size_decay": 1 / 1.1, "multiplier_gamma": "new"}


SEARCHED = [("embedded", "digits-25"), ("embedded", "digits-50"), ("cpu", "mnist-25"), ("cpu", "mnist-50")]


@pytest.mark.parametrize(("profile", "data"), SEARCHED)
def test_cells_use_what_the_search_chose(profile: str, data: str) -> None:
    found = json.loads((ROOT / f"pipelines/denoising/search/{profile}.json").read_text())
    block = settings.profile_params("denoising", profile)
    assert set(found["methods"]) == set(block["methods"])
    for method, result in found["methods"].items():
        best = max(result["tried"], key=lambda row: row["selection accuracy"])
        assert {name: best[name] for name in result["chosen"]} == result["chosen"]
        cell = settings.cell("denoising", profile, data, method)
        point = search.with_point(cell, result["chosen"], found["tied"])
        assert point.settings["settings"] == cell.settings["settings"]


@pytest.mark.parametrize("profile", ["embedded", "cpu"])
def test_every_method_searched_the_same_grid(profile: str) -> None:
    found = json.loads((ROOT / f"pipelines/denoising/search/{profile}.json").read_text())
    sizes = {method: [row["lower_step_size"] for row in result["tried"]] for method, result in found["methods"].items()}
    assert set(map(tuple, sizes.values())) == {tuple(found["space"]["lower_step_size"])}


@pytest.mark.parametrize(
    ("text", "words"),
    [("embedded: [1, 2", "is no valid YAML"), ("- 1\n", "must hold a mapping"), (None, "is missing")],
)
def test_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("pipelines/synthetic/params.yaml")
    path.parent.mkdir(parents=True)
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=f"^{path}.*{words}"):
        settings.load_params("synthetic")
