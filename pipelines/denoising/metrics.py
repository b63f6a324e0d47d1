"""What is measured of a denoising cell, with the sealed labels: test accuracies, and how well importances tell noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from pipelines.datasets.prepared import folder_of, load_training
from pipelines.datasets.sealed import load_sealed
from pipelines.records import significant, unpack
from pipelines.settings import Cell
from pipelines.statistics import curve_over_trials, over_trials

TEST = "test accuracy"
ITERATES = ("last", "selected", "best on test")


def measure(cell: Cell, record: Mapping[str, Any]) -> dict[str, Any]:
    """{"trials": [{"last", "selected", "best on test", "importances"}], "summary", "curves"}; accuracies in percent.

    "selected" is the iterate with the best accuracy on the selection split (the earliest of equals), "best on test" what
    picking on the test set would have shown: no result, a measure of optimism.
    """
    folder = folder_of(cell.profile, cell.parts[0])
    sealed = load_sealed(folder)
    noisy = load_training(folder).noisy_labels
    trials, test_curves = [], []
    for index, one in enumerate(record["trials"]):
        predictions = unpack(one["test predictions"])
        test = 100.0 * (predictions == sealed.test_labels).mean(axis=1)
        test_curves.append([float(value) for value in test])
        selection = [-1.0 if value is None else value for value in one["curve"]["selection accuracy"]]
        chosen = {"last": len(test) - 1, "selected": int(np.argmax(selection)), "best on test": int(np.argmax(test))}
        trial: dict[str, Any] = {"seed": one["seed"], "status": one["status"]}
        for name in ITERATES:
            at = chosen[name]
            trial[name] = {TEST: significant(test[at]), "iteration": one["curve"]["iteration"][at]}
        if "importances" in one:
            weights = unpack(one["importances"])[-1] / 255.0
            trial["importances"] = told_apart(weights, clean=noisy[index] == sealed.train_labels)
        trials.append(trial)
    finished = [trial for trial in trials if trial["status"] == "finished"]
    summary: dict[str, Any] = {
        name: {TEST: over_trials([trial[name][TEST] for trial in finished])} for name in ITERATES
    }
    if finished and "importances" in finished[0]:
        names = finished[0]["importances"]
        summary["importances"] = {
            name: over_trials([trial["importances"][name] for trial in finished]) for name in names
        }
    summary["diverged"] = len(trials) - len(finished)
    return {"trials": trials, "summary": summary, "curves": _curves(record, test_curves)}


def told_apart(weights: np.ndarray, clean: np.ndarray) -> dict[str, float | None]:
    """How importances [n] in [0, 1] tell clean from corrupted labels: means, area under the ROC curve, and precision and
    recall of calling an example corrupted when its importance is below one half."""
    called, corrupted = weights < 0.5, ~clean
    hits = float((called & corrupted).sum())
    return {
        "mean of clean": significant(weights[clean].mean()),
        "mean of corrupted": significant(weights[corrupted].mean()),
        "area under ROC": significant(roc_auc_score(clean, weights)),
        "precision": significant(hits / called.sum()) if called.any() else None,
        "recall": significant(hits / corrupted.sum()),
    }


def _curves(record: Mapping[str, Any], test_curves: list[list[float]]) -> dict[str, Any]:
    """Mean curves over the trials; a diverged trial, which ended early, is left out."""
    pairs = [
        (one, test) for one, test in zip(record["trials"], test_curves, strict=True) if one["status"] == "finished"
    ]
    if not pairs:
        return {"iteration": []}
    first = pairs[0][0]["curve"]
    curves: dict[str, Any] = {"iteration": first["iteration"], TEST: curve_over_trials([test for _, test in pairs])}
    for name in first:
        if name != "iteration":
            curves[name] = curve_over_trials([one["curve"][name] for one, _ in pairs])
    return curves
