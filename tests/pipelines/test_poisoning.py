"""Poisoning cells: what an attacker may know, what its poisons are, and how a judge that shares nothing measures them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_project import ROOT, done

from pipelines import corrupt, families, train
from pipelines.datasets.prepared import folder_of
from pipelines.errors import UserError
from pipelines.poisoning import data, metrics, stored
from pipelines.poisoning.run import Run, check_box
from pipelines.records import unpack
from pipelines.settings import Cell

PARAMS = """
common: {threads: 1, first_steps: 2}
embedded:
  data: [untargeted, targeted]
  methods: [label-flipping, penalty]
  prepared:
    untargeted:
      {source: digits, attack: untargeted, points: 8, sizes: {train: 100, validation: 100, selection: 50, test: 400},
       seeds: [0, 1]}
    targeted:
      {source: digits, attack: targeted, points: 8, sizes: {train: 100, validation: 200, selection: 100, test: 400},
       seeds: [0, 1]}
  cells:
    untargeted: &cells
      label-flipping: &flipping
        {solver: single-level, preset: released, points: [4, 8], start: validation, weight_decay: 0.01, iterations: 0,
         evaluations: 1, stacked: true, pretrain: {epochs: 100, step_size: 1e-2}, retrain: {epochs: 1500, step_size: 1e-2},
         settings: {}}
      penalty: &penalty
        <<: *flipping
        solver: penalty
        start: training
        iterations: 6
        evaluations: 3
        settings: {lower_steps: 3, upper_step_size: 0.1, lower_step_size: 1e-2, gamma_0: 10.0}
      approxgrad:
        <<: *penalty
        solver: approxgrad
        settings: {lower_steps: 3, upper_step_size: 0.1, lower_step_size: 1e-2, solver_step_size: 0.1}
    targeted: {<<: *cells, label-flipping: {<<: *flipping, start: "validation, swapped"}}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with prepared data, in which the project's own commands run."""
    monkeypatch.chdir(tmp_path)
    Path("pipelines/poisoning").mkdir(parents=True)
    Path("pipelines/poisoning/params.yaml").write_text(PARAMS)
    for name in ("untargeted", "targeted"):
        corrupt.main(["poisoning", "embedded", name])
    return tmp_path


def a_cell(name: str = "untargeted", method: str = "penalty", **more: Any) -> Cell:
    found = families.cell("poisoning", "embedded", (name, method))
    return Cell(found.family, found.profile, found.parts, {**found.settings, **more}, found.common)


def record_of(cell: Cell) -> dict[str, Any]:
    return json.loads(json.dumps(train.train(cell, torch.device("cpu"))))  # type: ignore[no-any-return]


def test_training_gives_the_same_bytes_with_other_test_labels(root: Path) -> None:
    """Targets and labels of test rows are none of the attacker's business: with them swapped nothing changes."""
    command = ("-m", "pipelines.train", "poisoning", "embedded", "targeted", "penalty")
    path = Path("results/embedded/poisoning/targeted-penalty/train.json")

    def trained() -> bytes:
        path.unlink(missing_ok=True)
        done(root, *command, PYTHONPATH=str(ROOT))
        return path.read_bytes()

    expected = trained()
    sealed = folder_of("embedded", "targeted", "poisoning") / "sealed.npz"
    with np.load(sealed) as arrays:
        labels = arrays["test_labels"]
    np.savez(sealed, test_labels=np.where(labels == 8, 3, np.where(labels == 3, 8, labels)))
    assert trained() == expected
    sealed.unlink()
    assert trained() == expected


@pytest.mark.parametrize("name", ["untargeted", "targeted"])
def test_the_recorded_poisons_alone_give_the_recorded_accuracies(root: Path, name: str) -> None:
    """A third classifier, written down here, of the record's images and the clean rows."""
    cell = a_cell(name)
    record = record_of(cell)
    found = metrics.measure(cell, record)
    prepared = stored.load(folder_of("embedded", name, "poisoning"))
    right = np.load(folder_of("embedded", name, "poisoning") / "sealed.npz")["test_labels"]
    for trial, one in zip(found["trials"], record["trials"], strict=True):
        place, points = one["seed"], one["points"]
        images = unpack(one["poisons"])[-1]
        assert images.shape == (points, 8, 8)
        x = np.concatenate([prepared.train_images[place] / 16.0, images / 255.0]).reshape(100 + points, -1)
        y = np.concatenate([prepared.train_labels[place], prepared.poison_labels[place][:points]])
        w, onehot = np.zeros((10, 64)), np.eye(10)[y]
        for _ in range(4000):  # plain gradient descent
            p = np.exp(x @ w.T)
            p /= p.sum(axis=1, keepdims=True)
            w -= 0.5 * (0.02 * w + (p - onehot).T @ x / len(x))
        called = (prepared.test_images[place].reshape(400, -1) @ w.T).argmax(axis=1)
        accuracy = 100 * (called == right[place]).mean()
        assert trial["judge"]["test accuracy"] == pytest.approx(accuracy, abs=0.2)
        assert trial["Adam"]["test accuracy"] == pytest.approx(accuracy, abs=0.2)
        eights = right[place] == 8
        success = 100 * (called[eights] == 3).mean()
        assert trial["judge"]["attack success"] == pytest.approx(success, abs=0.2)
    assert set(found["summary"]) == {"clean", "points=4", "points=8", "oracle calls"}
    assert found["poisons"]["points"] == 8 and unpack(found["poisons"]["after"]).shape == (8, 8, 8)


def test_measures_by_hand() -> None:
    right = np.array([8, 8, 8, 8, 3, 1], dtype=np.uint8)
    found = np.array([3, 3, 8, 1, 3, 2], dtype=np.uint8)
    assert metrics.measured(found, right) == pytest.approx((100 * 2 / 6, 50.0, 50.0))


def test_label_flipping_moves_no_pixel(root: Path) -> None:
    record = record_of(a_cell(method="label-flipping"))
    prepared = stored.load(folder_of("embedded", "untargeted", "poisoning"))
    for one in record["trials"]:
        assert one["iterations"] == 0 and set(one["oracle_calls"].values()) == {0}
        begin = data.start(prepared, one["seed"], one["points"], "validation")
        np.testing.assert_array_equal(unpack(one["poisons"])[-1], np.round(begin.images * (255 / 16)).astype(np.uint8))
        right = prepared.validation_labels[one["seed"], : one["points"]]
        assert (begin.labels != right).all() and begin.labels.max() < 10
    begin = data.start(prepared, 0, 4, "training")
    np.testing.assert_array_equal(begin.labels, prepared.poison_labels[0, :4])
    targeted = stored.load(folder_of("embedded", "targeted", "poisoning"))
    begin = data.start(targeted, 1, 4, "validation, swapped")
    np.testing.assert_array_equal(begin.images, targeted.validation_images[1, :4])
    assert begin.labels.tolist() == [3] * 4
    with pytest.raises(UserError, match="'test' is none of 'training', 'validation', 'validation, swapped'"):
        data.start(targeted, 1, 4, "test")


@pytest.mark.parametrize("method", ["penalty", "approxgrad"])
def test_trials_side_by_side_are_trials_alone(root: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.trials.compiler_problem", lambda: "this test")
    together = record_of(a_cell(method=method))
    alone = record_of(a_cell(method=method, stacked=False))
    for one, other in zip(together["trials"], alone["trials"], strict=True):
        assert (one["seed"], one["points"]) == (other["seed"], other["points"])
        np.testing.assert_allclose(one["curve"]["upper cost"], other["curve"]["upper cost"], rtol=1e-3)
        # the bytes of a pixel differ by rounding alone
        assert np.abs(unpack(one["poisons"]).astype(int) - unpack(other["poisons"]).astype(int)).max() <= 2


def test_points_share_their_start_and_a_run_goes_on_bitwise(root: Path) -> None:
    work = Run(a_cell(), torch.device("cpu"))
    assert [one["points"] for one in work.labels] == [4, 4, 8, 8] and work.groups == [[0, 1, 2, 3]]
    state = work.start(work.groups[0])
    torch.testing.assert_close(state.u[:4, :, 0], state.u[:4, :, 2], rtol=0, atol=0)
    assert not state.u[4:, :, 0].any() and state.u[4:, :, 2].any()
    kept = copy.deepcopy(state)
    whole = work.advance(state, work.groups[0], 0, 4)
    parts = work.advance(work.advance(kept, work.groups[0], 0, 1), work.groups[0], 1, 4)
    assert torch.equal(whole.u, parts.u) and torch.equal(whole.v, parts.v)
    assert float(whole.u.min()) >= 0 and float(whole.u.max()) <= 1 and not torch.equal(whole.u, kept.u)


def test_a_pixel_outside_the_box_ends_the_run(root: Path) -> None:
    work = Run(a_cell(), torch.device("cpu"))
    state = work.start(work.groups[0])
    object.__setattr__(work, "_attack", lambda state, batch, steps: state._replace(u=state.u + 1))
    with pytest.raises(RuntimeError, match=r"a pixel left \[0, 1\] in upper iteration 3"):
        work.advance(state, work.groups[0], 3, 4)
    check_box(torch.tensor([0.0, 1.0, float("nan")]), 0)
    with pytest.raises(RuntimeError, match="iteration 7"):
        check_box(torch.tensor([0.5, -1e-7]), 7)


@pytest.mark.parametrize("points", [[9], [0], []])
def test_numbers_of_poisons_that_were_not_prepared(root: Path, points: list[int]) -> None:
    with pytest.raises(UserError, match=r"cells.untargeted.penalty.points is .* must be numbers from 1 to 8"):
        Run(a_cell(points=points), torch.device("cpu"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("attack: targeted, points: 8", "attack: targeted, points: 40", "40 poison points need 20 training rows of each"),
        ("attack: untargeted, points: 8", "attack: untargeted, points: 101", "101 poison points .* 100 training rows"),
        ("attack: targeted, points: 8", "attack: targeted, points: 7", "points is 7; it must be even"),
        ("{train: 100, validation: 200, selection: 100, test: 400}",
         "{train: 600, validation: 600, selection: 600, test: 600}", "class . has 1.. rows, needed are"),
        ("untargeted, points: 8,", "untargeted, test: held-out, points: 8,", "test is 'held-out'; it must be training-file"),
    ],
)  # fmt: skip
def test_what_cannot_be_prepared(root: Path, old: str, new: str, words: str) -> None:
    path = Path("pipelines/poisoning/params.yaml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=words):
        for name in ("untargeted", "targeted"):
            corrupt.main(["poisoning", "embedded", name])
