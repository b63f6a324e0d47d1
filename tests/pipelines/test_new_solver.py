"""A solver that the paper does not have is drawn into every table, figure and page, beside nothing published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import made_up
import pytest
from ruamel.yaml import YAML

from pipelines import claimed, comparison, figures, settings, sources, tables, told
from pipelines.drawing import LOOKS, looks, style

NAME = "k-rmd"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Made-up results in which Penalty's also stand under the name of the new solver."""
    made_up.write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    made_up.write_results(tmp_path, "cpu")
    for family in ("synthetic", "denoising"):
        params = settings.load_params(family)
        params["cpu"]["methods"].append(NAME)
        for name in params["cpu"].get("examples", params["cpu"].get("data")):
            methods = params["cpu"]["cells"][name]
            methods[NAME] = {**methods["penalty"], "solver": NAME}
        with (tmp_path / "pipelines" / family / "params.yaml").open("w") as stream:
            YAML().dump(json.loads(json.dumps(params)), stream)
        for file in ("summary.json", "costs.json"):
            path = tmp_path / "results/cpu" / family / file
            record: dict[str, Any] = json.loads(path.read_text())
            record["cells"] |= {
                name.replace("penalty", NAME): cell for name, cell in record["cells"].items() if "penalty" in name
            }
            path.write_text(json.dumps(record))
    path = tmp_path / "results/cpu/synthetic/timings.json"
    record = json.loads(path.read_text())
    own = [row for row in record["rows"] if row["method"] == "penalty" and not row["variant"]]
    record["rows"] += [{**row, "method": NAME} for row in own]
    path.write_text(json.dumps(record))
    return tmp_path


@pytest.mark.parametrize(("name", "rows"), [("figure-1", 6), ("figure-2", 6), ("wall-clock", 12), ("denoising", 2)])
def test_it_has_rows_without_a_published_number(place: Path, name: str, rows: int) -> None:
    frame = tables.draw(sources.load("cpu"), name).numbers
    mine = frame[frame["method"] == NAME]
    assert len(mine) == rows
    paper = [column for column in frame.columns if column.startswith("paper")]
    assert mine[paper].isna().all(axis=None)
    assert frame[frame["method"] == "Penalty"][paper[0]].notna().all()
    verdicts = [column for column in frame.columns if column.endswith("verdict") and "first block" not in column]
    assert set(mine[verdicts].to_numpy().ravel()) <= {comparison.NOT_PUBLISHED}


def test_every_table_is_drawn(place: Path) -> None:
    """The claims too, which are about the paper's methods alone."""
    inputs = sources.load("cpu")
    for name in tables.drawn(inputs):
        assert NAME in tables.draw(inputs, name).markdown() or name not in ("figure-1", "figure-2", "wall-clock", "results")
    panels = claimed.panels_of(inputs)
    assert len(panels) == 4 * 3 * 4 and NAME not in {method for _, _, method in panels}


def test_it_is_in_the_results_and_counts_for_nothing(place: Path) -> None:
    inputs = sources.load("cpu")
    table = tables.draw(inputs, "results")
    shown = table.shown.set_index("result")
    assert shown["paper"][f"Figure 1, example 1, {NAME}: distance"] == "- / - / -"
    assert shown["verdict"][f"Denoising, mnist-25, {NAME}: test accuracy"] == "not in the paper"
    assert "Panels of Figures 1 and 2: 48 of 48 agree" in table.markdown()
    assert "**24 of 24** panels" in told.panels(tables.draw(inputs, "figure-1"), "released")


def test_it_is_drawn(place: Path) -> None:
    inputs = sources.load("cpu")
    with style():
        for name, draw in figures.drawings(inputs):
            drawn = draw()
            if name in ("figure-1", "learning-curves", "figure-2-log"):
                assert NAME in [text.get_text() for legend in drawn.legends for text in legend.get_texts()]


def test_looks_are_told_apart() -> None:
    found = looks(["penalty", "b", "a"])
    assert found["penalty"] == LOOKS["penalty"]
    assert len({json.dumps(look, sort_keys=True) for look in found.values()}) == 3
    assert looks(["a", "b"])["a"] == found["a"]
