"""Training a cell by its command: the same bytes always, whatever interrupts it, and clear words for wrong input."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import small_project
from small_project import begun, call, change, done, until

from pipelines.datasets import digits
from pipelines.datasets.splits import digits_splits

CELL = ("denoising", "embedded", "digits-25", "penalty")
FOLDER = Path("results/embedded/denoising/digits-25-penalty")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A small project, and what its denoising cell comes to undisturbed."""
    project = small_project.copy(tmp_path_factory.mktemp("training") / "project")
    done(project, "-m", "pipelines.corrupt", "denoising", "embedded", "digits-25")
    return project, outcome(project)


@pytest.fixture(scope="module")
def augmented(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """The same, of a cell whose minibatches are augmented; fewer steps, since each is longer."""
    project = small_project.copy(tmp_path_factory.mktemp("augmented") / "project")
    params = "pipelines/denoising/params.yaml"
    change(project, params, "network: digits-dense, batch: 100,", "network: digits-dense, augment: affine, batch: 100,")
    done(project, "-m", "pipelines.corrupt", "denoising", "embedded", "digits-25")
    return project, outcome(project)


def outcome(project: Path, **more: str) -> dict[str, bytes]:
    done(project, "-m", "pipelines.train", *CELL, **more)
    done(project, "-m", "pipelines.evaluate", *CELL)
    folder = project / FOLDER
    return {name: (folder / name).read_bytes() for name in ("train.json", "metrics.json")}


def afresh(project: Path) -> None:
    shutil.rmtree(project / "results", ignore_errors=True)
    shutil.rmtree(project / "checkpoints", ignore_errors=True)


def kept(project: Path, name: str) -> list[Path]:
    """What lies under a name in the checkpoints: <number of a group>.pt, or the lock."""
    return list(project.glob(f"checkpoints/*/{name}"))


def test_twice_the_same_bytes_tracked_or_not(trained: tuple[Path, dict[str, bytes]]) -> None:
    project, expected = trained
    afresh(project)
    assert outcome(project, BILEVEL_TRACKING="now", MLFLOW_TRACKING_URI=f"sqlite:///{project}/other.db") == expected
    assert (project / "other.db").stat().st_size > 0
    assert not kept(project, "*.pt")


def test_the_record_says_what_was_done(trained: tuple[Path, dict[str, bytes]]) -> None:
    _, expected = trained
    record = json.loads(expected["train.json"])
    assert record["cell"] == ["digits-25", "penalty"]
    assert [trial["seed"] for trial in record["trials"]] == [0, 1, 2]
    pretraining = 2 * (len(digits_splits(digits.load(), 400).validation.labels) // 100)
    for trial in record["trials"]:
        assert trial["status"] == "finished"
        assert trial["iterations"] == 4 * 8
        # three lower steps, the u-step and the test: each one product of each kind it needs; two epochs of pre-training
        calls = trial["oracle_calls"]
        assert calls["gradients_g"] == 32 * 5
        assert calls["gradients_f"] == 32 * 5 + pretraining
        assert calls["hessian_products"] == 32 * 4
        assert calls["cross_products"] == 32 * 2
        assert len(trial["state_after_first_steps"]) == 64
        assert trial["curve"]["iteration"] == [0, 8, 16, 24, 32]
    assert len({trial["state_after_first_steps"] for trial in record["trials"]}) == 3


@pytest.mark.parametrize(
    ("how", "once_there_is"),
    [
        (signal.SIGKILL, "lock"),  # in the first trial
        (signal.SIGKILL, "0.pt"),  # in the second
        (signal.SIGKILL, "1.pt"),  # in the third
        (signal.SIGINT, "0.pt"),
        (signal.SIGTERM, "0.pt"),
    ],
)
def test_killed_and_run_again(
    trained: tuple[Path, dict[str, bytes]], how: signal.Signals, once_there_is: str
) -> None:
    project, expected = trained
    returned, said = interrupted(project, how, once_there_is)
    if how is signal.SIGINT:
        assert returned == 130
        assert said.strip().splitlines()[-1].startswith("interrupted: run the same command again")
        assert "Traceback" not in said
    assert outcome(project) == expected


@pytest.mark.parametrize("once_there_is", ["lock", "0.pt", "1.pt"])
def test_killed_and_run_again_with_augmentation(augmented: tuple[Path, dict[str, bytes]], once_there_is: str) -> None:
    project, expected = augmented
    interrupted(project, signal.SIGKILL, once_there_is)
    assert outcome(project) == expected


def test_augmentation_changes_the_record(
    trained: tuple[Path, dict[str, bytes]], augmented: tuple[Path, dict[str, bytes]]
) -> None:
    hashes = [
        [trial["state_after_first_steps"] for trial in json.loads(expected["train.json"])["trials"]]
        for _, expected in (trained, augmented)
    ]
    assert set(hashes[0]).isdisjoint(hashes[1])


def interrupted(project: Path, how: signal.Signals, once_there_is: str) -> tuple[int, str]:
    """Begin the training afresh and end it by a signal; what it returned and said.

    On a busy machine the training may have ended before the signal is sent; then it is begun again.
    """
    for _ in range(3):
        afresh(project)
        process = begun(project, "-m", "pipelines.train", *CELL)
        os.setpriority(os.PRIO_PROCESS, process.pid, 19)  # whoever waits for its files shall come first
        until(lambda: kept(project, once_there_is))
        os.kill(process.pid, how)
        said, _ = process.communicate(timeout=60)
        if process.returncode != 0:
            break
    assert process.returncode != 0 and not (project / FOLDER / "train.json").exists()
    return process.returncode, said


def test_goes_on_from_the_checkpoint(trained: tuple[Path, dict[str, bytes]]) -> None:
    project, expected = trained
    interrupted(project, signal.SIGKILL, "0.pt")
    (path,) = kept(project, "0.pt")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    ended = call(project, "-m", "pipelines.train", *CELL)
    assert ended.returncode == 2
    assert ended.stderr.strip().splitlines()[-1].startswith(f"error: the checkpoint {path.relative_to(project)} cannot be")
    path.write_bytes(whole)
    assert outcome(project) == expected


def test_two_at_once_are_refused(trained: tuple[Path, dict[str, bytes]]) -> None:
    project, expected = trained
    afresh(project)
    first = begun(project, "-m", "pipelines.train", *CELL)
    until(lambda: kept(project, "lock"))
    os.kill(first.pid, signal.SIGSTOP)  # still alive, and still holding the lock
    second = call(project, "-m", "pipelines.train", *CELL)  # waits half a minute
    os.kill(first.pid, signal.SIGCONT)
    assert second.returncode == 2
    assert "another process is training this cell" in second.stderr
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert (project / FOLDER / "train.json").read_bytes() == expected["train.json"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("denoising", "embedded", "digits-25", "penalti"), ["'penalti'", "did you mean penalty?", "oracle"]),
        (("denoising", "embedded", "digits-26", "penalty"), ["'digits-26'", "did you mean digits-25?"]),
        (("denoising", "embeded", "digits-25", "penalty"), ["'embeded'", "did you mean embedded?"]),
        (("denoise", "embedded", "digits-25", "penalty"), ["'denoise'", "there are: ", "did you mean denoising?"]),
        (("denoising", "embedded", "penalty"), ["named by data, method", "for instance digits-25"]),
        (("synthetic", "embedded", "ex1", "gd", "publised"), ["'publised'", "released"]),
    ],
)
def test_unknown_names(trained: tuple[Path, dict[str, bytes]], arguments: tuple[str, ...], words: list[str]) -> None:
    project, _ = trained
    ended = call(project, "-m", "pipelines.train", *arguments)
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def test_unknown_solver_and_setting(tmp_path: Path) -> None:
    project = small_project.copy(tmp_path / "project")
    params = project / "pipelines/synthetic/params.yaml"
    whole = params.read_text()
    for old, new, words in (
        ("gd: {solver: gd,", "gd: {solver: gdd,", ["no solver 'gdd'", "did you mean gd?"]),
        ("gd: {solver: gd, settings: {upper", "gd: {solver: gd, settings: {uper", ["no setting uper_step_size"]),
    ):
        assert old in whole
        params.write_text(whole.replace(old, new, 1))
        ended = call(project, "-m", "pipelines.train", "synthetic", "embedded", "ex1", "gd", "released")
        assert ended.returncode == 2, ended.stderr
        line = ended.stderr.strip().splitlines()[-1]
        assert line.startswith("error: pipelines/synthetic/params.yaml: embedded.cells.ex1.gd: ")
        for word in words:
            assert word in line


def test_missing_data_is_named(tmp_path: Path) -> None:
    project = small_project.copy(tmp_path / "project")
    ended = call(project, "-m", "pipelines.train", *CELL)
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert "data/prepared/embedded/digits-25" in line
    assert "python -m pipelines.corrupt denoising embedded digits-25" in line


def test_an_unwritable_folder(trained: tuple[Path, dict[str, bytes]]) -> None:
    project, _ = trained
    afresh(project)
    (project / "results").write_text("a file where the folder should be")
    ended = call(project, "-m", "pipelines.train", *CELL)
    (project / "results").unlink()
    assert ended.returncode == 2
    assert ended.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in ended.stderr
    # nothing of the training was lost
    assert len(kept(project, "0.pt")) == len(kept(project, "2.pt")) == 1
