"""Bringing the bytes at an http(s) address to a file, which goes on where it broke off, in this call or in an earlier one.

HTTP is pooch's. What has come so far lies in a part, with a note of its address and of the server's mark for that version of
the content (a strong ETag, else the time of its last change). A later call asks for the rest under this condition
(`If-Range`), so a server whose content has changed, or that knows no ranges, sends the whole; a part of another address is
begun anew, since two addresses may wrap the same content differently. Without a mark nothing is kept for a later call.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from requests import Response

ATTEMPTS = 5
"""How often one transfer is taken up again, as long as each attempt brings bytes."""

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and to wait for the next bytes."""


class SourceError(Exception):
    """One source cannot be used; the message says why. The next source may still do."""


class _TooManyError(SourceError):
    """It sends more than the file may have."""


class _OtherContentError(Exception):
    """The rest that a server sends is not that of the bytes that are there."""


class Part:
    """What has come of a file, at `path`; beside it, in `note`, from where, which version, and how long the whole is."""

    def __init__(self, path: Path) -> None:
        self.path, self.note = path, path.with_name(path.name + ".json")

    def noted(self, address: str) -> dict[str, Any]:
        """{"address", "mark", "length"} of what lies there, where it is of this address, not longer than the whole; or {}.

        Raises OSError where it cannot be read.
        """
        try:
            found = json.loads(self.note.read_text(encoding="utf-8"))
            held = self.path.stat().st_size
        except (FileNotFoundError, ValueError):
            return {}
        known = isinstance(found, dict) and found.get("address") == address and isinstance(found.get("mark"), str)
        return found if known and held <= (found.get("length") or held) else {}

    def begin(self, address: str, response: Response, stream: BufferedIOBase) -> str:
        """Empty the part, for what a server is about to send from the start; the mark that it gives."""
        self.note.unlink(missing_ok=True)
        stream.seek(0)
        stream.truncate()
        stated = response.headers.get("Content-Length", "")
        if mark := mark_of(response):
            noted = {"address": address, "mark": mark, "length": int(stated) if stated.isdigit() else None}
            self.note.write_text(json.dumps(noted), encoding="utf-8")
        return mark

    def forget(self) -> None:
        """Remove it and its note."""
        self.note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def mark_of(response: Response) -> str:
    """A server's mark for a version of the content, byte for byte; "" where it gives none, or sends it coded."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return ""
    tag: str = response.headers.get("ETag", "")
    changed: str = response.headers.get("Last-Modified", "")
    return tag if tag and not tag.startswith("W/") else changed


class _Bounded:
    """A file that is written up to `most` bytes, then raises SourceError: a server may send for ever."""

    def __init__(self, stream: BufferedIOBase, most: int) -> None:
        self.stream, self.most, self.flush = stream, most, stream.flush

    def room_for(self, count: int) -> None:
        """Raise SourceError where so many more bytes are too many."""
        if self.stream.tell() + count > self.most:
            raise _TooManyError(f"it sends more than the {self.most} bytes that the file may have as it is wrapped")

    def write(self, content: bytes) -> int:
        self.room_for(len(content))
        return self.stream.write(content)


def transfer(address: str, part: Part, most: int) -> bool:
    """Bring what lies at `address` to `part`, bytes as they are; whether it went on from what an earlier call had brought.

    Whatever interrupts this leaves the part for the next call, where its server gives a mark; else nothing.

    Raises:
        SourceError: that fails, or there are more than `most` bytes.
        OSError: the part cannot be written.
    """
    earlier = part.noted(address)
    try:
        with part.path.open("r+b" if part.path.exists() else "w+b") as stream:
            held = stream.seek(0, os.SEEK_END) if earlier else 0
            if held:
                print(f"{address}: going on from the {held} bytes that an earlier run brought", file=sys.stderr)
            if held and held == earlier.get("length"):
                return True
            return _transfer(address, part, stream, most, earlier)
    except BaseException as error:
        if isinstance(error, _TooManyError) or not part.note.exists():
            part.forget()
        raise


def _transfer(address: str, part: Part, stream: BufferedIOBase, most: int, earlier: Mapping[str, Any]) -> bool:
    """The same into an open part, which stands at its end."""
    # Here and not above: 0.3 s that a command which fetches nothing need not spend.
    import requests
    from pooch import HTTPDownloader  # type: ignore[import-untyped]

    bounded, mark, continued = _Bounded(stream, most), earlier.get("mark", ""), stream.tell() > 0
    failure: Exception = SourceError("its content changes while it is fetched")

    def answered(response: Response, *_: Any, **__: Any) -> None:
        nonlocal mark, continued
        # A server that knows no ranges, or whose content has changed, answers 200 with the whole; one that resumes 206.
        if response.status_code == requests.codes.ok:
            mark, continued = part.begin(address, response, stream), False
        elif response.status_code == requests.codes.partial:
            rest = response.headers.get("Content-Range", "").startswith(f"bytes {stream.tell()}-")
            if not rest or (mark and mark_of(response) not in ("", mark)):
                raise _OtherContentError
        stated = response.headers.get("Content-Length", "")
        if response.ok and stated.isdigit():
            bounded.room_for(int(stated))

    for _ in range(ATTEMPTS):
        held = stream.tell()
        downloader = HTTPDownloader(
            progressbar=sys.stderr.isatty(),
            timeout=TIMEOUT,
            headers={
                # Without a coding of its own the server's ranges count the bytes written here.
                "Accept-Encoding": "identity",
                **({"Range": f"bytes={held}-"} if held else {}),
                **({"If-Range": mark} if held and mark else {}),
            },
            hooks={"response": answered},
        )
        try:
            # Neither is used: no `Pooch` object manages this file.
            downloader(address, cast(str, bounded), None)
            return continued
        except _OtherContentError:
            stream.seek(0)
        except requests.HTTPError as error:
            if not held or error.response.status_code != requests.codes.requested_range_not_satisfiable:
                raise SourceError(_reason(error)) from error
            stream.seek(0)
        except requests.RequestException as error:
            failure = error
            if stream.tell() == held:
                break
    raise SourceError(_reason(failure)) from failure


def _reason(error: Exception) -> str:
    """What went wrong, in words: of a connection that fails, urllib3 keeps the cause inside its own error."""
    cause = getattr(error.args[0] if error.args else None, "reason", error)
    return str(cause) or type(cause).__name__
