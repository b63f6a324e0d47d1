"""Step sizes of clean-label attacks are chosen by the success on selection rows, without a test row or its label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from small_project import ROOT
from test_clean_label import PARAMS, a_cell, folder, record_of

from pipelines import corrupt, records, search, searches, settings
from pipelines.clean_label import choosing, data, metrics, stored
from pipelines.errors import UserError

PLAN = """
  search:
    attacks:
      of: pair
      data: pair
      with: {attacked: selection, targets: 8, epsilons: [0.75, 2]}
      spaces:
        penalty: {upper_step_size: [1e-4, 0.03], lower_step_size: [2e-2]}
      tied: {}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with prepared data of which neither the test rows' labels nor a list of targets is there."""
    monkeypatch.chdir(tmp_path)
    cells = PARAMS.index("  cells:\n")
    Path("pipelines/clean_label").mkdir(parents=True)
    Path("pipelines/clean_label/params.yaml").write_text(PARAMS[:cells] + PLAN + PARAMS[cells:])
    corrupt.main(["clean_label", "embedded", "pair"])
    (folder() / "sealed.npz").unlink()
    return tmp_path


@pytest.mark.usefixtures("root")
def test_selection_rows_start_at_the_nearest_training_row_of_the_other_class() -> None:
    prepared = stored.load(folder())
    found = data.of_selection(prepared)
    assert [one.row for one in found] == list(range(8))
    for one in found:
        assert one.label == 1 - prepared.selection_labels[one.row]
        other = np.flatnonzero(prepared.train_labels == one.label)
        apart = np.linalg.norm(prepared.train_features[other] - prepared.selection_features[one.row], axis=1)
        np.testing.assert_array_equal(one.base, stored.as_bytes(prepared.train_images[other[apart.argmin()]][None])[0])
        np.testing.assert_array_equal(one.features, prepared.selection_features[one.row])


@pytest.mark.usefixtures("root")
def test_the_score_by_hand() -> None:
    cell = a_cell(attacked="selection", targets=8, epsilons=[0, 2])
    record = record_of(cell)
    prepared = stored.load(folder())
    x, y = np.c_[prepared.train_features, np.ones(len(prepared.train_labels))], prepared.train_labels
    clean = LogisticRegression(C=1 / (1e-3 * len(x)), fit_intercept=False, tol=1e-10, max_iter=9999).fit(x, y)
    broken = []
    for one in record["trials"]:
        row = np.r_[prepared.selection_features[one["target"]], 1][None]
        right = prepared.selection_labels[one["target"]]
        if clean.predict(row)[0] == right:
            judge = clean
            if one["epsilon"]:
                added = np.r_[metrics.features_of(one), 1][None]
                judge = LogisticRegression(C=1 / (1e-3 * (len(x) + 1)), fit_intercept=False, tol=1e-10, max_iter=9999)
                judge.fit(np.r_[x, added], np.append(y, one["label"]))
            broken.append(judge.predict(row)[0] != right)
    assert 0 < sum(broken) <= len(broken) / 2 and len(broken) >= 12
    assert choosing.score(cell, record) == pytest.approx(100 * np.mean(broken))
    record["trials"][0]["status"] = "diverged"
    assert choosing.score(cell, record) == -1.0
    with pytest.raises(ValueError, match="chosen on selection rows"):
        choosing.score(a_cell(), record)


@pytest.mark.usefixtures("root")
def test_the_command_takes_the_point_that_breaks_most() -> None:
    search.main(["clean_label", "embedded", "--search", "attacks"])
    found: dict[str, Any] = json.loads(searches.place("clean_label", "embedded", "attacks").read_text())
    (result,) = found["methods"].values()
    first, second = (row["selection success"] for row in result["tried"])
    assert first < second and result["chosen"] == {"upper_step_size": 0.03, "lower_step_size": 2e-2}
    plan = search.plan_for(search.plan_of("clean_label", "embedded", "attacks"), "penalty")
    cell = search.with_point(search.cell_of("clean_label", "embedded", "attacks", "penalty"), result["chosen"], plan)
    assert second == pytest.approx(choosing.score(cell, record_of(cell)))


@pytest.mark.usefixtures("root")
def test_more_targets_than_selection_rows() -> None:
    from pipelines.clean_label.run import Run, torch

    with pytest.raises(UserError, match=r"penalty\.targets is 9; there are 8 selection rows"):
        Run(a_cell(attacked="selection", targets=9), torch.device("cpu"))
    with pytest.raises(UserError, match="attacked is 'train'; it must be test or selection"):
        Run(a_cell(attacked="train"), torch.device("cpu"))


@pytest.mark.parametrize("profile", ["embedded"])
def test_the_cells_use_what_their_search_chose(profile: str) -> None:
    found = json.loads((ROOT / f"pipelines/clean_label/search/{profile}-attacks.json").read_text())
    methods = found.pop("methods")
    block = settings.profile_params("clean_label", profile)
    assert found == block["search"]["attacks"] and found["with"]["attacked"] == "selection"
    assert list(methods) == [method for method in block["methods"] if method != data.CLEAN]
    assert len({len(result["tried"]) for result in methods.values()}) == 1
    for method, result in methods.items():
        plan = search.plan_for(found, method)
        best = max(result["tried"], key=lambda row: row[choosing.SCORE])
        assert result["chosen"] == {name: best[name] for name in plan["space"]}
        cell = settings.cell("clean_label", profile, found["of"], method)
        chosen = search.with_point(cell, result["chosen"], plan).settings["settings"]
        assert records.canonical(chosen) == records.canonical(cell.settings["settings"])
