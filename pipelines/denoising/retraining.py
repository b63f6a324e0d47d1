"""Plain training with the importances that another cell has learned and recorded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.denoising.cells import from_of
from pipelines.errors import UserError
from pipelines.records import cell_folder, read_json, unpack
from pipelines.settings import Cell


def recorded_weights(cell: Cell, seeds: Sequence[int]) -> list[np.ndarray] | None:
    """The importances [n] in [0, 1] of each trial of the cell that `weights_of` names, or None where it names none.

    With `keep_above` they are one where they are above it, else zero. Raises UserError where the record is missing, or is
    of other seeds.
    """
    source = from_of(cell.settings)
    if source is None:
        return None
    command = f"python -m pipelines.train denoising {cell.profile} {' '.join(source)}"
    record = read_json(cell_folder(cell.profile, "denoising", *source) / "train.json", command)
    if [one["seed"] for one in record["trials"]] != list(seeds) or "importances" not in record["trials"][0]:
        raise UserError(f"{' '.join(source)} has no importances for the seeds {list(seeds)}: `{command}` makes them anew")
    weights = [unpack(one["importances"])[-1] / 255.0 for one in record["trials"]]
    bound = cell.settings.get("keep_above")
    return weights if bound is None else [(one > bound).astype(float) for one in weights]
