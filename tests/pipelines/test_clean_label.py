"""Clean-label cells: what the attacker may know, where poisons lie, and how judges that share nothing call the targets."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from small_project import ROOT, done
from tqdm import tqdm

from core.constraints import WithSlack
from pipelines import corrupt, families, proportions, records, train
from pipelines.clean_label import data, key_of, metrics, networks, prepare, stored
from pipelines.clean_label.run import Run, image_of
from pipelines.datasets.prepared import folder_of, read_index
from pipelines.errors import UserError
from pipelines.settings import Cell

PARAMS = """
common: {threads: 1, first_steps: 2}
embedded:
  data: [pair]
  methods: [clean, penalty, unconstrained, feature-collision, influence]
  prepared:
    pair: {source: digits, pair: [4, 9], train_rows: 20, test_rows: 12, selection_rows: 4, features: learned,
           learned: {source: digits, widths: [4, 24], epochs: 2, batch: 100, step_size: 5e-3}}
    plain: {source: digits, pair: [4, 9], train_rows: 20, test_rows: 12, selection_rows: 4}
  cells:
    pair:
      clean: &clean
        {form: clean, solver: single-level, preset: described, weight_decay: 1e-3, iterations: 0, evaluations: 1,
         pretrain: {epochs: 60, step_size: 2e-2}, retrain: {epochs: 1500, step_size: 2e-2}, settings: {}}
      penalty: &penalty
        <<: *clean
        form: constrained
        solver: penalty
        epsilons: [0, 0.75, 2]
        targets: 4
        iterations: 20
        evaluations: 2
        settings: &settings
          {lower_steps: 3, upper_step_size: 0.03, lower_step_size: 2e-2, lambda_0: 1.0, gamma_h_0: 10.0}
      unconstrained: {<<: *penalty, form: unconstrained, epsilons: [null], settings: *settings}
      feature-collision:
        {<<: *penalty, form: feature-collision, solver: single-level, epsilons: [0.75, null], settings: {step_size: 0.02}}
      influence:
        {<<: *penalty, form: influence, solver: single-level, epsilons: [0.75, null],
         settings: {step_size: 0.02, lower_steps: 3, lower_step_size: 2e-2, solver_steps: 5}}
"""
ATTACKS = ("penalty", "unconstrained", "feature-collision", "influence")
CLEAN = Path("results/embedded/clean_label/pair-clean/metrics.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with prepared data and a list of targets."""
    place = tmp_path_factory.mktemp("clean")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        Path("pipelines/clean_label").mkdir(parents=True)
        Path("pipelines/clean_label/params.yaml").write_text(PARAMS)
        corrupt.main(["clean_label", "embedded", "pair"])
        cell = a_cell("clean")
        records.write_json(CLEAN, metrics.measure(cell, record_of(cell)))
    return place


@pytest.fixture
def root(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def a_cell(method: str = "penalty", **more: Any) -> Cell:
    found = families.cell("clean_label", "embedded", ("pair", method))
    return Cell(found.family, found.profile, found.parts, {**found.settings, **more}, found.common)


def record_of(cell: Cell) -> dict[str, Any]:
    steps = int(cell.settings["iterations"])  # so that no checkpoint is kept
    return json.loads(json.dumps(train.train(cell, torch.device("cpu"), steps=steps)))  # type: ignore[no-any-return]


def folder() -> Path:
    return folder_of("embedded", "pair", "clean_label")


def test_targets_are_the_rows_that_both_classifiers_get_right(root: Path) -> None:
    found = json.loads(CLEAN.read_text())
    hidden, prepared = np.load(folder() / "sealed.npz"), stored.load(folder())
    x, test = (np.c_[one, np.ones(len(one))] for one in (prepared.train_features, prepared.test_features))
    judge = LogisticRegression(C=1 / (1e-3 * len(x)), fit_intercept=False, tol=1e-8, max_iter=9999)
    right = judge.fit(x, prepared.train_labels).predict(test) == hidden["test_labels"]
    listed = found["targets"]
    assert set(listed["rows"]) <= set(np.flatnonzero(right)) and len(listed["rows"]) > 12
    assert found["summary"]["judge"] == pytest.approx(100 * right.mean(), abs=1e-3)
    assert listed["classes"] == hidden["test_labels"][listed["rows"]].tolist()
    assert listed["bases"] == hidden["test_base"][listed["rows"]].tolist()
    assert found["summary"]["targets"] == len(listed["rows"]) and found["summary"]["tests"] == 24


@pytest.mark.parametrize("base", ["training", "test"])
def test_bases_are_images_of_the_other_class(root: Path, base: str) -> None:
    prepared, listed = stored.load(folder()), json.loads(CLEAN.read_text())["targets"]
    labels = np.load(folder() / "sealed.npz")["test_labels"]
    pool, known = (
        (prepared.test_images, labels) if base == "test" else (prepared.train_images, prepared.train_labels)
    )  # fmt: skip
    for one in data.targets(prepared, listed, base):
        assert one.label == 1 - labels[one.row]
        same = [(stored.as_bytes(image[None])[0] == one.base[0]).all() for image in pool]
        assert known[int(np.flatnonzero(same)[0])] == one.label


def test_training_the_network_of_features_shows_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each of Adam's; the network is that which is trained without a bar, and no step after it is counted."""
    steps: list[int] = []

    class Bar(tqdm):  # type: ignore[type-arg]
        def update(self, n: float | None = 1) -> bool | None:
            steps.append(self.total)
            return super().update(n)

    monkeypatch.setattr(prepare, "tqdm", Bar)
    images, labels = np.random.default_rng(0).random((50, 1, 8, 8), np.float32), np.arange(50) % 5
    how = networks.Learning("digits", (2, 3), 1, 2, 20, 1e-2)
    with prepare.steps_shown(how, len(images)):
        network = networks.learned(images, labels, how)
    assert steps == [6] * 6  # two epochs of 20, 20 and 10 rows
    np.testing.assert_array_equal(networks.learned(images, labels, how), network)
    assert len(steps) == 6


@pytest.mark.parametrize("method", ATTACKS)
def test_poisons_have_the_same_bytes_with_other_test_labels(root: Path, method: str) -> None:
    """Apart from the list that evaluation made, no test label is the attacker's business."""
    expected = train.train(a_cell(method), torch.device("cpu"), steps=20)
    sealed = folder() / "sealed.npz"
    kept = sealed.read_bytes()
    try:
        with np.load(sealed) as arrays:
            swapped = {"test_labels": 1 - arrays["test_labels"], "test_base": arrays["test_base"][::-1]}
        np.savez(sealed, **swapped)
        assert records.canonical(train.train(a_cell(method), torch.device("cpu"), steps=20)) == records.canonical(expected)
        sealed.unlink()
        assert records.canonical(train.train(a_cell(method), torch.device("cpu"), steps=20)) == records.canonical(expected)
    finally:
        sealed.write_bytes(kept)


def test_the_stage_as_it_is_typed_opens_no_label(root: Path) -> None:
    command = ("-m", "pipelines.train", "clean_label", "embedded", "pair", "penalty")
    path = Path("results/embedded/clean_label/pair-penalty/train.json")
    done(root, *command, PYTHONPATH=str(ROOT))
    assert json.loads(path.read_text())["trials"] == record_of(a_cell())["trials"]
    done(root, "-m", "pipelines.evaluate", "clean_label", "embedded", "pair", "penalty", PYTHONPATH=str(ROOT))
    assert json.loads(path.with_name("metrics.json").read_text())["summary"]["epsilon=0"]["judge"]["k"] == 0


def test_a_poison_depends_on_its_target_alone(root: Path) -> None:
    """Whichever other targets the list has, and however many are attacked side by side."""
    whole = record_of(a_cell(epsilons=[0.75]))["trials"]
    listed = json.loads(CLEAN.read_text())
    fewer = {name: some[2:4] for name, some in listed["targets"].items()}
    kept = CLEAN.read_bytes()
    try:
        records.write_json(CLEAN, {**listed, "targets": fewer})
        alone = record_of(a_cell(epsilons=[0.75], targets=2, together=1))["trials"]
    finally:
        CLEAN.write_bytes(kept)
    for one, other in zip(whole[2:4], alone, strict=True):
        assert (one["target"], one["label"]) == (other["target"], other["label"])
        np.testing.assert_allclose(one["curve"]["upper cost"], other["curve"]["upper cost"], rtol=1e-3)
        apart = (records.unpack(one["poison"]) - records.unpack(other["poison"])).astype(np.int8)
        assert np.abs(apart).max() <= 2  # rounding alone


@pytest.mark.parametrize("method", ATTACKS)
def test_the_saved_images_alone_give_the_recorded_calls(root: Path, method: str) -> None:
    """Features anew from the images, and a third classifier, written down here; in the ball, to the last byte."""
    cell = a_cell(method)
    record = record_of(cell)
    found = metrics.measure(cell, record)
    prepared, labels = stored.load(folder()), np.load(folder() / "sealed.npz")["test_labels"]
    encode = networks.encoder("learned", read_index(folder())["settings"]["learned"], 1, prepared.network)
    bases = {one.row: one for one in data.targets(prepared, json.loads(CLEAN.read_text())["targets"], "training")}
    assert len(found["trials"]) == 4 * len(cell.settings["epsilons"])
    agree = []
    for trial, one in zip(found["trials"], record["trials"], strict=True):
        base = bases[one["target"]].base
        image = metrics.image_of(one, base)
        distortion = np.linalg.norm(image / 255 - base / 255)
        assert trial["distortion"] == pytest.approx(distortion, rel=1e-4) and base.shape == (1, 8, 8)
        assert one["epsilon"] is None or distortion <= one["epsilon"]
        features = networks.features(encode, (image / 255).astype(np.float32)[None])[0]
        np.testing.assert_allclose(features, metrics.features_of(one), rtol=1e-5, atol=1e-6)
        x, y = prepared.train_features, prepared.train_labels
        if distortion:
            x, y = np.concatenate([x, features[None]]), np.append(y, one["label"])
        judge = LogisticRegression(C=1 / (1e-3 * len(x)), fit_intercept=False, tol=1e-10, max_iter=9999)
        judge.fit(np.c_[x, np.ones(len(x))], y)
        row = one["target"]
        called = int(judge.predict(np.c_[prepared.test_features[row][None], 1])[0])
        assert trial["judge"] == int(called != labels[row])
        agree.append(trial["RMSProp"] == trial["judge"])
    assert np.mean(agree) > 0.8
    summary = found["summary"]
    for epsilon in cell.settings["epsilons"]:
        some = [one["judge"] for one in found["trials"] if one["epsilon"] == epsilon]
        share = summary[key_of(epsilon)]["judge"]
        assert (share["k"], share["n"]) == (sum(some), 4)


def test_without_room_only_what_was_wrong_already_is_broken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """epsilon = 0: none of the targets; were the label of one another, that one alone."""
    cell = a_cell(epsilons=[0])
    record = record_of(cell)
    assert [one["curve"]["distortion"][-1] for one in record["trials"]] == [0.0] * 4
    assert all(one["curve"]["projection"][-1] > 0 for one in record["trials"])
    assert metrics.measure(cell, record)["summary"]["epsilon=0"]["judge"]["k"] == 0
    hidden = dict(np.load(folder() / "sealed.npz"))
    hidden["test_labels"][record["trials"][1]["target"]] ^= 1
    monkeypatch.setattr(metrics, "opened", lambda _, names: {name: hidden[name] for name in names})
    found = metrics.measure(cell, record)
    assert [one["judge"] for one in found["trials"]] == [0, 1, 0, 0] == [one["RMSProp"] for one in found["trials"]]
    assert found["summary"]["smallest"]["judge"] == [[0, 0.0]]


def test_violation_and_projection_are_those_of_the_last_iterate(root: Path) -> None:
    work = Run(a_cell(), torch.device("cpu"))
    assert work.groups == [list(range(12))] and [one["epsilon"] for one in work.labels] == [0] * 4 + [0.75] * 4 + [2] * 4
    state = work.advance(work.start(work.groups[0]), work.groups[0], 0, 20)
    seen = work.observe(state, work.groups[0], 20)
    for index, one in enumerate(seen):
        target, bound = work.places[index]
        u = image_of(state.u)[..., index].numpy()
        length = np.linalg.norm(u - target.base / np.float32(255))
        assert one.scalars["distance"] == pytest.approx(length, rel=1e-5)
        assert one.scalars["violation"] == pytest.approx(max(0, length - bound), abs=1e-5)
        assert one.scalars["projection"] == pytest.approx(one.scalars["violation"], abs=1e-5)
    assert isinstance(state.u, WithSlack) and state.u.s.shape == (12,)


def test_a_run_goes_on_bitwise(root: Path) -> None:
    work = Run(a_cell(), torch.device("cpu"))
    group = work.groups[0]
    whole = work.advance(work.start(group), group, 0, 5)
    again = Run(a_cell(), torch.device("cpu"))
    parts = again.advance(again.advance(again.start(group), group, 0, 2), group, 2, 5)
    assert train.state_hashes(whole, len(group), True) == train.state_hashes(parts, len(group), True)


def test_a_pixel_outside_the_box_ends_the_run(root: Path) -> None:
    work = Run(a_cell("feature-collision"), torch.device("cpu"))
    state = work.start(work.groups[0])
    work._step = lambda state, batch, steps: state._replace(u=state.u + 1)  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match=r"a pixel left \[0, 1\] in upper iteration 3"):
        work.advance(state, work.groups[0], 3, 4)


def test_side_by_side_training_by_rmsprop_is_torch_s_alone() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(30, 4)).astype(np.float32), random.integers(2, size=30).astype(np.uint8)
    poisons, labels = random.normal(size=(3, 4)).astype(np.float32), np.array([0, 1, 1], np.uint8)
    found = metrics.by_rmsprop(x, y, poisons, labels, weight_decay=0.01, epochs=50, step_size=0.01)
    for w, poison, label in zip(found, poisons, labels, strict=True):
        layer = torch.nn.Linear(4, 2, bias=False)
        torch.nn.init.zeros_(layer.weight)
        rule = torch.optim.RMSprop(layer.parameters(), lr=0.01)
        rows, right = torch.from_numpy(np.vstack([x, poison])), torch.from_numpy(np.append(y, label).astype(np.int64))
        for _ in range(50):
            rule.zero_grad()
            loss = torch.nn.functional.cross_entropy(layer(rows), right) + 0.01 * layer.weight.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            rule.step()
        np.testing.assert_allclose(w, layer.weight.detach().numpy(), rtol=1e-3, atol=1e-5)


def test_the_smallest_bound_by_hand() -> None:
    trials = [
        {"target": 3, "epsilon": 1.0, "judge": 1, "distortion": 0.9},
        {"target": 3, "epsilon": 0.5, "judge": 0, "distortion": 0.5},
        {"target": 4, "epsilon": None, "judge": 1, "distortion": 7.0},
        {"target": 4, "epsilon": 0.5, "judge": 1, "distortion": 0.4},
        {"target": 5, "epsilon": 0.5, "judge": 0, "distortion": 0.4},
        {"target": 5, "epsilon": 1.0},  # diverged
    ]
    assert metrics.smallest(trials, "judge") == [[0.5, 0.4], [1.0, 0.9]]


def test_wilson_s_interval_by_hand() -> None:
    z, p, n = 1.959964, 0.3, 10
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    found = proportions.share([True] * 3 + [False] * 7)
    assert (found["k"], found["n"], found["percent"]) == (3, 10, 30.0)
    assert found["low"] == pytest.approx(100 * (middle - half), abs=0.01)
    assert found["high"] == pytest.approx(100 * (middle + half), abs=0.01)
    assert proportions.share([]) == {"k": 0, "n": 0, "percent": None, "low": None, "high": None}
    assert proportions.share([False] * 5)["low"] == 0.0


@pytest.mark.parametrize(
    ("method", "more", "words"),
    [
        ("penalty", {"form": "constrain"}, r"penalty.form is 'constrain' \(did you mean constrained\?\); there are: "),
        ("penalty", {"epsilons": [-1]}, r"epsilons is \[-1\]; it must be different numbers, none negative"),
        ("penalty", {"epsilons": []}, r"epsilons is \[\]; it must be different numbers"),
        ("penalty", {"epsilons": [1, 1]}, "it must be different numbers"),
        ("penalty", {"epsilons": 1.0}, "it must be different numbers"),
        ("penalty", {"epsilons": [1, None]}, "must be numbers alone: a constraint needs its bound"),
        ("unconstrained", {"epsilons": [1]}, r"must be \[null\]: the unconstrained attack knows no bound"),
        ("penalty", {"base": "nearest"}, "base is 'nearest'; it must be training or test"),
        ("penalty", {"targets": 0}, "targets is 0; it must be a positive integer"),
        ("penalty", {"together": True}, "together is True; it must be a positive integer"),
        ("penalty", {"settings": {"gamma": 1}}, "embedded.cells.pair.penalty: solver penalty has no setting"),
        ("influence", {"settings": {"sign": 1}}, "embedded.cells.pair.influence.settings: .*sign"),
    ],
)
def test_settings_without_meaning(root: Path, method: str, more: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        Run(a_cell(method, **more), torch.device("cpu"))
    assert "\n" not in str(caught.value)


def test_no_list_of_targets_and_no_target(root: Path) -> None:
    kept = CLEAN.read_bytes()
    try:
        records.write_json(CLEAN, {"targets": {"rows": [], "classes": [], "bases": []}})
        with pytest.raises(UserError, match=r"penalty\.targets is 4; the clean victim gets 0 test images right"):
            Run(a_cell(), torch.device("cpu"))
        CLEAN.unlink()
        with pytest.raises(UserError, match="`python -m pipelines.evaluate clean_label embedded pair clean` makes it"):
            Run(a_cell(), torch.device("cpu"))
    finally:
        CLEAN.write_bytes(kept)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("pair: [4, 9]", "pair: [4, 12]", "class 12 has 0 rows, needed are 20"),
        ("train_rows: 20", "train_rows: 200", "class . has .* rows, needed are 200"),
        ("widths: [4, 24]", "widths: [4, 4, 4, 4]", "cannot be halved 4 times"),
        ("widths: [4, 24]", "widths: []", "widths is .*; it must be a list of positive integers"),
        ("features: learned", "features: pixels", "learned is .*; it must be a mapping, of learned features alone"),
        ("step_size: 5e-3", "step_size: -1", "learned.step_size is -1; it must be a positive number"),
        ("features: learned", "shrink: 3, features: learned", "images of 8 x 8 pixels cannot be shrunk by 3"),
    ],
)
def test_what_cannot_be_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pipelines/clean_label").mkdir(parents=True)
    assert old in PARAMS
    Path("pipelines/clean_label/params.yaml").write_text(PARAMS.replace(old, new, 1))
    with pytest.raises(UserError, match=words):
        corrupt.main(["clean_label", "embedded", "pair"])


def test_the_network_has_not_seen_the_pair_and_is_the_same_again() -> None:
    random = np.random.default_rng(0)
    images, labels = random.uniform(size=(40, 1, 8, 8)).astype(np.float32), np.arange(40) % 3
    how = networks.Learning("digits", (3, 5), 2, 2, 16, 1e-2)
    network = networks.learned(images, labels, how)
    assert network.shape == (3 * 9 + 3 + 5 * 3 * 9 + 5,)
    np.testing.assert_array_equal(networks.learned(images, labels, how), network)
    assert networks.features(networks.encoder("learned", asdict(how), 1, network), images).shape == (40, 4 * 5)
    with pytest.raises(UserError, match="at least two classes, digits leaves 1"):
        networks.learned(images, np.zeros(40, np.int64), how)


def test_shrinking_takes_means() -> None:
    from pipelines.clean_label.prepare import shrunk

    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    small = shrunk(images, 2)
    assert small.shape == (2, 3, 2, 2) and small[0, 0, 0, 0] == round((0 + 1 + 4 + 5) / 4)
    assert shrunk(images, 1) is images
