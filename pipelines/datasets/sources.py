"""Data sets, and networks' features, by the names that parameter files use, each in its module, loaded when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
FEATURES = {"inception": "pipelines.datasets.inception:features_of"}
"""A network's features -> "module:function" of what makes them of images; its weights are a data set of this name."""


def files_of(name: str) -> list[str]:
    """The files that a source, or features, are made from, from the project's root; none where a dependency ships them."""
    whole, *split = SPLIT_OF.get(name, (name,))
    entry = DATA_SETS.get(whole)
    return split + ([] if entry is None else [f"{RAW.as_posix()}/{whole}/{file.name}" for file in entry.files])


def module_of(name: str) -> str:
    """The module that reads a data set, or makes features; raises UserError where there is none of that name."""
    return _found(name).partition(":")[0]


def load(name: str, **options: Any) -> Any:
    """A data set in memory; raises UserError where there is none of that name, or as its reader does."""
    return _function(name)(**options)


def features(name: str, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Features [n, d] of images by a network; raises UserError as `module_of`, or as what makes them does."""
    found: NDArray[np.float64] = _function(name)(images)
    return found


def _found(name: str) -> str:
    known = {**SOURCES, **FEATURES}
    if name not in known:
        raise UserError(f"no source is called {name!r}; known: {', '.join(sorted(known))}")
    return known[name]


def _function(name: str) -> Callable[..., Any]:
    module, _, function = _found(name).partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found
