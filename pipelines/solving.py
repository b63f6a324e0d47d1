"""The solver of a cell, from what its parameters say."""

from __future__ import annotations

from typing import Any

from core import solvers
from core.problem import Bilevel
from core.solvers.base import Solver
from pipelines.errors import UserError
from pipelines.settings import Cell, params_path


def solver_of(cell: Cell, problem: Bilevel, *, preset: str, **chosen: Any) -> Solver:
    """The solver that the cell names; raises UserError, naming the cell's place, where its name, preset or a setting does
    not exist or has no meaning."""
    try:
        return solvers.make(cell.settings["solver"], problem, preset=preset, **chosen)
    except (ValueError, TypeError) as error:
        place = ".".join((cell.profile, "cells", *cell.parts[:2]))
        raise UserError(f"{params_path(cell.family)}: {place}: {error}") from error
