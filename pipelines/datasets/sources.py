"""Data sets by the name that parameter files use, each read by its own module, loaded when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from pipelines.datasets.registry import DATA_SETS, RAW
from pipelines.errors import UserError

SOURCES = {
    "digits": "pipelines.datasets.digits:load",
    "mnist": "pipelines.datasets.mnist:load",
    "glyphs": "pipelines.datasets.glyphs:load",
    "cifar10": "pipelines.datasets.cifar:load_cifar10",
    "cifar10-part": "pipelines.datasets.cifar:load_part",
    "svhn": "pipelines.datasets.svhn:load",
    "omniglot": "pipelines.datasets.omniglot:load",
    "mini-imagenet": "pipelines.datasets.mini_imagenet:load",
    "mini-imagenet-images": "pipelines.datasets.mini_imagenet:load_images",
    "mini-imagenet-lite": "pipelines.datasets.mini_imagenet:load_lite",
    "fc100": "pipelines.datasets.cifar:load_fc100",
    "dogfish": "pipelines.datasets.dogfish:load",
    "dogfish-imagenette": "pipelines.datasets.dogfish:load_imagenette",
}
"""Name -> "module:function" of what gives a NamedTuple of arrays (and names)."""

SPLIT_OF = {"fc100": ("cifar100", "pipelines/datasets/fc100.yaml")}
"""Source that is a split of a data set of the manifest -> its name there, and the file that says how it is split."""


def files_of(name: str) -> list[str]:
    """The files that a source is read from, from the project's root; none where a dependency ships it."""
    whole, *split = SPLIT_OF.get(name, (name,))
    entry = DATA_SETS.get(whole)
    return split + ([] if entry is None else [f"{RAW.as_posix()}/{whole}/{file.name}" for file in entry.files])


def module_of(name: str) -> str:
    """The module that reads a data set; raises UserError where there is none of that name."""
    if name not in SOURCES:
        raise UserError(f"no source is called {name!r}; known: {', '.join(sorted(SOURCES))}")
    return SOURCES[name].partition(":")[0]


def load(name: str, **options: Any) -> Any:
    """A data set in memory; raises UserError where there is none of that name, or as its reader does."""
    reader = getattr(importlib.import_module(module_of(name)), SOURCES[name].partition(":")[2])
    return reader(**options)
