"""Whether a file is whole, where no published sum tells: what it must hold is there, and can be read to its end.

This keeps half a file, or the page that a server sent in its place, from being trusted; it cannot tell a right copy from
another of the same form.
"""

from __future__ import annotations

import math
import tarfile
import zipfile
import zlib
from pathlib import Path

from numpy.lib import format as npy

from pipelines.datasets.registry import DataSet, File

_CHUNK = 1 << 20  # bytes
_NAMED = 3  # missing members that a message names


def fault(path: Path, entry: DataSet, file: File, folder: Path) -> str:
    """What is wrong with the content at `path`, in words; "" where it is whole, or where nothing is known of its form.

    Args:
        folder: where the data set's other files lie.

    Raises:
        UserError: a list of what the file must hold is missing or wrong.
        OSError: `path` cannot be read.
    """
    if file.arrays:
        return _npz_fault(path, dict(file.arrays))
    if file.lists:
        return _tar_fault(path, [entry.checked(entry.file(name), folder) for name in file.lists])
    return ""


def _npz_fault(path: Path, arrays: dict[str, tuple[int, ...]]) -> str:
    with path.open("rb") as stream:
        if stream.read(512).lstrip().lower().startswith((b"<!doctype", b"<html")):
            return "it is a web page, no data"
    try:
        with zipfile.ZipFile(path) as archive:
            for name, shape in arrays.items():
                if f"{name}.npy" not in archive.namelist():
                    return f"it has no array {name}"
                if wrong := _array_fault(archive, f"{name}.npy", shape):
                    return f"{name} {wrong}"
    except (zipfile.BadZipFile, EOFError, ValueError, zlib.error, NotImplementedError, RuntimeError) as error:
        return f"it is no whole npz file ({error})"
    return ""


def _array_fault(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> str:
    """The same of one array, read to its end, where zipfile compares the CRC."""
    with archive.open(name) as stream:
        read = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
        stated, _, kind = read(stream)
        if stated != shape or kind.kind not in "fiu":
            return f"is {kind} {stated}, expected numbers {shape}"
        size = archive.getinfo(name).file_size - stream.tell()
        if size != kind.itemsize * math.prod(shape):
            return f"has {size} bytes, expected {kind.itemsize * math.prod(shape)}"
        while stream.read(_CHUNK):
            pass
    return ""


def _tar_fault(path: Path, lists: list[Path]) -> str:
    from pipelines.datasets.mini_imagenet import read_list  # here: what brings other data sets need not load it

    listed = {name for one in lists for name in read_list(one)}
    with tarfile.open(path, "r:") as tar:
        found = {member.name.rpartition("/")[2] for member in tar}
    missing = sorted(listed - found)
    if not missing:
        return ""
    return (
        f"it has {len(listed) - len(missing)} of the {len(listed)} images that {', '.join(one.name for one in lists)} list "
        f"(it lacks {', '.join(missing[:_NAMED])}{', ...' if len(missing) > _NAMED else ''})"
    )
