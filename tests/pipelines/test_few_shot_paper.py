"""Few-shot cells of the profiles cpu and paper start and take two upper iterations, on random images of their size."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from core.trees import leaves
from pipelines import families, summary
from pipelines.datasets.tasks import Shape, fixed
from pipelines.denoising.cells import data_of
from pipelines.few_shot import run
from pipelines.few_shot.data import Source
from pipelines.few_shot.stored import FewShot, MetaTest
from pipelines.settings import Cell, profile_params

SIDES, SIDE = {"omniglot": (28, 28), "fc100": (3, 32, 32)}, (3, 84, 84)
"""The shape of an image, by source, and of all others."""
SIZES = ("data", "trials", "iterations", "evaluations", "selection_tasks", "curve_tasks", "query", "meta_batch")
"""Settings that `small` gives, or that change nothing here."""


def program_of(cell: Cell) -> str:
    """What a cell runs, but for the numbers in it and for how many shots its tasks have."""

    def named(settings: Any) -> Any:
        if isinstance(settings, Mapping):
            return {key: named(value) for key, value in sorted(settings.items()) if key not in SIZES}
        return "a number" if isinstance(settings, int | float) and not isinstance(settings, bool) else settings

    prepared = profile_params("few_shot", cell.profile)["prepared"][data_of(cell)]
    return repr((SIDES.get(prepared["source"], SIDE), prepared["way"], named(cell.settings)))


def told_apart() -> list[tuple[str, tuple[str, ...]]]:
    """A cell for each program, of the profile paper where it has one."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for profile in ("paper", "cpu"):
        for parts in summary.names("few_shot", profile):
            found.setdefault(program_of(families.cell("few_shot", profile, parts)), (profile, parts))
    return list(found.values())


CELLS = told_apart()


def small(cell: Cell) -> tuple[Cell, Source]:
    """The cell with one task of one query in everything, and random images for it."""
    prepared = profile_params("few_shot", cell.profile)["prepared"][data_of(cell)]
    way, shot, random = prepared["way"], prepared["shot"], np.random.default_rng(0)
    shape = SIDES.get(prepared["source"], SIDE)
    images = random.integers(0, 256, (way, shot + 1, *shape)).astype(np.uint8)
    drawn = fixed(way, shot + 1, Shape(way, shot, 1), 1, 0, "meta-validation")
    known = FewShot(images, images, np.array(1), np.array([0]), *(one[None] for one in drawn))
    rows = np.arange(way * (shot + 1), dtype=np.int32).reshape(1, 1, way, shot + 1)
    test = MetaTest(images.reshape(-1, *shape), rows[..., :shot], rows[..., shot])
    one_each = dict.fromkeys(("evaluations", "selection_tasks", "curve_tasks", "query", "meta_batch"), 1)
    settings = {**cell.settings, **one_each, "iterations": 2}
    return dataclasses.replace(cell, settings=settings), Source(known, test, 1, 1, torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "parts"), CELLS, ids=["-".join((profile, *parts)) for profile, parts in CELLS])
def test_two_upper_iterations(profile: str, parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    cell, source = small(families.cell("few_shot", profile, parts))
    monkeypatch.setattr(run.data, "load", lambda *_: source)
    monkeypatch.setattr(run, "read_index", lambda _: {"settings": {"query": 1, "meta_batch": 1}})
    work = run.Run(cell, torch.device("cpu"))
    state: Any = work.start([0])
    first = [leaf.clone() for leaf in leaves(work.learner.learned(state.method))]
    state = work.advance(state, [0], 0, 2)
    assert int(state.method.iteration) == 2
    moved = leaves(work.learner.learned(state.method))
    assert all(bool(torch.isfinite(leaf).all()) for leaf in moved)
    assert any(not torch.equal(one, other) for one, other in zip(first, moved, strict=True))
    (seen,) = work.observe(state, [0], 2)
    assert 0 <= seen.scalars["selection accuracy"] <= 100
