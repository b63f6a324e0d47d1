"""What all that writes into a folder of data shares: one process at a time, and errors that name the place."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


def locked(folder: Path, doing: str) -> FileLock:
    """A lock on a folder, beside it; says so where it has to wait for another process that is `doing` the same.

    Raises OSError where the lock cannot be made.
    """
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
        lock.release()
    except Timeout:
        print(f"another process {doing} {folder}: waiting for it", file=sys.stderr)
    return lock


@contextmanager
def named(place: Path) -> Iterator[None]:
    """Let an OSError that names no file, as that of a full disk, name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(place)
        raise
