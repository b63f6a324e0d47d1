"""Readers of dog against fish, of mini-ImageNet, and of Inception's weights."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_data import KINDS, archived, encoded, fetched, noise, plain, real, tar_of, zip_of
from torchvision.models import inception_v3

from pipelines.clean_label import prepare as clean_label
from pipelines.datasets import cifar, dogfish, inception, mini_imagenet
from pipelines.datasets.registry import DATA_SETS, File
from pipelines.errors import UserError

# Dog against fish


def koh_and_liang(pixels: np.ndarray, **changes: Any) -> bytes:
    """As scripts/load_animals.py writes it: float64, colours last, and empty validation arrays."""
    count = len(pixels) // 2
    arrays: dict[str, Any] = {
        "X_train": pixels[:count] / 255.0, "X_test": pixels[count:] / 255.0,
        "Y_train": np.arange(count) % 2.0, "Y_test": np.ones(len(pixels) - count),
        "X_valid": np.zeros((0, 299, 299, 3)), "Y_valid": np.zeros(0),
    }  # fmt: skip
    for name in ("X_train", "X_test"):
        arrays[name] = (arrays[name] - 0.5) * 2.0
    stream = io.BytesIO()
    np.savez_compressed(stream, **{**arrays, **changes})
    return stream.getvalue()


def read_dogfish(folder: Path, content: bytes) -> dogfish.DogFish:
    shape = (2, 299, 299, 3)
    arrays = (("X_train", shape), ("Y_train", (2,)), ("X_test", shape), ("Y_test", (2,)))
    file = File("dogfish.npz", "dogfish.npz", 10**9, at_most=True, arrays=arrays)
    place, entry = fetched(folder, {file: content}, "dogfish")
    return dogfish.load(place, entry, (2, 2))


def test_dogfish_gives_back_the_pixels(tmp_path: Path) -> None:
    pixels = noise(4, 299, 299, 3)
    data = read_dogfish(tmp_path, koh_and_liang(pixels))
    np.testing.assert_array_equal(data.train_images, pixels[:2].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.test_images, pixels[2:].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.train_labels, [0, 1])
    np.testing.assert_array_equal(data.test_labels, [1, 1])
    single = koh_and_liang(pixels, X_train=((pixels[:2] / 255.0 - 0.5) * 2).astype(np.float32))
    np.testing.assert_array_equal(read_dogfish(tmp_path / "single", single).train_images, data.train_images)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"X_train": np.array([{"a": 1}, None], dtype=object)}, r"X_train is object \(2,\)"),
        ({"X_test": np.zeros((2, 3, 299, 299))}, r"expected numbers \(2, 299, 299, 3\)"),
        ({"X_train": np.full((2, 299, 299, 3), 0.3)}, "other values than pixels"),
        ({"X_train": np.full((2, 299, 299, 3), np.nan)}, "other values than pixels"),
        ({"Y_test": np.array([0.0, 2.0])}, "other values than 0 and 1"),
    ],
)
def test_what_is_no_dogfish(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_dogfish(tmp_path, koh_and_liang(np.zeros((4, 299, 299, 3)), **changes))


def test_the_manifest_says_what_the_reader_takes() -> None:
    shapes = {part: (count, dogfish.SIDE, dogfish.SIDE, 3) for part, count in (("train", 1800), ("test", 600))}
    expected = {f"X_{part}": shape for part, shape in shapes.items()} | {"Y_train": (1800,), "Y_test": (600,)}
    assert dict(dogfish.DOGFISH.files[0].arrays) == expected and (dogfish.TRAIN, dogfish.TEST) == (1800, 600)


WHOLE = koh_and_liang(np.zeros((4, 299, 299, 3)))


def without(name: str) -> bytes:
    with np.load(io.BytesIO(WHOLE)) as arrays:
        return zip_of({f"{key}.npy": npy_of(arrays[key]) for key in arrays.files if key != name})


def npy_of(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def short(name: str) -> bytes:
    """An array whose header promises more than there is; the zip itself is right."""
    with np.load(io.BytesIO(WHOLE)) as arrays:
        return zip_of({f"{key}.npy": npy_of(arrays[key])[: -8 if key == name else None] for key in arrays.files})


def flipped_within(name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        place = archive.getinfo(f"{name}.npy").header_offset
    changed = bytearray(WHOLE)
    changed[place + 200] ^= 16
    return bytes(changed)


DAMAGED = {
    "no npz": (b"no npz", "it is no whole npz file"),
    "a page": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "it is a web page, no data"),
    "half": (WHOLE[: len(WHOLE) // 2], "it is no whole npz file"),
    "nearly all": (WHOLE[:-100], "it is no whole npz file"),
    "an array less": (without("Y_test"), "it has no array Y_test"),
    "eight bytes less": (short("X_test"), "X_test has 4291240 bytes, expected 4291248"),
    "a bit flipped": (flipped_within("X_test"), "it is no whole npz file"),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_dogfish_is_not_trusted(tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody published a sum of it: a copy that is not whole leaves nothing, and the right one is taken after it."""
    content, words = DAMAGED[how]
    with pytest.raises(UserError) as caught:
        read_dogfish(tmp_path, content)
    for part in (words, "replace that copy by a whole one", "python -m pipelines.fetch dogfish"):
        assert part in str(caught.value)
    assert os.listdir(tmp_path / "raw/dogfish") == [] and "\n" not in str(caught.value)
    assert "trusted" not in capsys.readouterr().err
    assert read_dogfish(tmp_path, WHOLE).test_labels.tolist() == [1, 1]


def test_half_a_dogfish_that_was_once_trusted_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "raw/dogfish"
    place.mkdir(parents=True)
    (place / "dogfish.npz").write_bytes(WHOLE[:5000])
    (place / "dogfish.npz.sha256").write_text(f"{hashlib.sha256(WHOLE[:5000]).hexdigest()}  dogfish.npz\n")
    assert read_dogfish(tmp_path, WHOLE).test_labels.tolist() == [1, 1]
    assert f"{hashlib.sha256(WHOLE).hexdigest()}, which is trusted and recorded" in capsys.readouterr().err
    # whole, and yet not what the reader takes: a second fetch says how to bring another copy
    other = koh_and_liang(np.zeros((4, 299, 299, 3)), Y_test=np.array([0.0, 2.0]))
    for path in place.iterdir():
        path.unlink()
    for _ in range(2):
        with pytest.raises(UserError, match=r"other values than 0 and 1: run `python -m pipelines\.fetch dogfish`"):
            read_dogfish(tmp_path, other)
    said = capsys.readouterr().out
    mend = f"to bring another, delete it and {place / 'dogfish.npz.sha256'} and run this again"
    assert f"{place / 'dogfish.npz'}: already there, the copy trusted first; {mend}" in said


@pytest.mark.parametrize("kind", KINDS)
def test_dogfish_imagenette(kind: str, tmp_path: Path) -> None:
    if kind == "real":
        data = dogfish.load_imagenette(*real(tmp_path, "dogfish-imagenette"))
        assert data.train_images.shape == (1918, 3, 96, 96) and data.test_images.shape == (782, 3, 96, 96)
        np.testing.assert_array_equal(np.bincount(data.train_labels), [955, 963])
        np.testing.assert_array_equal(np.bincount(data.test_labels), [395, 387])
        assert np.all(np.diff(data.train_labels.astype(int)) >= 0)
        return
    places = ("train/dog/b", "train/dog/a", "train/fish/c", "test/dog/d", "test/fish/e")
    pixels = dict(zip(places, noise(5, 96, 96, 3), strict=True))
    members = {f"{place}.JPEG": encoded(one) for place, one in pixels.items()}  # PNG within, so that pixels stay
    file = archived("dogfish_96.tar", members)
    data = dogfish.load_imagenette(*fetched(tmp_path, {file: tar_of(members, "xz")}, "dogfish-imagenette"))
    expected = [pixels[place].transpose(2, 0, 1) for place in ("train/dog/a", "train/dog/b", "train/fish/c")]
    np.testing.assert_array_equal(data.train_images, expected)
    np.testing.assert_array_equal(data.train_labels, [0, 0, 1])
    np.testing.assert_array_equal(data.test_labels, [0, 1])
    for name, words in (("train/cat/a.JPEG", "is in none of"), ("train/dog/a.JPEG", r"no image of 96x96, it has 96x95")):
        other = {**members, name: encoded(np.zeros((95, 96), np.uint8))}
        file = archived("dogfish_96.tar", other)
        with pytest.raises(UserError, match=words):
            dogfish.load_imagenette(*fetched(tmp_path / name, {file: tar_of(other)}, "dogfish-imagenette"))


# mini-ImageNet

WORDNET = ("n01532829", "n01558993", "n01704323")


def cache(images: np.ndarray, rows: dict[Any, Any], protocol: int = 2, **changes: Any) -> bytes:
    """As few-shot-ssl-public has it: a dictionary of an array and of each class's rows."""
    return pickle.dumps({"image_data": images, "class_dict": rows, **changes}, protocol=protocol)


@pytest.mark.parametrize("protocol", range(6))
def test_mini_imagenet_from_pickles(tmp_path: Path, protocol: int) -> None:
    """Classes come by name; rows need not be together; they are lists, arrays or NumPy's integers."""
    made, members = {}, {}
    for name in mini_imagenet.SETS:
        images = noise(6, 84, 84, 3)
        rows = {WORDNET[1]: [1, 5], WORDNET[0]: np.array([4, 0, 2]), WORDNET[2]: [np.int64(3)]}
        made[name], members[f"mini-imagenet-cache-{name}.pkl"] = images, cache(images, rows, protocol)
    file = archived("mini-imagenet.tar", members)
    data = mini_imagenet.load(*fetched(tmp_path, {file: tar_of(members)}, "mini-imagenet"))
    for part, name in zip(data, mini_imagenet.SETS, strict=True):
        assert part.names == WORDNET and part.images.dtype == np.uint8
        np.testing.assert_array_equal(part.labels, [0, 0, 0, 1, 1, 2])
        np.testing.assert_array_equal(part.images, made[name][[4, 0, 2, 1, 5, 3]].transpose(0, 3, 1, 2))


def test_a_pickle_of_python_2_is_read() -> None:
    """Text of Python 2 is bytes, NumPy 1 has other modules; protocol 2, written here operation by operation."""
    images = noise(2, 84, 84, 3)
    written = (
        b"\x80\x02}(U\x0aimage_data"
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01(K\x02KTKTK\x03tcnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + len(images.tobytes()).to_bytes(4, "little") + images.tobytes() + b"tb"
        b"U\x0aclass_dict}U\x09n01532829](K\x01K\x00esu."
    )
    found = mini_imagenet.classes_of(mini_imagenet.unpickled(written, "old.pkl"), "old.pkl")
    assert found.names == ("n01532829",)
    np.testing.assert_array_equal(found.images, images[::-1].transpose(0, 3, 1, 2))


class Runs:
    """Calls something when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    "function", [os.system, eval, np.load, np.fromfile, getattr, np.frombuffer], ids=lambda one: one.__name__
)
def test_a_pickle_that_would_run_something(tmp_path: Path, function: Any, protocol: int) -> None:
    trap = tmp_path / "sprung"
    words = f"touch {trap}" if function is os.system else f"open({str(trap)!r}, 'w')"
    content = cache(noise(1, 84, 84, 3), {"a": [0]}, protocol, extra=Runs(function, words))
    with pytest.raises(UserError, match="bad.pkl is not read .it asks for .* and only arrays are read"):
        mini_imagenet.unpickled(content, "bad.pkl")
    assert not trap.exists()
    # inside an array of objects as well
    content = cache(np.array([Runs(function, words)], dtype=object), {}, protocol)
    with pytest.raises(UserError, match="an array of object, and only arrays of numbers are read"):
        mini_imagenet.unpickled(content, "bad.pkl")
    assert not trap.exists()
    if function is os.system:  # the trap does work
        pickle.loads(content)
        assert trap.exists()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.array([1, None], dtype=object), "object"),
        (np.array([], dtype=object), "object"),
        (np.dtype(object), "object"),
        (np.zeros(2, [("a", object)]), r"\|V8"),
        (np.array(["text"]), "<U4"),
        (np.array([1], "M8[s]"), "datetime64"),
    ],
)
def test_an_array_of_anything_but_numbers(value: Any, kind: str, protocol: int) -> None:
    with pytest.raises(UserError, match=f"bad.pkl is not read .it holds an array of {kind}, and only arrays of numbers"):
        mini_imagenet.unpickled(cache(value, {"a": [0]}, protocol), "bad.pkl")
    with pytest.raises(UserError, match=f"an array of {kind}"):
        mini_imagenet.unpickled(cache(noise(1, 84, 84, 3), {"a": value}, protocol), "bad.pkl")


def test_a_type_whose_state_claims_that_it_holds_objects() -> None:
    """The flags that a pickle gives with a type would have NumPy take eight bytes for the address of an object."""
    plain = pickle.dumps({"image_data": np.zeros(3)}, protocol=2)
    flags = b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"  # sizes, then no flags
    assert plain.count(flags) == 1
    crafted = plain.replace(flags, flags.replace(b"K\x00", b"K\x3f"))
    found = mini_imagenet.unpickled(crafted, "bad.pkl")["image_data"]
    assert found.dtype == np.float64 and not found.dtype.hasobject and found.tolist() == [0.0, 0.0, 0.0]


def named(module: str, name: str) -> bytes:
    """The operation that looks up a name."""
    return f"c{module}\n{name}\n".encode()


def called(function: bytes, *arguments: bytes) -> bytes:
    """The operations that call it."""
    return function + b"(" + b"".join(arguments) + b"tR"


ENCODE, NDARRAY, DTYPE = named("_codecs", "encode"), named("numpy", "ndarray"), named("numpy", "dtype")
RECONSTRUCT, SCALAR = (named("numpy.core.multiarray", name) for name in ("_reconstruct", "scalar"))
FROM_BUFFER = named("numpy.core.numeric", "_frombuffer")
TEXT, LATIN1, EIGHT = b"X\x01\x00\x00\x00a", b"X\x06\x00\x00\x00latin1", b"C\x08AAAAAAAA"
ONE = b"K\x01\x85"  # the shape (1,)
BYTES = called(DTYPE, b"U\x02u1", b"K\x00", b"K\x01")
ARRAY = called(RECONSTRUCT, NDARRAY, b"K\x00\x85", b"U\x01b")
OBJECTS = called(NDARRAY, ONE, b"U\x01O", EIGHT)
"""An array of one object, whose address is what is given for memory."""


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        (OBJECTS, "it calls numpy.ndarray"),
        (called(NDARRAY, b"M\xff\xff\x85"), "it calls numpy.ndarray"),  # memory that nobody wrote
        (NDARRAY + ONE + b"\x81", "NEWOBJ"),
        (called(ENCODE, TEXT, OBJECTS), "it calls numpy.ndarray"),
        (called(ENCODE, TEXT, called(SCALAR, BYTES, EIGHT)), "encodes a str as a uint8 says"),
        (called(ENCODE, called(SCALAR, BYTES, EIGHT), LATIN1), "encodes a uint8 as latin1"),
        (called(ENCODE, TEXT, b"X\x05\x00\x00\x00utf-7"), "encodes a str as utf-7"),
        (called(DTYPE, NDARRAY), "the name of a type"),
        (called(DTYPE, b"K\x01"), "the name of a type"),
        (BYTES + b"(K\x03K\x01tb", "the state of a type"),
        (BYTES + b"K\x03b", "the state of a type"),
        (called(SCALAR, NDARRAY, EIGHT), "a number of it"),
        (called(SCALAR, BYTES, ARRAY), "a number of it"),
        (called(FROM_BUFFER, ARRAY, BYTES, ONE, b"U\x01C"), "the content of an array"),
        (called(FROM_BUFFER, EIGHT, NDARRAY, ONE, b"X\x01\x00\x00\x00C"), "the type of an array"),
        (called(FROM_BUFFER, EIGHT, BYTES, b"J\xff\xff\xff\xff\x85", b"X\x01\x00\x00\x00C"), "the shape of an array"),
        (ARRAY + b"(K\x01" + ONE + b"U\x01O\x89" + EIGHT + b"tb", "the type of an array"),
        (ARRAY + b"(K\x01" + ONE + BYTES + b"\x89]tb", "the content of an array"),
        (ARRAY + b"(K\x01J\xff\xff\xff\xff\x85" + BYTES + b"\x89" + EIGHT + b"tb", "the shape of an array"),
        (ARRAY + b"(K\x01" + ONE + b"tb", "the state of an array"),
    ],
)
def test_a_pickle_that_gives_what_no_array_is_written_with(operations: bytes, words: str) -> None:
    """NumPy would take some of these for addresses: the process would end here, with no error to catch."""
    with pytest.raises(UserError, match=f"^bad.pkl is not read .*{words}.*: run `python -m pipelines.fetch") as caught:
        mini_imagenet.unpickled(b"\x80\x03" + operations + b".", "bad.pkl")
    assert "\n" not in str(caught.value)


def test_the_operations_of_these_pickles_do_make_arrays() -> None:
    """Said rightly, the same calls give an array, a number and bytes."""
    made = b"}(" + b"U\x01a" + ARRAY + b"(K\x01K\x08\x85" + BYTES + b"\x89" + EIGHT + b"tb"
    made += b"U\x01b" + called(FROM_BUFFER, EIGHT, BYTES, b"K\x08\x85", b"X\x01\x00\x00\x00C")
    made += b"U\x01c" + called(SCALAR, BYTES, EIGHT) + b"U\x01d" + called(ENCODE, TEXT, LATIN1) + b"u"
    found = mini_imagenet.unpickled(b"\x80\x03" + made + b".", "good.pkl")
    np.testing.assert_array_equal(found["a"], np.full(8, 65, np.uint8))
    np.testing.assert_array_equal(found["b"], np.full(8, 65, np.uint8))
    assert found["c"] == 65 and found["d"] == b"a"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["u1", "<i4", ">i4", "<f8", ">f8", "?"])
def test_arrays_of_numbers_come_as_they_were(kind: str, order: Any) -> None:
    value = np.array([[0, 1, 1], [1, 0, 200]]).astype(kind, order=order)
    for protocol in range(6):
        found = mini_imagenet.unpickled(pickle.dumps({"a": value}, protocol=protocol), "good.pkl")["a"]
        np.testing.assert_array_equal(found, value)
        assert found.dtype.newbyteorder("=") == value.dtype.newbyteorder("=")
        scalar = mini_imagenet.unpickled(pickle.dumps({"a": value[1, 2]}, protocol=protocol), "good.pkl")["a"]
        assert scalar == value[1, 2]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not read"),
        (b"no pickle", "is not read"),
        (cache(noise(1, 84, 84, 3), {"a": [0]})[:-200], "is not read"),
        (pickle.dumps([1, 2]), "holds a list, no dictionary"),
        (pickle.dumps({}), "has no image_data"),
        (cache(noise(1, 3, 84, 84), {"a": [0]}), "has no image_data"),
        (cache(noise(1, 84, 84, 3).astype(float), {"a": [0]}), "has no image_data"),
        (cache(noise(1, 84, 84, 3), {}), "has no image_data"),
        (cache(noise(1, 84, 84, 3), {"a": [1]}), "gives a rows that are not there"),
        (cache(noise(1, 84, 84, 3), {"a": [-1]}), "gives a rows that are not there"),
        (cache(noise(1, 84, 84, 3), {"a": [0.5]}), "gives a rows that are not there"),
        (cache(noise(1, 84, 84, 3), {"a": []}), "gives a rows that are not there"),
    ],
)
def test_what_is_no_cache(content: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        mini_imagenet.classes_of(mini_imagenet.unpickled(content, "bad.pkl"), "bad.pkl")
    assert "python -m pipelines.fetch mini-imagenet" in str(caught.value)


def test_a_missing_cache(tmp_path: Path) -> None:
    members = {"mini-imagenet-cache-val.pkl": cache(noise(1, 84, 84, 3), {"a": [0]})}
    file = archived("mini-imagenet.tar", members)
    with pytest.raises(UserError, match="has no train, test"):
        mini_imagenet.load(*fetched(tmp_path, {file: tar_of(members)}, "mini-imagenet"))


def lists(names: dict[str, list[str]]) -> dict[File, bytes]:
    texts = {name: "filename,label\n" + "".join(f"{one},{one[:9]}\n" for one in own) for name, own in names.items()}
    return {plain(f"{name}.csv", text.encode()): text.encode() for name, text in texts.items()}


NAMES = {
    name: [f"{label}{number:08}.jpg" for label in (f"n0{place}000002", f"n0{place}000001") for number in (3, 1)]
    for place, name in enumerate(mini_imagenet.SETS)
}


def test_mini_imagenet_from_image_files(tmp_path: Path) -> None:
    """One archive of all images, in any folders; every line of the lists must be there."""
    pixels = {name: noise(84, 84, 3) for own in NAMES.values() for name in own}
    members = {f"images/{name}": encoded(one) for name, one in pixels.items()}
    more = {"at_most": True, "sha256": "", "lists": tuple(f"{name}.csv" for name in mini_imagenet.SETS)}
    archive = archived("images.tar", members, "images.tar", **more)
    data = mini_imagenet.load_images(*fetched(tmp_path, {archive: tar_of(members), **lists(NAMES)}, "mini-imagenet-images"))
    for part, own in zip(data, NAMES.values(), strict=True):
        assert part.names == tuple(sorted({one[:9] for one in own}))
        np.testing.assert_array_equal(part.labels, [0, 0, 1, 1])
        np.testing.assert_array_equal(part.images, [pixels[one].transpose(2, 0, 1) for one in sorted(own)])
    lacked = NAMES["val"][0]
    del members[f"images/{lacked}"]
    archive = archived("images.tar", members, "images.tar", **more)
    for wrapped, count in ((tar_of(members), 11), (tar_of(members, "")[: 1024 * 4], None)):
        with pytest.raises(UserError) as caught:
            fetched(tmp_path / "less", {archive: wrapped, **lists(NAMES)}, "mini-imagenet-images")
        words = f"it has {count} of the 12 images that train.csv, val.csv, test.csv list (it lacks {lacked}" if count else ""
        assert "replace that copy" in str(caught.value) and words in str(caught.value)
        # the lists have sums, so they come first, and stay
        assert sorted(os.listdir(tmp_path / "less/raw/mini-imagenet-images")) == ["test.csv", "train.csv", "val.csv"]


def test_the_lists_name_every_image_that_the_reader_takes(tmp_path: Path) -> None:
    """Where nothing is looked up when it is fetched, the reader refuses a copy with images missing."""
    members = {f"images/{name}": encoded(noise(84, 84, 3)) for own in NAMES.values() for name in own[1:]}
    archive = archived("images.tar", members, "images.tar", at_most=True, sha256="")
    place = fetched(tmp_path, {archive: tar_of(members), **lists(NAMES)}, "mini-imagenet-images")
    with pytest.raises(UserError, match="3 of the 4 images of train.csv"):
        mini_imagenet.load_images(*place)


@pytest.mark.parametrize("kind", KINDS)
def test_mini_imagenet_lite(kind: str, tmp_path: Path) -> None:
    if kind == "real":
        data = mini_imagenet.load_lite(*real(tmp_path, "mini-imagenet-lite"))
        for part, classes in zip(data, (64, 16, 20), strict=True):
            assert part.images.shape == (100 * classes, 3, 84, 84) and len(part.names) == classes
            np.testing.assert_array_equal(np.bincount(part.labels), [100] * classes)
        assert len({name for part in data for name in part.names}) == 100
        assert data.train.names[0] == "n01532829" and data.test.names[0] == "n01930112"
        return
    pixels = {name: noise(84, 84, 3) for own in NAMES.values() for name in own}
    contents = lists({name: [*own, f"n0{place}00000100000009.jpg"] for place, (name, own) in enumerate(NAMES.items())})
    for name, own in NAMES.items():
        members = {f"{name}/{one[:9]}/{one}": encoded(pixels[one]) for one in own}
        contents[archived(f"{name}.tar", members, f"{name}.tar.xz")] = tar_of(members, "xz")
    data = mini_imagenet.load_lite(*fetched(tmp_path, contents, "mini-imagenet-lite"))
    for part, own in zip(data, NAMES.values(), strict=True):
        np.testing.assert_array_equal(part.images, [pixels[one].transpose(2, 0, 1) for one in sorted(own)])
    # an image of the test set among those to train on
    stray = {f"train/{NAMES['test'][0][:9]}/{NAMES['test'][0]}": encoded(noise(84, 84, 3))}
    contents = {file: content for file, content in contents.items() if file.name != "train.tar"}
    contents[archived("train.tar", stray, "train.tar.xz")] = tar_of(stray, "xz")
    with pytest.raises(UserError, match=f"{NAMES['test'][0]} is in no list"):
        mini_imagenet.load_lite(*fetched(tmp_path / "stray", contents, "mini-imagenet-lite"))


def test_a_list_with_other_columns(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("name,label\na.jpg,b\n")
    with pytest.raises(UserError, match="not filename, label"):
        mini_imagenet.read_list(tmp_path / "train.csv")


# Inception


def weights_file(state: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def read_inception(folder: Path, content: bytes) -> inception.Features:
    file = File("inception.pth", "inception.pth", 2 * 10**8, at_most=True)
    return inception.load(*fetched(folder, {file: content}, "inception"))


def test_inception_features(tmp_path: Path) -> None:
    """The features are what enters the classifier of torchvision's own network, and gradients reach the images."""
    torch.manual_seed(0)
    whole = inception_v3(weights=None, init_weights=False, transform_input=False).eval()
    features = read_inception(tmp_path, weights_file(whole.state_dict()))
    images = torch.rand(2, 3, 96, 96, requires_grad=True) * 2 - 1
    found = features.train()(images)
    assert found.shape == (2, inception.FEATURES) and not any(one.requires_grad for one in features.parameters())
    torch.testing.assert_close(whole.fc(found), whole(images))
    (gradient,) = torch.autograd.grad(found.sum(), images)
    assert gradient.shape == images.shape and gradient.abs().sum() > 0


def test_bases_are_nearest_in_the_features_that_an_entry_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of images that differ from their targets in brightness most of all, so that pixels say otherwise."""
    torch.manual_seed(0)
    whole = inception_v3(weights=None, init_weights=False, transform_input=False).eval()
    content = weights_file(whole.state_dict())
    file = File("inception_v3_google-0cc3c7bd.pth", "inception.pth", 2 * 10**8, at_most=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"0cc3c7bd.pth is missing: run `python -m pipelines\.fetch inception`"):
        clean_label.weights_of("inception")
    folder, entry = fetched(tmp_path / "data", {file: content}, "inception")
    monkeypatch.setitem(DATA_SETS, "inception", entry)
    monkeypatch.setattr(inception.features_of, "__defaults__", (folder, entry))
    labels = np.repeat(np.arange(2, dtype=np.uint8), 5)
    images = [noise(10, 3, 96, 96) // step for step in (1, 2)]
    splits = clean_label.Splits(
        clean_label.Split(images[0], labels), None, clean_label.Split(images[0][:2], labels[:2]),
        clean_label.Split(images[1], labels),
    )  # fmt: skip
    settings = clean_label.Settings("dogfish-imagenette", (0, 1), 6, 5, 1, "inception")
    made = clean_label.prepared(splits, settings, clean_label.weights_of("inception"))
    assert made.source == {file.name: hashlib.sha256(content).hexdigest()}
    whole.fc = torch.nn.Identity()
    with torch.no_grad():
        seen = made.files["train.npz"]
        train, test = (whole(torch.from_numpy(seen[name]).float() / 127.5 - 1).double()
                       for name in ("train_images", "test_images"))  # fmt: skip
    apart = torch.cdist(test, train)
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        np.testing.assert_array_equal(seen["nearest_base"][:, label], rows[apart[:, rows].argmin(dim=1)])
    plain = clean_label.prepared(splits, replace(settings, features="pixels"), {})
    assert not np.array_equal(plain.files["train.npz"]["nearest_base"], seen["nearest_base"])
    with pytest.raises(UserError, match=r"takes colour images, these are \(8, 8\): take other features, as pixels"):
        inception.features_of(noise(2, 8, 8))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no weights", "has no weights of Inception-v3"),
        (weights_file({"fc.weight": torch.zeros(3)}), "Error.s. in loading state_dict"),
        (weights_file([1, 2]), "has no weights of Inception-v3"),
        (weights_file({"a": Runs(os.system, "true")}), "has no weights of Inception-v3 .Weights only load failed"),
    ],
)
def test_what_are_no_weights(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        read_inception(tmp_path, content)
    assert "\n" not in str(caught.value) and "python -m pipelines.fetch inception" in str(caught.value)


def test_every_set_of_the_manifest_has_a_reader() -> None:
    sources = "".join(path.read_text() for path in Path(cifar.__file__).parent.glob("*.py") if path.name != "registry.py")
    assert [name for name in DATA_SETS if f'"{name}"' not in sources and name != "mnist"] == []
