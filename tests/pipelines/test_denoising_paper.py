"""Every denoising cell of the profile `paper` starts, takes two upper iterations and is observed, on small data of the real
shapes.

What is cut: images and minibatches (to 3, of the wide residual network to 1 or 2, or to all rows where the cell's is a full
batch; the radius of a ball with them), pre-training (one epoch, none of the wide network), and lower steps, to 2 of
convolutional networks and 20 of softmax regression. Networks, forms, optimisers, pixels, augmentation, dropout and all else
are the cells' own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_data import write_prepared
from small_project import ROOT

from core.networks.wide_resnet import WideResNet
from core.products import KINDS, counting
from core.trees import dimension, leaves, tree_map
from pipelines import records, settings, summary, train
from pipelines.datasets.entries import Entry
from pipelines.datasets.preparing import data_sets
from pipelines.denoising import cells, prepare
from pipelines.denoising import data as tensors
from pipelines.denoising.run import Run
from pipelines.searches import is_tuned
from pipelines.settings import Cell
from tests.core.checks import assert_identical

CPU = torch.device("cpu")
NAMES = summary.names("denoising", "paper")
WIDE = [parts for parts in NAMES if parts[0] == "wrn"] + [("no-noise", "cifar10-wrn")]
SIZES = {"train": 12, "validation": 8, "selection": 3, "test": 5}
WIDE_SIZES = {"train": 3, "validation": 2, "selection": 1, "test": 1}
"""Of the wide residual network, whose forward pass of one image takes a sixth of a second."""
PARAMETERS = {
    "mnist": 1_389_578, "mnist-quarter": 87_818, "cifar10": 1_172_410, "svhn": 1_340_650, "softmax": 7_850,
    "lenet-classes": 167_113, "resnet-32": 464_154, "wrn-28-10": 36_479_194,
}  # fmt: skip
FULL = 5000
"""From this many images a minibatch is all of the data."""


@functools.cache
def params() -> dict[str, Any]:
    found: dict[str, Any] = settings.load_params("denoising")["paper"]
    return found


def cell_settings(parts: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = params()["cells"][parts[0]][parts[1]]
    return found


def write_data(folder: Path, entry: dict[str, Any], classes: int, sizes: dict[str, int]) -> None:
    """train.npz and oracle.npz as preparation writes them, of noise about an image for each class; two seeds, the first rows
    wrong."""
    draws = np.random.default_rng(sum(map(ord, folder.name)))
    shape = {"mnist": (28, 28), "cifar10": (3, 32, 32), "svhn": (3, 32, 32)}[entry["source"]]
    means = draws.integers(0, 196, (classes, *shape))
    labels = {name: (np.arange(size) % classes).astype(np.uint8) for name, size in sizes.items()}
    images = {name: means[one] + draws.integers(0, 60, (len(one), *shape)) for name, one in labels.items()}
    images = {name: one.astype(np.uint8) for name, one in images.items()}
    wrong = np.arange(sizes["train"]) < sizes["train"] // 3
    noisy = np.where(wrong, (labels["train"] + 1) % classes, labels["train"]).astype(np.uint8)
    seen = {
        "train_images": images["train"], "noisy_labels": np.stack([noisy, noisy]), "seeds": np.array([0, 1]),
        "validation_images": images["validation"], "validation_labels": labels["validation"],
        "selection_images": images["selection"], "selection_labels": labels["selection"], "test_images": images["test"],
    }  # fmt: skip
    write_prepared(folder, entry, train=seen, oracle={"clean": np.stack([~wrong, ~wrong])})


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with all data sets of the profile, and records of the importances that cells train with."""
    root = tmp_path_factory.mktemp("paper")
    place = root / settings.params_path("denoising")
    place.parent.mkdir(parents=True)
    place.write_text((ROOT / settings.params_path("denoising")).read_text())
    for name in data_sets(params()):
        one = params()["prepared"][name]
        # few classes, so that two small minibatches have one in common: else learning to reweight trusts no example
        classes = 2 if name.startswith("four-nine") else 3
        sizes = WIDE_SIZES if name.startswith("wrn") else SIZES
        write_data(root / "data/prepared/paper" / name, one, classes, sizes)
    weights = records.pack(np.tile(np.array([[0, 128, 255]], np.uint8), SIZES["train"] // 3))
    for parts in NAMES:
        source = cells.from_of(cell_settings(parts))
        if source is not None:
            record = {"trials": [{"seed": seed, "importances": weights} for seed in (0, 1)]}
            records.write_json(root / records.cell_folder("paper", "denoising", *source) / "train.json", record)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield root


def small(parts: tuple[str, ...], **more: Any) -> Cell:
    """The cell, cut as the head says; `more` is set last."""
    whole = cell_settings(parts)
    sizes = WIDE_SIZES if parts in WIDE else SIZES
    rows = {
        "train": sizes["train"], "validation": sizes["validation"], "both": sizes["train"] + sizes["validation"],
        "oracle": sizes["train"] - sizes["train"] // 3 + sizes["validation"],
    }[whole["use"]]  # fmt: skip
    most = 3 if parts not in WIDE else 2 if whole.get("form") == "normalised" else 1  # one weight, normalised, is one
    cut: dict[str, Any] = {
        "batch": rows if whole["batch"] >= FULL else min(whole["batch"], most), "epochs": None, "iterations": 2,
        "evaluations": 1,
    }  # fmt: skip
    if "radius" in whole.get("form_settings", {}):
        cut["form_settings"] = {"radius": whole["form_settings"]["radius"] * rows / whole["batch"]}
    if "pretrain" in whole:
        cut["pretrain"] = {**whole["pretrain"], "epochs": int(parts not in WIDE)}
    steps = 20 if whole["network"] == "softmax" else 2
    inner = whole["settings"]
    cut["settings"] = {
        **inner,
        **({"lower_steps": min(inner["lower_steps"], steps)} if "lower_steps" in inner else {}),
        **({"extra_solver_steps": 1} if "extra_solver_steps" in inner else {}),
    }
    return Cell("denoising", "paper", parts, {**whole, **cut, **more}, settings.load_params("denoising")["common"])


def calls_of_a_step(cell: Cell) -> dict[str, int] | None:
    """Calls of f, of g, products with H_vv and with H_uv in one upper iteration; None for F2SA and BOME, which have tests of
    their own."""
    inner = cell.settings["settings"]
    steps, released = inner.get("lower_steps", 1), cell.settings["preset"] == "released"
    series = inner.get("neumann_steps", inner.get("neumann_terms", 0))
    roles = cell.settings.get("draws") == "roles"
    hessian = series if released or "neumann_steps" in inner else series - 1
    solver_steps = steps + inner.get("extra_solver_steps", 0)
    counts = {
        "single-level": (0, steps, 0, 0),
        # T lower steps, the upper one, the test
        "penalty": (steps + 2, steps + 2, steps + 1, 2),
        "approxgrad": (1, steps + 1, 2 * solver_steps, 1),
        "l2rw": (1, 1 + steps, 0, 1),
        "meta-weight-net": (1, 1 + steps, 0, 1),
        "aid": (1, steps + 1, inner.get("solver_steps", 0), 1),
        # every kept step is linearised again
        "itd": (1, 2 * steps, steps, steps),
        "k-rmd": (1, steps + inner.get("kept", 0), inner.get("kept", 0), inner.get("kept", 0)),
        # one gradient of g for every batch of its own
        "stocbio": (1, steps + 1 + (min(1, hessian) if released else hessian) * roles, hessian, 1),
        "bsa": (1, steps + 1 + (1 if released else hessian) * roles, hessian, 1),
        "ttsa": (1, steps + 1 + (1 if released else hessian) * roles, hessian, 1),
    }.get(cell.settings["solver"])
    if counts is None:
        return None
    return dict(zip(KINDS, (*counts, 0), strict=True))


def marked(parts: tuple[str, str]) -> Any:
    """The cell's parts; a bilevel cell of the wide network takes from 5 to 15 seconds of a processor, and one of equal
    tuning with more noise is on small data what its twin with less is."""
    heavy = parts in WIDE and cell_settings(parts)["solver"] != "single-level"
    twin = is_tuned(parts[0]) and parts[0].endswith("-50")
    return pytest.param(parts, marks=[pytest.mark.slow] if heavy or twin else [], id="-".join(parts))


@pytest.mark.parametrize("parts", [marked(parts) for parts in NAMES])
def test_two_upper_iterations(parts: tuple[str, str]) -> None:
    cell = small(parts)
    work = Run(cell, CPU)
    assert work.iterations == 2 and work.record_at == [0, 2] and work.seeds == [0, 1]
    assert dimension(work.network.initial(torch.Generator().manual_seed(0))) == PARAMETERS[cell.settings["network"]]
    start = work.start([0])
    with counting() as counts:
        end = work.advance(start, [0], 0, 2)
    wanted = calls_of_a_step(cell)
    if wanted is None:
        wanted = {kind: count // 2 for kind, count in work.oracle_calls(0, 2).items()}
        wanted["gradients_f"] = counts["gradients_f"] // 2  # those of pre-training are in the other
    assert dict(counts) == {kind: 2 * count for kind, count in wanted.items()}
    assert all(bool(torch.isfinite(leaf).all()) for leaf in leaves(end) if leaf.is_floating_point())
    assert int(end.iteration) == 2
    assert tree_map(lambda leaf: leaf.shape, end.v) == tree_map(lambda leaf: leaf.shape, start.v)
    assert any(not torch.equal(one, other) for one, other in zip(leaves(start.v), leaves(end.v), strict=True))
    check_importances(work, start, end)

    (seen,) = work.observe(end, [0], 2)
    prepared = work.source.prepared
    assert seen.arrays["test predictions"].shape == (len(prepared.test_images),)
    assert seen.arrays["test predictions"].dtype == np.uint8
    if work.bilevel:
        assert seen.arrays["importances"].shape == (len(prepared.train_images),)
        assert 0 <= seen.scalars["mean importance"] <= 1
    assert all(0 <= seen.scalars[f"{name} accuracy"] <= 100 for name in ("train", "validation", "selection"))


def check_importances(work: Run, start: Any, end: Any) -> None:
    """u of plain training stays; the net that weighs moves whole; importances move where the minibatches were."""
    if not work.bilevel:
        assert_identical(end.u, start.u)
        return
    if not isinstance(start.u, torch.Tensor):
        assert dimension(start.u) == 301
        assert all(not torch.equal(one, other) for one, other in zip(leaves(start.u), leaves(end.u), strict=True))
        return
    trial = work._trial(0)
    assert start.u.shape == end.u.shape == (len(trial.data.train.labels),)
    size = work.settings["batch"]
    first, *rest = tensors.epoch(trial.data, size, 0, 0)
    second = rest[0] if rest else next(tensors.epoch(trial.data, size, 0, 1))
    visited = torch.cat([first.index, second.index]).unique()
    moved = (start.u != end.u).nonzero()[:, 0]
    assert set(moved.tolist()) <= set(visited.tolist())
    if work.settings["solver"] == "bome":
        # f has no u: the importances of a minibatch stand still where the barrier asks nothing of v
        batches = set(first.index.tolist()), set(second.index.tolist())
        assert set(moved.tolist()) in (set(), *batches, batches[0] | batches[1])
        return
    # one clean image that is fitted to the last digit has a gradient of zero
    assert len(moved) > 0 or size == 1
    if "pretrain" in work.settings and work.settings.get("form", "importances") == "importances":
        assert moved.tolist() == visited.tolist()  # Adam moves every entry whose gradient is not zero


def test_every_network_and_solver_is_there() -> None:
    assert {cell_settings(parts)["network"] for parts in NAMES} == set(PARAMETERS)
    assert len(NAMES) == 30 + 4 + 14 + 4 + 25 + 20 + 25 + 18 + 19 + 8 * 6 + 7 + 8
    assert isinstance(Run(small(("wrn", "penalty")), CPU).network, WideResNet)


def test_every_entry_of_prepared_can_be_read() -> None:
    for name, one in params()["prepared"].items():
        prepare.read(Entry(one, f"prepared.{name}"))
    assert set(data_sets(params())) | {one["data"] for one in params()["search"].values()} == set(params()["prepared"])


def test_epochs_are_those_of_the_real_sizes() -> None:
    """Where a setting counts minibatches, it has the number that the split leaves."""
    rows = {"mnist": 58_000, "cifar10": 39_000, "svhn": 71_200, "small": 5_000, "franceschi": 5_000, "stocbio": 20_000}
    clean = {"mnist": 1_000, "small": 5_000, "franceschi": 5_000}
    for parts in NAMES:
        one = cell_settings(parts)
        kind = one.get("data", parts[0]).partition("-")[0]
        if "decay_every" in one["settings"]:
            assert one["settings"]["decay_every"] == 20 * (rows[kind] // one["batch"]), parts
        if one["batch"] >= FULL:
            whole = {
                "train": rows[kind], "validation": clean.get(kind, 0), "both": rows[kind] + clean.get(kind, 0),
                "oracle": rows[kind] // 2 + clean.get(kind, 0),
            }[one["use"]]  # fmt: skip
            assert one["batch"] == whole, parts
    penalty, control = cell_settings(("quirks", "penalty")), cell_settings(("controls", "val-only-same-steps"))
    upper = penalty["epochs"] * (rows["mnist"] // 200)
    assert control["epochs"] * (clean["mnist"] // 200) == upper * penalty["settings"]["lower_steps"]


@pytest.mark.parametrize("parts", [("described", "cifar10-25-penalty"), ("four-nine", "random-900")], ids="-".join)
def test_training_goes_on_with_the_same_bytes(parts: tuple[str, str]) -> None:
    """Augmentation, dropout masks and random weights are functions of (seed, iteration): another process, another cut."""
    one = {"iterations": 4, "settings": {**small(parts).settings["settings"], "lower_steps": 1}}
    work = Run(small(parts, **one), CPU)
    start = work.start([1])
    whole = work.advance(start, [1], 0, 4)
    again = Run(small(parts, **one), CPU)
    halfway = again.advance(again.start([1]), [1], 0, 2)
    assert_identical(Run(small(parts, **one), CPU).advance(halfway, [1], 2, 4), whole)
    assert train.state_hashes(whole, 1, stacked=False) != train.state_hashes(halfway, 1, stacked=False)
