"""How a drawn thing was made: on a small made-up pipeline by hand, and on the committed one."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pipelines import trace
from pipelines.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """raw -> prepared -> train -> metrics -> summary of two families -> a table that names one of them."""
    files = {
        "data/raw/mnist/images": "raw", "data/prepared/cpu/some/train.npz": "prepared", "core/solver.py": "code",
        "results/cpu/one/a/train.json":
            '{"cell": ["a"], "data": {"train.npz": "abcdef0123456789"}, "configuration_hash": "c0ffee"}',
        "results/cpu/one/a/run.json":
            '{"commit": "1234567890abcdef", "date": "2026-01-02T03:04:05", "device": "a chip", "cpu_seconds": 12.4}',
        "results/cpu/one/a/metrics.json": "{}", "results/cpu/one/summary.json": "one", "results/cpu/two/summary.json": "two",
        "reports/cpu/tables/some.md": "Drawn from: profile cpu; one/summary.json 0123456789ab.", "pipelines/tables.py": "x",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def lock(home: str, stages: dict[str, tuple[str, list[str], list[str]]]) -> None:
        lines = ["schema: '2.0'", "stages:"]
        for name, (command, deps, outs) in stages.items():
            lines += [f"  {name}:", f"    cmd: {command}"]
            for key, paths in (("deps", deps), ("outs", outs)):
                lines.append(f"    {key}:" + ("" if paths else " []"))
                for path in paths:
                    lines += [f"    - path: {path}", f"      md5: {md5(files.get(path, ''))}"]
        (tmp_path / home).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / home).write_text("\n".join(lines) + "\n")

    cell = "results/cpu/one/a"
    lock("pipelines/datasets/dvc.lock", {"fetch_mnist": ("fetch mnist", [], ["data/raw/mnist/images"])})
    lock(
        "pipelines/one/cpu/dvc.lock",
        {
            "corrupt": ("corrupt", ["data/raw/mnist/images"], ["data/prepared/cpu/some/train.npz"]),
            "train": ("train a", ["core/solver.py", "data/prepared/cpu/some/train.npz"], [f"{cell}/train.json"]),
            "evaluate": ("evaluate a", [f"{cell}/train.json"], [f"{cell}/metrics.json"]),
            "summary_cpu": ("summary one", [f"{cell}/metrics.json"], ["results/cpu/one/summary.json"]),
        },
    )
    lock("pipelines/two/cpu/dvc.lock", {"summary_cpu": ("summary two", [], ["results/cpu/two/summary.json"])})
    read = ["pipelines/tables.py", "results/cpu/one/summary.json", "results/cpu/two/summary.json"]
    lock("dvc.lock", {"tables@cpu": ("tables cpu", read, ["reports/cpu/tables"])})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_up_to_the_raw_files(place: Path) -> None:
    said = list(trace.traced("reports/cpu/tables/some.md"))
    commands = [line.strip() for line in said[said.index("to make it anew, in this order") + 1 :]]
    # the other family is in the stage, and not in the table
    assert commands == ["fetch mnist", "corrupt", "train a", "evaluate a", "summary one", "tables cpu"]
    text = "\n".join(said)
    assert "two/summary.json" not in text
    (cell,) = [line for line in said if "results/cpu/one/a:" in line]
    assert "commit 1234567890ab" in cell and "2026-01-02" in cell and "a chip" in cell and "train.npz abcdef012345" in cell
    assert f"{md5('raw')[:12]}  data/raw/mnist/images from https://" in text
    assert "as it is now" in text and "CHANGED" not in text and "changed since" not in text


def test_what_changed_since_is_said(place: Path) -> None:
    (place / "results/cpu/one/summary.json").write_text("other")
    (place / "pipelines/tables.py").write_text("y")
    (place / "data/prepared/cpu/some/train.npz").unlink()
    text = "\n".join(trace.traced(str(place / "reports/cpu/tables/some.md")))
    assert "results/cpu/one/summary.json, it has CHANGED since" in text
    assert "1 files; changed since: pipelines/tables.py" in text


def test_what_names_no_input_has_all_of_its_stage(place: Path) -> None:
    (place / "reports/cpu/tables/other.md").write_text("nothing")
    assert "summary two" in "\n".join(trace.traced("reports/cpu/tables/other.md"))


def test_mistakes(place: Path) -> None:
    with pytest.raises(UserError, match="is no file here"):
        list(trace.traced("reports/cpu/tables/none.md"))
    (place / "README.md").write_text("x")
    with pytest.raises(UserError, match="no stage of the pipeline makes README.md"):
        list(trace.traced("README.md"))
    for path in place.glob("**/dvc.lock"):
        path.unlink()
    with pytest.raises(UserError, match="no dvc.lock"):
        list(trace.traced("README.md"))


def test_of_the_committed_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    said = list(trace.traced("reports/cpu/tables/denoising.md"))
    text = "\n".join(said)
    assert "python -m pipelines.fetch mnist" in text and "python -m pipelines.train denoising cpu mnist-25 penalty" in text
    assert "pipelines.train synthetic" not in text
    cells = [line for line in said if line.lstrip()[12:].startswith("  results/cpu/denoising/")]
    assert len(cells) == len([path for path in os.scandir("results/cpu/denoising") if path.is_dir()])
    assert all("commit " in line for line in cells)
