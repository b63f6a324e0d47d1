"""Where the time of an upper iteration goes, by Python's own profiler."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PARTS = {
    "products": "core/products.py",
    "optimisers": "core/optimizers.py",
    "minibatches": "pipelines/denoising/data.py",
}
"""A part's name, and the file whose functions it is."""
INSIDE = ("core/validate.py", "core/trees.py")
"""Through which a part's functions call one another."""
BUILT_IN = "~"
"""The profiler's file for functions that are none of Python's, such as `next`."""


def shares(call: Callable[[], Any]) -> dict[str, float]:
    """Run `call` and return {part: its share of the time, "rest": what is in none}, which sum to 1.

    A part's time is that of its file's functions where they are called from another file of this project, with all that
    they call. The profiler makes Python's share larger than it is.
    """
    profile = cProfile.Profile()
    profile.runcall(call)
    stats: Mapping[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    found = {part: _entered(stats, str(ROOT / file)) / total for part, file in PARTS.items()}
    return {**found, "rest": 1.0 - sum(found.values())}


def _entered(stats: Mapping[Any, Any], file: str) -> float:
    """Seconds inside of the functions of a file, counted where it is entered."""
    within = {file, *(str(ROOT / name) for name in INSIDE)}
    outside = (BUILT_IN, str(ROOT / "core"), str(ROOT / "pipelines"))
    return float(
        sum(
            seconds
            for (where, _, _), (_, _, _, _, callers) in stats.items()
            if where == file
            for (source, _, _), (_, _, _, seconds) in callers.items()
            if source not in within and source.startswith(outside)
        )
    )
