"""MLflow shows the numbers of the tables: committed records are imported, both are read, and compared."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines import sources, tables, told, track, tracking
from pipelines.published import LABELS

ROOT = Path(__file__).resolve().parents[2]
CELLS = {
    "synthetic": [f"ex1-{method}-{preset}" for method in ("gd", "rmd", "approxgrad", "penalty")
                  for preset in ("released", "described")],
    "denoising": [f"{data}-{method}" for data in ("mnist-25", "mnist-50")
                  for method in ("oracle", "val-only", "train-val", "approxgrad", "penalty")],
    "poisoning": [f"mnist-untargeted-{method}" for method in ("label-flipping", "approxgrad", "penalty")],
}  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Any]]:
    """(family, cell) -> the cell's run, read back from MLflow after the importer ran on the committed records."""
    place = tmp_path_factory.mktemp("place")
    for family, cells in CELLS.items():
        for cell in cells:
            shutil.copytree(ROOT / "results/cpu" / family / cell, place / "results/cpu" / family / cell)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "BILEVEL_TRACKING"):
            patch.delenv(name, raising=False)
        patch.chdir(place)
        assert track.import_records("cpu") == (sum(map(len, CELLS.values())), 0, 0)
        store = tracking.Store()
        runs = [run for name in tracking.EXPERIMENTS.values() for run in store.search(name, level="cell")]
        yield {(run.data.tags["family"], run.data.tags["cell"]): run for run in runs}


@pytest.fixture(scope="module")
def drawn() -> Mapping[str, list[dict[str, Any]]]:
    """The rows of the committed profile's tables as numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        inputs = sources.load("cpu")
        return {name: told.rows(tables.draw(inputs, name)) for name in ("figure-1", "denoising", "poisoning", "costs")}


def test_every_cell_is_there(shown: dict[tuple[str, str], Any]) -> None:
    assert set(shown) == {(family, cell) for family, cells in CELLS.items() for cell in cells}


def test_distances(shown: dict[tuple[str, str], Any], drawn: Mapping[str, list[dict[str, Any]]]) -> None:
    compared = 0
    for row in drawn["figure-1"]:
        if row["example"] != "1":
            continue
        method = next(name for name, label in LABELS.items() if label == row["method"])
        for preset in ("released", "described"):
            metrics = shown["synthetic", f"ex1-{method}-{preset}"].data.metrics
            for what in ("mean", "sd"):
                assert metrics[f"T_{row['T']}/error/{what}"] == row[f"{preset} {what}"]
                compared += 1
    assert compared == 3 * 4 * 2 * 2


def test_accuracies(shown: dict[tuple[str, str], Any], drawn: Mapping[str, list[dict[str, Any]]]) -> None:
    assert len(drawn["denoising"]) == len(CELLS["denoising"])
    for row in drawn["denoising"]:
        method = next(name for name, label in LABELS.items() if label == row["method"])
        metrics = shown["denoising", f"{row['data']}-{method}"].data.metrics
        for iterate in ("last", "selected", "best on test"):
            for what in ("mean", "sd"):
                assert metrics[f"{iterate}/test accuracy/{what}"] == row[f"{iterate} {what}"]


def test_attacks(shown: dict[tuple[str, str], Any], drawn: Mapping[str, list[dict[str, Any]]]) -> None:
    names, compared = {"Label flipping": "label-flipping", **{label: name for name, label in LABELS.items()}}, 0
    for row in drawn["poisoning"]:
        cell = shown.get(("poisoning", f"{row['data']}-{names.get(row['method'], '')}"))
        if cell is not None:
            for judge in ("judge", "Adam"):
                point = f"points_{row['points']}/{judge}/test accuracy"
                assert [cell.data.metrics[f"{point}/{what}"] for what in ("mean", "sd")] == [
                    row[f"{judge} mean"], row[f"{judge} sd"]
                ]  # fmt: skip
                compared += 1
    assert compared >= 2 * len(CELLS["poisoning"])


def test_costs(shown: dict[tuple[str, str], Any], drawn: Mapping[str, list[dict[str, Any]]]) -> None:
    rows = {(row["family"], row["cell"].replace(" ", "-")): row for row in drawn["costs"]}
    for name, run in shown.items():
        assert run.data.metrics["seconds"] == rows[name]["seconds"]
        assert run.data.metrics["peak_memory_bytes"] == pytest.approx(1e6 * rows[name]["peak memory MB"], abs=5e4)
        assert run.data.tags["device"] == rows[name]["device"]
