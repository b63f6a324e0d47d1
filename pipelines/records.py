"""What a stage hands to the next: JSON records, written atomically, with hashes of what they were made from.

results/<profile>/<family>/<cell>/
    train.json     deterministic: configuration, and for each trial its status, curve, predictions, oracle counts
    run.json       of this one run: seconds, peak memory, device, versions, commit, date
    metrics.json   what evaluation made of train.json with the sealed labels
"""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import UserError

SCHEMA = 1
RESULTS = Path("results")
POINTS = 200  # most points of a stored curve


def canonical(value: Any) -> str:
    """JSON text with sorted keys and no blanks: what hashes are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_of(value: Any) -> str:
    """SHA-256 of a JSON value's canonical text, hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; an interrupted or failed write leaves what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a record: one top-level key, and one trial, per line, so that a diff can be read."""
    lines = []
    for key, part in value.items():
        if isinstance(part, list) and part and isinstance(part[0], dict):
            inner = ",\n".join("  " + json.dumps(item, allow_nan=False) for item in part)
            lines.append(f" {json.dumps(key)}: [\n{inner}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(part, allow_nan=False)}")
    write_bytes(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def read_json(path: Path, made_by: str) -> Any:
    """Read a record; raises UserError, naming the command `made_by`, where it is missing or no JSON."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: `{made_by}` makes it") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is no valid JSON ({error}): `{made_by}` makes it anew") from error


def significant(value: float, digits: int = 5) -> float | None:
    """A float cut to `digits` significant digits, None where it is not finite (JSON has no NaN)."""
    value = float(value)
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def thinned(last: int, points: int = POINTS) -> list[int]:
    """At most `points` iterations from 0 to `last`, evenly spaced, both ends among them."""
    if last + 1 <= points:
        return list(range(last + 1))
    return sorted({round(index * last / (points - 1)) for index in range(points)})


def pack(array: NDArray[np.uint8]) -> dict[str, Any]:
    """A uint8 array in compact form; rows along the first axis are stored as changes from the row before."""
    array = np.ascontiguousarray(array, dtype=np.uint8)
    changes = array.copy()
    changes[1:] = array[1:] - array[:-1]
    # raw xz: no container, no time stamp, the same bytes everywhere
    packed = lzma.compress(changes.tobytes(), format=lzma.FORMAT_RAW, filters=_FILTERS)
    return {"shape": list(array.shape), "data": base64.b85encode(packed).decode()}


def unpack(packed: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The array that `pack` packed."""
    raw = lzma.decompress(base64.b85decode(packed["data"]), format=lzma.FORMAT_RAW, filters=_FILTERS)
    changes = np.frombuffer(raw, dtype=np.uint8).reshape(packed["shape"])
    return np.cumsum(changes, axis=0, dtype=np.uint8)


_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6}]


def cell_folder(profile: str, family: str, *parts: str, root: Path = RESULTS) -> Path:
    """Where a cell's records lie: results/<profile>/<family>/<part>-<part>-..."""
    return root / profile / family / "-".join(parts)


def cells(profile: str, family: str, root: Path = RESULTS) -> list[Path]:
    """The folders of a family that hold a train.json, sorted."""
    return sorted(path.parent for path in (root / profile / family).glob("*/train.json"))


def finite(values: Iterable[float]) -> bool:
    """Whether every value is a finite number."""
    return all(math.isfinite(value) for value in values)
