"""What is measured of a denoising cell, with the sealed labels: test accuracies, and how well importances tell noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from pipelines.datasets.prepared import Prepared, folder_of, load_training
from pipelines.datasets.sealed import load_sealed
from pipelines.denoising.cells import data_of
from pipelines.records import pack, significant, unpack
from pipelines.settings import Cell
from pipelines.statistics import curve_over_trials, over_trials

TEST = "test accuracy"
PADDED = "test accuracy, last minibatch counted as full"
"""As the authors' code evaluates on SVHN: right answers over the images of so many full minibatches."""
EVALUATION_BATCH = 200
"""Images in one of them."""
BINS = 20
LEAST_TRUSTED = 16
ITERATES = ("last", "selected", "best on test")


def measure(cell: Cell, record: Mapping[str, Any]) -> dict[str, Any]:
    """{"trials": [{"last", "selected", "best on test", "importances"}], "summary", "curves"}; accuracies in percent.

    "selected" is the iterate with the best accuracy on the selection split (the earliest of equals), "best on test" what
    picking on the test set would have shown: no result, a measure of optimism. Without a wrong label there is no word on
    importances. Where a cell records its importances all
    along, {"learned"} says what they do (`learned`), and which examples end up least trusted (`least_trusted`).
    """
    folder = folder_of(cell.profile, data_of(cell))
    sealed, prepared = load_sealed(folder), load_training(folder)
    noisy = prepared.noisy_labels
    full = -(-len(sealed.test_labels) // EVALUATION_BATCH) * EVALUATION_BATCH
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
            accuracy = float(test[at])
            trial[name] = {
                TEST: significant(accuracy),
                PADDED: significant(accuracy * len(sealed.test_labels) / full),
                "iteration": one["curve"]["iteration"][at],
            }
        if "importances" in one and (noisy[index] != sealed.train_labels).any():  # else there is nothing to tell apart
            weights = unpack(one["importances"])[-1] / 255.0
            trial["importances"] = told_apart(weights, clean=noisy[index] == sealed.train_labels)
        trials.append(trial)
    finished = [trial for trial in trials if trial["status"] == "finished"]
    summary: dict[str, Any] = {
        name: {key: over_trials([trial[name][key] for trial in finished]) for key in (TEST, PADDED)} for name in ITERATES
    }
    summary["by seed"] = {str(trial["seed"]): trial["last"][TEST] for trial in finished}
    if finished and "importances" in finished[0]:
        names = finished[0]["importances"]
        summary["importances"] = {
            name: over_trials([trial["importances"][name] for trial in finished]) for name in names
        }
    summary["diverged"] = len(trials) - len(finished)
    if record["trials"]:
        summary["oracle calls"] = record["trials"][0].get("oracle_calls", {})  # the same for all trials
    measured = {"trials": trials, "summary": summary, "curves": _curves(record, test_curves)}
    if cell.settings.get("history") and finished and (noisy[0] != sealed.train_labels).any():
        whole = [index for index, one in enumerate(record["trials"]) if one["status"] == "finished"]
        clean = [noisy[index] == sealed.train_labels for index in whole]
        histories = [unpack(record["trials"][index]["importances"]) / 255.0 for index in whole]
        measured["learned"] = {
            **learned(record["trials"][whole[0]]["importances"]["iterations"], histories, clean),
            "least trusted": least_trusted(histories[0][-1], prepared, whole[0], sealed.train_labels),
        }
    return measured


def told_apart(weights: np.ndarray, clean: np.ndarray) -> dict[str, float | None]:
    """How importances [n] in [0, 1] tell clean from corrupted labels: means, area under the ROC curve, and precision and
    recall of calling an example corrupted when its importance is below one half (None where none is called so)."""
    called, corrupted = weights < 0.5, ~clean
    return {
        "mean of clean": significant(weights[clean].mean()),
        "mean of corrupted": significant(weights[corrupted].mean()),
        "area under ROC": significant(roc_auc_score(clean, weights)),
        "precision": significant(precision_score(corrupted, called, zero_division=np.nan)),
        "recall": significant(recall_score(corrupted, called)),
    }


def learned(iterations: list[int], histories: list[np.ndarray], clean: list[np.ndarray]) -> dict[str, Any]:
    """What importances do over time.

    Args: iterations: [k], when they were recorded. histories: of each trial, [k, n] in [0, 1]. clean: of each trial, [n].
    Returns: {"iteration": [k], "bins": edges [BINS + 1], "clean", "corrupted": shares [k][BINS] of these examples, mean
        over the trials, and curves over the trials of what `told_apart` says}.
    """
    edges = np.linspace(0, 1, BINS + 1)
    found: dict[str, Any] = {"iteration": iterations, "bins": [significant(edge) for edge in edges]}
    for name, right in (("clean", True), ("corrupted", False)):
        shares = [
            [np.histogram(row[mask == right], edges)[0] / (mask == right).sum() for row in history]
            for history, mask in zip(histories, clean, strict=True)
        ]
        found[name] = [[significant(share) for share in row] for row in np.mean(shares, axis=0)]
    apart = [[told_apart(row, mask) for row in history] for history, mask in zip(histories, clean, strict=True)]
    for name in apart[0][0]:
        found[name] = curve_over_trials([[one[name] for one in trial] for trial in apart])
    return found


def least_trusted(weights: np.ndarray, prepared: Prepared, trial: int, right: np.ndarray) -> dict[str, Any]:
    """The `LEAST_TRUSTED` examples with the smallest of importances [n], equals in an order drawn by the trial's seed:
    {"seed", "images" (packed), "index", "given", "right", "importance"}."""
    seed = int(prepared.seeds[trial])
    # not in the file's order: there wrong labels may come first
    drawn = np.random.default_rng(seed).permutation(len(weights))
    order = np.lexsort((drawn, weights))[:LEAST_TRUSTED]
    return {
        "seed": seed,
        "images": pack(prepared.train_images[order]),
        "index": order.tolist(),
        "given": prepared.noisy_labels[trial][order].tolist(),
        "right": right[order].tolist(),
        "importance": [significant(weight) for weight in weights[order]],
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
