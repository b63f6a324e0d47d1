"""Clean-label cells of the profiles cpu and paper start and take two upper iterations, on random images of their size.

What is cut: rows, targets (two), bounds (one), the epochs before the attack, and Inception's weights, which are random.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_project import ROOT
from torchvision.models import inception_v3  # type: ignore[import-untyped]

from core.trees import leaves
from pipelines import families, records, settings
from pipelines.clean_label import networks, prepare
from pipelines.clean_label.run import Run, image_of
from pipelines.datasets import entries, inception, preparing, sources
from pipelines.datasets.prepared import folder_of
from pipelines.datasets.splits import Split, Splits
from pipelines.settings import Cell

CHANNELS_AND_SIDE = {"mnist": (28, 28), "dogfish-imagenette": (3, 96, 96), "dogfish": (3, 299, 299)}


def cells() -> list[Any]:
    """Every cell of both profiles that attacks, described or listed; those with Inception take seconds each."""
    found = []
    for profile in ("cpu", "paper"):
        block = settings.profile_params("clean_label", profile)
        for data in block["data"]:
            slow = [pytest.mark.slow] if block["prepared"][data]["features"] == "inception" else []
            for name in block["cells"][data]:
                found.append(pytest.param(profile, data, name, marks=slow, id=f"{profile}-{data}-{name}"))
    return found


def random_inception() -> inception.Features:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = inception_v3(weights=None, init_weights=False, aux_logits=True, transform_input=False)
    network.fc, network.AuxLogits = torch.nn.Identity(), None
    return inception.Features(network)


def write_data(profile: str, data: str) -> None:
    """What preparation makes of a few random images, and a list of the first two as targets."""
    entry = entries.read_entry("clean_label", profile, data)
    asked = prepare.read(entry)
    random, shape = np.random.default_rng(0), CHANNELS_AND_SIDE[asked.source]

    def split(rows: int) -> Split:
        return Split(random.integers(0, 256, (rows, *shape)).astype(np.uint8), (np.arange(rows) % 2).astype(np.uint8))

    network = None
    if asked.learned is not None:
        body = networks.convolutional(1 if len(shape) == 2 else 3, asked.learned.widths, asked.learned.places)
        count = sum(one.numel() for one in body.parameters())
        network = random.normal(size=count, scale=0.05).astype(np.float32)
    made = prepare.prepared(Splits(split(6), split(0), split(2), split(4)), asked, {}, network)
    preparing.write(folder_of(profile, data, "clean_label"), made, entry.found)
    listed = {"targets": {"rows": [0, 2], "classes": [0, 1], "bases": [1, 3]}}
    records.write_json(records.cell_folder(profile, "clean_label", data, "clean") / "metrics.json", listed)


def small(cell: Cell) -> Cell:
    cut: dict[str, Any] = {"iterations": 2, "evaluations": 1, "pretrain": {**cell.settings["pretrain"], "epochs": 2}}
    if "epsilons" in cell.settings:
        cut |= {"epsilons": cell.settings["epsilons"][-1:], "targets": 2, "together": 2}
    return dataclasses.replace(cell, settings={**cell.settings, **cut})


@pytest.mark.parametrize(("profile", "data", "method"), cells())
def test_two_upper_iterations(
    profile: str, data: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pipelines/clean_label").mkdir(parents=True)
    (tmp_path / "pipelines/clean_label/params.yaml").write_text((ROOT / "pipelines/clean_label/params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    network = random_inception() if data == "dogfish" else None
    monkeypatch.setattr(inception, "load", lambda: network)

    def features(name: str, images: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(images.astype(np.float32)) / 127.5 - 1
        with torch.no_grad():
            return np.asarray(inception.load()(pixels).numpy().astype(np.float64))

    monkeypatch.setattr(sources, "features", features)
    write_data(profile, data)
    cell = small(families.cell("clean_label", profile, (data, method)))
    work = Run(cell, torch.device("cpu"))
    group = work.groups[0]
    state: Any = work.start(group)
    if method == "clean":
        (seen,) = work.observe(state, group, 0)
        assert 0 <= seen.scalars["selection accuracy"] <= 100
        return
    before = image_of(state.u).clone()
    state = work.advance(state, group, 0, 2)
    assert state.iteration.tolist() == [2, 2]
    assert all(bool(torch.isfinite(leaf).all()) for leaf in leaves((image_of(state.u), state.v)))
    assert bool((image_of(state.u) != before).flatten(0, -2).any(0).all())  # of both trials
    for one, target in zip(work.observe(state, group, 2), work.targets, strict=True):
        assert one.arrays["features"].size == 4 * work.prepared.test_features.shape[1]
        assert one.arrays["poison"].shape == target.base.shape
        bound = cell.settings["epsilons"][0]
        assert one.scalars["distortion"] <= (np.inf if bound is None else bound)
    assert work.oracle_calls(0, 2)["gradients_f"] > 0


def test_the_cells_that_are_listed_are_described() -> None:
    for profile in settings.PROFILES:
        block = settings.profile_params("clean_label", profile)
        for data in block["data"]:
            assert set(block["methods"]) <= set(block["cells"][data])
            assert block["methods"][:1] in ([], ["clean"])
