"""Small data sets in the official formats, and the mirror of the real ones where there is one."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines import fetch as command
from pipelines.datasets import download, preparing
from pipelines.datasets.cifar import fc100_superclasses
from pipelines.datasets.registry import DATA_SETS, DataSet, File

ROOT = Path(__file__).resolve().parents[2]
Members = Mapping[str, bytes]
DRAWS = np.random.Generator(np.random.PCG64(11))


def real_mirror() -> str | None:
    """The mirror that BILEVEL_MIRROR names, or the folder shared/data beside the project."""
    named = os.environ.get(download.MIRROR)
    if named:
        return named if download.is_address(named) else str((ROOT / named).resolve())
    beside = ROOT.parent / "shared" / "data"
    return str(beside) if beside.is_dir() else None


def tar_of(members: Members, wrapping: str = "gz", **more: Any) -> bytes:
    """A tar of these files, wrapped; `more` sets attributes of every member."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{wrapping}") as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in more.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def zip_of(members: Members, packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def fingerprint(members: Members) -> str:
    """The fingerprint of a listing, as a shell would make it: sha256sum of files in order, then of what it printed."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(members.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def archived(name: str, members: Members, remote: str = "toy.tar.gz", **more: Any) -> File:
    """The manifest's word on an archive of these files."""
    size = sum(map(len, members.values()))
    return File(name, remote, **{"size": size, "sha256": fingerprint(members), "wrapping": "archive", **more})


def plain(name: str, content: bytes) -> File:
    """The manifest's word on a file that is not wrapped."""
    return File(name, name, len(content), hashlib.sha256(content).hexdigest())


def noise(*shape: int, largest: int = 255) -> np.ndarray:
    """Random bytes up to `largest`."""
    return DRAWS.integers(0, largest + 1, size=shape).astype(np.uint8)


def encoded(pixels: np.ndarray, form: str = "PNG") -> bytes:
    """An image file of pixels [height, width] or [height, width, 3]; of booleans, in black and white."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def records(images: np.ndarray, *labels: np.ndarray) -> bytes:
    """A file of CIFAR: of each image its labels [n], then its pixels [n, 3, 32, 32]."""
    return np.concatenate([*(one[:, None] for one in labels), images.reshape(len(images), -1)], axis=1).tobytes()


def cifar100(each: int) -> tuple[dict[File, bytes], np.ndarray, np.ndarray, np.ndarray]:
    """CIFAR-100 with so many images of each class, five sixths of them in the training file: the archive, and images,
    fine and coarse labels in the order of its files."""
    supers = sorted((name, names) for part in fc100_superclasses().values() for name, names in part.items())
    above = {name: place for place, (_, names) in enumerate(supers) for name in names}
    coarse_of = np.array([above[name] for name in sorted(above)], dtype=np.uint8)
    fine = np.tile(np.arange(100, dtype=np.uint8), each)
    DRAWS.shuffle(fine)
    images, coarse, edge = noise(100 * each, 3, 32, 32), coarse_of[fine], 100 * each * 5 // 6
    members = {
        "cifar-100-binary/train.bin": records(images[:edge], coarse[:edge], fine[:edge]),
        "cifar-100-binary/test.bin": records(images[edge:], coarse[edge:], fine[edge:]),
    }
    return {archived("cifar-100-binary.tar", members): tar_of(members)}, images, fine, coarse


def fetched(folder: Path, contents: Mapping[File, bytes], like: str) -> tuple[Path, DataSet]:
    """A small data set called as a real one, fetched from a mirror made of `contents`: its folder and its entry."""
    entry = DataSet(like, f"a small {like}", (), tuple(contents), "", "", by_hand="here")
    for file, content in contents.items():
        (folder / "mirror" / like).mkdir(parents=True, exist_ok=True)
        (folder / "mirror" / like / file.remote).write_bytes(content)
    command.fetch(entry, folder / "raw", str(folder / "mirror"))
    return folder / "raw" / like, entry


def real(folder: Path, name: str) -> tuple[Path, DataSet]:
    """A real data set, fetched from the mirror; where none has it the test is skipped, with a word on how to have it run."""
    mirror, known = real_mirror(), DATA_SETS[name]
    if mirror is None:
        pytest.skip(f"no mirror has the real files: set {download.MIRROR} to a folder or an address that holds {name}/")
    lacking = [file.remote for file in known.files if not (Path(mirror) / name / file.remote).is_file()]
    if lacking and not download.is_address(mirror):
        pytest.skip(f"{mirror} has no {name}/{lacking[0]}: set {download.MIRROR} to a folder or an address that has it")
    command.fetch(known, folder, mirror)
    return folder / name, known


def write_prepared(folder: Path, entry: Mapping[str, Any], **files: Mapping[str, np.ndarray]) -> None:
    """A prepared folder with these arrays: train={...} becomes train.npz; index.json says that `entry` asked for them."""
    named = {f"{name}.npz": arrays for name, arrays in files.items()}
    preparing.write(folder, preparing.Made(named, settings={}, source={}, facts={}, said=""), entry)


KINDS = ("small", "real")
"""What readers are tested on: small files in the official format, and the real ones, which `real` fetches."""
