"""What is measured of a clean-label cell: what fresh last layers on clean rows and the recorded poison call the target.

Nothing here is shared with the attack. One classifier is trained as the paper's is, by RMSProp, the other is a judge that
knows of no step size, scikit-learn's solver of the same convex problem. A poison is judged by the features that the record
holds of its final image. An image that is its base, byte for byte, is no poison: nothing is added to the rows.

Of the clean victim this writes the list of targets, the test images that both classifiers get right, with the base of each
among the test images: both need the test labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from threadpoolctl import threadpool_limits

from pipelines.clean_label import key_of, stored
from pipelines.clean_label.data import CLEAN, targets
from pipelines.datasets.prepared import folder_of
from pipelines.datasets.sealed import opened
from pipelines.denoising.cells import data_of
from pipelines.proportions import share
from pipelines.records import pack, significant, unpack
from pipelines.settings import Cell
from pipelines.statistics import curve_over_trials, over_trials

CLASSIFIERS = ("RMSProp", "judge")
AT_ONCE = 128
DECAY = np.float32(0.99)
"""Of the mean of squared gradients."""
SHOWN = 6
"""Targets that are kept as images, with their bases and poisons."""
MEASURES = ("distortion", "projection", "rounding", "violation")

Pixels = NDArray[np.float32]
Labels = NDArray[np.uint8]


def by_rmsprop(
    x: Pixels, y: Labels, poisons: Pixels, labels: Labels, *, weight_decay: float, epochs: int, step_size: float
) -> NDArray[np.float32]:
    """Last layers [m, 2, d] of m victims, each trained on the rows x [n, d] and a poison of its own, [m, d].

    They are trained side by side, which changes none: RMSProp (Tieleman & Hinton, 2012) moves every entry by itself. It is
    written out, as `torch.optim` has it, since loading that takes longer than the training.
    """
    m, classes = len(poisons), np.eye(2, dtype=np.float32)
    right, theirs = classes[y][:, None], classes[labels]
    w = np.zeros((m, 2, x.shape[1]), np.float32)
    squares = np.zeros_like(w)
    for _ in range(epochs):
        clean = softmax((x @ w.reshape(2 * m, -1).T).reshape(len(x), m, 2), axis=2) - right
        poison = softmax((w @ poisons[:, :, None])[:, :, 0], axis=1) - theirs
        gradient = (clean.reshape(len(x), 2 * m).T @ x).reshape(w.shape) + poison[:, :, None] * poisons[:, None]
        gradient = gradient / np.float32(len(x) + 1) + np.float32(2 * weight_decay) * w
        squares = DECAY * squares + (1 - DECAY) * gradient**2
        w -= np.float32(step_size) * gradient / (np.sqrt(squares) + np.float32(1e-8))
    return w


def clean_by_rmsprop(x: Pixels, y: Labels, test: Pixels, *, weight_decay: float, epochs: int, step_size: float) -> Labels:
    """Classes of test rows by a last layer that was trained on clean rows alone."""
    # the last row stands for a poison: the rows are what they were
    w = by_rmsprop(x[:-1], y[:-1], x[-1:], y[-1:], weight_decay=weight_decay, epochs=epochs, step_size=step_size)
    return np.asarray((test @ w[0].T).argmax(1).astype(np.uint8))


def clean_by_judge(x: Pixels, y: Labels, test: Pixels, *, weight_decay: float) -> Labels:
    """The same at the minimum, by scikit-learn."""
    # its cost is |w|^2 / 2 + C sum(loss), of one vector w, the difference of both rows of W: |W|^2 is half its square
    judge = LogisticRegression(C=1 / (weight_decay * len(y)), fit_intercept=False, tol=1e-6, max_iter=5000)
    found: Labels = judge.fit(x.astype(np.float64), y).predict(test.astype(np.float64)).astype(np.uint8)
    return found


def with_one(features: NDArray[np.float32]) -> Pixels:
    """Features [n, d] with a last column of ones."""
    return np.concatenate([features, np.ones((len(features), 1), np.float32)], axis=1)


def measure(cell: Cell, record: Mapping[str, Any]) -> dict[str, Any]:
    """{"trials", "summary", "curves"}, and "targets" of the clean victim, or "poisons" of an attack: images of the first
    targets."""
    folder = folder_of(cell.profile, data_of(cell), cell.family)
    prepared = stored.load(folder)
    sealed = opened(folder, ("test_labels", "test_base"))
    with threadpool_limits(cell.common["threads"]):
        return (clean if cell.settings["form"] == CLEAN else attacked)(cell, record, prepared, sealed)


def clean(
    cell: Cell, record: Mapping[str, Any], prepared: stored.CleanLabel, sealed: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    """The clean victim's accuracies, and the targets: rows that both classifiers get right, their classes, their bases."""
    called = called_clean(cell, prepared)
    right = sealed["test_labels"]
    both = np.all([one == right for one in called.values()], axis=0)
    rows = np.flatnonzero(both)
    accuracies = {name: significant(100 * float(accuracy_score(right, one))) for name, one in called.items()}
    trial = record["trials"][0]
    return {
        "trials": [{"seed": trial["seed"], "status": trial["status"], **accuracies}],
        "summary": {**accuracies, "tests": len(right), "targets": len(rows), "oracle calls": trial["oracle_calls"]},
        "curves": {"iteration": trial["curve"]["iteration"]},
        "targets": {
            "rows": rows.tolist(), "classes": right[rows].tolist(), "bases": sealed["test_base"][rows].tolist(),
        },
    }  # fmt: skip


def called_clean(cell: Cell, prepared: stored.CleanLabel) -> dict[str, Labels]:
    """What each classifier, trained on clean rows, calls the test images."""
    x, test, decay = with_one(prepared.train_features), with_one(prepared.test_features), cell.settings["weight_decay"]
    return {
        "RMSProp": clean_by_rmsprop(x, prepared.train_labels, test, weight_decay=decay, **cell.settings["retrain"]),
        "judge": clean_by_judge(x, prepared.train_labels, test, weight_decay=decay),
    }


def attacked(
    cell: Cell, record: Mapping[str, Any], prepared: stored.CleanLabel, sealed: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    """Success by bound, the smallest bound that broke each target, and what was measured along the run."""
    right = sealed["test_labels"]
    finished = [one for one in record["trials"] if one["status"] == "finished"]
    called = called_targets(cell, prepared, finished)
    trials = []
    for one in record["trials"]:
        trial = {key: one[key] for key in ("target", "label", "epsilon", "status")}
        if one["status"] == "finished":
            place = finished.index(one)
            trial |= {name: int(found[place] != right[one["target"]]) for name, found in called.items()}
            ends = {name: one["curve"].get(name, [None])[-1] for name in MEASURES}
            trial |= {name: end for name, end in ends.items() if end is not None}
        trials.append(trial)
    summary: dict[str, Any] = {}
    curves: dict[str, Any] = {"iteration": record["trials"][0]["curve"]["iteration"]}
    for epsilon in dict.fromkeys(one["epsilon"] for one in trials):
        these = [one for one in trials if one["epsilon"] == epsilon and one["status"] == "finished"]
        key = key_of(epsilon)
        summary[key] = {name: share([one[name] for one in these]) for name in CLASSIFIERS}
        summary[key] |= {name: over_trials([one[name] for one in these if name in one]) for name in MEASURES}
        summary[key]["by target"] = {str(one["target"]): one["judge"] for one in these}
        summary[key]["diverged"] = sum(one["epsilon"] == epsilon for one in trials) - len(these)
        seen = [one["curve"] for one in finished if one["epsilon"] == epsilon]
        names = [name for name in (seen[0] if seen else {}) if name not in ("iteration", *MEASURES[:3])]
        curves[key] = {name: curve_over_trials([one[name] for one in seen]) for name in names}
    summary["smallest"] = {name: smallest(trials, name) for name in CLASSIFIERS}
    summary["oracle calls"] = record["trials"][0]["oracle_calls"]
    whole = {"trials": trials, "summary": summary, "curves": curves}
    images = shown(cell, record, prepared, trials, sealed["test_base"])
    return {**whole, "poisons": images} if images else whole


def called_targets(cell: Cell, prepared: stored.CleanLabel, trials: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """What each classifier, trained with a trial's poison, calls its target, [trials]."""
    x, y, decay = with_one(prepared.train_features), prepared.train_labels, cell.settings["weight_decay"]
    test = with_one(prepared.test_features)
    every = [trial["target"] for trial in trials]
    found = {name: one[every] for name, one in called_clean(cell, prepared).items()}
    moved = [place for place, one in enumerate(trials) if is_poisoned(one)]
    for first in range(0, len(moved), AT_ONCE):
        places = moved[first : first + AT_ONCE]
        some = [trials[place] for place in places]
        poisons = with_one(np.stack([features_of(one) for one in some]))
        labels, rows = np.array([one["label"] for one in some], np.uint8), [one["target"] for one in some]
        w = by_rmsprop(x, y, poisons, labels, weight_decay=decay, **cell.settings["retrain"])
        found["RMSProp"][places] = np.einsum("mcd,md->mc", w, test[rows]).argmax(1)
        for place, poison, label, row in zip(places, poisons, labels, rows, strict=True):
            found["judge"][place] = poisoned_by_judge(x, y, poison, label, test[row], decay)
    return found


def is_poisoned(trial: Mapping[str, Any]) -> bool:
    """Whether the final image is another than its base."""
    moved: bool = trial["curve"]["distortion"][-1] > 0
    return moved


def poisoned_by_judge(x: Pixels, y: Labels, poison: Pixels, label: int, target: Pixels, weight_decay: float) -> int:
    """What the judge calls a target [d], trained on the rows x and a poison [d]."""
    together = np.concatenate([x, poison[None]]), np.append(y, label)
    return int(clean_by_judge(*together, target[None], weight_decay=weight_decay)[0])


def broken_by_judge(cell: Cell, prepared: stored.CleanLabel, trials: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each trial whose target is a selection row broke it, of those that the judge gets right without a poison."""
    x, y, decay = with_one(prepared.train_features), prepared.train_labels, cell.settings["weight_decay"]
    rows, labels = with_one(prepared.selection_features), prepared.selection_labels
    right = clean_by_judge(x, y, rows, weight_decay=decay) == labels
    broken = []
    for one in trials:
        row = one["target"]
        if right[row]:
            poison = with_one(features_of(one)[None])[0]
            called = poisoned_by_judge(x, y, poison, one["label"], rows[row], decay) if is_poisoned(one) else labels[row]
            broken.append(bool(called != labels[row]))
    return broken


def features_of(trial: Mapping[str, Any]) -> NDArray[np.float32]:
    """The recorded features of a trial's final image, [d]."""
    return np.frombuffer(unpack(trial["features"])[-1].tobytes(), dtype="<f4")


def image_of(trial: Mapping[str, Any], base: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The recorded final image of a trial, [C, H, W]."""
    return np.add(unpack(trial["poison"])[-1], base, dtype=np.uint8)


def smallest(trials: Sequence[Mapping[str, Any]], classifier: str) -> list[list[float | None]]:
    """[bound, distortion] of each broken target at the smallest bound that broke it, None for no bound; in their order."""
    ends: dict[int, list[float | None]] = {}
    for one in sorted(trials, key=lambda one: np.inf if one["epsilon"] is None else one["epsilon"]):
        if one.get(classifier) and one["target"] not in ends:
            ends[one["target"]] = [one["epsilon"], one["distortion"]]
    return list(ends.values())


def shown(
    cell: Cell,
    record: Mapping[str, Any],
    prepared: stored.CleanLabel,
    trials: Sequence[Mapping[str, Any]],
    test_base: NDArray[Any],
) -> dict[str, Any]:
    """Of the first targets that have images: {"targets", "bases", "poisons"} packed, and "labels", "epsilons", "broken".

    Each at the smallest bound that broke it by the judge, else at the largest.
    """
    rows = [one["target"] for one in trials]
    found = {"rows": rows, "classes": [1 - one["label"] for one in trials], "bases": test_base[rows].tolist()}
    chosen: dict[int, int] = {}
    by_bound = sorted(
        (place for place, one in enumerate(record["trials"]) if "poison" in one),
        key=lambda place: np.inf if trials[place]["epsilon"] is None else trials[place]["epsilon"],
    )
    for place in by_bound:
        before = chosen.get(trials[place]["target"])
        if before is None or not trials[before]["judge"]:
            chosen[trials[place]["target"]] = place
    places = list(chosen.values())[:SHOWN]
    if not places:
        return {}
    every = targets(prepared, found, cell.settings.get("base", "training"))
    bases = np.stack([every[place].base for place in places])
    after = np.stack([image_of(record["trials"][place], every[place].base) for place in places])
    some = [trials[place] for place in places]
    return {
        "targets": pack(stored.as_bytes(prepared.test_images[[one["target"] for one in some]]).reshape(bases.shape)),
        "bases": pack(bases),
        "poisons": pack(after),
        "labels": [one["label"] for one in some],
        "epsilons": [one["epsilon"] for one in some],
        "broken": [one["judge"] for one in some],
    }
