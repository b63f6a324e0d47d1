"""Data sets by the name that parameter files use, each read by its own module, loaded when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from pipelines.errors import UserError

SOURCES = {
    "digits": "pipelines.datasets.digits",
    "mnist": "pipelines.datasets.mnist",
    "glyphs": "pipelines.datasets.glyphs",
}
"""Name -> the module whose `load()` gives a NamedTuple of arrays (and names)."""


def load(name: str) -> Any:
    """A data set in memory; raises UserError where there is none of that name, or as its reader does."""
    if name not in SOURCES:
        raise UserError(f"no source is called {name!r}; known: {', '.join(sorted(SOURCES))}")
    return importlib.import_module(SOURCES[name]).load()
