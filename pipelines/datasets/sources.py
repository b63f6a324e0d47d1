"""Data sets by the name that parameter files use, each read by its own module, loaded when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from pipelines.errors import UserError

SOURCES = {
    "digits": "pipelines.datasets.digits:load",
    "mnist": "pipelines.datasets.mnist:load",
    "glyphs": "pipelines.datasets.glyphs:load",
}
"""Name -> "module:function" of what gives a NamedTuple of arrays (and names)."""


def module_of(name: str) -> str:
    """The module that reads a data set; raises UserError where there is none of that name."""
    if name not in SOURCES:
        raise UserError(f"no source is called {name!r}; known: {', '.join(sorted(SOURCES))}")
    return SOURCES[name].partition(":")[0]


def load(name: str, **options: Any) -> Any:
    """A data set in memory; raises UserError where there is none of that name, or as its reader does."""
    reader = getattr(importlib.import_module(module_of(name)), SOURCES[name].partition(":")[2])
    return reader(**options)
