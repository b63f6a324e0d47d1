"""Data sets that a package ships: where their files lie in it, and whether they are the ones this project was built on.

The package need not be imported for this. Readers compare what they read once more, as arrays.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from importlib.util import find_spec
from pathlib import Path

from pipelines.datasets.registry import DataSet, File, State


def path_of(entry: DataSet, file: File) -> Path:
    """Where a file of a shipped data set lies, or would lie; relative to nothing where the package is not installed."""
    package, _, folder = entry.within.partition("/")
    spec = find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0] if places else package) / folder / file.remote


def state(entry: DataSet, file: File) -> State:
    """What lies there, by size and hash of the uncompressed content."""
    path = path_of(entry, file)
    try:
        with gzip.open(path) if file.wrapping == "gzip" else path.open("rb") as stream:
            content = stream.read()
    except PermissionError:
        return "unreadable"
    except FileNotFoundError:
        return "missing"
    except (OSError, EOFError, zlib.error):  # gzip's ways of saying that it is no gzip
        return "wrong"
    return "right" if len(content) == file.size and hashlib.sha256(content).hexdigest() == file.sha256 else "wrong"


def mend(entry: DataSet) -> str:
    """What to do where a file is not right."""
    return f"install {entry.comes_with} as requirements.lock has it (pip install --force-reinstall -r requirements.lock)"
