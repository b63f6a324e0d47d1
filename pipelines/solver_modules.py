"""The module behind a solver's name, of `core/solvers/` or of an installed package, without loading it."""

from __future__ import annotations

from importlib.metadata import entry_points

from core import solvers
from pipelines.closure import path_of
from pipelines.errors import UserError
from pipelines.settings import hint


def module_of(name: str) -> str:
    """The module that `core.solvers.make(name, ...)` loads; raises UserError where there is none."""
    if name not in solvers.names():
        raise UserError(
            f"params.yaml names a solver {name!r}{hint(name, solvers.names())}: there is no core/solvers/"
            f"{name.replace('-', '_')}.py, and no installed package registers it under {solvers.GROUP};"
            f" there are: {', '.join(solvers.names())}"
        )
    own = f"core.solvers.{name.replace('-', '_')}"
    if path_of(own) is not None:  # the files here come first, as in the registry
        return own
    return {point.name: point.module for point in entry_points(group=solvers.GROUP)}[name]
