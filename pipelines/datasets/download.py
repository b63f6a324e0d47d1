"""Fetching one file: from a mirror, then from the official addresses, accepted by its content alone.

A file appears under its name only when its content is right: it is brought into a temporary folder beside its
place, checked, then renamed, which the file system does in one step. Whatever interrupts this leaves no wrong
file.

HTTP is pooch's. A transfer that breaks off is resumed within the call, never later: the next source may wrap
the same content differently, and the halves of two wrappings make no file.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import tempfile
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

from pipelines.datasets.registry import DataSet, File
from pipelines.errors import UserError

MIRROR = "BILEVEL_MIRROR"
"""The environment variable that names a folder or an http(s) address holding <data set>/<remote file>."""

ATTEMPTS = 5
"""How often one transfer is taken up again, as long as each attempt brings bytes."""

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and to wait for the next bytes."""

_CHUNK = 1 << 20  # bytes


class SourceError(Exception):
    """One source cannot be used; the message says why. The next source may still do."""


def sources(entry: DataSet, file: File, mirror: str | None) -> list[str]:
    """Where to look for a file, in this order: paths and http(s) addresses; a `mirror` comes first."""
    official = [address + file.remote for address in entry.addresses]
    if not mirror:
        return official
    if is_address(mirror):
        return [f"{mirror.rstrip('/')}/{entry.name}/{file.remote}", *official]
    return [str(Path(mirror).expanduser() / entry.name / file.remote), *official]


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
        OSError: `folder` cannot be written (`pipelines.errors.run` turns it into a message).
    """
    if file.state(folder) == "right":
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{folder} cannot be made, a file is in its way: move that file elsewhere") from error
    refusals = []
    for source in sources(entry, file, mirror):
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as scratch:
            content = Path(scratch) / file.name
            try:
                _bring(source, file, content)
            except SourceError as error:
                refusals.append(f"{source}: {error}")
                continue
            os.replace(content, folder / file.name)
        for refusal in refusals:
            print(f"{entry.name}/{file.name} was not to be had from {refusal}", file=sys.stderr)
        return source
    raise UserError(
        f"{entry.name}/{file.name} could not be fetched. Tried: {'; '.join(refusals)}. "
        f"Mend: connect to the network, or set {MIRROR} to a folder or an http(s) address that holds "
        f"{entry.name}/{file.remote}, then run `{entry.command}` again"
    )


def _bring(source: str, file: File, content: Path) -> None:
    """Write the right content of `file` to `content`; raises SourceError where `source` has it not."""
    if not is_address(source):
        _unwrap(Path(source), file, content)
        return
    wrapped = content.with_name(content.name + ".wrapped")
    _transfer(source, wrapped)
    _unwrap(wrapped, file, content)


def _transfer(address: str, target: Path) -> None:
    """Bring what lies at `address` to `target`, bytes as they are; raises SourceError where that fails."""
    # Here and not above: 0.3 s that a command which fetches nothing need not spend.
    import requests
    from pooch import HTTPDownloader  # type: ignore[import-untyped]

    with target.open("wb") as stream:

        def start_over(response: requests.Response, *_: Any, **__: Any) -> None:
            # A server that knows no ranges answers 200 with the whole file; one that resumes answers 206.
            if response.status_code == requests.codes.ok:
                stream.seek(0)
                stream.truncate()

        for attempt in range(1, ATTEMPTS + 1):
            held = stream.tell()
            downloader = HTTPDownloader(
                progressbar=sys.stderr.isatty(),
                timeout=TIMEOUT,
                # Without a coding of its own the server's ranges count the bytes written here.
                headers={"Accept-Encoding": "identity", **({"Range": f"bytes={held}-"} if held else {})},
                hooks={"response": start_over},
            )
            try:
                # Neither is used: no `Pooch` object manages this file.
                downloader(address, cast(str, stream), None)
                return
            except requests.RequestException as error:
                if isinstance(error, requests.HTTPError) or stream.tell() == held or attempt == ATTEMPTS:
                    raise SourceError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """What went wrong, in words: of a connection that fails, urllib3 keeps the cause inside its own error."""
    cause = getattr(error.args[0] if error.args else None, "reason", error)
    return str(cause) or type(cause).__name__


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
    if broken or digest.hexdigest() != file.sha256:
        raise SourceError(
            f"wrong content, SHA-256 uncompressed {digest.hexdigest()} ({size} bytes{broken}), "
            f"expected {file.sha256} ({file.size} bytes): replace that copy"
        )


def _open(source: Path, file: File) -> BufferedIOBase:
    """Open a file for reading its content; raises OSError where it cannot be opened."""
    with source.open("rb") as stream:
        wrapped = file.wrapping == "gzip" and stream.read(2) == b"\x1f\x8b"
    # Some servers unwrap on the way: such content comes bare.
    return gzip.open(source, "rb") if wrapped else source.open("rb")
