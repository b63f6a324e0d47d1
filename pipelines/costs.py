"""What training each cell took: a table of measured seconds, peak memory and device, from costs.json of every family."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipelines.layout import Table, duration
from pipelines.sources import FAMILIES, Sources

MEGABYTE = 10**6


def table(inputs: Sources) -> Table:
    """A row for each cell of the profile that was trained."""
    numbers, shown = [], []
    for family in FAMILIES:
        for one in inputs.costs[family].values():
            name = {"family": family, "cell": " ".join(one["parts"])}
            device_memory = one.get("peak_device_memory_bytes", 0)
            numbers.append({
                **name, "seconds": one["seconds"], "processor seconds": one["cpu_seconds"],
                "peak memory MB": megabytes(one["peak_memory_bytes"]), "peak device memory MB": megabytes(device_memory),
                "device": one["device"], "date": one["date"],
            })  # fmt: skip
            row: dict[str, Any] = {
                **name, "time": duration(one["seconds"]), "of one core": duration(one["cpu_seconds"]),
                "peak memory": f"{megabytes(one['peak_memory_bytes']):,.0f} MB",
                "of the device": f"{megabytes(device_memory):,.0f} MB" if device_memory else "-",
                "device": one["device"], "date": one["date"][:10],
            }  # fmt: skip
            shown.append(row)
    notes = [
        "Training all trials of a cell, once. Time: by the clock, while other cells may have run beside. Of one core:"
        " seconds of the processor, which a busy machine does not stretch. Peak memory: of the whole process."
    ]
    if numbers:
        whole = sum(row["processor seconds"] for row in numbers)
        notes.append(f"All {len(numbers)} cells: {duration(whole)} of one core.")
    read = [f"{family}/costs.json" for family in FAMILIES if inputs.costs[family]]
    drawn = inputs.drawn_from(*read, by=__name__)
    return Table("costs", "What training takes", pd.DataFrame(numbers), pd.DataFrame(shown), notes, drawn)


def megabytes(size: float) -> float:
    """Bytes as megabytes, to a tenth."""
    return round(size / MEGABYTE, 1)
