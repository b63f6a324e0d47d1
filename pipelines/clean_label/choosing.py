"""What a setting of a clean-label attack is judged by when it is chosen: its success on selection rows, which no reported
target is, and never on test rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from threadpoolctl import threadpool_limits

from pipelines.clean_label import stored
from pipelines.clean_label.metrics import broken_by_judge
from pipelines.datasets.prepared import folder_of
from pipelines.denoising.cells import data_of
from pipelines.settings import Cell

SCORE = "selection success"


def score(cell: Cell, record: Mapping[str, Any]) -> float:
    """Trials that broke their target, in percent, of all bounds together, by the judge; -1 where a trial diverged.

    Left out are selection rows that the judge, trained on clean rows, gets wrong.

    Raises: ValueError for a record whose targets are test rows.
    """
    if cell.settings.get("attacked") != "selection":
        raise ValueError("settings are chosen on selection rows")
    if any(one["status"] != "finished" for one in record["trials"]):
        return -1.0
    prepared = stored.load(folder_of(cell.profile, data_of(cell), cell.family))
    with threadpool_limits(cell.common["threads"]):
        found = broken_by_judge(cell, prepared, record["trials"])
    return 100.0 * sum(found) / len(found) if found else 0.0
