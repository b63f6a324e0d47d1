"""Checkpoints of a training cell: in an ignored folder keyed by all that determines the result, one process at a time."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from pipelines.errors import UserError
from pipelines.records import write_bytes

FOLDER = Path("checkpoints")


class Checkpoints:
    """The checkpoints of one cell, a file for each group of trials."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def save(self, group: int, state: dict[str, Any]) -> None:
        """Replace the group's checkpoint, whole or not at all."""
        if self.folder is None:
            return
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(self.folder / f"{group}.pt", buffer.getvalue())

    def load(self, group: int) -> dict[str, Any] | None:
        """The group's checkpoint, or None where there is none; raises UserError where it cannot be read."""
        if self.folder is None or not (path := self.folder / f"{group}.pt").exists():
            return None
        try:
            # our own file, of NamedTuples of ours: weights_only would refuse them
            saved: dict[str, Any] = torch.load(path, weights_only=False)
        except Exception as error:
            raise UserError(f"the checkpoint {path} cannot be read ({error}): delete it and run again") from error
        return saved


@contextmanager
def opened(key: str, enabled: bool = True) -> Iterator[Checkpoints]:
    """The checkpoints under `key`, locked against a second process.

    Raises: UserError where another process trains the same cell and does not end within 30 seconds.
    """
    if not enabled:
        yield Checkpoints(None)
        return
    folder = FOLDER / key[:32]
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        # a trainer whose parent was killed needs a moment to notice
        lock.acquire(timeout=30)
    except Timeout as error:
        raise UserError(f"another process is training this cell ({folder} is locked): wait for it, or end it") from error
    try:
        yield Checkpoints(folder)
    finally:
        lock.release()


def forget(key: str) -> None:
    """Delete the checkpoints under `key`: their record is written."""
    shutil.rmtree(FOLDER / key[:32], ignore_errors=True)
