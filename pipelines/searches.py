"""Where searches of settings are recorded: beside the parameters that were chosen by them, in git for every profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines import records, settings

TABLE = "table"
"""The search of the step sizes of the paper's table."""
TUNED = "tuned"
"""Equal tuning: the experiment of this name, and all whose names begin with it and a hyphen."""


def place(family: str, profile: str, name: str = TABLE) -> Path:
    """The file of a search."""
    file = f"{profile}.json" if name == TABLE else f"{profile}-{name}.json"
    return settings.params_path(family).parent / "search" / file


def recorded(path: Path) -> dict[str, Any]:
    """Method -> what a search found for it; empty where nothing is recorded."""
    return dict(records.read_json(path, "")["methods"]) if path.exists() else {}


def is_tuned(experiment: str) -> bool:
    """Whether an experiment is one of equal tuning, by its name."""
    return experiment == TUNED or experiment.startswith(f"{TUNED}-")
