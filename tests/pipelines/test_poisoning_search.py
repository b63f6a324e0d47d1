"""Step sizes of attacks are chosen by the harm on selection rows, without a test label, as many points for each method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from small_project import ROOT, done
from test_poisoning import PARAMS, a_cell, record_of

from pipelines import corrupt, search, settings
from pipelines.datasets.prepared import folder_of
from pipelines.errors import UserError
from pipelines.poisoning import choosing, stored
from pipelines.records import unpack

PLAN = """
  search:
    untargeted:
      of: untargeted
      data: tuning
      with: {points: [8]}
      spaces:
        approxgrad: {upper_step_size: [1e-3, 0.3], lower_step_size: [1e-2]}
        penalty: {upper_step_size: [1e-3, 0.1], lower_step_size: [1e-2]}
      tied: {solver_step_size: lower_step_size}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with prepared data, whose parameters have a search of other seeds."""
    monkeypatch.chdir(tmp_path)
    first, last, cells = (PARAMS.index(text) for text in ("    untargeted:\n", "    targeted:\n", "  cells:\n"))
    tuning = PARAMS[first:last].replace("untargeted:", "tuning:", 1).replace("[0, 1]", "[10, 11]")
    Path("pipelines/poisoning").mkdir(parents=True)
    Path("pipelines/poisoning/params.yaml").write_text(PARAMS[:cells] + tuning + PLAN + PARAMS[cells:])
    for name in ("untargeted", "targeted", "tuning"):
        corrupt.main(["poisoning", "embedded", name])
        (folder_of("embedded", name, "poisoning") / "sealed.npz").unlink()
    return tmp_path


@pytest.mark.parametrize("name", ["untargeted", "targeted"])
@pytest.mark.usefixtures("root")
def test_the_harm_by_hand(name: str) -> None:
    cell = a_cell(name, points=[8])
    record = record_of(cell)
    prepared = stored.load(folder_of("embedded", name, "poisoning"))
    harms = []
    for place, one in enumerate(record["trials"]):
        x = np.concatenate([prepared.train_images[place] / 16.0, unpack(one["poisons"])[-1] / 255.0]).reshape(108, 64)
        y = np.concatenate([prepared.train_labels[place], prepared.poison_labels[place]])
        judge = LogisticRegression(C=1 / (2 * 0.01 * 108), fit_intercept=False, tol=1e-8, max_iter=9999).fit(x, y)
        called = judge.predict(prepared.selection_images[place].reshape(-1, 64) / 16.0)
        right = prepared.selection_labels[place] if name == "untargeted" else 8
        harms.append(100 * ((called != right) if name == "untargeted" else (called == 3)).mean())
    assert choosing.score(cell, record) == pytest.approx(np.mean(harms), abs=1e-9)
    record["trials"][0]["status"] = "diverged"
    assert choosing.score(cell, record) == -1.0


def test_the_command_takes_the_most_harmful_point(root: Path) -> None:
    done(root, "-m", "pipelines.search", "poisoning", "embedded", "--search", "untargeted", PYTHONPATH=str(ROOT))
    found: dict[str, Any] = json.loads(Path("pipelines/poisoning/search/embedded-untargeted.json").read_text())
    assert list(found["methods"]) == ["approxgrad", "penalty"]
    for method, result in found["methods"].items():
        sizes = [row["upper_step_size"] for row in result["tried"]]
        assert sizes == found["spaces"][method]["upper_step_size"]
        best = max(result["tried"], key=lambda row: row["selection harm"])
        assert result["chosen"] == {name: best[name] for name in ("upper_step_size", "lower_step_size")}
        assert min(row["selection harm"] for row in result["tried"]) < best["selection harm"]
    # the second point of Penalty, trained here
    plan = search.plan_for(search.plan_of("poisoning", "embedded", "untargeted"), "penalty")
    cell = search.cell_of("poisoning", "embedded", "untargeted", "penalty")
    assert (cell.settings["data"], cell.settings["points"]) == ("tuning", [8])
    point = {"upper_step_size": 0.1, "lower_step_size": 1e-2}
    there = search.with_point(cell, point, plan)
    row = found["methods"]["penalty"]["tried"][1]
    assert row == {**point, "selection harm": choosing.score(there, record_of(there))}


@pytest.mark.usefixtures("root")
def test_a_method_that_is_not_searched() -> None:
    with pytest.raises(UserError, match="does not try 'rmd'; it tries: approxgrad, penalty"):
        search.main(["poisoning", "embedded", "rmd", "--search", "untargeted"])
    with pytest.raises(UserError, match="no search 'table'; there are: untargeted"):
        search.main(["poisoning", "embedded"])


@pytest.mark.parametrize("attack", ["untargeted", "targeted"])
def test_the_cells_use_what_their_search_chose(attack: str) -> None:
    found = json.loads((ROOT / f"pipelines/poisoning/search/embedded-{attack}.json").read_text())
    methods = found.pop("methods")
    block = settings.profile_params("poisoning", "embedded")
    assert found == block["search"][attack]
    assert list(methods) == [method for method in block["methods"] if method != "label-flipping"]
    tuned, reported = (set(block["prepared"][one]["seeds"]) for one in (found["data"], f"digits-{attack}"))
    assert tuned.isdisjoint(reported)
    assert {len(result["tried"]) for result in methods.values()} == {12}
    for method, result in methods.items():
        plan = search.plan_for(found, method)
        best = max(result["tried"], key=lambda row: row["selection harm"])
        assert result["chosen"] == {name: best[name] for name in plan["space"]}
        cell = settings.cell("poisoning", "embedded", f"digits-{attack}", method)
        assert search.with_point(cell, result["chosen"], plan).settings["settings"] == cell.settings["settings"]
