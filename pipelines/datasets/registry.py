"""The manifest: which files a data set is made of, where they come from, and how a right one is known.

manifest.yaml is the manifest of all data sets; nothing else names their files or addresses. A right file is known by its
UNCOMPRESSED content: the same content is wrapped differently by different mirrors (gzip stores a level and a time, a zip
its own order), and only the content enters a computation.

Three ways of knowing it. The SHA-256 of a file is compared with the manifest's. An archive is compared when it is fetched,
by its members (`pipelines.datasets.archives`), then kept as one tar, whose own SHA-256 is recorded beside it. Where nobody
ever published a sum, the first whole copy (`pipelines.datasets.whole`) is trusted, and recorded likewise: a later one must
be the same. MD5 and short sums, where there is nothing better, guard against accidents and not against malice.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from pipelines.errors import UserError

RAW = Path("data/raw")
"""Where fetched data lies, from the project's root: data/raw/<data set>/<file>. Never edited."""

BY_HAND = Path("data/mirror")
"""Where a file may be put by hand, from the project's root: data/mirror/<data set>/<remote file>."""

MANIFEST = Path(__file__).with_name("manifest.yaml")

State = Literal["right", "wrong", "missing", "unreadable"]
_CHUNK = 1 << 20  # bytes
_SHA256_DIGITS = 64


@dataclass(frozen=True)
class File:
    """One file of a data set.

    Attributes:
        name: its name under data/raw/<data set>/, uncompressed; an archive becomes a plain tar.
        remote: its name at the official addresses, and under <mirror>/<data set>/.
        size: bytes of the uncompressed content; of an archive, of the members that are kept.
        sha256: of the uncompressed content; of an archive, of the sorted listing of its members. Fewer than 64 hexadecimal
            digits are the first ones; "" where none was ever published, or where `members` has the sums.
        wrapping: how the remote file wraps the content.
        members: (name, "<algorithm>:<digits>") of the members of an archive that are kept, where their sums are published.
        keep: how the names of the members end that are kept.
        at_most: whether `size` is no more than a bound.
        arrays: (name, shape) of the arrays of numbers that an npz must hold, where no sum tells whether it is whole.
        lists: likewise, the files of the data set that list the members of an archive, in their column `filename`.
    """

    name: str
    remote: str
    size: int
    sha256: str = ""
    wrapping: Literal["gzip", "archive", "none"] = "none"
    members: tuple[tuple[str, str], ...] = ()
    keep: str = ""
    at_most: bool = False
    arrays: tuple[tuple[str, tuple[int, ...]], ...] = ()
    lists: tuple[str, ...] = ()

    @property
    def is_published(self) -> bool:
        """Whether a right copy can be told from a wrong one without having trusted one before."""
        return bool(self.sha256 or self.members)

    @property
    def is_recorded(self) -> bool:
        """Whether what lies in data/raw is known by the record beside it, not by the manifest."""
        return self.wrapping == "archive" or len(self.sha256) < _SHA256_DIGITS

    def record(self, folder: Path) -> Path:
        """Where the SHA-256 of what was fetched is recorded, as sha256sum writes it."""
        return folder / f"{self.name}.sha256"

    def recorded(self, folder: Path) -> str:
        """The SHA-256 that the record holds, "" where there is none."""
        record = self.record(folder)
        words = record.read_text(encoding="utf-8", errors="replace").split() if record.exists() else []
        return words[0] if words and len(words[0]) == _SHA256_DIGITS else ""

    def state(self, folder: Path) -> State:
        """What lies in `folder` under this name, by size and hash; "unreadable" where this user may not read it.

        Raises OSError where reading fails for another cause.
        """
        path = folder / self.name
        try:
            if not path.exists():
                return "missing"
            expected = self.recorded(folder) if self.is_recorded else self.sha256
            if not expected or (not self.is_recorded and path.stat().st_size != self.size):
                return "wrong"
            return "right" if sha256_of(path) == expected else "wrong"
        except PermissionError:
            return "unreadable"

    def unreadable(self, folder: Path) -> str:
        """What to say of a file in that state."""
        record = f", {self.record(folder)}" if self.is_recorded else ""
        return (
            f"{folder / self.name} cannot be read by this user: make it{record} and the folder readable "
            f"(chmod -R u+rX {folder}, or ask its owner)"
        )


@dataclass(frozen=True)
class DataSet:
    """A data set as its authors published it.

    Attributes:
        name: its name on the command line and its folder under data/raw/.
        title: its name in a sentence; that of a stand-in says what it stands for.
        addresses: official base addresses, best first, each ending in "/"; `File.remote` is appended. None where no
            address gives the files to a program.
        files: what is fetched.
        licence: the terms of use, as far as its authors state them.
        citation: the work to cite.
        by_hand: where a person finds the files, in a sentence, where no program can fetch them.
        comes_with: the package that ships it, where nothing is fetched (`pipelines.datasets.shipped`); else "".
        within: the folder of the files in that package, such as sklearn/datasets/data.
        sums: who published the sums of the files.
    """

    name: str
    title: str
    addresses: tuple[str, ...]
    files: tuple[File, ...]
    licence: str
    citation: str
    by_hand: str = ""
    sums: str = ""
    comes_with: str = ""
    within: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files, uncompressed."""
        return sum(file.size for file in self.files)

    @property
    def command(self) -> str:
        """The command that fetches it, for messages."""
        return f"python -m pipelines.fetch {self.name}"

    def file(self, name: str) -> File:
        """The file of that name; raises KeyError where there is none."""
        return {file.name: file for file in self.files}[name]

    def checked(self, file: File, folder: Path) -> Path:
        """Where a file lies; raises UserError, naming the command that fetches it, unless it is the right one."""
        found = file.state(folder)
        if found == "unreadable":
            raise UserError(file.unreadable(folder))
        if found != "right":
            raise UserError(f"{folder / file.name} is {found}: run `{self.command}`")
        return folder / file.name


def read_manifest(path: Path = MANIFEST) -> dict[str, DataSet]:
    """The data sets of a manifest by name; raises TypeError for a key that no data set or file has."""
    with path.open(encoding="utf-8") as stream:
        found: Mapping[str, dict[str, Any]] = yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {name: _data_set(name, **entry) for name, entry in found.items()}


def _data_set(name: str, files: list[dict[str, Any]], addresses: Sequence[str] = (), **more: str) -> DataSet:
    read = tuple(map(_file, files))
    return DataSet(name=name, addresses=tuple(addresses), files=read, **cast(dict[str, Any], more))


def _file(one: dict[str, Any]) -> File:
    members = tuple(one.get("members", {}).items())
    arrays = tuple((name, tuple(shape)) for name, shape in one.get("arrays", {}).items())
    return File(**{**one, "members": members, "arrays": arrays, "lists": tuple(one.get("lists", ()))})


_ALL = read_manifest()
DATA_SETS = {name: entry for name, entry in _ALL.items() if not entry.comes_with}
SHIPPED = {name: entry for name, entry in _ALL.items() if entry.comes_with}
"""The data sets that a package ships, so that nothing of them is fetched."""
MNIST = DATA_SETS["mnist"]


def data_set(name: str) -> DataSet:
    """The entry of that name; raises UserError, naming the known ones, where there is none."""
    known = {**DATA_SETS, **SHIPPED}
    if name not in known:
        raise UserError(f"no data set is called '{name}'; known: {', '.join(sorted(known))}")
    return known[name]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits; raises OSError where it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_record(file: File, folder: Path, sha256: str) -> None:
    """Record what was fetched, whole or not at all; raises OSError where that fails."""
    unfinished = folder / f".{file.name}.sha256"
    unfinished.write_text(f"{sha256}  {file.name}\n", encoding="utf-8")
    os.replace(unfinished, file.record(folder))
