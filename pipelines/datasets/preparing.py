"""What the preparations of all families share: a preparation in memory, its index, writing its folder.

A preparation is a pure function of (data, settings); its folder's index.json says what it was made from and what it
holds, so two solvers, and two machines, can be shown to have seen the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.entries import plain
from pipelines.datasets.fingerprints import sha256
from pipelines.datasets.prepared import INDEX_FILE

FAMILIES = ("denoising", "poisoning", "few_shot", "clean_label")
"""The families that have data to prepare; pipelines/<family>/prepare.py prepares it."""

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


def index(made: Made, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What was prepared from what: settings, SHA-256 of the source, facts; shape, type, SHA-256 of every array.

    Args: entry: what params.yaml asked for, word for word; `pipelines.datasets.vouched` compares it.
    """
    return {
        "entry": plain(entry),
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


def write(folder: Path, made: Made, entry: Mapping[str, Any]) -> None:
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
    unfinished.write_text(json.dumps(index(made, entry), indent=2, sort_keys=True) + "\n")
    os.replace(unfinished, folder / INDEX_FILE)
