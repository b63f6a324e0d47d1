"""Which cells the denoising family has: data sets by methods, and the variants of each experiment of a profile.

    <profile>:
      data, methods       the paper's table: cells.<data>.<method>
      experiments         {<experiment>: [<variant>, ...]}: cells.<experiment>.<variant>, each with its `data`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.settings import Cell, profile_params

AUGMENTED = {"affine": "pipelines.denoising.augmentation", "crop": "pipelines.denoising.augmentation"}
"""What a cell may name as its `augment`, and the module that makes it: torchvision is loaded by those cells alone."""


def table(block: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(data, method) of every cell of the paper's table."""
    return [(data, method) for data in block["data"] for method in block["methods"]]


def experiments(block: Mapping[str, Any]) -> dict[str, list[str]]:
    """The variants of each experiment of a profile."""
    return {name: list(variants) for name, variants in block.get("experiments", {}).items()}


def names(block: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The parts that name each cell of a profile, the table's first."""
    return table(block) + [(name, variant) for name, variants in experiments(block).items() for variant in variants]


def data_of(cell: Cell) -> str:
    """The prepared data set of a cell: what it says, or the first part of its name."""
    return str(cell.settings.get("data", cell.parts[0]))


def from_of(settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """The cell whose recorded importances a cell trains with, or None."""
    parts = settings.get("weights_of")
    return None if parts is None else (str(parts[0]), str(parts[1]))


def stage_of(profile: str, experiment: str, variant: str, settings: Mapping[str, Any]) -> str:
    """The name of the stage that trains a variant, as DVC has it."""
    # what trains with another cell's importances waits for it: another kind of stage
    kind = "train" if from_of(settings) is None else "retrain"
    group = settings["solver"] if kind == "train" else variant
    others = profile_params("denoising", profile)["cells"][experiment].values()
    if kind == "train" and len({one["data"] for one in others}) > 1:
        group = f"{group}-{settings['data']}"  # a variant needs its own data, not those of all
    return f"{kind}_{profile}_{experiment}_{group}@{variant}"
