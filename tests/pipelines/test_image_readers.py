"""Readers of images, on small files in the official formats and on the real ones where a mirror has them."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from small_data import DRAWS, KINDS, archived, cifar100, encoded, fetched, noise, plain, real, records, tar_of, zip_of

from pipelines.datasets import archives, cifar, mnist, omniglot, svhn
from pipelines.datasets.registry import DATA_SETS, DataSet
from pipelines.errors import UserError

# CIFAR


@pytest.fixture(scope="module", params=KINDS)
def part(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, DataSet, list[Any]]:
    folder = tmp_path_factory.mktemp("cifar")
    if request.param == "real":
        return "real", *real(folder, "cifar10-part"), []
    made = [(noise(count, 3, 32, 32), noise(count, largest=9)) for count in (3, 2, 2)]
    names = ("data_batch_1", "data_batch_5", "test_batch_first1000")
    members = {f"cifar-10-batches-bin/{name}.bin": records(*one) for name, one in zip(names, made, strict=True)}
    file = archived("cifar-10-batches-bin.tar", members, keep=".bin")
    wrapped = tar_of({**members, "cifar-10-batches-bin/batches.meta.txt": b"airplane\n"}, "xz")
    return "small", *fetched(folder, {file: wrapped}, "cifar10-part"), made


def test_cifar10_part(part: tuple[str, Path, DataSet, list[Any]]) -> None:
    kind, folder, entry, made = part
    data = cifar.load_part(folder, entry)
    assert data.train_images.dtype == np.uint8 and data.train_coarse.size == data.test_coarse.size == 0
    if kind == "small":
        np.testing.assert_array_equal(data.train_images, np.concatenate([made[0][0], made[1][0]]))
        np.testing.assert_array_equal(data.train_labels, np.concatenate([made[0][1], made[1][1]]))
        np.testing.assert_array_equal(data.test_images, made[2][0])
        np.testing.assert_array_equal(data.test_labels, made[2][1])
        return
    assert data.train_images.shape == (20_000, 3, 32, 32) and data.test_images.shape == (1_000, 3, 32, 32)
    np.testing.assert_array_equal(data.train_labels[:10], [6, 9, 9, 4, 1, 1, 2, 7, 8, 3])
    np.testing.assert_array_equal(data.test_labels[:10], [3, 8, 8, 0, 6, 6, 1, 6, 3, 1])
    np.testing.assert_array_equal(np.bincount(data.train_labels[:10_000]),
                                  [1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981])  # fmt: skip
    # the MD5 sums that several projects list, and the SHA-256 that the manifest has for the whole of CIFAR-10
    contents = dict(archives.read(entry, entry.files[0], folder))
    known = dict(DATA_SETS["cifar10"].files[0].members)
    for name, md5 in (("1", "5dd7e06a14cb22eb9f671a540d1b7c25"), ("5", "53f37980c15c3d472c316c40844f3f0d")):
        name = f"cifar-10-batches-bin/data_batch_{name}.bin"
        assert hashlib.md5(contents[name], usedforsecurity=False).hexdigest() == md5
        assert f"sha256:{hashlib.sha256(contents[name]).hexdigest()}" == known[name]


def test_cifar10_reads_its_batches_in_order(tmp_path: Path) -> None:
    made = {f"data_batch_{number}": (noise(2, 3, 32, 32), noise(2, largest=9)) for number in range(1, 6)}
    made["test_batch"] = (noise(3, 3, 32, 32), noise(3, largest=9))
    members = {f"cifar-10-batches-bin/{name}.bin": records(*one) for name, one in made.items()}
    file = archived("cifar.tar", members)
    data = cifar.load_cifar10(*fetched(tmp_path, {file: tar_of(dict(reversed(members.items())))}, "cifar10"))
    np.testing.assert_array_equal(data.train_images, np.concatenate([made[f"data_batch_{n}"][0] for n in range(1, 6)]))
    np.testing.assert_array_equal(data.test_labels, made["test_batch"][1])
    # red comes first, and rows before columns
    assert data.test_images[1, 2, 30, 7] == members["cifar-10-batches-bin/test_batch.bin"][3073 + 1 + 2048 + 30 * 32 + 7]


def test_cifar100_and_fc100(tmp_path: Path) -> None:
    split = cifar.fc100_superclasses()
    classes = sorted(name for part in split.values() for names in part.values() for name in names)
    supers = sorted(name for part in split.values() for name in part)
    assert len(set(classes)) == 100 and len(supers) == 20
    assert [len(part) for part in split.values()] == [12, 4, 4] and list(split) == ["train", "validation", "test"]
    # as the paper's supplement numbers the superclasses
    assert [supers.index(name) for name in split["test"]] == [0, 7, 12, 14]
    assert [supers.index(name) for name in split["validation"]] == [8, 11, 13, 16]
    # the first and last fine labels, as the official list of names has them
    assert classes[:3] == ["apple", "aquarium_fish", "baby"] and classes[-2:] == ["woman", "worm"]
    contents, images, fine, coarse = cifar100(3)
    place = fetched(tmp_path, contents, "cifar100")
    data = cifar.load_cifar100(*place)
    np.testing.assert_array_equal(data.train_labels, fine[:250])
    np.testing.assert_array_equal(data.test_coarse, coarse[250:])
    few = cifar.load_fc100(*place)
    assert [len(part.names) for part in few] == [60, 20, 20]
    assert set(few.train.names) | set(few.validation.names) | set(few.test.names) == set(classes)
    for part, named in zip(few, split.values(), strict=True):
        assert set(part.names) == {name for names in named.values() for name in names}
        assert list(part.names) == sorted(part.names)
        np.testing.assert_array_equal(part.labels, np.repeat(np.arange(len(part.names)), 3))
        numbers = [classes.index(name) for name in part.names]
        np.testing.assert_array_equal(part.images, np.concatenate([images[fine == number] for number in numbers]))
    swapped = data._replace(train_coarse=(data.train_coarse + 1) % 20)
    with pytest.raises(UserError, match=r"CIFAR-100 and fc100.yaml disagree.*python -m pipelines\.fetch cifar100"):
        cifar.fc100(swapped)


def test_the_real_cifar100_and_fc100(tmp_path: Path) -> None:
    place = real(tmp_path, "cifar100")
    data, few = cifar.load_cifar100(*place), cifar.load_fc100(*place)
    assert data.train_images.shape == (50_000, 3, 32, 32) and data.test_images.shape == (10_000, 3, 32, 32)
    assert np.bincount(data.train_labels).tolist() == [500] * 100 and np.bincount(data.test_coarse).tolist() == [500] * 20
    for part, classes in zip(few, (60, 20, 20), strict=True):
        assert part.images.shape == (600 * classes, 3, 32, 32) and np.bincount(part.labels).tolist() == [600] * classes


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "0 bytes"), (bytes(3072), "no multiple of 3073"), (b"\x0a" + bytes(3072), "the label 10 of 10")],
)
def test_what_is_no_batch(tmp_path: Path, content: bytes, words: str) -> None:
    members = {"x/data_batch_1.bin": content, "x/test_batch.bin": bytes(3073)}
    file = archived("cifar.tar", members)
    with pytest.raises(UserError, match=f"x/data_batch_1.bin.*{words}"):
        cifar.load_cifar10(*fetched(tmp_path, {file: tar_of(members)}, "cifar10"))


def test_a_missing_test_batch(tmp_path: Path) -> None:
    file = archived("cifar.tar", {"x/data_batch_1.bin": bytes(3073)})
    with pytest.raises(UserError, match=r"has no data_batch_\*.bin or no test_batch\*.bin"):
        cifar.load_cifar10(*fetched(tmp_path, {file: tar_of({"x/data_batch_1.bin": bytes(3073)})}, "cifar10"))


# SVHN


def mat(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    savemat(stream, arrays, do_compression=True)
    return stream.getvalue()


def test_svhn(tmp_path: Path) -> None:
    images, labels = noise(32, 32, 3, 12), np.arange(12, dtype=np.uint8)[:, None] % 10 + 1
    train, test = mat(X=images, y=labels), mat(X=images[..., :2], y=labels[::-1][:2])
    contents = {plain("train_32x32.mat", train): train, plain("test_32x32.mat", test): test}
    data = svhn.load(*fetched(tmp_path, contents, "svhn"))
    np.testing.assert_array_equal(data.train_labels, [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2])
    np.testing.assert_array_equal(data.test_labels, [2, 1])
    assert data.train_images.shape == (12, 3, 32, 32) and data.train_images.dtype == np.uint8
    assert data.train_images[5, 2, 30, 7] == images[30, 7, 2, 5]
    np.testing.assert_array_equal(data.test_images, data.train_images[:2])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no mat file at all", "no file of SVHN"),
        (mat(X=noise(32, 32, 3, 2)), "no file of SVHN .KeyError"),
        (mat(X=noise(32, 32, 3, 2), y=noise(3, 1)), r"y \(3, 1\)"),
        (mat(X=noise(2, 3, 32, 32), y=np.ones((2, 1), np.uint8)), r"X uint8 \(2, 3, 32, 32\)"),
        (mat(X=noise(32, 32, 3, 2).astype(float), y=np.ones((2, 1), np.uint8)), "X float64"),
        (mat(X=noise(32, 32, 3, 2), y=np.array([[0], [11]], np.uint8)), "labels 0 to 11"),
        (mat(X=noise(32, 32, 3, 200), y=np.ones((200, 1), np.uint8))[:-5000], "no file of SVHN"),
    ],
)
def test_what_is_no_svhn(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        svhn.read_mat(path)
    assert str(path) in str(caught.value) and "python -m pipelines.fetch svhn" in str(caught.value)


# Omniglot


@pytest.fixture(scope="module", params=KINDS)
def letters(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, DataSet, np.ndarray]:
    folder = tmp_path_factory.mktemp("omniglot")
    if request.param == "real":
        return "real", *real(folder, "omniglot"), np.zeros(0)
    ink = DRAWS.random((3, 20, 105, 105)) < 0.1
    names = ("images_background/Greek/character01", "images_background/Greek/character02",
             "images_evaluation/Angelic/character01")  # fmt: skip
    members = {
        f"{name}/{number + 1:04}_{drawer + 1:02}.png": encoded(~ink[number, drawer])
        for number, name in enumerate(names)
        for drawer in range(20)
    }
    contents = {}
    for part in ("background", "evaluation"):
        own = {name: content for name, content in members.items() if f"images_{part}/" in name}
        file = archived(f"images_{part}.tar", own, f"images_{part}.zip", keep=".png")
        contents[file] = zip_of({"images_" + part + "/": b"", **dict(reversed(own.items()))})
    return "small", *fetched(folder, contents, "omniglot"), ink


def test_omniglot(letters: tuple[str, Path, DataSet, np.ndarray]) -> None:
    kind, folder, entry, ink = letters
    data = omniglot.load(28, folder, entry)
    assert data.images.dtype == np.bool_
    if kind == "small":
        assert data.characters == ("Greek/character01", "Greek/character02", "Angelic/character01") and data.background == 2
        np.testing.assert_array_equal(omniglot.load(105, folder, entry).images, ink)
        # the nearest pixel is Pillow's
        for pixels, small in zip(ink[1], data.images[1], strict=True):
            np.testing.assert_array_equal(~np.asarray(Image.fromarray(~pixels).resize((28, 28))), small)
        return
    assert data.images.shape == (1623, 20, 28, 28) and data.background == 964
    assert len(set(data.characters)) == 1623
    alphabets = [name.split("/")[0] for name in data.characters]
    assert len(set(alphabets[:964])) == 30 and len(set(alphabets[964:])) == 20
    assert data.characters[0] == "Alphabet_of_the_Magi/character01" and data.characters[964] == "Angelic/character01"
    # thin lines: some ink in each, of dots no more than a pixel, and never much
    ink_pixels = data.images.sum(axis=(2, 3))
    assert ink_pixels.min() >= 1 and ink_pixels.max() < 0.35 * 784 and 0.06 < data.images.mean() < 0.1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (encoded(np.zeros((105, 104), bool)), r"mode 1, \(104, 105\)"),
        (encoded(np.zeros((105, 105), np.uint8)), "mode L"),
        (encoded(np.zeros((105, 105), np.uint8), "JPEG"), "not a PNG file"),
        (encoded(DRAWS.random((105, 105)) < 0.5)[:300], "no black-and-white PNG"),
        (b"", "no black-and-white PNG"),
    ],
)
def test_what_is_no_drawing(content: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        omniglot.read_drawing(content, "Greek/0001_01.png")
    assert "Greek/0001_01.png" in str(caught.value)


def test_a_character_with_too_few_drawings(tmp_path: Path) -> None:
    members = {f"x/Greek/character01/0001_{n:02}.png": encoded(np.ones((105, 105), bool)) for n in range(19)}
    file = archived("x.tar", members)
    folder, entry = fetched(tmp_path, {file: zip_of(members)}, "omniglot")
    with pytest.raises(UserError, match="Greek/character01 has 19 drawings, not 20"):
        omniglot.load(28, folder, entry)
    with pytest.raises(ValueError, match="not 106"):
        omniglot.load(106, folder, entry)



# MNIST's facts, where a mirror has it; its reader has a file of tests of its own


@pytest.mark.parametrize("kind", KINDS)
def test_mnist(kind: str, tmp_path: Path) -> None:
    if kind == "real":
        data = mnist.load(*real(tmp_path, "mnist"))
        assert data.train_images.shape == (60_000, 28, 28) and data.test_images.shape == (10_000, 28, 28)
        np.testing.assert_array_equal(data.train_labels[:5], [5, 0, 4, 1, 9])
        np.testing.assert_array_equal(data.test_labels[:5], [7, 2, 1, 0, 4])
        # MD5 sums as published in many places for the official files
        published = {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        }
        assert {path.name: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
                for path in (tmp_path / "mnist").iterdir()} == published  # fmt: skip
        return
    header = bytes((0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2))
    images, labels = header + b"\x01\x02\x03\x04", bytes((0, 0, 8, 1, 0, 0, 0, 1, 7))
    contents = {plain(f"{name}{number}", one): one for number in "12" for name, one in (("x", images), ("y", labels))}
    data = mnist.load(*fetched(tmp_path, contents, "mnist"))
    np.testing.assert_array_equal(data.test_images, [[[1, 2], [3, 4]]])
    np.testing.assert_array_equal(data.train_labels, [7])
