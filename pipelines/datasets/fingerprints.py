"""The fingerprint of a data set in memory: what a prepared folder says it was made from."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np


def sha256(value: Any) -> str:
    """SHA-256, hexadecimal, of an array's bytes in C order, of a NamedTuple's fingerprints, or of names as JSON text."""
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()
    if hasattr(value, "_asdict"):
        value = fingerprints(value)
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def fingerprints(data: Any) -> dict[str, str]:
    """SHA-256 of each field of a NamedTuple of arrays, of names, and of such NamedTuples."""
    return {name: sha256(value) for name, value in data._asdict().items()}
