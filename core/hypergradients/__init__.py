"""Estimators of df/du, each a pure function of (problem, u, v, batch), loaded when asked for.

An estimator is a file of this folder that defines `METHODS`, a dict from name to function.
"""

from __future__ import annotations

import importlib
from typing import Any

from core.problem import Bilevel
from core.trees import Tree

_HOMES = {
    "exact": "exact",
    "reverse": "reverse",
    "implicit-cg": "implicit",
    "implicit-adam": "implicit",
}


def names() -> list[str]:
    """The names `hypergradient` knows."""
    return sorted(_HOMES)


def hypergradient(problem: Bilevel, u: Tree, v: Tree, batch: Any = None, *, method: str, **settings: Any) -> Tree:
    """df/du at (u, v), a tree like u.

    Args:
        v: the (approximate) lower solution; for "reverse" the point where the unrolled lower steps start.
        method: one of `names()`. settings: those of the method, see its function.

    Raises: ValueError for an unknown method. Source: Mehra & Hamm (2021), Sections 2.1 and 2.2.
    """
    if method not in _HOMES:
        raise ValueError(f"no hypergradient {method!r}; there are: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{_HOMES[method]}")
    return module.METHODS[method](problem, u, v, batch, **settings)
