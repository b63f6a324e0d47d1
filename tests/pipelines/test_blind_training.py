"""Training never opens the sealed labels: it gives the same bytes without them, and no file of that name is opened."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_project import CLEAN_LABEL, POISONING, ROOT, call, done

from pipelines import corrupt, evaluate, families, records, train
from pipelines.datasets.prepared import folder_of

PARAMS = """
common: {threads: 1, first_steps: 2}
embedded:
  prepared:
    digits-25: {source: digits, noise: 0.25, train_size: 200, seeds: [0, 1]}
  cells:
    digits-25:
      oracle: {solver: single-level, preset: released, use: oracle, network: digits-dense, batch: 50, epochs: 1,
               evaluations: 2, settings: {lower_step_size: 1e-3}}
      penalty:
        {solver: penalty, preset: released, use: train, network: digits-dense, batch: 50, epochs: 1, evaluations: 2,
         pretrain: {epochs: 1, step_size: 1e-3}, importances: {agree: 0.6, disagree: 0.4}, renormalise: true,
         moments: position, settings: {lower_steps: 1, upper_step_size: 3.0, lower_step_size: 1e-3}}
"""
FOLDER = folder_of("embedded", "digits-25")
RECORD = Path("results/embedded/denoising/digits-25-penalty/train.json")
TRAIN = ("-m", "pipelines.train", "denoising", "embedded", "digits-25", "penalty")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with prepared data, in which the project's own commands run."""
    monkeypatch.chdir(tmp_path)
    Path("pipelines/denoising").mkdir(parents=True)
    Path("pipelines/denoising/params.yaml").write_text(PARAMS)
    corrupt.main(["denoising", "embedded", "digits-25"])
    return tmp_path


def trained(root: Path) -> bytes:
    """What the command writes, from the start."""
    RECORD.unlink(missing_ok=True)
    done(root, *TRAIN, PYTHONPATH=str(ROOT))
    return RECORD.read_bytes()


def test_training_gives_the_same_bytes_without_the_sealed_labels(root: Path) -> None:
    expected = trained(root)
    sealed = FOLDER / "sealed.npz"
    with np.load(sealed) as arrays:
        others = {name: (arrays[name] + 1) % 10 for name in arrays.files}
    np.savez(sealed, **others)
    assert trained(root) == expected
    sealed.write_bytes(b"no labels")
    assert trained(root) == expected
    sealed.unlink()
    assert trained(root) == expected
    # it does depend on what it may see
    (FOLDER / "train.npz").unlink()
    assert call(root, *TRAIN, PYTHONPATH=str(ROOT)).returncode == 2


WATCHED: list[list[str]] = []
"""Where the names of opened files go at present; an audit hook stays for good."""


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if WATCHED and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        WATCHED[-1].append(os.path.basename(os.fsdecode(arguments[0])))


@functools.cache
def _watch() -> None:
    sys.addaudithook(_note)


@contextmanager
def opened() -> Iterator[list[str]]:
    """The names of all files that are opened within, by whatever means Python has."""
    _watch()
    WATCHED.append([])
    try:
        yield WATCHED[-1]
    finally:
        WATCHED.pop()


@pytest.mark.parametrize(("method", "expected"), [("penalty", {"train.npz"}), ("oracle", {"train.npz", "oracle.npz"})])
def test_a_run_opens_no_sealed_file(root: Path, method: str, expected: set[str]) -> None:
    """From the run's construction to its last observation; the labels lie there and could be read."""
    cell = families.cell("denoising", "embedded", ("digits-25", method))
    with opened() as names:
        work = families.build(cell, torch.device("cpu"))
        for group in work.groups:
            state = work.advance(work.start(group), group, 0, work.iterations)
            (seen,) = work.observe(state, group, work.iterations)
            assert len(seen.arrays["test predictions"]) == 500
        train.train(cell, torch.device("cpu"))
        work.fingerprints()
    assert {name for name in names if name.endswith(".npz")} == expected
    assert (FOLDER / "sealed.npz").exists()


FEW_SHOT = """
common: {threads: 1, first_steps: 2}
embedded:
  prepared:
    small: {source: glyphs, way: 5, shot: 1, query: 3, meta_batch: 4, selection_tasks: 6, test_tasks: 8, seeds: [0, 1]}
  cells:
    small:
      penalty: {form: heads, solver: penalty, preset: released, network: omniglot-16, iterations: 4, evaluations: 2,
                selection_tasks: 4, curve_tasks: 4, query: 2, meta_batch: 3, trials: 1,
                adapt: {optimizer: adam, steps: 5, step_size: 1e-2},
                settings: {lower_steps: 2, upper_step_size: 1e-2, lower_step_size: 1e-2, gamma_0: 1e-3, nu_0: 1e-4}}
"""
OTHERS = [
    # evaluation lists the targets of a clean-label attack, so its clean model comes first
    ("few_shot", FEW_SHOT, "small", ("penalty",), {"train.npz", "test.npz"}),
    ("poisoning", POISONING, "digits-untargeted", ("label-flipping", "penalty"), {"train.npz"}),
    ("poisoning", POISONING, "digits-targeted", ("label-flipping", "penalty"), {"train.npz"}),
    ("clean_label", CLEAN_LABEL, "digits-4-9", ("clean", "penalty"), {"train.npz"}),
]


@pytest.mark.parametrize(
    ("family", "params", "data", "methods", "expected"), OTHERS, ids=[f"{one[0]}-{one[2]}" for one in OTHERS]
)
def test_no_family_opens_a_sealed_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, params: str, data: str, methods: tuple[str, ...],
    expected: set[str],
) -> None:
    """From the run's construction to its record; the evaluation does open it, so it lies where a run would look."""
    monkeypatch.chdir(tmp_path)
    Path("pipelines", family).mkdir(parents=True)
    Path("pipelines", family, "params.yaml").write_text(params)
    corrupt.main([family, "embedded", data])
    for method in methods:
        cell = families.cell(family, "embedded", (data, method))
        with opened() as names:
            record = train.train(cell, torch.device("cpu"))
            families.build(cell, torch.device("cpu")).fingerprints()
        assert {name for name in names if name.endswith(".npz")} == expected
        with opened() as names:
            records.write_json(cell.folder / "train.json", record)
            evaluate.main([family, "embedded", data, method])
        assert "sealed.npz" in names


def test_the_watch_sees_every_way_to_open(root: Path) -> None:
    path = FOLDER / "sealed.npz"
    ways = (np.load, open, Path.read_bytes, np.fromfile, lambda one: os.close(os.open(one, os.O_RDONLY)))
    for way in ways:
        with opened() as names:
            found = way(path)  # type: ignore[operator]
        if hasattr(found, "close"):
            found.close()
        assert "sealed.npz" in names
