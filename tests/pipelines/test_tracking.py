"""Tracking: runs, values and tags in MLflow, live and imported; nothing doubled, and no training broken."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines import families, machine, records, runs, track, tracking, train
from pipelines.errors import UserError
from pipelines.live import live
from pipelines.observations import Observation
from pipelines.settings import Cell

ROOT = Path(__file__).resolve().parents[2]
CELL = Cell(
    "denoising",
    "embedded",
    ("digits-25", "penalty"),
    {"solver": "penalty", "epochs": 2, "settings": {"lower_steps": 5, "gamma_0": 0.01}, "seeds": [3, 4]},
    {"threads": 1},
)
DENOISING = "table 3: data denoising"
BESIDE = {"seconds": 90.0, "device": "a chip", "commit": "c0ffee", "date": "2026-03-01T12:00:00+00:00"}


class Work:
    """Stands in for a family: two trials that count iterations; trial 1 turns infinite where `bad`."""

    def __init__(self, observations: int = 4, bad: bool = False) -> None:
        self.groups, self.labels = [[0], [1]], [{"seed": 3}, {"seed": 4}]
        self.iterations, self.bad = observations, bad
        self.record_at = list(range(observations + 1))

    def fingerprints(self) -> dict[str, str]:
        return {"train.npz": "ab" * 32}

    def start(self, group: list[int]) -> Any:
        return torch.zeros(2)

    def advance(self, state: Any, group: list[int], first: int, last: int) -> Any:
        return state + (last - first) + (float("inf") if self.bad and group == [1] else 0)

    def observe(self, state: Any, group: list[int], iteration: int) -> list[Observation]:
        scalars = {"selection accuracy": 90 + group[0] + iteration / 7, "mean importance": 0.5}
        return [Observation(iteration, scalars, {"test predictions": np.full(5, iteration % 256, np.uint8)})]

    def oracle_calls(self, trial: int, iterations: int) -> dict[str, int]:
        return {"gradients_f": 10 + trial}


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables without content: making them takes seconds, copying them nothing."""
    folder = tmp_path_factory.mktemp("database")
    before = os.getcwd()
    os.chdir(folder)
    try:
        tracking.Store()
    finally:
        os.chdir(before)
    return folder / "mlflow.db"


@pytest.fixture
def place(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, with an empty database, as the current one."""
    for name in ("MLFLOW_TRACKING_URI", "BILEVEL_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pipelines.live.START_SECONDS", 0.0)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(monkeypatch: pytest.MonkeyPatch, work: Work, cell: Cell = CELL) -> Path:
    """Run the trainer's command on a stand-in family."""
    monkeypatch.setattr(families, "cell", lambda *_: cell)
    monkeypatch.setattr(families, "build", lambda *_: work)
    monkeypatch.setattr(machine, "end_with_parent", lambda: None)
    monkeypatch.setattr(machine, "source_hash", lambda: "0")
    monkeypatch.setattr(machine, "device", lambda: torch.device("cpu"))
    common = {"threads": torch.get_num_threads(), "first_steps": 1}
    object.__setattr__(cell, "common", common)
    before = torch.are_deterministic_algorithms_enabled()
    try:
        train.main([cell.family, cell.profile, *cell.parts])
    finally:
        torch.use_deterministic_algorithms(before)
    return cell.folder


def recorded(monkeypatch: pytest.MonkeyPatch, work: Work, cell: Cell = CELL) -> Path:
    """A cell's records without any run, as a clone brings them."""
    with monkeypatch.context() as patch:
        patch.setenv("BILEVEL_TRACKING", "0")
        folder = trained(patch, work, cell)
    records.write_json(folder / "run.json", BESIDE)
    return folder


def everything(store: tracking.Store | None = None) -> dict[str, Any]:
    """All runs, by experiment and name of parent and child."""
    client = (store or tracking.Store()).client
    found = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            parent = run.data.tags.get("mlflow.parentRunId", "")
            found[run.info.run_id] = (experiment.name, run, parent)
    return found


def shape() -> list[tuple[str, str, str]]:
    """Experiment, name and status of all runs."""
    return sorted((name, run.info.run_name, run.info.status) for name, run, _ in everything().values())


def run_named(name: str) -> Any:
    (one,) = [run for _, run, _ in everything().values() if run.info.run_name == name]
    return one


def history(run: Any, metric: str) -> list[tuple[int, float]]:
    points = tracking.Store().client.get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.value) for point in points)


WHOLE = [(DENOISING, name, "FINISHED") for name in ("digits-25-penalty", "trial 0", "trial 1")]


def test_import_makes_one_run_a_cell_and_a_child_a_trial(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recorded(monkeypatch, Work())
    assert track.import_records() == (1, 0, 0)
    assert shape() == WHOLE
    parent, child = run_named("digits-25-penalty"), run_named("trial 1")
    key = records.sha256_of_file(folder / "train.json")
    expected = {
        "stage": "train", "profile": "embedded", "family": "denoising", "cell": "digits-25-penalty",
        "commit": "c0ffee", "device": "a chip", "record": key, "data/train.npz": "ab" * 32,
        "configuration_hash": CELL.configuration_hash,
    }  # fmt: skip
    for run in (parent, child):
        assert expected.items() <= run.data.tags.items()
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.data.params["settings/settings/lower_steps"] == "5"
    assert parent.data.params["settings/seeds"] == "[3,4]"
    assert parent.data.params["common/first_steps"] == "1"
    assert child.data.params == {"seed": "4"}
    assert child.data.metrics["oracle calls/gradients_f"] == 11
    assert parent.data.metrics["seconds"] == 90
    assert (parent.info.start_time, parent.info.end_time) == (1_772_366_310_000, 1_772_366_400_000)
    curve = records.read_json(folder / "train.json", "")["trials"][1]["curve"]
    pairs = list(zip(curve["iteration"], curve["selection accuracy"], strict=True))
    assert len(pairs) == 5 and history(child, "selection accuracy") == pairs


def test_a_second_import_adds_nothing_and_is_fast(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, Work())
    track.import_records()
    before = everything().keys()
    with monkeypatch.context() as patch:
        patch.setattr(tracking, "Store", None)  # MLflow is not even asked
        started = time.perf_counter()
        assert track.import_records() == (0, 0, 1)
        assert time.perf_counter() - started < 0.3
    monkeypatch.setattr(track, "_known_by_file", lambda: None)
    assert track.import_records() == (0, 0, 1)
    assert everything().keys() == before


def test_metrics_are_added_to_the_runs_there_are(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recorded(monkeypatch, Work())
    track.import_records()
    before = everything().keys()
    trials: list[dict[str, Any]] = [
        {
            "seed": 3,
            "last": {"test accuracy": 97.2, "note": "?", "missing": None},
            "best on test": {"x, %": 1},
        },
        {"seed": 4, "curve": {"iteration": list(range(90)), "test accuracy": [float(n) for n in range(90)]}},
    ]
    means = {"iteration": [0, 9], "test accuracy": {"mean": [50.0, 97.0], "sd": [1.0, None]}}
    metrics = {"trials": trials, "summary": {"last": {"test accuracy": {"mean": 97.0}}}, "curves": means}
    records.write_json(folder / "metrics.json", metrics)
    assert track.import_records() == (0, 1, 0)
    assert track.import_records() == (0, 0, 1)
    first, second, parent = run_named("trial 0"), run_named("trial 1"), run_named("digits-25-penalty")
    assert first.data.metrics["last/test accuracy"] == 97.2
    assert first.data.metrics["best on test/x_ _"] == 1
    assert not {"seed", "last/note", "last/missing"} & first.data.metrics.keys()
    assert parent.data.metrics["last/test accuracy/mean"] == 97
    assert history(parent, "curve/test accuracy/mean") == [(0, 50), (9, 97)]
    assert history(parent, "curve/test accuracy/sd") == [(0, 1)]
    assert "curve/iteration" not in parent.data.metrics
    assert parent.data.tags["metrics"] == records.sha256_of_file(folder / "metrics.json")
    points = history(second, "test accuracy")
    assert len(points) == 50 and (points[0], points[-1]) == ((0, 0), (89, 89))
    trials[0]["last"]["test accuracy"] = 96.0
    records.write_json(folder / "metrics.json", metrics)
    assert track.import_records() == (0, 1, 0)
    assert run_named("trial 0").data.metrics["last/test accuracy"] == 96
    of_another = {**metrics, "record": "of an earlier train.json", "summary": {"y": 1}}
    records.write_json(folder / "metrics.json", of_another)
    track.import_records()
    assert "y" not in run_named("digits-25-penalty").data.metrics
    assert everything().keys() == before


def test_diverged_trials_fail_and_long_curves_are_thinned(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, Work(observations=199, bad=True))
    track.import_records()
    bad, good, parent = run_named("trial 1"), run_named("trial 0"), run_named("digits-25-penalty")
    assert (bad.info.status, bad.data.tags["status"]) == ("FAILED", "diverged")
    assert parent.data.tags["diverged"] == "1"
    assert (good.info.status, parent.info.status) == ("FINISHED", "FINISHED")
    curves = [history(good, name) for name in ("selection accuracy", "mean importance")]
    assert [len(curve) for curve in curves] == [75, 75] and curves[0][-1][0] == 199


def test_experiments_of_cells_figures_and_timings(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for parts in (("example-1", "gd", "released"), ("ablation-lambda", "penalty", "released")):
        recorded(monkeypatch, Work(1), Cell("synthetic", "cpu", parts, {"solver": parts[1]}, {}))
    records.write_json(
        Path("results/cpu/synthetic/timing.json"), {"settings": {"T": 1}, "seconds": {"gd": 7.4}}
    )
    drawn = Path("reports/cpu/figures")
    for name in ("figure-1.png", "figure-7.png", "table-3.png", "logo.png"):
        records.write_bytes(drawn / name, name.encode())
    assert track.import_records() == (7, 0, 0)
    of = {(name, run.info.run_name) for name, run, parent in everything().values() if not parent}
    assert of == {
        ("figures 1-2: synthetic examples", "example-1-gd-released"),
        ("figure 7: lambda and nu", "ablation-lambda-penalty-released"),
        ("table 2: wall clock", "synthetic-timing"),
        ("figures 1-2: synthetic examples", "figures (cpu)"),
        ("figure 7: lambda and nu", "figures (cpu)"),
        (DENOISING, "figures (cpu)"),
        ("other figures", "figures (cpu)"),
    }
    timing = run_named("synthetic-timing")
    assert timing.data.metrics == {"seconds/gd": 7.4} and timing.data.params == {"settings/T": "1"}
    records.write_bytes(drawn / "figure-2.png", b"drawn later")
    assert track.import_records() == (0, 1, 6)
    assert track.import_records() == (0, 0, 7)
    kept = place / "mlartifacts" / "figures-1-2-synthetic-examples"
    assert {path.name: path.read_bytes() for path in kept.rglob("*.png")} == {
        "figure-1.png": b"figure-1.png",
        "figure-2.png": b"drawn later",
    }


def test_a_live_run_is_seen_while_it_trains_and_then_imports_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    during: list[list[tuple[str, str, str]]] = []

    class Watched(Work):
        def advance(self, state: Any, group: list[int], first: int, last: int) -> Any:
            during.append(shape())
            return super().advance(state, group, first, last)

    folder = trained(monkeypatch, Watched(observations=20))
    assert during[0][0] == (DENOISING, "digits-25-penalty", "RUNNING")
    assert (DENOISING, "trial 0", "RUNNING") in during[-1]
    assert shape() == WHOLE
    assert track.import_records() == (0, 0, 1)
    assert shape() == WHOLE
    parent, child = run_named("digits-25-penalty"), run_named("trial 1")
    assert parent.data.tags["record"] == records.sha256_of_file(folder / "train.json")
    assert parent.data.tags["device"] == machine.processor()
    assert parent.data.tags["data/train.npz"] == "ab" * 32
    curve = records.read_json(folder / "train.json", "")["trials"][1]["curve"]
    pairs = list(zip(curve["iteration"], curve["selection accuracy"], strict=True))
    assert history(child, "selection accuracy") == pairs
    assert child.data.params == {"seed": "4"}


def test_a_long_live_run_keeps_within_its_points(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(monkeypatch, Work(observations=199))
    steps = [step for step, _ in history(run_named("trial 0"), "mean importance")]
    assert len(steps) == 75 and steps[-1] == 199


def test_what_was_observed_before_a_resumption_is_filled_in(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recorded(monkeypatch, Work(observations=20))
    with live(CELL, "cpu") as report:
        report.observed(1, Work().observe(None, [1], 15)[0])
        report.finished(folder / "train.json")
    assert [step for step, _ in history(run_named("trial 1"), "mean importance")] == list(range(21))
    assert shape() == WHOLE


def test_a_cell_done_at_once_is_left_to_the_importer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.live.START_SECONDS", 60.0)
    trained(monkeypatch, Work())
    assert shape() == []
    assert track.import_records() == track.Counts(1, 0, 0)
    assert shape() == WHOLE


def test_an_exception_ends_the_runs_and_passes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for error, status in ((ValueError("no such thing"), "FAILED"), (KeyboardInterrupt(), "KILLED")):
        with pytest.raises(type(error)), live(CELL, "cpu") as report:
            report.observed(0, Work().observe(None, [0], 1)[0])
            raise error
        assert {(DENOISING, name, status) for name in ("digits-25-penalty", "trial 0")} <= set(shape())
    assert "warning" not in capsys.readouterr().err


STARTS = f"""
import multiprocessing, sys, time, types
sys.path.insert(0, {str(ROOT)!r})
import pipelines
# the real one imports torch, which takes seconds
pipelines.machine = sys.modules["pipelines.machine"] = types.SimpleNamespace(commit=lambda: "unknown")
import mlflow.store.tracking.sqlalchemy_store, mlflow.tracking
from pipelines.live import LiveRun
from pipelines.observations import Observation
from pipelines.settings import Cell

def start(name, barrier):
    barrier.wait()
    run = LiveRun(Cell("denoising", "embedded", ("digits-25", name), {{"a": 1}}, {{"threads": 1}}), "cpu")
    run.observed(0, Observation(0, {{"accuracy": 1.0}}, {{}}))
    run.flush(wait=False)
    print("started" if run.on else "off", flush=True)

names = sys.argv[1:]
fork = multiprocessing.get_context("fork")
barrier = fork.Barrier(len(names))
others = [fork.Process(target=start, args=(name, barrier)) for name in names[1:]]
for other in others:
    other.start()
start(names[0], barrier)
for other in others:
    other.join()
sys.stdin.read()
"""


def start(*names: str) -> subprocess.Popen[str]:
    """A process for each name, started together, that begins a live run, says so, and dies with it."""
    command = [sys.executable, "-c", STARTS, *names]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_a_killed_run_is_ended_by_the_next_but_a_living_one_is_left(place: Path) -> None:
    process = start("penalty")
    assert process.stdout is not None and process.stdout.readline() == "started\n"
    cell = Cell("denoising", "embedded", ("digits-25", "penalty"), {"a": 1}, {"threads": 1})
    with pytest.raises(UserError), live(cell, "cpu"):
        raise UserError("another process is training this cell")
    statuses = [status for _, _, status in shape()]
    assert sorted(statuses) == ["FAILED", "RUNNING", "RUNNING"]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with pytest.raises(UserError), live(cell, "cpu"):
        raise UserError("stop")
    assert sorted(status for _, _, status in shape()) == ["FAILED", "FAILED", "KILLED", "KILLED"]


def test_the_importer_leaves_a_cell_that_trains_and_ends_one_that_died(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell("denoising", "embedded", ("digits-25", "penalty"), {"a": 1}, {})
    recorded(monkeypatch, Work(1), cell)
    store = tracking.Store()
    tags = runs.tags_of({**cell.configuration, "configuration_hash": cell.configuration_hash})
    marks = {**tags, "level": "cell", "process": tracking.process()}
    left = store.begin(DENOISING, "left", marks, tracking.now())
    assert track.import_records() == (0, 0, 1)
    store.log(left, tags={"process": f"{os.uname().nodename} {os.getpid()} 1"})  # that process had our number
    assert track.import_records() == (1, 0, 0)
    assert run_named("left").info.status == "KILLED"


def test_six_processes_may_start_on_a_fresh_database(place: Path) -> None:
    (place / "mlflow.db").unlink()
    answer = start(*(f"method-{number}" for number in range(6))).communicate(timeout=120)
    assert answer == ("started\n" * 6, "")
    assert len(everything()) == 12
    assert sorted(path.name for path in place.glob("ml*")) == ["mlartifacts", "mlflow.db"]


def test_records_have_the_same_bytes_without_tracking(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numpy_before, torch_before = repr(np.random.get_state()), torch.get_rng_state()
    with_tracking = (trained(monkeypatch, Work()) / "train.json").read_bytes()
    assert repr(np.random.get_state()) == numpy_before
    assert torch.equal(torch.get_rng_state(), torch_before)
    made = len(everything())
    monkeypatch.setenv("BILEVEL_TRACKING", "0")
    (CELL.folder / "train.json").unlink()
    assert (trained(monkeypatch, Work()) / "train.json").read_bytes() == with_tracking
    assert len(everything()) == made == 3


def broken(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)


def vanished(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE metrics")


@pytest.mark.parametrize("harm", [broken, vanished])
def test_a_broken_database_is_one_warning(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Path], None],
) -> None:
    harm(place / "mlflow.db")
    folder = trained(monkeypatch, Work())
    assert (folder / "train.json").exists()
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: no MLflow run for digits-25-penalty")
    assert "python -m pipelines.track" in warning


def test_a_broken_database_is_one_clear_error_to_the_importer(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, Work())
    broken(place / "mlflow.db")
    with pytest.raises(UserError, match="mlflow.db .*not a database.*delete it"):
        track.import_records()


def test_a_locked_database_is_one_clear_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, Work())
    connect = sqlite3.connect
    with connect(place / "mlflow.db") as holder:
        holder.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(
            sqlite3, "connect", lambda *args, **more: connect(*args, **(more | {"timeout": 0.1}))
        )
        with pytest.raises(UserError, match="locked.*end the process that locks it"):
            track.import_records()
        holder.rollback()


def test_a_deleted_database_is_rebuilt(
    place: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> None:
    recorded(monkeypatch, Work())
    track.import_records()
    shutil.copy(empty_database, place / "mlflow.db")
    assert track.import_records() == (1, 0, 0)
    assert shape() == WHOLE


def test_the_command(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    track.main([])
    assert capsys.readouterr().out == "MLflow: 0 runs made, 0 updated, 0 up to date\n"
    monkeypatch.setenv("BILEVEL_TRACKING", "0")
    track.main([])
    assert "off" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        track.main(["--profile", "gpu"])
    assert "invalid choice: 'gpu'" in capsys.readouterr().err


def test_one_profile_is_imported(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, Work())
    assert track.import_records("cpu") == (0, 0, 0)
    assert track.import_records("embedded") == (1, 0, 0)
    assert track.import_records() == (0, 0, 1)
