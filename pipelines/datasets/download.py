"""Fetching one file: from a mirror, then from the official addresses, accepted by its content alone.

A file appears under its name only when its content is right: it is brought into a temporary folder beside its
place, checked, then renamed, which the file system does in one step. Whatever interrupts this leaves no wrong
file. Of two processes that want the same data set, one waits for the other.

What comes over HTTP is kept, beside the file's place, until it is whole: `pipelines.datasets.transfer`.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import sys
import tempfile
import zlib
from io import BufferedIOBase
from pathlib import Path

from pipelines.datasets import archives, whole
from pipelines.datasets.folders import locked, named
from pipelines.datasets.registry import BY_HAND, DataSet, File, State, sha256_of, write_record
from pipelines.datasets.transfer import Part, SourceError, transfer
from pipelines.errors import UserError

MIRROR = "BILEVEL_MIRROR"
"""The environment variable that names a folder or an http(s) address holding <data set>/<remote file>."""

_CHUNK = 1 << 20  # bytes
_MARGIN = 64 << 20  # bytes
_SCRATCH = ".fetching-"


def sources(entry: DataSet, file: File, mirror: str | None) -> list[str]:
    """Where to look for a file, in this order: paths and http(s) addresses; a `mirror`, then what was put there by hand."""
    found = [address + file.remote for address in entry.addresses]
    by_hand = BY_HAND / entry.name / file.remote
    if by_hand.exists():
        found.insert(0, str(by_hand))
    if mirror:
        beside = f"{mirror.rstrip('/')}/{entry.name}/{file.remote}"
        found.insert(0, beside if is_address(mirror) else str(Path(mirror).expanduser() / entry.name / file.remote))
    return found


def is_address(source: str) -> bool:
    """Whether a source is reached over HTTP; else it is a path."""
    return source.startswith(("http://", "https://"))


def fetch(entry: DataSet, file: File, folder: Path, mirror: str | None = None) -> str | None:
    """Bring `file` into `folder` unless the right one is there.

    Args:
        mirror: a folder or an http(s) base address to try before the official addresses.

    Returns:
        The source it came from, or None where nothing had to be fetched.

    Raises:
        UserError: no source has the right content; names each source, what was wrong with it, and the mend.
        UserError: what lies there cannot be read.
        OSError: `folder` cannot be written (`pipelines.errors.run` turns it into a message).
    """
    found = state(file, folder)
    if found == "unreadable":
        raise UserError(file.unreadable(folder))
    if found == "right" and _is_whole(entry, file, folder):
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{folder} cannot be made, a file is in its way: move that file elsewhere") from error
    with locked(folder, "fetches into"), named(folder / file.name):
        if state(file, folder) == "right" and _is_whole(entry, file, folder):  # another process has brought it meanwhile
            return None
        if not file.is_published and file.state(folder) == "right":
            for left in (folder / file.name, file.record(folder)):  # its record would refuse the right one
                left.unlink()
        for left in folder.glob(_SCRATCH + "*"):  # of a process that was killed: nobody else is here
            shutil.rmtree(left)
        return _fetch(entry, file, folder, mirror)


def state(file: File, folder: Path) -> State:
    """What lies in `folder` under this name: by its record, and by the manifest as it is now, which may be another since.

    Raises OSError where reading fails for another cause than permission.
    """
    found = file.state(folder)
    if found != "right" or not file.is_recorded:
        return found
    path = folder / file.name
    if file.wrapping == "archive":
        return "wrong" if archives.fault(path, file) else "right"
    size = path.stat().st_size
    fits = size <= file.size if file.at_most else size == file.size
    return "right" if fits and file.recorded(folder).startswith(file.sha256) else "wrong"


def _is_whole(entry: DataSet, file: File, folder: Path) -> bool:
    """Whether a file that is right is so by a published sum; one that is right by its record alone must be whole as well."""
    return file.is_published or not whole.fault(folder / file.name, entry, file, folder)


def _fetch(entry: DataSet, file: File, folder: Path, mirror: str | None) -> str:
    """Bring a file from the first source that has the right one; where it came from."""
    refusals = []
    part = Part(folder / f".{file.name}.part")
    for source in sources(entry, file, mirror):
        with tempfile.TemporaryDirectory(dir=folder, prefix=_SCRATCH) as scratch:
            content = Path(scratch) / file.name
            try:
                if is_address(source):
                    _bring(source, part, entry, file, content)
                else:
                    _unpack(Path(source), entry, file, content, folder)
            except SourceError as error:
                refusals.append(f"{source}: {error}")
                continue
            except MemoryError as error:
                raise UserError(
                    f"memory ran out over {source}: close other programs, raise a limit (ulimit -v), then run "
                    f"`{entry.command}` again"
                ) from error
            os.replace(content, folder / file.name)
        part.forget()
        for refusal in refusals:
            print(f"{entry.name}/{file.name} was not to be had from {refusal}", file=sys.stderr)
        return source
    raise UserError(_not_found(entry, file, folder, mirror, refusals))


def _not_found(entry: DataSet, file: File, folder: Path, mirror: str | None, refusals: list[str]) -> str:
    """What to do about a file, and in the same breath about the data set's other files that are at hand nowhere."""
    lacking = [file]
    for other in entry.files:
        at_hand = any(Path(source).is_file() for source in sources(entry, other, mirror) if not is_address(source))
        if other != file and not at_hand and state(other, folder) != "right":
            lacking.append(other)
    places = ", ".join(f"{one.remote} at {BY_HAND / entry.name / one.remote}" for one in lacking)
    names = ", ".join(f"{entry.name}/{one.remote}" for one in lacking)
    tried = f" Tried: {'; '.join(refusals)}." if refusals else ""
    offered = "connect to the network, or " if entry.addresses else ""
    where = f" ({entry.by_hand})" if entry.by_hand else ""
    return (
        f"{entry.name}/{file.name} could not be fetched.{tried} "
        f"Mend: {offered}put {places}{where}, or set {MIRROR} to a folder or an http(s) address that holds {names}, "
        f"then run `{entry.command}` again"
    )


def _record(file: File, folder: Path, content: Path) -> None:
    """Record the SHA-256 of what is about to appear in `folder`.

    Raises:
        SourceError: no sum was ever published, and an earlier copy, trusted and recorded, was another.
        OSError: the record cannot be written.
    """
    found, earlier = sha256_of(content), file.recorded(folder)
    if not file.is_published:
        if earlier and earlier != found:
            raise SourceError(
                f"its content has SHA-256 {found}, the copy trusted first had {earlier}: to forget that sum and trust this "
                f"copy, delete {file.record(folder)}"
            )
        if not earlier:
            print(
                f"no sum of {file.remote} was ever published, so nothing shows that this copy is the right one. It has "
                f"SHA-256 {found}, which is trusted and recorded in {file.record(folder)}",
                file=sys.stderr,
            )
    write_record(file, folder, found)


def _bring(address: str, part: Part, entry: DataSet, file: File, content: Path) -> None:
    """Write the right content of `file` to `content`; raises SourceError where `address` has it not."""
    while True:
        continued = transfer(address, part, _most(file))
        try:
            _unpack(part.path, entry, file, content, part.path.parent)
            return
        except SourceError:
            part.forget()
            if not continued:
                raise
            # what an earlier call had brought may be what is wrong: once more, from the start


def _unpack(wrapped: Path, entry: DataSet, file: File, content: Path, folder: Path) -> None:
    """Write the content of `wrapped` to `content`, and record its sum in `folder` where the manifest has none.

    Raises SourceError unless it is right, and whole where no sum tells.
    """
    if file.wrapping == "archive":
        _pack(wrapped, file, content)
    else:
        _unwrap(wrapped, file, content)
    if not file.is_published and (fault := whole.fault(content, entry, file, folder)):
        raise SourceError(f"{fault}: replace that copy by a whole one")
    if file.is_recorded:
        _record(file, folder, content)


def _pack(source: Path, file: File, content: Path) -> None:
    """Write the members of an archive to `content`, a tar; raises as `_unwrap` does."""
    if not source.is_file():
        raise SourceError("No such file or directory")
    try:
        listing = archives.pack(source, content, file)
    except archives.ArchiveError as error:
        raise SourceError(f"{error}: replace that copy") from error
    if wrong := listing.faults(file):
        raise SourceError(f"wrong content, {'; '.join(wrong)}: replace that copy")


def _most(file: File) -> int:
    """The most bytes that a right file may have as it is wrapped; a tar has 1 kB about each member, and other members."""
    return (2 if file.wrapping == "archive" else 1) * file.size + _MARGIN


def _unwrap(source: Path, file: File, content: Path) -> None:
    """Write the content of `source` to `content` without its wrapping.

    Raises:
        SourceError: `source` cannot be read, or its content is not the right one; names both hashes.
        OSError: `content` cannot be written.
    """
    digest = hashlib.sha256()
    size = 0
    broken = ""
    try:
        stream = _open(source, file)
    except OSError as error:
        raise SourceError(f"{error.strerror}") from error
    with stream, content.open("wb") as target:
        while size <= file.size:  # a wrong file may unwrap to any size
            try:
                chunk = stream.read1(_CHUNK)  # `read` would drop what came before an error
            except (OSError, EOFError, zlib.error) as error:  # gzip's three ways of saying so
                broken = f", unreadable after {size} bytes: {error}"
                break
            if not chunk:
                break
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
    if broken or size > file.size or not digest.hexdigest().startswith(file.sha256):
        expected = f"{file.sha256 or 'any'} ({'at most ' if file.at_most else ''}{file.size} bytes)"
        raise SourceError(
            f"wrong content, SHA-256 uncompressed {digest.hexdigest()} ({size} bytes{broken}), "
            f"expected {expected}: replace that copy"
        )


def _open(source: Path, file: File) -> BufferedIOBase:
    """Open a file for reading its content; raises OSError where it cannot be opened."""
    with source.open("rb") as stream:
        wrapped = file.wrapping == "gzip" and stream.read(2) == b"\x1f\x8b"
    # Some servers unwrap on the way: such content comes bare.
    return gzip.open(source, "rb") if wrapped else source.open("rb")
