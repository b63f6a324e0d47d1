"""What is measured of a poisoning cell: fresh classifiers on clean rows and the recorded poisons, and where they err.

Nothing here is shared with the attack. One classifier is the paper's, trained by `torch.optim.Adam` for some epochs, the
other a judge that knows of no step size: scikit-learn's solver of the same convex problem. Poisons are those of the record,
bytes as an image file would hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from threadpoolctl import threadpool_limits

from pipelines.datasets.attack_splits import POSE, VICTIM
from pipelines.datasets.prepared import folder_of
from pipelines.datasets.sealed import opened
from pipelines.denoising.cells import data_of
from pipelines.poisoning import stored
from pipelines.poisoning.data import Start, start
from pipelines.records import pack, significant, unpack
from pipelines.settings import Cell
from pipelines.statistics import curve_over_trials, over_trials

LARGEST = {8: 16.0, 28: 255.0}
"""The largest value of a pixel by the width of the images; of recorded poisons it is 255 whatever the width."""
MEASURES = ("test accuracy", "attack success", "accuracy on others")
CLASSIFIERS = ("Adam", "judge")
SHOWN = 10
"""Poisons of the first trial that are kept as images, before and after."""

Pixels = NDArray[np.float32]
Labels = NDArray[np.uint8]
Fit = Callable[[Pixels, Labels, Pixels], Labels]
"""Training images, their labels, test images -> the test images' classes."""


class Measured(NamedTuple):
    """Percent of test images that are called right, of victims called what the attacker wants, of the rest called right."""

    accuracy: float
    success: float
    others: float


def by_adam(x: Pixels, y: Labels, test: Pixels, *, weight_decay: float, epochs: int, step_size: float) -> Labels:
    """Classes of test rows by a softmax regression without bias, trained by Adam on all rows at once."""
    images, labels = torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))
    w = torch.zeros(10, x.shape[1], requires_grad=True)
    rule = torch.optim.Adam([w], lr=step_size)
    for _ in range(epochs):
        rule.zero_grad()
        loss = F.cross_entropy(images @ w.T, labels) + weight_decay * w.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        rule.step()
    found: Labels = (test @ w.detach().numpy().T).argmax(1).astype(np.uint8)
    return found


def by_judge(x: Pixels, y: Labels, test: Pixels, *, weight_decay: float) -> Labels:
    """The same by scikit-learn, at the minimum of the same cost; the classes of `x` must be all there are."""
    # its cost is |W|^2 / 2 + C sum(loss)
    judge = LogisticRegression(C=1 / (2 * weight_decay * len(y)), fit_intercept=False, tol=1e-6, max_iter=5000)
    found: Labels = judge.fit(x.astype(np.float64), y).predict(test.astype(np.float64)).astype(np.uint8)
    return found


def measured(found: Labels, right: Labels) -> Measured:
    """Percentages from classes [n] and right labels [n]."""
    victims = right == VICTIM
    return Measured(
        100.0 * float(accuracy_score(right, found)),
        100.0 * float((found[victims] == POSE).mean()),
        100.0 * float(accuracy_score(right[~victims], found[~victims])),
    )


def measure(cell: Cell, record: Mapping[str, Any]) -> dict[str, Any]:
    """{"trials", "summary": {"points=10": {classifier: {measure: over trials}}, "clean": ...}, "curves", "poisons"}.

    "clean": the judge without poisons. "poisons": images of the first trial with most points, before and after.
    """
    folder = folder_of(cell.profile, data_of(cell), "poisoning")
    prepared = stored.load(folder)
    sealed = opened(folder, ("test_labels",))["test_labels"]
    decay, retrain = cell.settings["weight_decay"], cell.settings["retrain"]
    places = {int(seed): place for place, seed in enumerate(prepared.seeds)}
    trials: list[dict[str, Any]] = []
    clean: dict[int, dict[str, Any]] = {}
    threads = torch.get_num_threads()
    with threadpool_limits(cell.common["threads"]):
        torch.set_num_threads(cell.common["threads"])
        for one in record["trials"]:
            place = places[one["seed"]]
            test, right = flat(prepared.test_images[place]), sealed[place]
            trial = {key: one[key] for key in ("seed", "points", "status")}
            if one["status"] == "finished":
                together = poisoned(cell, prepared, place, one)
                found = by_adam(*together, test, weight_decay=decay, **retrain)
                trial["Adam"] = named(measured(found, right))
                trial["judge"] = named(measured(by_judge(*together, test, weight_decay=decay), right))
            if one["seed"] not in clean:
                x, y = flat(prepared.train_images[place]), prepared.train_labels[place]
                clean[one["seed"]] = named(measured(by_judge(x, y, test, weight_decay=decay), right))
            trials.append(trial)
        torch.set_num_threads(threads)
    summary: dict[str, Any] = {"clean": {"judge": _over(list(clean.values()))}}
    curves: dict[str, Any] = {"iteration": record["trials"][0]["curve"]["iteration"]}
    for points in sorted({one["points"] for one in trials}):
        these = [one for one in trials if one["points"] == points and one["status"] == "finished"]
        key = f"points={points}"
        summary[key] = {name: _over([one[name] for one in these]) for name in CLASSIFIERS}
        summary[key]["by seed"] = {str(one["seed"]): one["judge"] for one in these}
        summary[key]["diverged"] = sum(one["points"] == points for one in trials) - len(these)
        seen = [one["curve"] for one in record["trials"] if one["points"] == points and one["status"] == "finished"]
        names = [name for name in (seen[0] if seen else {}) if name != "iteration"]
        curves[key] = {name: curve_over_trials([one[name] for one in seen]) for name in names}
    summary["oracle calls"] = record["trials"][0]["oracle_calls"]
    whole = {"trials": trials, "summary": summary, "curves": curves}
    images = shown(cell, record, prepared)
    return {**whole, "poisons": images} if images else whole


def named(one: Measured) -> dict[str, float | None]:
    """The measures by name."""
    return {name: significant(value) for name, value in zip(MEASURES, one, strict=True)}


def flat(images: NDArray[np.uint8], largest: float | None = None) -> Pixels:
    """Pixels in [0, 1], [n, d]."""
    scale = LARGEST[images.shape[-1]] if largest is None else largest
    return (images.reshape(len(images), -1) / scale).astype(np.float32)


def poisoned(cell: Cell, prepared: stored.Poisoning, place: int, trial: Mapping[str, Any]) -> tuple[Pixels, Labels]:
    """A victim's rows and labels: the clean ones, then the last poisons of a trial's record."""
    poisons = flat(unpack(trial["poisons"])[-1], 255.0)
    labels = start_of(cell, prepared, place, trial["points"]).labels
    x = np.concatenate([flat(prepared.train_images[place]), poisons])
    return x, np.concatenate([prepared.train_labels[place], labels])


def start_of(cell: Cell, prepared: stored.Poisoning, place: int, points: int) -> Start:
    """Where the cell's attack starts; its labels are those that the poisons keep."""
    return start(prepared, place, points, cell.settings.get("start", "training"))


def shown(cell: Cell, record: Mapping[str, Any], prepared: stored.Poisoning) -> dict[str, Any]:
    """The first poisons of the first trial that has most of them: {"points", "labels", "before", "after"}, images packed;
    nothing where it did not finish."""
    most = max(one["points"] for one in record["trials"])
    first = next(one for one in record["trials"] if one["points"] == most)
    if first["status"] != "finished":
        return {}
    place = [int(seed) for seed in prepared.seeds].index(first["seed"])
    begin = start_of(cell, prepared, place, most)
    scale = 255.0 / LARGEST[begin.images.shape[-1]]
    return {
        "points": most,
        "seed": first["seed"],
        "labels": begin.labels[:SHOWN].tolist(),
        "before": pack(np.round(scale * begin.images[:SHOWN]).astype(np.uint8)),
        "after": pack(unpack(first["poisons"])[-1][:SHOWN]),
    }


def _over(some: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: over_trials([one[name] for one in some]) for name in MEASURES}
