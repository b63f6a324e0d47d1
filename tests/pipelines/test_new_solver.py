"""A solver that the paper does not have is drawn into every table, figure and page, beside nothing published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import made_up
import pytest
import small_project
from ruamel.yaml import YAML
from small_project import call, done

from pipelines import comparison, figures, settings, sources, tables, told
from pipelines.drawing import LOOKS, looks, style
from pipelines.scorecard.declared import CLAIMS

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
    assert NAME not in {cell for claim in CLAIMS for one in claim.quantities for _, parts in one.cells for cell in parts}


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


def test_the_steps_of_the_readme(tmp_path: Path) -> None:
    """The template's copy is a solver with a stage of its own, trained and evaluated; taken out, it leaves no trace."""
    project = small_project.copy(tmp_path / "project")
    params, solver = project / "pipelines/synthetic/params.yaml", project / "core/solvers/identity.py"
    plain, stages = params.read_text(), project / "pipelines/synthetic/embedded/dvc.yaml"
    before, cell = stages.read_text(), ("synthetic", "embedded", "ex1", "identity", "released")
    assert "there are: gd, penalty" in call(project, "-m", "pipelines.train", *cell).stderr

    shutil.copy(project / "core/solvers/template.py", solver)
    line = "      gd: {solver: gd, settings: {upper_step_size: 1e-3, lower_step_size: 1e-4}}\n"
    assert plain.count(line) == 2
    text = plain.replace("methods: [gd, penalty]", "methods: [gd, penalty, identity]")
    params.write_text(text.replace(line, line + line.replace("gd", "identity")))
    done(project, "-m", "pipelines.stages")
    stage = YAML(typ="safe").load(stages)["stages"]["train_embedded_identity"]
    own = {name for name in stage["deps"] if name.startswith("core/solvers/")}
    assert own == {f"core/solvers/{name}.py" for name in ("__init__", "base", "identity")}
    for command in ("train", "evaluate"):
        done(project, "-m", f"pipelines.{command}", *cell)
    folder = project / "results/embedded/synthetic/ex1-identity-released"
    assert json.loads((folder / "metrics.json").read_text())["summary"]["T=2"]["error"]["n"] == 2

    solver.unlink()
    params.write_text(plain)
    done(project, "-m", "pipelines.stages")
    assert stages.read_text() == before
