"""Networks by name, each loaded when it is asked for: a cell depends on the network that it trains, not on all of them."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # names alone need no torch
    from core.networks.classifiers import Network

MODULES = {
    "mnist": "classifiers",
    "digits": "classifiers",
    "mnist-quarter": "convolutional",
    "cifar10": "convolutional",
    "svhn": "convolutional",
    "softmax": "dense",
    "softmax-digits": "dense",
    "digits-dense": "dense",
    "lenet": "lenet",
    "lenet-classes": "lenet",
    "resnet-32": "resnet",
    "wrn-28-10": "wide_resnet",
}
"""A network's name, and the module of this folder with a function of that name (underscores for dashes) that makes it."""


def module_of(name: str) -> str:
    """The module that makes a network; raises ValueError, listing those that there are, for an unknown name."""
    if name not in MODULES:
        close = difflib.get_close_matches(name, MODULES, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ValueError(f"no network {name!r}{hint}; there are: {', '.join(sorted(MODULES))}")
    return f"core.networks.{MODULES[name]}"


def make(name: str) -> Network:
    """The network of that name; raises ValueError for one that does not exist."""
    network: Network = getattr(importlib.import_module(module_of(name)), name.replace("-", "_"))()
    return network
