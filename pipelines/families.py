"""The families of experiments, each loaded when one of its cells is built: a cell depends on its own family only."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pipelines import settings
from pipelines.errors import UserError
from pipelines.settings import Cell

if TYPE_CHECKING:  # evaluation needs the names of cells, not torch
    import torch


def cell(family: str, profile: str, parts: tuple[str, ...]) -> Cell:
    """The settings of a cell, after a check that it exists; raises UserError naming what there is."""
    known = settings.profile_params(family, profile)
    expected: tuple[str, ...] = importlib.import_module(f"pipelines.{family}").PARTS
    if len(parts) != len(expected):
        first = next(iter(known["cells"]))
        raise UserError(
            f"a cell of {family} is named by {', '.join(expected)}, not by {' '.join(parts)!r};"
            f" for instance {' '.join((first, next(iter(known['cells'][first])), *known.get('presets', [])[:1]))}"
        )
    if "preset" in expected and parts[-1] not in known["presets"]:
        raise UserError(f"no preset {parts[-1]!r} in {profile}; there are: {', '.join(known['presets'])}")
    return settings.cell(family, profile, *parts)


def build(cell: Cell, device: torch.device) -> Any:
    """The cell's `pipelines.train.Run`."""
    module = importlib.import_module(f"pipelines.{cell.family}.run")
    return module.Run(cell, device)
