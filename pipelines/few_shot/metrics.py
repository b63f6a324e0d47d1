"""What is measured of a few-shot cell, with the sealed labels: accuracy on the tasks of meta-test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.prepared import folder_of
from pipelines.datasets.sealed import opened
from pipelines.denoising.cells import data_of
from pipelines.few_shot.stored import MetaTest, load_test
from pipelines.records import pack, significant, unpack
from pipelines.settings import Cell
from pipelines.statistics import curve_over_trials, over_trials

TEST = "test accuracy"
CURVE = "test accuracy, first tasks"
SHOWN = 4
"""Queries of a class in the sample task."""
ITERATES = {"last": "test predictions", "selected": "selected predictions"}


def measure(cell: Cell, record: Mapping[str, Any]) -> dict[str, Any]:
    """{"trials": [{"last", "selected"}], "summary", "curves", "learned" (`sample`)}; accuracies in percent.

    "last" and "selected" of a trial: the mean over the tasks of meta-test, the half width of its 95% interval over tasks,
    and the iteration. "summary" has both over the trials, and "over tasks": the mean over trials of that half width.
    """
    folder = folder_of(cell.profile, data_of(cell), cell.family)
    labels = opened(folder, ("query_labels",))["query_labels"]
    trials, tests = [], []
    for right, one in zip(labels, record["trials"], strict=False):
        trial: dict[str, Any] = {"seed": one["seed"], "status": one["status"]}
        curve = unpack(one["curve predictions"])
        tests.append([significant(100 * float((points == right[: points.shape[0]]).mean())) for points in curve])
        if one["status"] == "finished":
            iterations = {"last": one["iterations"], "selected": int(one["curve"]["selected iteration"][-1])}
            for name, key in ITERATES.items():
                trial[name] = {**over_tasks(unpack(one[key])[0], right), "iteration": iterations[name]}
        trials.append(trial)
    finished = [trial for trial in trials if trial["status"] == "finished"]
    summary: dict[str, Any] = {}
    for name in ITERATES:
        widths = [trial[name]["half width"] for trial in finished]
        summary[name] = {
            TEST: over_trials([trial[name][TEST] for trial in finished]),
            "over tasks": significant(float(np.mean(widths))) if widths else None,
            "tasks": labels.shape[1],
        }
    summary["by seed"] = {str(trial["seed"]): trial["selected"][TEST] for trial in finished}
    summary["diverged"] = len(trials) - len(finished)
    summary["oracle calls"] = record["trials"][0]["oracle_calls"]
    measured = {"trials": trials, "summary": summary, "curves": _curves(record, tests)}
    if finished:
        index = next(index for index, trial in enumerate(trials) if trial["status"] == "finished")
        measured["learned"] = sample(load_test(folder), labels, record["trials"][index], index)
    return measured


def sample(test: MetaTest, labels: NDArray[np.uint8], trial: Mapping[str, Any], index: int) -> dict[str, Any]:
    """The first task of meta-test as a trial sees it: {"support" [way, shot, ...] and "query" [way, SHOWN, ...] images,
    packed, "said" [way][SHOWN] by the selected iterate, "embedding": {"before", "after"}: {class: [[x, y], ...]}}."""
    support, query, right = test.support[index, 0], test.query[index, 0], labels[index, 0]
    said = unpack(trial["selected predictions"])[0, 0]
    way, shot = support.shape
    rows = np.stack([np.flatnonzero(right == one)[:SHOWN] for one in range(way)])
    classes = np.concatenate([np.repeat(np.arange(way), shot), right])
    places = dict(zip(("before", "after"), unpack(trial["embedding"])[[0, -1]], strict=True))
    found: dict[str, Any] = {
        "said": said[rows].tolist(),
        "embedding": {
            when: {str(one): found[classes == one].tolist() for one in range(way)} for when, found in places.items()
        },
    }
    if test.test_images.ndim == 3:  # photographs would be megabytes
        found |= {"support": pack(test.test_images[support]), "query": pack(test.test_images[query[rows]])}
    return found


def over_tasks(classes: NDArray[np.uint8], right: NDArray[np.uint8]) -> dict[str, float | None]:
    """Mean accuracy of classes [tasks, n] over the tasks, and the half width of its 95% interval (1.96 standard errors: of
    600 tasks Student's quantile is the normal's)."""
    shares = 100 * (classes == right).mean(axis=1)
    error = shares.std(ddof=1) / np.sqrt(len(shares))
    return {TEST: significant(float(shares.mean())), "half width": significant(float(1.96 * error))}


def _curves(record: Mapping[str, Any], tests: list[list[float | None]]) -> dict[str, Any]:
    """Mean curves over the trials that finished."""
    pairs = [(one, test) for one, test in zip(record["trials"], tests, strict=True) if one["status"] == "finished"]
    if not pairs:
        return {"iteration": []}
    first = pairs[0][0]["curve"]
    curves: dict[str, Any] = {"iteration": first["iteration"], CURVE: curve_over_trials([test for _, test in pairs])}
    for name in first:
        if name not in ("iteration", "selected iteration"):
            curves[name] = curve_over_trials([one["curve"][name] for one, _ in pairs])
    return curves
