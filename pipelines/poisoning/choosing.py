"""What a setting of an attack is judged by when it is chosen: the harm that its poisons do to a fresh victim, on rows that
neither the attacker nor the victim sees, and never on test rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from pipelines.datasets.prepared import folder_of
from pipelines.denoising.cells import data_of
from pipelines.poisoning import stored
from pipelines.poisoning.metrics import by_judge, flat, poisoned
from pipelines.settings import Cell

SCORE = "selection harm"


def score(cell: Cell, record: Mapping[str, Any]) -> float:
    """Mean over trials, in percent: selection rows that the judge calls wrong, of a targeted attack those it calls what the
    attacker wants; -1 where a trial diverged.

    The judge is trained on clean rows and the recorded poisons. Of a targeted attack selection rows are eights called
    threes (`pipelines.datasets.attack_splits.targeted`), so that there the right answer is the attacker's.
    """
    if any(one["status"] != "finished" for one in record["trials"]):
        return -1.0
    prepared = stored.load(folder_of(cell.profile, data_of(cell), "poisoning"))
    places = {int(seed): place for place, seed in enumerate(prepared.seeds)}
    harms = []
    with threadpool_limits(cell.common["threads"]):
        for one in record["trials"]:
            place = places[one["seed"]]
            x, y = poisoned(cell, prepared, place, one)
            wanted = prepared.selection_labels[place]
            found = by_judge(x, y, flat(prepared.selection_images[place]), weight_decay=cell.settings["weight_decay"])
            share = 100.0 * float((found == wanted).mean())
            targeted = len(np.unique(wanted)) == 1
            harms.append(share if targeted else 100.0 - share)
    return sum(harms) / len(harms)
