"""Solvers by name, each loaded when it is asked for: a cell depends on the solver it runs, not on all of them.

A solver is a file of this folder that defines `SOLVER`, a frozen dataclass, and `PRESETS`, its named settings. Its file
name, with dashes for underscores, is its name. One that heeds the equality constraint h says `EQUALITY = True`. Another
package registers such a file, a module of its own, under the entry-point group `penalty_bilevel.solvers`:

    [project.entry-points."penalty_bilevel.solvers"]
    my-solver = "my_package.my_solver"
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from core.problem import Bilevel
from core.solvers.base import Solver
from core.validate import check_settings

GROUP = "penalty_bilevel.solvers"
_NOT_SOLVERS = ("base", "template")


def names() -> list[str]:
    """The names `make` knows, sorted; nothing is loaded."""
    return sorted({*_own(), *_registered()})


def make(name: str, problem: Bilevel, *, preset: str = "described", **settings: Any) -> Solver:
    """The solver `name` for `problem`.

    Args:
        preset: "described" (as the paper's text) or "released" (as the authors' code).
        settings: hyper-parameters that replace the preset's.

    Raises: ValueError for a name, preset or setting that does not exist (the message lists those that do), for a negative
        number where none can be, and for a problem with an equality constraint that the solver would leave out.
    """
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ValueError(f"no solver {name!r}{hint}; there are: {', '.join(names())}")
    # the files here come first: no other package can change what a name of ours means
    module = importlib.import_module(_own()[name]) if name in _own() else _registered()[name].load()
    if preset not in module.PRESETS:
        raise ValueError(f"solver {name} has no preset {preset!r}; it has: {', '.join(module.PRESETS)}")
    known = {field.name for field in dataclasses.fields(module.SOLVER)} - {"problem"}
    check_settings(f"solver {name}", known, settings)
    if problem.equality is not None and not getattr(module, "EQUALITY", False):
        raise ValueError(f"solver {name} has no rule for the equality constraint h of the problem; penalty has one")
    solver: Solver = module.SOLVER(problem=problem, **{**module.PRESETS[preset], **settings})
    return solver


def _own() -> dict[str, str]:
    """The solvers of this folder: name -> module."""
    files = (module.name for module in pkgutil.iter_modules(__path__))
    return {file.replace("_", "-"): f"{__name__}.{file}" for file in files if file not in _NOT_SOLVERS}


def _registered() -> dict[str, EntryPoint]:
    """What installed packages register: name -> entry point."""
    return {point.name: point for point in entry_points(group=GROUP)}
