"""Whether prepared data is what its index.json vouches for, and what params.yaml asks for now.

Who reads prepared data asks here first, so that a changed file, or one that was made from other settings, is never used
in silence. This raises or does nothing, so it cannot change a byte of a record, and no cell depends on it
(`pipelines.closure.EXEMPT`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pipelines.datasets import entries
from pipelines.datasets.fingerprints import sha256
from pipelines.errors import UserError

_RIGHT: set[tuple[Any, ...]] = set()
"""What was found right in this process: a file and its index as they were written, and arrays."""


def check_settings(index: Path, described: Mapping[str, Any], key: tuple[str, str, str], command: str) -> None:
    """Raise UserError where `described`, what `index` holds, was not made from what params.yaml asks for now.

    Args: key: family, profile, data set. command: what prepares it.
    """
    entry = entries.read_entry(*key)
    asked, made = entries.plain(entry.found), described.get("entry")
    if not isinstance(made, Mapping):
        raise UserError(f"{index} does not say from which settings its folder was prepared: run `{command}`")
    apart = [name for name in {**asked, **made} if asked.get(name) != made.get(name) or (name in asked) != (name in made)]
    if apart:
        words = ", ".join(f"{name} was {made.get(name, 'left out')}, is {asked.get(name, 'left out')}" for name in apart)
        raise UserError(
            f"{index.parent} was prepared from other settings than {entry.place} has now ({words}): run `{command}`, "
            "or set them back"
        )


def check_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], index: Path, described: Mapping[str, Any], command: str
) -> None:
    """Raise UserError where arrays read from `path` are not those whose SHA-256 `index` holds.

    Arrays are hashed once in a process, as long as neither file is written anew.
    """
    stamps = [(one.resolve(), one.stat().st_mtime_ns, one.stat().st_ino) for one in (path, index)]
    seen = (*stamps, *sorted(arrays))
    if seen in _RIGHT:
        return
    known = described.get("files", {}).get(path.name, {})
    for name, array in arrays.items():
        if known.get(name, {}).get("sha256") != sha256(array):
            raise UserError(
                f"{path} is not the file that {index} vouches for, its array {name} is another: run `{command}`, "
                "which prepares it anew"
            )
    _RIGHT.add(seen)
