"""Archives (zip; tar in gzip, xz, bzip2 or bare): read with suspicion, kept as one plain tar whose bytes depend on nothing
but the members' names and contents.

No member is ever written under a name of its own, so thousands of small files cost one file, and a name that climbs out of
its folder or a link could do nothing here; an archive that has one is refused all the same, for it is not the right one.

A content is known by its listing: a line "<SHA-256>  <name>" for each member, sorted by name, as sha256sum prints them; the
fingerprint is the SHA-256 of these lines. Whatever wraps the same members has the same fingerprint.
"""

from __future__ import annotations

import hashlib
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from pipelines.datasets.registry import DataSet, File
from pipelines.errors import UserError

_CHUNK = 1 << 20  # bytes
_HEADER = 1 << 20  # bytes, the most that a name or a member's further fields may take: tarfile reads them whole
_UNREADABLE = (
    tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
"""What the libraries raise for a damaged archive; RuntimeError is an encrypted zip, NotImplementedError an unknown one."""


class ArchiveError(Exception):
    """An archive is damaged, or holds what a data set has no use for; the message says what."""


class _Member(tarfile.TarInfo):
    """A header that is refused before it makes tarfile read gigabytes into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> tarfile.TarInfo:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _OF_HEADERS and member.size > _HEADER:
            raise ArchiveError(f"a header in it declares {member.size} bytes, more than {_HEADER}")
        if member.type == tarfile.GNUTYPE_SPARSE:  # its map of holes may go on for ever
            raise ArchiveError(f"{member.name} is no plain file")
        return member

    def _proc_gnusparse_10(self, member: tarfile.TarInfo, *_: object) -> None:
        """The other kind of sparse file, whose map lies in its content; tarfile calls this by no public name."""
        raise ArchiveError(f"{member.name} is no plain file")


_OF_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
"""The types of tar members that tell a name, or further fields, of the next one."""


@dataclass
class Listing:
    """The members packed so far: SHA-256 by name, and bytes in all; further sums where they were asked for."""

    sha256: dict[str, str] = field(default_factory=dict)
    further: dict[str, str] = field(default_factory=dict)
    size: int = 0

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the sorted listing, 64 hexadecimal digits."""
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(self.sha256.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def differences(self, members: Mapping[str, str]) -> list[str]:
        """What differs from known sums, {name: "<algorithm>:<digits>"}, in words."""
        wrong = []
        for name, known in members.items():
            algorithm, _, digits = known.partition(":")
            found = (self.sha256 if algorithm == "sha256" else self.further).get(name)
            if found is None:
                wrong.append(f"{name} is not in it")
            elif found != digits:
                wrong.append(f"{name} has {algorithm} {found}, expected {digits}")
        return wrong

    def faults(self, file: File) -> list[str]:
        """What differs from the manifest's word on an archive, in words."""
        members = dict(file.members)
        wrong = self.differences(members)
        wrong += [f"{name} does not belong to it" for name in sorted(self.sha256) if members and name not in members]
        if file.sha256 and self.fingerprint != file.sha256:
            wrong.append(
                f"{len(self.sha256)} members of {self.size} bytes whose listing has SHA-256 {self.fingerprint}, "
                f"expected {file.sha256} ({file.size} bytes)"
            )
        return wrong if wrong or self.sha256 else ["no member that belongs to it"]

    def add(self, name: str, size: int, sums: _Sums) -> None:
        """List a member of which `sums` has seen the content; raises ArchiveError where its name stands already."""
        if name in self.sha256:
            raise ArchiveError(f"it has two members {name}")
        self.size += size
        self.sha256[name] = sums.digests["sha256"].hexdigest()
        if sums.published != "sha256":
            self.further[name] = sums.digests[sums.published].hexdigest()


class _Sums:
    """The sums of a member that are compared: SHA-256, and that which was published, where it is another."""

    def __init__(self, name: str, file: File) -> None:
        self.published = dict(file.members).get(name, "sha256:").partition(":")[0]
        self.digests = {kind: hashlib.new(kind, usedforsecurity=False) for kind in {"sha256", self.published}}

    def update(self, content: bytes) -> None:
        for digest in self.digests.values():
            digest.update(content)


def pack(source: Path, target: Path, file: File) -> Listing:
    """Write the members of an archive that `file` keeps to `target`, a plain tar, sorted, without dates and owners.

    Raises:
        ArchiveError: `source` is damaged, has a link, a name that leaves its folder, a name twice, or more bytes than
            `file.size`, declared or real.
        OSError: `target` cannot be written.
    """
    members = dict(file.members)
    listing = Listing()
    places: dict[str, tuple[int, int]] = {}  # start and bytes of each among the members
    with target.with_name(target.name + ".members").open("w+b") as heap:
        for name, declared, stream in _members(source):
            if (members and name not in members) or not name.endswith(file.keep) or _is_hidden(name):
                continue
            if name in places:
                raise ArchiveError(f"it has two members {name}")
            if listing.size + declared > file.size:
                raise ArchiveError(f"its members come to more than the {file.size} bytes they should have ({name})")
            start = heap.tell()
            sums, size = _Sums(name, file), 0
            while chunk := _read(stream, name):
                size += len(chunk)
                if size > declared:
                    raise ArchiveError(f"{name} is longer than the {declared} bytes it declares")
                sums.update(chunk)
                heap.write(chunk)
            if size != declared:
                raise ArchiveError(f"{name} ends after {size} of {declared} bytes")
            places[name] = start, size
            listing.add(name, size, sums)
        with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
            for name, (start, size) in sorted(places.items()):
                member = tarfile.TarInfo(name)
                member.size = size
                heap.seek(start)
                tar.addfile(member, heap)
    return listing


def _is_hidden(name: str) -> bool:
    """What macOS leaves in archives: .DS_Store, __MACOSX/._name."""
    return name.rpartition("/")[2].startswith(".") or name.startswith("__MACOSX/")


def _members(source: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name, declared bytes and stream of each file in an archive; raises ArchiveError for what is no plain file."""
    try:
        opened = zipfile.ZipFile(source) if zipfile.is_zipfile(source) else tarfile.open(source, tarinfo=_Member)  # noqa: SIM115
    except _UNREADABLE as error:
        raise ArchiveError(f"it is no readable archive: {' '.join(str(error).split())}") from error
    with opened as archive:
        yield from _zip_members(archive) if isinstance(archive, zipfile.ZipFile) else _tar_members(archive)


def _zip_members(archive: zipfile.ZipFile) -> Iterator[tuple[str, int, IO[bytes]]]:
    for member in archive.infolist():
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ArchiveError(f"{member.filename} is a link")
        if not member.is_dir():
            try:
                stream = archive.open(member)
            except _UNREADABLE as error:
                raise ArchiveError(f"{member.filename} cannot be read: {error}") from error
            with stream:
                yield _checked(member.filename), member.file_size, stream


def _tar_members(archive: tarfile.TarFile) -> Iterator[tuple[str, int, IO[bytes]]]:
    while True:
        try:
            member = archive.next()
        except _UNREADABLE as error:
            raise ArchiveError(f"it breaks off: {error}") from error
        if member is None:
            return
        archive.members.clear()  # type: ignore[attr-defined]  # or it keeps every header read so far
        if member.islnk() or member.issym():
            raise ArchiveError(f"{member.name} is a link")
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            raise ArchiveError(f"{member.name} is no plain file")
        yield _checked(member.name), member.size, cast(IO[bytes], archive.extractfile(member))


def _checked(name: str) -> str:
    """A member's name without "./"; raises ArchiveError where it leaves the folder."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name or not parts:
        raise ArchiveError(f"the name {name!r} leaves the folder")
    return "/".join(parts)


def _read(stream: IO[bytes], name: str) -> bytes:
    try:
        return stream.read(_CHUNK)
    except _UNREADABLE as error:
        raise ArchiveError(f"{name} cannot be read: {error}") from error


def fault(path: Path, file: File) -> str:
    """How the archive that lies at `path` differs from the manifest's word on it, "" where it does not.

    Its record cannot tell: it says what was right when it was fetched.
    """
    listing = Listing()
    try:
        for name, _, stream in _members(path):
            sums, size = _Sums(name, file), 0
            while chunk := _read(stream, name):
                sums.update(chunk)
                size += len(chunk)
            listing.add(name, size, sums)
    except ArchiveError as error:
        return str(error)
    return "; ".join(listing.faults(file))


def read(entry: DataSet, file: File, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each member of a fetched archive, sorted by name.

    Raises:
        UserError: the archive is missing or is not what was fetched; or, after the last member, these are not what the
            manifest says now. Names the command that fetches it.
    """
    path = entry.checked(file, folder)
    listing = Listing()
    with tarfile.open(path, "r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]
            stream = tar.extractfile(member)
            if stream is None:
                raise UserError(f"{path}: {member.name} is no file: run `{entry.command}`")
            content, sums = stream.read(), _Sums(member.name, file)
            sums.update(content)
            listing.add(member.name, len(content), sums)
            yield member.name, content
    if faults := listing.faults(file):
        raise UserError(f"{path} is not what the manifest says ({'; '.join(faults)}): run `{entry.command}`")
