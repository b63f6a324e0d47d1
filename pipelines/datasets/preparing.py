"""What the preparations of all families share: reading their settings, the index, writing a folder.

A preparation is a pure function of (data, settings); its folder's index.json says what it was made from and what it
holds, so two solvers, and two machines, can be shown to have seen the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipelines.datasets.fingerprints import sha256
from pipelines.datasets.prepared import command
from pipelines.errors import UserError
from pipelines.records import read_json

FAMILIES = ("denoising", "poisoning", "few_shot", "clean_label")
"""The families that have data to prepare; pipelines/<family>/prepare.py prepares it."""
INDEX_FILE = "index.json"

Arrays = Mapping[str, NDArray[Any]]


def data_sets(block: Mapping[str, Any]) -> list[str]:
    """The data sets that a profile's cells use: those of `data`, then those that the variants of its experiments name.

    Raises: KeyError or TypeError for a block that does not say.
    """
    found = dict.fromkeys(block["data"])
    for name, variants in block.get("experiments", {}).items():
        found |= dict.fromkeys(block["cells"][name][variant]["data"] for variant in variants)
    return list(found)


class Made(NamedTuple):
    """A preparation in memory.

    Attributes:
        files: the arrays of each file, by file name.
        settings: what it was made with. source: SHA-256 of what it was made from, by field.
        facts: what a reader wants to know of it: sizes, classes, rates, in JSON.
        said: one line on it.
    """

    files: Mapping[str, Arrays]
    settings: Mapping[str, Any]
    source: Mapping[str, str]
    facts: Mapping[str, Any]
    said: str


class Entry(NamedTuple):
    """An entry of a params.yaml, with its place for messages."""

    found: Mapping[str, Any]
    place: str

    def must(self, good: bool, key: str, what: str) -> None:
        """Raise UserError, saying what must stand at `key`, unless `good`."""
        if not good:
            raise UserError(f"{self.place}.{key} is {self.found.get(key, 'missing')!r}; it must be {what}")

    def one_of(self, key: str, known: Collection[str], default: str | None = None) -> str:
        """A name among those known."""
        value: Any = self.found.get(key, default)
        self.must(isinstance(value, str) and value in known, key, f"one of {', '.join(sorted(known))}")
        return str(value)

    def integer(self, key: str, least: int, default: int | None = None) -> int:
        """An integer, at least `least`."""
        value: Any = self.found.get(key, default)
        self.must(is_integer(value) and value >= least, key, f"an integer, at least {least}")
        return int(value)

    def seeds(self) -> tuple[int, ...]:
        """Different, non-negative integers."""
        value: Any = self.found.get("seeds")
        good = isinstance(value, list) and len(value) > 0 and all(is_integer(seed) and seed >= 0 for seed in value)
        self.must(good and len(set(value)) == len(value), "seeds", "a list of different integers, none negative")
        return tuple(value)


def is_integer(value: object) -> bool:
    """Whether it is a whole number; True is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether it is a number; True is none."""
    return isinstance(value, float) or is_integer(value)


def params(family: str, root: Path = Path()) -> tuple[Any, Path]:
    """A family's params.yaml and its place; raises UserError where it is missing or no YAML."""
    path = root / "pipelines" / family / "params.yaml"
    try:
        # YAML 1.2, as DVC reads it: there 1e-3 is a number.
        return YAML(typ="safe", pure=True).load(path), path
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run this from the root of a whole clone") from error
    except YAMLError as error:
        raise UserError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error


def read_entry(family: str, profile: str, data: str, root: Path = Path()) -> Entry:
    """<profile>.prepared.<data> of the family's params.yaml.

    Raises:
        UserError: the file or a key is missing; names the key and what stands beside it.
    """
    found, path = params(family, root)
    keys = (profile, "prepared", data)
    for depth, key in enumerate(keys):
        if not isinstance(found, Mapping) or key not in found:
            known = ", ".join(map(str, found)) if isinstance(found, Mapping) else "nothing"
            raise UserError(f"{path} has no key {'.'.join(keys[: depth + 1])}; beside it there is: {known}")
        found = found[key]
    place = f"{path}: {'.'.join(keys)}"
    if not isinstance(found, Mapping):
        raise UserError(f"{place} must hold source, seeds and what else the family's other entries hold")
    return Entry(found, place)


def index(made: Made) -> dict[str, Any]:
    """What was prepared from what: settings, SHA-256 of the source, facts; shape, type, SHA-256 of every array."""
    return {
        "settings": dict(made.settings),
        "source_sha256": dict(made.source),
        **made.facts,
        "files": {
            name: {
                key: {"shape": list(array.shape), "type": array.dtype.name, "sha256": sha256(array)}
                for key, array in arrays.items()
            }
            for name, arrays in made.files.items()
        },
    }


def read_index(folder: Path) -> dict[str, Any]:
    """A prepared folder's index.json; raises UserError, naming the command that makes it, where it is missing."""
    found: dict[str, Any] = read_json(folder / INDEX_FILE, command(folder))
    return found


def write(folder: Path, made: Made) -> None:
    """Write the files, then index.json; each appears whole or not at all. Raises OSError where that fails.

    The archives are not compressed: two versions of zlib compress to different bytes, and a cache would take
    the same data on another machine for changed data. NumPy dates their members 1980-01-01.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX_FILE).unlink(missing_ok=True)  # it vouches for the files, so it goes first and comes last
    for name, arrays in made.files.items():
        unfinished = folder / f".{name}"
        with unfinished.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # the stub takes a name for allow_pickle
        os.replace(unfinished, folder / name)
    unfinished = folder / f".{INDEX_FILE}"
    unfinished.write_text(json.dumps(index(made), indent=2, sort_keys=True) + "\n")
    os.replace(unfinished, folder / INDEX_FILE)
