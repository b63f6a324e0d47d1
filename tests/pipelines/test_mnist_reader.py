"""The idx reader on files made here, and the digits that scikit-learn ships."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets import digits, mnist
from pipelines.datasets.registry import DataSet, File
from pipelines.errors import UserError


def idx(array: np.ndarray, kind: int = 0x08) -> bytes:
    header = bytes((0, 0, kind, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([7, 0], dtype=np.uint8)


def test_a_right_file_is_read_in_c_order(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(idx(IMAGES))
    found = mnist.read_idx(path, 3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, IMAGES)
    path.write_bytes(idx(LABELS))
    np.testing.assert_array_equal(mnist.read_labels(path), [7, 0])
    path.write_bytes(idx(np.zeros((0, 28, 28))))
    assert mnist.read_idx(path, 3).shape == (0, 28, 28)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing"),
        (b"\x00\x00", "starts with 00 00,"),
        (idx(IMAGES, kind=0x0D), "starts with 00 00 0d 03, expected 00 00 08 03"),
        (idx(LABELS), "starts with 00 00 08 01"),
        (b"\x1f\x8b\x08\x00" + bytes(40), "starts with 1f 8b"),
        (idx(IMAGES)[:9], "within its header, after 9 bytes"),
        (idx(IMAGES)[:-1], "has 39 bytes, its header states 40"),
        (idx(IMAGES) + b"\x00", "has 41 bytes, its header states 40"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12, "its header states 79228162458924105385300197391"),
    ],
)
def test_what_is_no_right_file_is_refused_in_words(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        mnist.read_idx(path, 3)
    assert message in str(caught.value) and str(path) in str(caught.value)
    assert "python -m pipelines.fetch mnist" in str(caught.value)


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is missing: run `python -m pipelines\.fetch mnist`"):
        mnist.read_idx(tmp_path / "absent", 1)
    with pytest.raises(
        UserError, match=r"train-images-idx3-ubyte is missing: run `python -m pipelines\.fetch"
    ):
        mnist.load(tmp_path)


def test_a_label_beyond_nine_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(idx(np.array([3, 10])))
    with pytest.raises(UserError, match="label 10"):
        mnist.read_labels(path)


def manifest(folder: Path, **contents: bytes) -> DataSet:
    files = []
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        files.append(File(name, name, len(content), hashlib.sha256(content).hexdigest()))
    return DataSet("mnist", "a small MNIST", (), tuple(files), "", "")


def test_four_files_make_a_data_set(tmp_path: Path) -> None:
    entry = manifest(tmp_path, a=idx(IMAGES), b=idx(LABELS), c=idx(IMAGES[:1] + 9), d=idx(LABELS[1:]))
    data = mnist.load(tmp_path, entry)
    np.testing.assert_array_equal(data.train_images, IMAGES)
    np.testing.assert_array_equal(data.train_labels, LABELS)
    np.testing.assert_array_equal(data.test_images, IMAGES[:1] + 9)
    np.testing.assert_array_equal(data.test_labels, [0])

    (tmp_path / "c").write_bytes(idx(IMAGES[:1] + 8))
    with pytest.raises(UserError, match=r"c is wrong: run `python -m pipelines\.fetch mnist`"):
        mnist.load(tmp_path, entry)
    entry = manifest(tmp_path, a=idx(IMAGES), b=idx(LABELS[:1]), c=idx(IMAGES), d=idx(LABELS))
    with pytest.raises(UserError, match="differ in number"):
        mnist.load(tmp_path, entry)


def test_the_digits_are_what_the_package_documents() -> None:
    data = digits.load()
    assert data.images.shape == (1797, 8, 8) and data.images.dtype == np.uint8
    assert data.images.min() == 0 and data.images.max() == digits.BRIGHTEST
    np.testing.assert_array_equal(
        np.bincount(data.labels), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    )
    np.testing.assert_array_equal(data.images[0, 0], [0, 0, 5, 13, 9, 1, 0, 0])
    np.testing.assert_array_equal(data.labels[:10], np.arange(10))


def test_other_digits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import sklearn.datasets

    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    images[5, 20] += 1
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda **_: (images, labels))
    with pytest.raises(UserError, match="the images of scikit-learn's digits"):
        digits.load()
