"""Preparation of poisoning, few-shot learning and the clean-label attack: what is in the open, what is sealed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import small_data
from ruamel.yaml import YAML

from pipelines import corrupt, facts
from pipelines.clean_label import prepare as clean_label_prepare
from pipelines.clean_label import stored as clean_label
from pipelines.datasets import cifar, digits, entries, preparing, sealed, sources, tasks
from pipelines.datasets.fingerprints import fingerprints
from pipelines.datasets.mnist import Mnist
from pipelines.datasets.prepared import folder_of, read_arrays, read_index
from pipelines.denoising import prepare as denoising
from pipelines.errors import UserError
from pipelines.few_shot import prepare as few_shot_prepare
from pipelines.few_shot import stored as few_shot
from pipelines.poisoning import prepare as poisoning_prepare
from pipelines.poisoning import stored as poisoning

ROOT = Path(__file__).resolve().parents[2]
POISONING = """
embedded:
  data: [targeted]
  prepared:
    targeted: {source: digits, attack: targeted, points: 18, seeds: [4, 0],
               sizes: {train: 300, validation: 500, selection: 200, test: 700}}
    untargeted: {source: digits, attack: untargeted, points: 18, seeds: [4, 0],
                 sizes: {train: 300, validation: 300, selection: 200, test: 900}}
    paper: {source: mnist, attack: targeted, points: 60, seeds: [0]}
"""
FEW_SHOT = """
embedded:
  data: [small]
  prepared:
    small: {source: glyphs, way: 5, shot: 2, query: 3, meta_batch: 4, selection_tasks: 6, test_tasks: 40, seeds: [0, 7]}
"""
CLEAN_LABEL = """
embedded:
  data: [pair]
  prepared:
    pair: {source: digits, pair: [4, 9], train_rows: 60, test_rows: 40, selection_rows: 10}
"""



class Letters(NamedTuple):
    """A few-shot source: drawing d of class c holds c and d, and is not the same turned."""

    images: np.ndarray
    made_with: tuple[str, ...] = ("a pen",)


def letters(classes: int = 420) -> Letters:
    images = np.zeros((classes, 20, 28, 28), dtype=np.uint8)
    images[:, :, 0, 0] = (np.arange(classes) // 200)[:, None] + 1
    images[:, :, 0, 1] = (np.arange(classes) % 200)[:, None]
    images[:, :, 1, 0] = np.arange(20)
    return Letters(images)


def class_of(images: np.ndarray) -> np.ndarray:
    return (images[..., 0, 0].astype(int) - 1) * 200 + images[..., 0, 1]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for family, text in (("poisoning", POISONING), ("few_shot", FEW_SHOT), ("clean_label", CLEAN_LABEL)):
        (tmp_path / "pipelines" / family).mkdir(parents=True)
        (tmp_path / "pipelines" / family / "params.yaml").write_text(text)
    real = sources.load
    monkeypatch.setattr(sources, "load", lambda name, **_: letters() if name == "glyphs" else real(name))
    return tmp_path


ENTRIES = [("poisoning", "targeted"), ("poisoning", "untargeted"), ("few_shot", "small"), ("clean_label", "pair")]


@pytest.mark.parametrize(("family", "data"), ENTRIES)
def test_the_index_describes_what_was_written_and_the_bytes_stay(root: Path, family: str, data: str) -> None:
    corrupt.main([family, "embedded", data])
    folder = folder_of("embedded", data, family)
    assert folder == Path("data/prepared/embedded") / family / data
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    described = json.loads(first["index.json"])
    assert sorted(first) == sorted([*described["files"], "index.json"])
    for name, arrays in described["files"].items():
        with np.load(folder / name) as archive:
            assert set(archive.files) == set(arrays)
            for key, stated in arrays.items():
                assert (list(archive[key].shape), archive[key].dtype.name) == (stated["shape"], stated["type"])
                assert hashlib.sha256(archive[key].tobytes()).hexdigest() == stated["sha256"]
    source = letters() if family == "few_shot" else digits.load()
    assert described["source_sha256"] == fingerprints(source)
    corrupt.main([family, "embedded", data])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


@pytest.mark.parametrize("attack", ["targeted", "untargeted"])
def test_poisoning(root: Path, attack: str) -> None:
    corrupt.main(["poisoning", "embedded", attack])
    folder = folder_of("embedded", attack, "poisoning")
    seen = poisoning.load(folder)
    hidden = sealed.opened(folder, ("test_labels",))["test_labels"]
    data = digits.load()
    known = {image.tobytes(): int(label) for image, label in zip(data.images, data.labels, strict=True)}
    for trial in range(2):
        labels = {part: [known[image.tobytes()] for image in getattr(seen, f"{part}_images")[trial]]
                  for part in ("train", "validation", "selection", "test", "poison")}  # fmt: skip
        np.testing.assert_array_equal(labels["train"], seen.train_labels[trial])
        np.testing.assert_array_equal(labels["test"], hidden[trial])
        assert (np.array(labels["poison"]) != seen.poison_labels[trial]).all()
        np.testing.assert_array_equal(
            seen.train_images[trial][seen.poison_rows[trial]], seen.poison_images[trial]
        )
        if attack == "targeted":
            assert set(labels["validation"]) == set(labels["selection"]) == {8}
            assert set(seen.validation_labels[trial]) == set(seen.selection_labels[trial]) == {3}
        else:
            np.testing.assert_array_equal(labels["validation"], seen.validation_labels[trial])
            np.testing.assert_array_equal(seen.poison_rows[trial], np.arange(18))
    assert not np.array_equal(seen.train_images[0], seen.train_images[1])


def test_a_trial_does_not_depend_on_the_others(root: Path) -> None:
    corrupt.main(["poisoning", "embedded", "targeted"])
    both = poisoning.load(folder_of("embedded", "targeted", "poisoning"))
    path = Path("pipelines/poisoning/params.yaml")
    path.write_text(POISONING.replace("[4, 0]", "[0]"))
    corrupt.main(["poisoning", "embedded", "targeted"])
    alone = poisoning.load(folder_of("embedded", "targeted", "poisoning"))
    for one, other in zip(both, alone, strict=True):
        np.testing.assert_array_equal(one[1], other[0])


def test_mnist_is_attacked_with_the_papers_sizes() -> None:
    labels = np.random.default_rng(0).permutation(np.arange(60_000) % 10).astype(np.uint8)
    data = Mnist(np.zeros((60_000, 1, 1), np.uint8), labels, np.zeros((10_000, 1, 1), np.uint8), labels[:10_000])
    entry = {"source": "mnist", "attack": "targeted", "points": 60, "seeds": [0]}
    settings = poisoning_prepare.read(entries.Entry(entry, "here"))
    made = poisoning_prepare.prepared([poisoning_prepare.trial(data, settings, 0)], settings, {})
    assert made.facts["sizes"] == {"train": 1000, "validation": 400, "selection": 100, "test": 5000}
    assert made.facts["first_poisons"] == {"from": [3, 8] * 5, "to": [8, 3] * 5}
    settings = poisoning_prepare.read(entries.Entry({**entry, "attack": "untargeted"}, "here"))
    made = poisoning_prepare.prepared([poisoning_prepare.trial(data, settings, 0)], settings, {})
    assert made.facts["sizes"] == {"train": 1000, "validation": 1000, "selection": 1000, "test": 8000}
    assert made.facts["poisons"] == {"points": 60, "share of train": 0.06}


def test_few_shot_tasks_and_what_they_keep_to_themselves(root: Path) -> None:
    corrupt.main(["few_shot", "embedded", "small"])
    folder = folder_of("embedded", "small", "few_shot")
    seen, test = few_shot.load(folder), few_shot.load_test(folder)
    hidden = sealed.opened(folder, ("query_labels", "image_classes"))
    # no class is in two splits
    parts = [set(class_of(images[:, 0])) for images in (seen.train_images, seen.validation_images)]
    parts.append(set(class_of(test.test_images)))
    assert [len(part) for part in parts] == [20, 150, 250] and len(set.union(*parts)) == 420
    assert test.support.shape == (2, 40, 5, 2) and test.query.shape == hidden["query_labels"].shape == (2, 40, 15)
    for trial in range(2):
        for support, query, labels in zip(
            test.support[trial], test.query[trial], hidden["query_labels"][trial], strict=True
        ):
            assert not set(support.reshape(-1)) & set(query) and len(set(query)) == 15
            classes = class_of(test.test_images[support])
            assert (classes == classes[:, :1]).all() and len(set(classes[:, 0])) == 5
            np.testing.assert_array_equal(class_of(test.test_images[query]), classes[labels, 0])
    # neither the order of the images nor that of the queries tells a class
    assert (np.diff(hidden["image_classes"]) == 0).mean() < 0.02
    places = hidden["query_labels"].reshape(-1, 15)
    assert len({row.tobytes() for row in places}) == 80
    for first in (0, 14):
        assert np.bincount(places[:, first], minlength=5).max() < 34  # of 80, mean 16, s.d. 3.6
    for name in ("train.npz", "test.npz"):
        assert hidden["query_labels"].tobytes() not in (folder / name).read_bytes()


def test_meta_training_is_fixed_by_the_index(root: Path) -> None:
    corrupt.main(["few_shot", "embedded", "small"])
    described = read_index(folder_of("embedded", "small", "few_shot"))
    for seed in (0, 7):
        digest = hashlib.sha256()
        for number in range(described["meta_batches_sha256"]["of the first"]):
            for array in tasks.meta_batch(20, 20, tasks.Shape(5, 2, 3), 4, seed, number):
                digest.update(array.tobytes())
        assert described["meta_batches_sha256"][str(seed)] == digest.hexdigest()


def test_omniglots_test_classes_are_turned() -> None:
    ink = np.zeros((1623, 20, 28, 28), dtype=np.bool_)
    ink[:, :, :3, :9] = True
    settings = few_shot_prepare.Settings("omniglot", 20, 5, 15, 15, 2, 2, (0,))
    parts = few_shot_prepare.parts_of(Letters(ink), "omniglot")
    assert [len(part) for part in parts] == [1100, 100, 423]
    made = few_shot_prepare.prepared(parts, settings, {})
    assert made.facts["classes"] == {"train": 4400, "validation": 400, "test": 1692} and made.facts["rotations"] == 4
    flat, classes = made.files["test.npz"]["test_images"], made.files["sealed.npz"]["image_classes"]
    assert len(flat) == 1692 * 20
    for turn in range(4):
        np.testing.assert_array_equal(flat[classes % 4 == turn][0], np.rot90(255 * ink[0, 0].astype(np.uint8), turn))


class Part(NamedTuple):
    images: np.ndarray
    labels: np.ndarray


class InParts(NamedTuple):
    """A few-shot source that its reader has split: images [n, 3, side, side], class by class."""

    train: Part
    validation: Part
    test: Part


def test_a_source_that_its_reader_has_split() -> None:
    """mini-ImageNet's 64, 16 and 20 classes, of 30 small images each."""
    draw = np.random.default_rng(0)
    data = InParts(*(Part(draw.integers(0, 255, (count * 30, 3, 5, 5)).astype(np.uint8), np.repeat(np.arange(count), 30))
                     for count in (64, 16, 20)))  # fmt: skip
    parts = few_shot_prepare.parts_of(data, "mini-imagenet")
    np.testing.assert_array_equal(parts.validation[3, 7], data.validation.images[97])
    settings = few_shot_prepare.Settings("mini-imagenet", 5, 5, 15, 2, 3, 4, (0,))
    made = few_shot_prepare.prepared(parts, settings, fingerprints(data))
    assert made.facts["classes"] == {"train": 64, "validation": 16, "test": 20} and made.facts["rotations"] == 1
    assert made.files["test.npz"]["test_images"].shape == (600, 3, 5, 5) and set(made.source) == set(data._fields)
    classes = made.files["sealed.npz"]["image_classes"]
    np.testing.assert_array_equal(
        np.sort(made.files["test.npz"]["test_images"][classes == 2].sum(axis=(1, 2, 3))),
        np.sort(data.test.images[60:90].sum(axis=(1, 2, 3))),
    )
    short = data._replace(validation=Part(data.validation.images[1:], data.validation.labels[1:]))
    with pytest.raises(UserError, match="the classes of mini-imagenet, validation, have 29 to 30 images"):
        few_shot_prepare.parts_of(short, "mini-imagenet")
    assert fingerprints(short)["validation"] != fingerprints(data)["validation"]
    assert fingerprints(short)["test"] == fingerprints(data)["test"]


def test_fc100_is_prepared_as_the_profile_paper_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command that a user types, from a small CIFAR-100 in the official format."""
    contents, images, fine, _ = small_data.cifar100(12)
    place = small_data.fetched(tmp_path / "small", contents, "cifar100")
    monkeypatch.chdir(tmp_path)
    Path("pipelines/few_shot").mkdir(parents=True)
    shutil.copy(ROOT / "pipelines/few_shot/params.yaml", "pipelines/few_shot/params.yaml")
    with pytest.raises(UserError, match=r"cifar-100-binary.tar is missing: run `python -m pipelines\.fetch cifar100`"):
        corrupt.main(["few_shot", "paper", "fc100-5way-5shot"])
    monkeypatch.setattr(cifar.load_fc100, "__defaults__", place)
    corrupt.main(["few_shot", "paper", "fc100-5way-5shot"])
    folder = folder_of("paper", "fc100-5way-5shot", "few_shot")
    seen, test = few_shot.load(folder), few_shot.load_test(folder)
    assert seen.train_images.shape == (60, 12, 3, 32, 32) and seen.validation_images.shape == (20, 12, 3, 32, 32)
    assert test.test_images.shape == (240, 3, 32, 32) and test.support.shape == (5, 600, 5, 5)
    assert test.query.shape == (5, 600, 25) and seen.rotations == 1
    described = read_index(folder)
    assert described["classes"] == {"train": 60, "validation": 20, "test": 20} and described["drawings"] == 12
    # each class's images are those of its label, none is in two sets, and none is lost
    label_of = {image.tobytes(): int(label) for image, label in zip(images, fine, strict=True)}
    classes = [[{label_of[one.tobytes()] for one in some} for some in part]
               for part in (seen.train_images, seen.validation_images)]  # fmt: skip
    assert all(len(one) == 1 for part in classes for one in part)
    parts = [set().union(*part) for part in classes] + [{label_of[one.tobytes()] for one in test.test_images}]
    assert [len(part) for part in parts] == [60, 20, 20] and set.union(*parts) == set(range(100))
    names = sorted(name for part in cifar.fc100_superclasses().values() for names in part.values() for name in names)
    wanted = {name for names in cifar.fc100_superclasses()["test"].values() for name in names}
    assert {names[number] for number in parts[2]} == wanted


def test_the_stage_of_fc100_reads_cifar100() -> None:
    """And nothing of mini-ImageNet, which no program can fetch."""
    stage = YAML(typ="safe").load(ROOT / "pipelines/few_shot/paper/dvc.yaml")["stages"]["corrupt_paper_fc100"]
    assert stage["matrix"] == {"data": ["fc100-5way-5shot"]}
    others = [name for name in stage["deps"] if not name.endswith(".py")]
    assert others == ["pipelines/datasets/fc100.yaml", "data/raw/cifar100/cifar-100-binary.tar"]
    assert "pipelines/datasets/cifar.py" in stage["deps"]
    assert "fc100-5way-5shot" in entries.params("few_shot", ROOT)[0]["paper"]["data"]


def test_the_clean_label_attack(root: Path) -> None:
    corrupt.main(["clean_label", "embedded", "pair"])
    folder = folder_of("embedded", "pair", "clean_label")
    seen, hidden = clean_label.load(folder), sealed.opened(folder, ("test_labels", "test_base"))
    assert np.bincount(seen.train_labels).tolist() == [50, 50] and np.bincount(seen.selection_labels).tolist() == [10, 10]
    train, test = (images.reshape(len(images), -1).astype(float) for images in (seen.train_images, seen.test_images))
    apart = np.linalg.norm(test[:, None] - train[None], axis=2)
    for label in (0, 1):
        assert (seen.train_labels[seen.nearest_base[:, label]] == label).all()
        nearest = np.where(seen.train_labels == label, apart, np.inf).min(axis=1)
        np.testing.assert_allclose(apart[np.arange(80), seen.nearest_base[:, label]], nearest)
    np.testing.assert_array_equal(hidden["test_labels"][hidden["test_base"]], 1 - hidden["test_labels"])


class InOrder(NamedTuple):
    """A source that gives one class after the other, as dog against fish does; an image's first pixel is its own number,
    its second one its label."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def in_order(classes: tuple[int, int], count: int = 100) -> InOrder:
    labels = np.repeat(np.array(classes, np.uint8), count)
    images = np.zeros((2 * count, 3, 4, 4), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(2 * count), labels
    return InOrder(images, labels, images, labels)


@pytest.mark.parametrize("source", clean_label_prepare.SOURCES)
def test_the_order_of_test_rows_does_not_tell_their_labels(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if source != "digits":
        classes = (0, 1) if "dogfish" in source else (4, 9)
        monkeypatch.setattr(sources, "load", lambda name, **_: in_order(classes))
    else:
        classes = (4, 9)
    entry = entries.Entry({"source": source, "pair": list(classes), "train_rows": 60, "test_rows": 75,
                             "selection_rows": 10}, "here")  # fmt: skip
    made, again = clean_label_prepare.prepare(entry), clean_label_prepare.prepare(entry)
    labels, images = made.files["sealed.npz"]["test_labels"], made.files["train.npz"]["test_images"]
    np.testing.assert_array_equal(again.files["sealed.npz"]["test_labels"], labels)
    assert np.bincount(labels).tolist() == [75, 75]
    # as many changes from row to row as a fair coin makes in 149 throws: mean 74.5, s.d. 6.1; sorted rows have one
    assert 50 < np.count_nonzero(np.diff(labels.astype(int))) < 100
    assert 25 < np.count_nonzero(labels[:75]) < 50
    if source != "digits":
        # each image has kept its own label, and the first 75 of each class are there
        np.testing.assert_array_equal(np.array(classes)[labels], images[:, 0, 0, 1])
        assert sorted(images[:, 0, 0, 0].tolist()) == [*range(75), *range(100, 175)]
    else:
        data = digits.load()
        right = {image.tobytes(): label for image, label in zip(data.images, data.labels, strict=True)}
        assert [right[image.tobytes()] for image in images] == np.array(classes)[labels].tolist()


def every_reader(family: str, folder: Path) -> None:
    """Read each file of a prepared folder."""
    if family == "few_shot":
        few_shot.load(folder)
        few_shot.load_test(folder)
        sealed.opened(folder, ("query_labels", "image_classes"))
    elif family == "poisoning":
        poisoning.load(folder)
        sealed.opened(folder, ("test_labels",))
    else:
        clean_label.load(folder)
        sealed.opened(folder, ("test_labels", "test_base"))


@pytest.mark.parametrize(("family", "data"), ENTRIES)
def test_a_changed_file_is_refused(root: Path, family: str, data: str) -> None:
    corrupt.main([family, "embedded", data])
    folder = folder_of("embedded", data, family)
    every_reader(family, folder)
    for path in folder.glob("*.npz"):
        whole = path.read_bytes()
        with np.load(path) as archive:
            arrays = dict(archive)
        last = next(name for name in reversed(arrays) if arrays[name].ndim)
        arrays[last].reshape(-1)[0] ^= 1
        np.savez(path, **arrays)
        message = rf"{path.name} is not the file that .*index.json.*array {last} .*corrupt {family} embedded {data}`"
        with pytest.raises(UserError, match=message):
            every_reader(family, folder)
        path.write_bytes(whole)
    every_reader(family, folder)


@pytest.mark.parametrize(("family", "data"), ENTRIES)
def test_nothing_but_the_guard_reads_what_is_sealed(root: Path, family: str, data: str) -> None:
    folder = folder_of("embedded", data, family)
    with pytest.raises(RuntimeError, match="pipelines.datasets.sealed reads it"):
        read_arrays(folder / "sealed.npz", ("test_labels",))
    with pytest.raises(UserError, match=rf"run `python -m pipelines.corrupt {family} embedded {data}`"):
        sealed.opened(folder, ("test_labels",))


@pytest.mark.parametrize(("stage", "family", "data"), [("train", "few_shot", "small"), ("train", "poisoning", "targeted"),
                                                       ("facts", "clean_label", "pair")])  # fmt: skip
def test_a_stage_that_trains_cannot_open_them(root: Path, stage: str, family: str, data: str) -> None:
    corrupt.main([family, "embedded", data])
    (root / "pipelines" / "__init__.py").write_text(
        f"__path__ = [{str(root / 'pipelines')!r}, {str(ROOT / 'pipelines')!r}]\n"
    )
    (root / "pipelines" / f"{stage}.py").write_text(
        "from pathlib import Path\n"
        "import importlib\n"
        "sealed = importlib.import_module('pipelines.datasets.sealed')\n"
        f"sealed.opened(Path('data/prepared/embedded/{family}/{data}'), ('test_labels',))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", f"pipelines.{stage}"]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and f"pipelines.{stage} opened the sealed labels" in done.stderr


def test_facts_hold_no_data_but_a_sheet(root: Path) -> None:
    for family, data in (("few_shot", "small"), ("poisoning", "targeted")):
        corrupt.main([family, "embedded", data])
        facts.main([family, "embedded"])
    found = json.loads(Path("results/embedded/few_shot/data.json").read_text())["data"]["small"]
    assert found["classes"] == {"train": 20, "validation": 150, "test": 250} and "files" not in found
    assert found["bytes"] > 420 * 20 * 784 and set(found["sheet"]) == {"classes", "drawings"}
    found = json.loads(Path("results/embedded/poisoning/data.json").read_text())["data"]
    assert list(found) == ["targeted"] and found["targeted"]["sizes"]["test"] == 700
    with pytest.raises(UserError, match=r"index.json is missing: `python -m pipelines.corrupt clean_label embedded pair`"):
        facts.main(["clean_label", "embedded"])
    with pytest.raises(UserError, match=r"params.yaml must hold cpu.data"):
        facts.main(["clean_label", "cpu"])


@pytest.mark.parametrize(
    ("family", "data", "old", "new", "message"),
    [
        ("poisoning", "targeted", "attack: targeted", "attack: aimed", "attack is 'aimed'; it must be one of targeted, unt"),
        ("poisoning", "targeted", "points: 18", "points: 17", "points is 17; it must be even"),
        ("poisoning", "targeted", "points: 18", "points: 0", "points is 0; it must be an integer, at least 1"),
        ("poisoning", "targeted", "validation: 500", "validation: 505", "multiples of 10"),
        ("poisoning", "targeted", ", test: 700", "", "sizes is .*; it must be null or {train, validation"),
        ("poisoning", "targeted", "train: 300", "train: 3000", "class . has 17. rows, needed are 300"),
        ("few_shot", "small", "way: 5", "way: 1", "way is 1; it must be an integer, at least 2"),
        ("few_shot", "small", "source: glyphs", "source: letters", "source is 'letters'; it must be one of fc100, glyphs"),
        ("few_shot", "small", "seeds: [0, 7]", "seeds: [7, 7]", r"seeds is \[7, 7\]; it must be a list of different"),
        ("few_shot", "small", "meta_batch: 4", "meta_batch: 5", "5 tasks of 5 classes needs 25 classes, there are 20"),
        ("few_shot", "small", "query: 3", "query: 19", "2 drawings to learn from and 19 to be judged on, of 20"),
        ("clean_label", "pair", "[4, 9]", "[4, 4]", r"pair is \[4, 4\]; it must be two different classes"),
        ("clean_label", "pair", "selection_rows: 10", "selection_rows: 60", "selection_rows is 60; it must be less"),
        ("clean_label", "pair", "pair: {", "pair: 3 #", "embedded.prepared.pair must hold source"),
    ],
)
def test_wrong_settings_are_refused_in_words(root: Path, family: str, data: str, old: str, new: str, message: str) -> None:
    path = Path("pipelines") / family / "params.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        corrupt.main([family, "embedded", data])
    assert "\n" not in str(caught.value) and not Path("data").exists()


PREPARERS = {"denoising": denoising.read, "poisoning": poisoning_prepare.read, "few_shot": few_shot_prepare.read,
             "clean_label": clean_label_prepare.read}  # fmt: skip


def test_every_source_can_be_prepared() -> None:
    """Each by at least one family; both forms of mini-ImageNet by the same."""
    entry = {"way": 5, "shot": 1, "meta_batch": 2, "selection_tasks": 3, "seeds": [0], "noise": 0.0, "attack": "untargeted",
             "points": 2, "pair": [0, 1], "train_rows": 4, "test_rows": 2, "selection_rows": 1}  # fmt: skip
    found: dict[str, set[str]] = {}
    for family, read in PREPARERS.items():
        for source in sources.SOURCES:
            with contextlib.suppress(UserError):
                read(entries.Entry({**entry, "source": source}, "here"))
                found.setdefault(source, set()).add(family)
    assert set(found) == set(sources.SOURCES)
    assert found["mini-imagenet"] == found["mini-imagenet-images"] == found["mini-imagenet-lite"] == {"few_shot"}
    assert found["mnist"] == {"denoising", "poisoning", "clean_label"}


@pytest.mark.parametrize("family", preparing.FAMILIES)
def test_every_entry_of_the_project_can_be_read(family: str) -> None:
    params, _ = entries.params(family, ROOT)
    for profile in ("embedded", "cpu", "paper"):
        prepared = params[profile]["prepared"]
        for data in prepared:
            entry = entries.read_entry(family, profile, data, ROOT)
            # what is made by default must have its reader; others may wait for theirs
            if data in params[profile]["data"] or entry.found["source"] in sources.SOURCES:
                assert PREPARERS[family](entry).source == entry.found["source"]
        assert set(params[profile]["data"]) <= set(prepared)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"split": "wrn"}, "split is 'wrn'; it must be one of four-nine, franceschi, large, small, stocbio"),
        ({"majority": 0.9}, "majority is 0.9; it must be left out, unless split is four-nine"),
        ({"split": "four-nine"}, "majority is 'missing'; it must be a share"),
        ({"long_tail": 0.5}, "long_tail is 0.5; it must be null or a number, at least 1"),
        ({"source": "glyphs"}, "source is 'glyphs'; it must be one of "),
    ],
)
def test_denoising_refuses_what_does_not_go_together(more: dict[str, object], message: str) -> None:
    entry = {"source": "mnist", "noise": 0.4, "seeds": [0], **more}
    with pytest.raises(UserError, match=message):
        denoising.read(entries.Entry(entry, "here"))


def test_denoising_with_a_long_tail_and_uniform_noise() -> None:
    found = {"source": "digits", "noise": 0.4, "rule": "uniform", "long_tail": 10, "seeds": [0, 1]}
    settings = denoising.read(entries.Entry(found, "here"))
    splits = denoising.splits_of(digits.load(), settings)
    made = denoising.prepared(splits, settings, {})
    counts = made.facts["train_per_class"]
    assert counts == sorted(counts, reverse=True) and (counts[0], counts[9]) == (94, 9)
    wrong = made.files["train.npz"]["noisy_labels"] != made.files["sealed.npz"]["train_labels"]
    np.testing.assert_array_equal(~wrong, made.files["oracle.npz"]["clean"])
    assert made.facts["noise"]["nominal"] == 0.4 and made.facts["noise"]["expected"] == 0.36
    assert list(made.facts["noise"]["effective"].values()) == [round(row.mean(), 6) for row in wrong]
