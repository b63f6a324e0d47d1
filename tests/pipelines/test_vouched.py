"""Prepared data is used only where index.json vouches for it and params.yaml still asks for it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_project import ROOT, call

from pipelines import corrupt, facts
from pipelines.datasets import sealed, vouched
from pipelines.datasets.prepared import folder_of, load_oracle_mask, load_training, read_index
from pipelines.errors import UserError

PARAMS = """
common: {threads: 1, first_steps: 2}
embedded:
  data: [some, other]
  prepared:
    some: {source: digits, noise: 0.5, train_size: 200, seeds: [0, 1], remark: 2020-01-01}
    other: {source: digits, noise: 0.25, train_size: 200, seeds: [2, 3]}
  cells:
    some:
      train-val: {solver: single-level, preset: released, use: both, network: digits-dense, batch: 50, epochs: 1,
                  evaluations: 1, settings: {lower_step_size: 1e-3}}
"""
FOLDER = folder_of("embedded", "some")
COMMAND = "run `python -m pipelines.corrupt denoising embedded some`"
READERS: dict[str, Callable[[Path], Any]] = {
    "train.npz": load_training, "oracle.npz": load_oracle_mask, "sealed.npz": sealed.load_sealed,
}  # fmt: skip


def write_params(text: str = PARAMS) -> None:
    Path("pipelines/denoising/params.yaml").write_text(text)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("pipelines/denoising").mkdir(parents=True)
    write_params()
    corrupt.main(["denoising", "embedded", "some"])
    return tmp_path


def changed(path: Path) -> None:
    """Write a file anew with one number changed, in the array that comes last."""
    with np.load(path) as archive:
        arrays = dict(archive)
    last = list(arrays)[-1]
    arrays[last].reshape(-1)[-1] ^= 1
    np.savez(path, **arrays)


def refused(read: Callable[[Path], Any], *words: str) -> None:
    with pytest.raises(UserError) as caught:
        read(FOLDER)
    assert "\n" not in str(caught.value)
    for part in (*words, COMMAND):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", READERS)
def test_one_changed_number_is_refused(root: Path, name: str) -> None:
    READERS[name](FOLDER)
    changed(FOLDER / name)
    refused(READERS[name], f"{FOLDER / name} is not the file that {FOLDER / 'index.json'} vouches for")
    for other in set(READERS) - {name}:
        READERS[other](FOLDER)
    corrupt.main(["denoising", "embedded", "some"])
    READERS[name](FOLDER)


@pytest.mark.parametrize("name", READERS)
def test_the_file_of_another_data_set_is_refused(root: Path, name: str) -> None:
    corrupt.main(["denoising", "embedded", "other"])
    shutil.copy(folder_of("embedded", "other") / name, FOLDER / name)
    if name == "sealed.npz":  # it has the same right labels
        READERS[name](FOLDER)
    else:
        refused(READERS[name], f"{FOLDER / name} is not the file")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("train_size: 200, seeds: [0, 1]", "train_size: 100, seeds: [0, 1]", "train_size was 200, is 100"),
        ("seeds: [0, 1]", "seeds: [1, 0]", "seeds was [0, 1], is [1, 0]"),
        (", remark: 2020-01-01", "", "remark was 2020-01-01, is left out"),
        ("remark:", "rule: uniform, remark:", "rule was left out, is uniform"),
        ("remark:", "majority: null, remark:", "majority was left out, is None"),
    ],
)
@pytest.mark.parametrize("name", READERS)
def test_data_of_other_settings_is_refused(root: Path, name: str, old: str, new: str, words: str) -> None:
    READERS[name](FOLDER)
    assert PARAMS.count(old) == 1
    write_params(PARAMS.replace(old, new))
    refused(READERS[name], f"{FOLDER} was prepared from other settings than pipelines/denoising/params.yaml: "
            f"embedded.prepared.some has now ({words})", "or set them back")  # fmt: skip
    write_params()
    READERS[name](FOLDER)


def test_an_entry_that_is_gone_is_named(root: Path) -> None:
    write_params(PARAMS.replace("    some: {source", "    same: {source"))
    with pytest.raises(UserError, match=r"no key embedded\.prepared\.some; beside it there is: same, other"):
        load_training(FOLDER)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda index: index.unlink(), "index.json is missing"),
        (lambda index: index.write_text("{half"), "index.json is no valid JSON"),
        (lambda index: rewritten(index, "entry"), "index.json does not say from which settings"),
        (lambda index: rewritten(index, "files"), "train.npz is not the file"),
    ],
)
def test_without_its_index_nothing_vouches(root: Path, spoil: Callable[[Path], Any], words: str) -> None:
    spoil(FOLDER / "index.json")
    with pytest.raises(UserError, match=words) as caught:
        load_training(FOLDER)
    assert "`python -m pipelines.corrupt denoising embedded some`" in str(caught.value)


def rewritten(index: Path, without: str) -> None:
    found = json.loads(index.read_text())
    del found[without]
    index.write_text(json.dumps(found))


def test_a_file_is_hashed_once_in_a_process(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, hashed = vouched.sha256, []
    monkeypatch.setattr(vouched, "sha256", lambda array: hashed.append(array.nbytes) or plain(array))
    for _ in range(3):
        load_training(FOLDER)
    assert len(hashed) == 8  # its arrays
    load_oracle_mask(FOLDER)
    assert len(hashed) == 9
    # written anew within a tick of the clock, or with an old date
    times = (FOLDER / "train.npz").stat()
    corrupt.main(["denoising", "embedded", "some"])
    os.utime(FOLDER / "train.npz", ns=(times.st_atime_ns, times.st_mtime_ns))
    load_training(FOLDER)
    assert len(hashed) == 17


def test_the_check_changes_no_number(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So no cell depends on its code."""
    checked = load_training(FOLDER)
    monkeypatch.setattr(vouched, "check_arrays", lambda *_: None)
    monkeypatch.setattr(vouched, "check_settings", lambda *_: None)
    for one, other in zip(checked, load_training(FOLDER), strict=True):
        assert one.dtype == other.dtype and one.tobytes() == other.tobytes()


def test_facts_are_those_of_the_settings(root: Path) -> None:
    corrupt.main(["denoising", "embedded", "other"])
    facts.main(["denoising", "embedded"])
    written = json.loads(Path("results/embedded/denoising/data.json").read_text())["data"]["some"]
    assert "entry" not in written and written["settings"]["noise"] == 0.5
    assert read_index(FOLDER)["entry"] == {
        "source": "digits", "noise": 0.5, "train_size": 200, "seeds": [0, 1], "remark": "2020-01-01"
    }  # fmt: skip
    write_params(PARAMS.replace("seeds: [0, 1]", "seeds: [1]"))
    with pytest.raises(UserError, match="was prepared from other settings"):
        facts.main(["denoising", "embedded"])


def test_training_refuses_in_one_line_and_writes_nothing(root: Path) -> None:
    changed(FOLDER / "train.npz")
    ended = call(root, "-m", "pipelines.train", "denoising", "embedded", "some", "train-val", PYTHONPATH=str(ROOT))
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"error: {FOLDER / 'train.npz'} is not the file") and COMMAND in ended.stderr
    assert not Path("results").exists()
