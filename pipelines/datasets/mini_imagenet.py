"""Reading mini-ImageNet: 100 classes of 600 images of 84x84, of which 64, 16 and 20 are the three sets of the split.

Two forms of the same: arrays pickled by M. Ren et al. (2018), and image files with the lists train.csv, val.csv, test.csv of
S. Ravi and H. Larochelle (2017). The stand-in mini-imagenet-lite has the second form, and fewer images.

A pickle is a program. This reader runs one that can do nothing but build arrays of numbers, text, lists and dictionaries: it
looks up no other name, so a pickle that calls anything is refused, and so is an array of objects. Whatever stands in for a
name asks for the types that NumPy writes: a pickle may call it with anything, and most of NumPy believes what it is given.
"""

from __future__ import annotations

import csv
import io
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets import archives
from pipelines.datasets.few_shot import Classes, FewShot
from pipelines.datasets.images import read_rgb
from pipelines.datasets.registry import DATA_SETS, RAW, DataSet
from pipelines.errors import UserError

PICKLED, IMAGES, LITE = (DATA_SETS[name] for name in ("mini-imagenet", "mini-imagenet-images", "mini-imagenet-lite"))
SETS = ("train", "val", "test")
SIDE = 84


def _must(fits: bool, what: str) -> None:
    if not fits:
        raise pickle.UnpicklingError(f"{what} of it is not as NumPy writes it, and only arrays are read")


def _latin1(text: object, encoding: object) -> bytes:
    # an object's own comparison must not run here
    if not isinstance(text, str) or not isinstance(encoding, str) or encoding != "latin1":
        how = encoding if isinstance(encoding, str) else f"a {type(encoding).__name__} says"
        raise pickle.UnpicklingError(f"it encodes a {type(text).__name__} as {how}, and only arrays are read")
    return text.encode(encoding)


class _Numbers:
    """A type of numbers as it is pickled: a name, then a state, of which the byte order is taken and nothing else.

    NumPy's own type would take flags from that state, and an array believe them.
    """

    def __init__(self, name: object, *_: object) -> None:
        _must(isinstance(name, str | bytes), "the name of a type")
        self.type = np.dtype(cast(str, name))
        if self.type.kind not in "biuf":
            raise pickle.UnpicklingError(f"it holds an array of {self.type}, and only arrays of numbers are read")

    def __setstate__(self, state: object) -> None:
        _must(isinstance(state, tuple) and len(state) > 1 and isinstance(state[1], str | bytes), "the state of a type")
        order = cast(tuple[Any, ...], state)[1]
        self.type = self.type.newbyteorder(cast(Any, order.decode("latin1") if isinstance(order, bytes) else order))


class _Array(np.ndarray[Any, np.dtype[Any]]):
    """An array of such numbers."""

    def __setstate__(self, state: object) -> None:
        _must(isinstance(state, tuple) and len(state) == 5, "the state of an array")
        version, shape, numbers, by_column, content = cast(tuple[Any, ...], state)
        _must(type(version) is int and _is_shape(shape), "the shape of an array")
        _must(isinstance(numbers, _Numbers) and isinstance(by_column, int), "the type of an array")
        _must(isinstance(content, bytes), "the content of an array")
        super().__setstate__((version, shape, numbers.type, by_column, content))


def _is_shape(found: object) -> bool:
    return isinstance(found, tuple) and all(type(one) is int and one >= 0 for one in found)


def _reconstructed(*_: object) -> _Array:
    return np.empty(0, np.uint8).view(_Array)


def _from_buffer(content: object, numbers: object, shape: object, order: object) -> NDArray[Any]:
    # no array: it might let go of its memory while another one looks at it
    _must(isinstance(content, bytes | bytearray), "the content of an array")
    _must(isinstance(numbers, _Numbers), "the type of an array")
    _must(_is_shape(shape) and isinstance(order, str) and order in ("C", "F"), "the shape of an array")
    found = np.frombuffer(cast(bytes, content), cast(_Numbers, numbers).type)
    return found.reshape(cast(tuple[int, ...], shape), order=cast(Literal["C", "F"], order))


def _scalar(numbers: object, content: object) -> Any:
    _must(isinstance(numbers, _Numbers) and isinstance(content, bytes), "a number")
    return np.frombuffer(cast(bytes, content), cast(_Numbers, numbers).type, count=1)[0]


def _array(*_: object) -> NoReturn:
    """In the place of numpy.ndarray, which would look at any memory as at anything; a pickle of arrays only names it."""
    raise pickle.UnpicklingError("it calls numpy.ndarray, and only arrays are read")


_ALLOWED: Mapping[tuple[str, str], Any] = {
    **{
        (f"{numpy}.{module}", name): builder
        for numpy in ("numpy.core", "numpy._core")
        for module, name, builder in (
            ("multiarray", "_reconstruct", _reconstructed),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    ("numpy", "ndarray"): _array,
    ("numpy", "dtype"): _Numbers,
    ("_codecs", "encode"): _latin1,  # how Python 3 writes bytes for protocol 2
}
"""What a pickle of arrays names, by Python 2 and 3, NumPy 1 and 2, and what stands in its place."""


class _ArraysOnly(pickle.Unpickler):
    """Builds arrays and plain Python values; raises UnpicklingError for any other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only arrays are read")
        return _ALLOWED[module, name]


def unpickled(content: bytes, where: str, entry: DataSet = PICKLED) -> dict[str, Any]:
    """The dictionary that a pickle of arrays holds, its keys as text.

    Raises:
        UserError: it names anything but arrays, is damaged, or holds no dictionary; names `where`.
    """
    try:
        found = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # damaged bytes raise whatever instruction they spell
        raise UserError(f"{where} is not read ({error or type(error).__name__}): run `{entry.command}`") from error
    if not isinstance(found, dict):
        raise UserError(f"{where} holds a {type(found).__name__}, no dictionary of arrays: run `{entry.command}`")
    return _text_keys(found)


def _text_keys(found: dict[Any, Any]) -> dict[str, Any]:
    """What Python 2 wrote has keys of bytes."""
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in found.items()}


def load(folder: Path = RAW / PICKLED.name, entry: DataSet = PICKLED) -> FewShot:
    """Read the pickled arrays: images uint8 [38,400 / 9,600 / 12,000, 3, 84, 84], classes by WordNet number.

    Raises:
        UserError: the archive is missing or wrong, or a pickle holds no image_data and class_dict.
    """
    read = {}
    for name, content in archives.read(entry, entry.files[0], folder):
        where = f"{folder / entry.files[0].name}: {name}"
        read[Path(name).stem.rpartition("-")[2]] = classes_of(unpickled(content, where, entry), where, entry)
    missing = [name for name in SETS if name not in read]
    if missing:
        raise UserError(f"{folder / entry.files[0].name} has no {', '.join(missing)}: run `{entry.command}`")
    return FewShot(*(read[name] for name in SETS))


def classes_of(found: Mapping[str, Any], where: str, entry: DataSet = PICKLED) -> Classes:
    """The classes of one pickle: image_data uint8 [n, 84, 84, 3] and class_dict {class: its rows}.

    Raises:
        UserError: they are not there in that form, or rows are named that do not exist.
    """
    images, rows = found.get("image_data"), found.get("class_dict")
    if not _are_images(images) or not isinstance(rows, dict) or not rows:
        raise UserError(f"{where} has no image_data [n, {SIDE}, {SIDE}, 3] and class_dict: run `{entry.command}`")
    named = {name: np.asarray(places) for name, places in sorted(_text_keys(rows).items())}
    for name, places in named.items():
        if places.dtype.kind not in "iu" or not places.size or places.min() < 0 or places.max() >= len(images):
            raise UserError(f"{where} gives {name} rows that are not there: run `{entry.command}`")
    labels = np.repeat(np.arange(len(named)), [places.size for places in named.values()])
    return Classes(np.asarray(images)[np.concatenate(list(named.values()))].transpose(0, 3, 1, 2), labels, tuple(named))


def _are_images(found: Any) -> TypeGuard[NDArray[np.uint8]]:
    return isinstance(found, np.ndarray) and found.dtype == np.uint8 and found.shape[1:] == (SIDE, SIDE, 3)


def load_images(folder: Path = RAW / IMAGES.name, entry: DataSet = IMAGES) -> FewShot:
    """Read the image files of all 60,000 lines of the lists, as `load` gives them.

    Raises:
        UserError: a file is missing or wrong, an image that the lists name is not there, or has not 84x84 pixels.
    """
    return FewShot(*(_from_files(name, entry.files[0].name, folder, entry, whole=True) for name in SETS))


def load_lite(folder: Path = RAW / LITE.name, entry: DataSet = LITE) -> FewShot:
    """Read mini-imagenet-lite: 100 images of each class, uint8 [6,400 / 1,600 / 2,000, 3, 84, 84], not mini-ImageNet.

    Raises:
        UserError: a file is missing or wrong, or an image is in no list or has not 84x84 pixels.
    """
    return FewShot(*(_from_files(name, f"{name}.tar", folder, entry, whole=False) for name in SETS))


class _Named(NamedTuple):
    name: str
    image: NDArray[np.uint8]


def _from_files(name: str, tar: str, folder: Path, entry: DataSet, whole: bool) -> Classes:
    """The classes of one list, with images of an archive: `whole`, all that it names, and others may lie there; else, those
    that are there, and it must name them."""
    listed = read_list(entry.checked(entry.file(f"{name}.csv"), folder), entry)
    found: dict[str, list[_Named]] = {}
    for one in _pixels(tar, folder, entry, listed, whole):
        found.setdefault(listed[one.name], []).append(one)
    there = sum(map(len, found.values()))
    if (whole and there != len(listed)) or not found:
        raise UserError(f"{folder} has {there} of the {len(listed)} images of {name}.csv: run `{entry.command}`")
    names = sorted(found)
    images = [one.image for label in names for one in sorted(found[label], key=lambda one: one.name)]
    return Classes(np.stack(images), np.repeat(np.arange(len(names)), [len(found[label]) for label in names]), tuple(names))


def _pixels(tar: str, folder: Path, entry: DataSet, listed: Mapping[str, str], whole: bool) -> Iterator[_Named]:
    for path, content in archives.read(entry, entry.file(tar), folder):
        name = path.rpartition("/")[2]
        if name in listed:
            yield _Named(name, read_rgb(content, SIDE, f"{folder / tar}: {path}", entry))
        elif not whole:
            raise UserError(f"{folder / tar}: {path} is in no list: run `{entry.command}`")


def read_list(path: Path, entry: DataSet = IMAGES) -> dict[str, str]:
    """{file name: class} of a list with the columns filename and label; raises UserError where it has not these."""
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if reader.fieldnames != ["filename", "label"]:
            raise UserError(f"{path} has the columns {reader.fieldnames}, not filename, label: run `{entry.command}`")
        return {row["filename"]: row["label"] for row in reader}
