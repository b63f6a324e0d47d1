"""Every data set that few-shot learning prepares, in all profiles: no class is in two splits, however it is turned, and no
task has an image on both sides. The images say what they are of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from small_data import real_mirror

from pipelines.datasets import mini_imagenet
from pipelines.datasets.entries import Entry
from pipelines.few_shot import prepare, stored
from pipelines.few_shot.data import Batch, Source
from pipelines.settings import PROFILES, profile_params

COUNTS = {"glyphs": 1143, "omniglot": 1623}
"""Classes of the sources that `prepare` splits, as they are read."""
COUNTS_BY_READER = {"mini-imagenet": (64, 16, 20), "mini-imagenet-lite": (64, 16, 20), "fc100": (60, 20, 20)}
ROOT = Path(__file__).resolve().parents[2]


def every() -> list[tuple[str, str]]:
    """(profile, data) of all that can be prepared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return [(one, data) for one in PROFILES for data in profile_params("few_shot", one)["prepared"]]


class Whole(NamedTuple):
    """A source to be split."""

    images: np.ndarray


class Part(NamedTuple):
    images: np.ndarray
    labels: np.ndarray


class InParts(NamedTuple):
    """A source that its reader has split."""

    train: Part
    validation: Part
    test: Part


def drawn(first: int, count: int, drawings: int, channels: tuple[int, ...] = ()) -> np.ndarray:
    """Images [count, drawings, *channels, 4, 4] of classes first..: a white corner, the class, and the drawing."""
    classes = np.arange(first, first + count)
    found = np.zeros((count, drawings, *channels, 4, 4), dtype=np.uint8)
    over_drawings = (slice(None), *(None for _ in (0, *channels)))
    found[..., 0, 0] = 255
    found[..., 1, 1], found[..., 1, 2] = (classes // 200)[over_drawings], (classes % 200)[over_drawings]
    found[..., 2, 1] = np.arange(drawings)[(slice(None), *(None for _ in channels))]
    return found


def source_of(name: str) -> Whole | InParts:
    if name in COUNTS:
        return Whole(drawn(0, COUNTS[name], 20))
    parts, first = [], 0
    for count in COUNTS_BY_READER[name]:
        images = drawn(first, count, 40, (3,))
        parts.append(Part(images.reshape(-1, 3, 4, 4), np.repeat(np.arange(count), 40)))
        first += count
    return InParts(*parts)


def said(images: torch.Tensor) -> np.ndarray:
    """(class, quarter turns, drawing) [tasks, n, 3] of images [tasks, n, C, 4, 4] in [0, 1]."""
    pixels = (images[:, :, 0] * 255).round().numpy().astype(int)
    found = np.full((*pixels.shape[:2], 3), -1)
    for turn in range(4):
        back = np.rot90(pixels, -turn, axes=(-2, -1))
        here = back[..., 0, 0] == 255
        of_class = back[..., 1, 1] * 200 + back[..., 1, 2]
        found[here] = np.stack([of_class, np.full_like(of_class, turn), back[..., 2, 1]], -1)[here]
    assert (found >= 0).all()
    return found


def check(batch: Batch) -> set[tuple[int, int]]:
    """The (class, turn) pairs of a batch's tasks, in each of which no image occurs twice, whichever side it is on."""
    met: set[tuple[int, int]] = set()
    for support, query, labels in zip(said(batch.support), said(batch.query), batch.support_labels.tolist(), strict=True):
        together = np.concatenate([support, query])
        assert len({tuple(one) for one in together.tolist()}) == len(together)
        of_label = {(label, *row[:2]) for label, row in zip(labels, support.tolist(), strict=True)}
        classes = {(one, turn) for _, one, turn in of_label}
        # a label is one class, and the queries are of those classes
        assert len(of_label) == len(classes) == max(labels) + 1 and {tuple(row[:2]) for row in query.tolist()} == classes
        met |= classes
    return met


def batches_of(source: Source) -> Iterator[tuple[str, Batch]]:
    """(split, tasks) of all kinds, for both seeds."""
    for trial, seed in enumerate(source.known.seeds.tolist()):
        for iteration in range(4):
            yield "train", source.meta_batch_of(seed, iteration)
        yield "train", source.train_tasks(seed, 20)
        yield "validation", source.selection_tasks(trial, 20)
        yield "test", source.test_tasks(trial, 0, 20)


@pytest.mark.parametrize(("profile", "data"), every(), ids=map("-".join, every()))
def test_splits_share_no_class_and_tasks_no_image(profile: str, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    less = {"selection_tasks": 20, "test_tasks": 20, "seeds": [0, 3]}
    settings = prepare.read(Entry({**profile_params("few_shot", profile)["prepared"][data], **less}, "here"))
    made = prepare.prepared(prepare.parts_of(source_of(settings.source), settings.source), settings, {})
    known, test = stored.FewShot(**made.files["train.npz"]), stored.MetaTest(**made.files["test.npz"])
    source = Source(known, test, settings.meta_batch, settings.query, torch.device("cpu"))
    turns = prepare.QUARTER_TURNS.get(settings.source, 1)
    # all that is stored, with every turn that a task may give it
    stored_classes = {
        "train": {int(one) for one in said(torch.from_numpy(_grey(known.train_images)) / 255)[..., 0].flat},
        "validation": {int(one) for one in said(torch.from_numpy(_grey(known.validation_images)) / 255)[..., 0].flat},
        "test": {int(one) for one in said(torch.from_numpy(_grey(test.test_images[:, None])) / 255)[..., 0].flat},
    }
    assert sum(map(len, stored_classes.values())) == len(set.union(*stored_classes.values()))
    assert {name: len(classes) * turns for name, classes in stored_classes.items()} == made.facts["classes"]
    met: dict[str, set[tuple[int, int]]] = {}
    for split, batch in batches_of(source):
        met.setdefault(split, set()).update(check(batch))
    for split, classes in met.items():
        assert {one for one, _ in classes} <= stored_classes[split]
        assert {turn for _, turn in classes} == set(range(turns))


def _grey(images: np.ndarray) -> np.ndarray:
    """The first channel of images [classes, n, 4, 4] or [classes, n, C, 4, 4], with an axis in its place."""
    return (images if images.ndim == 4 else images[:, :, 0])[:, :, None]


def test_the_lists_of_mini_imagenet_share_no_class() -> None:
    """Those of mini-imagenet-images and of mini-imagenet-lite, which are the same files."""
    lists = {file.sha256 for file in mini_imagenet.IMAGES.files if file.name.endswith(".csv")}
    assert lists == {file.sha256 for file in mini_imagenet.LITE.files if file.name.endswith(".csv")}
    mirror = real_mirror()
    folder = Path(mirror or "nowhere") / "mini-imagenet-lite"
    if not folder.is_dir():
        pytest.skip(f"no folder has the lists: {folder}")
    found = [mini_imagenet.read_list(folder / f"{name}.csv") for name in mini_imagenet.SETS]
    classes, files = ([set(part) for part in some] for some in ((one.values() for one in found), found))
    assert [len(part) for part in classes] == [64, 16, 20] and len(set.union(*classes)) == 100
    assert [len(part) for part in files] == [38_400, 9_600, 12_000] and len(set.union(*files)) == 60_000
