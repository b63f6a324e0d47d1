"""The stage that prepares data: what each file holds and must not hold, and that its bytes never change."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from small_data import real

from pipelines import corrupt
from pipelines.datasets import digits, entries, folders, mnist, sealed
from pipelines.datasets.corruption import first_rows
from pipelines.datasets.fingerprints import fingerprints
from pipelines.datasets.prepared import Prepared, folder_of, load_oracle_mask, load_training
from pipelines.datasets.registry import RAW
from pipelines.datasets.splits import digits_splits
from pipelines.denoising import prepare
from pipelines.errors import UserError, run

ROOT = Path(__file__).resolve().parents[2]
SEEDS = [4, 0, 11]
PARAMS = """
common: {epochs: 3}
embedded:
  methods: [penalty]
  prepared:
    digits-50: {source: digits, noise: 0.5, train_size: null, seeds: [4, 0, 11], remark: not ours}
    digits-25: {source: digits, noise: 0.25, train_size: 400, seeds: [0]}
    digits-0: {source: digits, noise: 0, seeds: [0]}
cpu:
  prepared:
    mnist-25: {source: mnist, noise: 0.25, train_size: 2000, seeds: [0, 1]}
"""
NAMES = ["index.json", "oracle.npz", "sealed.npz", "train.npz"]


def write_params(text: str = PARAMS) -> None:
    path = Path("pipelines/denoising/params.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_params()
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_training_sees_the_splits_and_its_noise(root: Path) -> None:
    corrupt.main(["denoising", "embedded", "digits-50"])
    folder = folder_of("embedded", "digits-50")
    assert sorted(os.listdir(folder)) == NAMES
    seen, splits = load_training(folder), digits_splits(digits.load())
    np.testing.assert_array_equal(seen.train_images, splits.train.images)
    np.testing.assert_array_equal(seen.validation_images, splits.validation.images)
    np.testing.assert_array_equal(seen.validation_labels, splits.validation.labels)
    np.testing.assert_array_equal(seen.selection_images, splits.selection.images)
    np.testing.assert_array_equal(seen.selection_labels, splits.selection.labels)
    np.testing.assert_array_equal(seen.test_images, splits.test.images)
    np.testing.assert_array_equal(seen.seeds, SEEDS)
    clean = load_oracle_mask(folder)
    assert seen.noisy_labels.shape == clean.shape == (3, 997) and clean.dtype == np.bool_
    for row, seed in enumerate(SEEDS):
        expected = first_rows(splits.train.labels, 0.5, seed)
        np.testing.assert_array_equal(seen.noisy_labels[row], expected.labels)
        np.testing.assert_array_equal(clean[row], ~expected.corrupted)
        np.testing.assert_array_equal(seen.noisy_labels[row] == splits.train.labels, clean[row])
        assert np.count_nonzero(~clean[row]) == 498
    for array in seen:
        assert array.dtype == (np.int64 if array is seen.seeds else np.uint8)


def test_no_sealed_label_is_in_what_training_reads(root: Path) -> None:
    corrupt.main(["denoising", "embedded", "digits-50"])
    folder = folder_of("embedded", "digits-50")
    hidden = sealed.load_sealed(folder)
    splits = digits_splits(digits.load())
    np.testing.assert_array_equal(hidden.test_labels, splits.test.labels)
    np.testing.assert_array_equal(hidden.train_labels, splits.train.labels)
    with np.load(folder / "train.npz") as archive:
        assert set(archive.files) == set(Prepared._fields)
        for name in archive.files:
            for row in np.atleast_2d(archive[name].reshape(len(archive[name]), -1)):
                assert not np.array_equal(row, hidden.train_labels)
    with np.load(folder / "oracle.npz") as archive:
        assert archive.files == ["clean"]
    for name in ("train.npz", "oracle.npz"):
        stored = (folder / name).read_bytes()
        assert hidden.test_labels.tobytes() not in stored
        assert hidden.train_labels.tobytes() not in stored
        assert hidden.train_labels[:498].tobytes() not in stored
    assert hidden.train_labels.tobytes() in (folder / "sealed.npz").read_bytes()


def test_the_same_settings_give_the_same_bytes(root: Path) -> None:
    """In another process, at another time, and over the leavings of an interrupted run."""
    corrupt.main(["denoising", "embedded", "digits-50"])
    folder = folder_of("embedded", "digits-50")
    first = contents(folder)
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    (folder / ".train.npz").write_bytes(b"half")
    (folder / "sealed.npz").unlink()
    command = [sys.executable, "-m", "pipelines.corrupt", "denoising", "embedded", "digits-50"]
    done = subprocess.run(
        command,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "997 training rows, 498 of them with a wrong label, 3 seeds" in done.stdout
    assert contents(folder) == first
    for name in NAMES[1:]:
        with zipfile.ZipFile(folder / name) as archive:
            assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_seeds_noise_does_not_depend_on_the_other_seeds(root: Path) -> None:
    corrupt.main(["denoising", "embedded", "digits-50"])
    before = load_training(folder_of("embedded", "digits-50"))
    write_params(PARAMS.replace("[4, 0, 11]", "[0]"))
    corrupt.main(["denoising", "embedded", "digits-50"])
    after = load_training(folder_of("embedded", "digits-50"))
    np.testing.assert_array_equal(after.noisy_labels[0], before.noisy_labels[1])


def test_the_index_describes_what_was_written(root: Path) -> None:
    corrupt.main(["denoising", "embedded", "digits-25"])
    folder = folder_of("embedded", "digits-25")
    described = json.loads((folder / "index.json").read_text())
    assert described["settings"] == {
        "source": "digits",
        "noise": 0.25,
        "seeds": [0],
        "train_size": 400,
        "rule": "first_rows",
        "split": "large",
        "long_tail": None,
        "majority": None,
    }
    assert described["sizes"] == {"train": 400, "validation": 100, "selection": 200, "test": 500}
    assert described["noise"] == {"nominal": 0.25, "expected": 0.25, "effective": {"0": 0.25}}
    assert described["corrupted_rows"] == {"0": 100}
    assert described["source_sha256"] == fingerprints(digits.load())
    assert sorted(described["files"]) == NAMES[1:]
    for name, arrays in described["files"].items():
        with np.load(folder / name) as archive:
            assert set(archive.files) == set(arrays)
            for key, stated in arrays.items():
                array = archive[key]
                assert (list(array.shape), array.dtype.name) == (stated["shape"], stated["type"])
                assert hashlib.sha256(array.tobytes()).hexdigest() == stated["sha256"]


def test_without_noise_every_label_is_right(root: Path) -> None:
    corrupt.main(["denoising", "embedded", "digits-0"])
    folder = folder_of("embedded", "digits-0")
    assert load_oracle_mask(folder).all()
    np.testing.assert_array_equal(
        load_training(folder).noisy_labels[0], sealed.load_sealed(folder).train_labels
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("noise: 0.5", "noise: 1.5", r"embedded\.prepared\.digits-50\.noise is 1\.5; it must be a share"),
        ("noise: 0.5", "noise: half", "noise is 'half'"),
        ("noise: 0.5", "noise: true", "noise is True"),
        ("noise: 0.5", "sound: 0.5", "noise is 'missing'"),
        ("noise: 0.5", "noise: .nan", "noise is nan"),
        (
            "source: digits",
            "source: imagenet",
            "source is 'imagenet'; it must be one of cifar10, cifar10-part, digits, mnist, svhn",
        ),
        ("source: digits", "source: [digits]", r"source is \['digits'\]"),
        ("train_size: null", "train_size: 0", "train_size is 0"),
        ("train_size: null", "train_size: 998", "train_size is 998, with 997 training rows"),
        ("[4, 0, 11]", "[4, 4]", r"seeds is \[4, 4\]; it must be a list of different integers"),
        ("[4, 0, 11]", "[-1]", "seeds is"),
        ("[4, 0, 11]", "[]", "seeds is"),
        ("[4, 0, 11]", "4", "seeds is 4"),
        ("train_size: null", "rule: last_rows", "rule is 'last_rows'; it must be one of first_rows"),
        (
            "digits-50:",
            "digits-51:",
            "no key embedded.prepared.digits-50; beside it there is: digits-51, digits-25, digits-0",
        ),
        ("embedded:", "enclosed:", "no key embedded; beside it there is: common, enclosed, cpu"),
        ("digits-50: {", "digits-50: 3 #", "digits-50 must hold source, seeds"),
        ("common: {", "common: [", "is no valid YAML"),
    ],
)
def test_wrong_settings_are_refused_in_words(root: Path, old: str, new: str, message: str) -> None:
    write_params(PARAMS.replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        corrupt.main(["denoising", "embedded", "digits-50"])
    assert "\n" not in str(caught.value)
    assert not Path("data").exists()


def test_numbers_are_read_as_dvc_reads_them(root: Path) -> None:
    write_params(PARAMS.replace("noise: 0.5", "noise: 5e-1"))
    assert prepare.read(entries.read_entry("denoising", "embedded", "digits-50")).noise == 0.5


def test_missing_files_name_the_command_that_makes_them(root: Path) -> None:
    with pytest.raises(UserError, match=r"is missing: run `python -m pipelines\.fetch mnist`"):
        corrupt.main(["denoising", "cpu", "mnist-25"])
    folder = folder_of("cpu", "mnist-25")
    for load in (load_training, load_oracle_mask, sealed.load_sealed):
        with pytest.raises(UserError, match=r"run `python -m pipelines\.corrupt denoising cpu mnist-25`"):
            load(folder)
    Path("pipelines/denoising/params.yaml").unlink()
    with pytest.raises(UserError, match=r"params\.yaml is missing"):
        corrupt.main(["denoising", "cpu", "mnist-25"])


@pytest.mark.parametrize("spoil", [lambda b: b[:100], lambda b: b"", lambda b: b[:900] + b"\xff" + b[901:]])
def test_a_damaged_file_names_the_command_too(root: Path, spoil: object) -> None:
    corrupt.main(["denoising", "embedded", "digits-25"])
    folder = folder_of("embedded", "digits-25")
    path = folder / "train.npz"
    path.write_bytes(spoil(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(UserError, match=r"is damaged .*pipelines\.corrupt denoising embedded digits-25"):
        load_training(folder)
    (folder / "oracle.npz").replace(path)
    with pytest.raises(UserError, match="lacks an array"):
        load_training(folder)


def test_the_command_line_ends_with_one_line_and_status_two(root: Path) -> None:
    command = [sys.executable, "-m", "pipelines.corrupt", "denoising", "cpu", "mnist-25"]
    done = subprocess.run(
        command, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: data/raw/mnist/train-images-idx3-ubyte is missing")
    assert done.stderr.count("\n") == 1


def begun() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.corrupt", "denoising", "embedded", "digits-50"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_two_processes_prepare_one_folder_in_turn(root: Path) -> None:
    """Both wait for a lock that is held here, then write one after the other; neither meets the other's unfinished files."""
    folder = folder_of("embedded", "digits-50")
    corrupt.main(["denoising", "embedded", "digits-50"])
    expected = contents(folder)
    before = {name: (folder / name).stat().st_mtime_ns for name in NAMES}
    with folders.locked(folder, "writes into"):
        both = [begun(), begun()]
        said = [str(one.stderr and one.stderr.readline()) for one in both]
        assert said == [f"another process writes into {folder}: waiting for it\n"] * 2
        time.sleep(0.5)
        assert {name: (folder / name).stat().st_mtime_ns for name in NAMES} == before
    ended = [one.communicate(timeout=120) for one in both]
    assert [one.returncode for one in both] == [0, 0], ended
    assert contents(folder) == expected and sorted(os.listdir(folder)) == NAMES
    assert all((folder / name).stat().st_mtime_ns > before[name] for name in NAMES)


def test_trouble_while_preparing_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk gives an error without a name; memory that runs out one without a word."""
    folder = folder_of("embedded", "digits-50")
    for raised, words in (
        (OSError(errno.ENOSPC, "No space left on device"), f"No space left on device: {folder}; free some disk space"),
        (MemoryError(), f"memory ran out over {folder}: close other programs"),
    ):

        def failing(*_: object, error: BaseException = raised, **__: object) -> None:
            raise error

        with monkeypatch.context() as patched, pytest.raises(SystemExit) as caught:
            patched.setattr(np, "savez", failing)
            run(lambda: corrupt.main(["denoising", "embedded", "digits-50"]))
        error = capsys.readouterr().err
        assert caught.value.code == 2 and error.startswith(f"error: {words}") and error.count("\n") == 1
        assert not (folder / "index.json").exists()
    corrupt.main(["denoising", "embedded", "digits-50"])
    assert sorted(os.listdir(folder)) == NAMES


def test_only_evaluation_imports_the_sealed_labels() -> None:
    # of the clean-label attack it is evaluation too that knows which test images are targets
    assert sealed.importers(ROOT) == sealed.IMPORTED_BY | {"pipelines.clean_label.metrics"}


@pytest.mark.parametrize(
    "statement",
    [
        "import pipelines.datasets.sealed",
        "from pipelines.datasets import prepared, sealed as s",
        "from pipelines.datasets.sealed import load_sealed",
        "def f():\n    from .datasets.sealed import load_sealed",
        "from .datasets import sealed",
    ],
)
def test_an_importer_is_found(tmp_path: Path, statement: str) -> None:
    (tmp_path / "pipelines" / "few").mkdir(parents=True)
    (tmp_path / "pipelines" / "few" / "train.py").write_text(statement + "\n")
    (tmp_path / "pipelines" / "few" / "other.py").write_text("from pipelines.datasets import prepared\n")
    assert sealed.importers(tmp_path) == {"pipelines.few.train"}


@pytest.mark.parametrize(("stage", "allowed"), [("train", False), ("summary", False), ("evaluate", True)])
def test_another_stage_cannot_open_them(root: Path, stage: str, allowed: bool) -> None:
    corrupt.main(["denoising", "embedded", "digits-25"])
    # A stage of that name, with the real package behind it.
    (root / "pipelines" / "__init__.py").write_text(
        f"__path__ = [{str(root / 'pipelines')!r}, {str(ROOT / 'pipelines')!r}]\n"
    )
    (root / "pipelines" / f"{stage}.py").write_text(
        "from pathlib import Path\n"
        "import importlib\n"
        "sealed = importlib.import_module('pipelines.datasets.sealed')\n"
        "print(len(sealed.load_sealed(Path('data/prepared/embedded/digits-25')).test_labels))\n"
    )
    command = [sys.executable, "-m", f"pipelines.{stage}"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if allowed:
        assert (done.returncode, done.stdout) == (0, "500\n"), done.stderr
    else:
        assert done.returncode != 0 and f"pipelines.{stage} opened the sealed labels" in done.stderr


def test_mnist_is_prepared_from_the_raw_files(root: Path) -> None:
    real(RAW, "mnist")
    corrupt.main(["denoising", "cpu", "mnist-25"])
    folder = folder_of("cpu", "mnist-25")
    seen, hidden = load_training(folder), sealed.load_sealed(folder)
    assert seen.train_images.shape == (2000, 28, 28) and seen.noisy_labels.shape == (2, 2000)
    assert seen.validation_images.shape == seen.selection_images.shape == (1000, 28, 28)
    assert seen.test_images.shape == (10000, 28, 28)
    # The first labels of the official files.
    np.testing.assert_array_equal(hidden.train_labels[:10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4])
    np.testing.assert_array_equal(hidden.test_labels[:10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])
    np.testing.assert_array_equal(
        np.bincount(hidden.test_labels), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    )
    wrong = seen.noisy_labels != hidden.train_labels
    np.testing.assert_array_equal(wrong, np.broadcast_to(np.arange(2000) < 500, (2, 2000)))
    np.testing.assert_array_equal(load_oracle_mask(folder), ~wrong)
    described = json.loads((folder / "index.json").read_text())
    assert described["source_sha256"] == fingerprints(mnist.load())
