"""Estimators of df/du, each a pure function of (problem, u, v, batch), loaded when asked for.

An estimator is a file of this folder that defines `METHODS`, a dict from name to function. A name is its file's, with
dashes for underscores, or begins with it: "implicit-cg" stands in implicit.py.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

from core.problem import Bilevel
from core.trees import Tree
from core.validate import check_settings, check_start


def names() -> list[str]:
    """The names `hypergradient` knows, sorted; loads every file."""
    return sorted(name for file in _files() for name in _methods(file))


def hypergradient(problem: Bilevel, u: Tree, v: Tree, batch: Any = None, *, method: str, **settings: Any) -> Tree:
    """df/du at (u, v), a tree like u.

    Args:
        v: the (approximate) lower solution; for "reverse" the point where the unrolled lower steps start.
        method: one of `names()`. settings: those of the method, see its function.

    Raises: ValueError for an unknown method or setting, one that is missing or negative, and where u or v is no finite
        tensor of floating point.
    Source: Mehra & Hamm (2021), Sections 2.1 and 2.2.
    """
    check_start(u, v)
    for file in _files():
        dashed = file.replace("_", "-")
        if (method == dashed or method.startswith(f"{dashed}-")) and method in _methods(file):
            estimator = _methods(file)[method]
            own = dict(list(inspect.signature(estimator).parameters.items())[4:])
            check_settings(f"hypergradient {method}", own, settings)
            missing = [name for name, one in own.items() if one.default is one.empty and name not in settings]
            if missing:
                raise ValueError(f"hypergradient {method} needs {', '.join(missing)}")
            return estimator(problem, u, v, batch, **settings)
    raise ValueError(f"no hypergradient {method!r}; there are: {', '.join(names())}")


def _files() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]


def _methods(file: str) -> dict[str, Callable[..., Tree]]:
    methods: dict[str, Callable[..., Tree]] = importlib.import_module(f"{__name__}.{file}").METHODS
    return methods
