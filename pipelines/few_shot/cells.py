"""What a few-shot cell's settings name, for those who do not train: its data set, and the module of its form."""

from __future__ import annotations

from pipelines.settings import Cell

FORMS = {"heads": "heads", "maml": "adapted", "prototypes": "prototypes"}
"""What a cell names as its `form`, and the module of this package with its `Learner`."""


def module_of(form: str) -> str:
    """The module of a form."""
    return f"pipelines.few_shot.{FORMS[form]}"


def data_of(cell: Cell) -> str:
    """The prepared data set of a cell: what it says, or the first part of its name."""
    return str(cell.settings.get("data", cell.parts[0]))
