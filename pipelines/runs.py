"""A cell's records as MLflow runs: what is logged of them, under which names."""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.records import read_json, sha256_of_file, thinned
from pipelines.tracking import Point, Store, experiment_of

POINTS = 150  # most points of all curves of a trial together; evaluation adds its own
EVALUATED_POINTS = 50  # most points of all curves that evaluation made for a trial


@dataclass
class Child:
    """A trial's run: its id, once made; how often it was observed; iterations sent; points that wait."""

    run: str | None = None
    seen: int = 0
    sent: set[int] = field(default_factory=set)
    waiting: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Recorded:
    """A cell's records: SHA-256 of train.json, train.json, run.json or nothing, when it was trained."""

    key: str
    train: dict[str, Any]
    run: dict[str, Any]
    start: int
    end: int

    @property
    def experiment(self) -> str:
        return experiment_of(self.train["family"], self.train["cell"][0])

    @property
    def tags(self) -> dict[str, str]:
        """What is marked on the cell's run and on those of its trials."""
        return {
            **tags_of(self.train),
            **{f"data/{name}": str(value) for name, value in self.train.get("data", {}).items()},
            **{name: str(self.run[name]) for name in ("commit", "device") if name in self.run},
        }


def recorded(folder: Path) -> Recorded:
    """Read a cell's records; raises UserError where they are missing or no JSON."""
    path, beside = folder / "train.json", folder / "run.json"
    train = read_json(path, "python -m pipelines.train")
    run = read_json(beside, "python -m pipelines.train") if beside.exists() else {}
    end = int(path.stat().st_mtime * 1000)
    if "date" in run:
        end = int(datetime.datetime.fromisoformat(run["date"]).timestamp() * 1000)
    return Recorded(sha256_of_file(path), train, run, end - int(1000 * run.get("seconds", 0)), end)


def tags_of(configuration: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a cell, from `Cell.configuration` and its hash, or from train.json, which holds both."""
    parts = configuration["cell"]
    names = {name: configuration[name] for name in ("profile", "family", "configuration_hash")}
    command = f"python -m pipelines.train {names['family']} {names['profile']} {' '.join(parts)}"
    return {"stage": "train", "cell": "-".join(parts), "mlflow.source.name": command, **names}


def params_of(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's settings and what is common to its family, flat."""
    return {
        name: value
        for part in ("settings", "common")
        for name, value in flat(configuration[part], f"{part}/")
    }


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, named by their path."""
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from flat(part, f"{prefix}{name}/")
    elif prefix:
        yield prefix.rstrip("/"), value


def numbers(value: Any, at: int, prefix: str = "") -> list[Point]:
    """The finite numbers among the leaves, as points at step 0."""
    return [
        (name, float(leaf), 0, at)
        for name, leaf in flat(value, prefix)
        if isinstance(leaf, int | float) and not isinstance(leaf, bool) and math.isfinite(leaf)
    ]


def is_curve(value: Any) -> bool:
    """Whether it is columns of a curve, as `observations.collected` makes them."""
    return isinstance(value, Mapping) and isinstance(value.get("iteration"), list)


def columns(curves: Mapping[str, Any], prefix: str) -> dict[str, list[Any]]:
    """Nested curves over one "iteration" as the columns of one curve; what is not as long is left out."""
    steps = curves.get("iteration", [])
    lists = {f"{prefix}{name}": part for name, part in flat(curves) if isinstance(part, list)}
    lists.pop(f"{prefix}iteration", None)
    return {"iteration": steps, **{name: part for name, part in lists.items() if len(part) == len(steps)}}


def curve_points(
    curve: Mapping[str, Any], start: int, end: int, most: int, sent: Collection[int] = ()
) -> list[Point]:
    """The points of all columns at iterations not sent yet, thinned; at most `most` with those sent."""
    steps = curve["iteration"]
    named = {name: part for name, part in curve.items() if name != "iteration" and isinstance(part, list)}
    room = max(1, most // max(1, len(named)) - len(sent))
    left = [index for index, step in enumerate(steps) if step not in sent]
    if len(left) > room:
        left = [left[index] for index in thinned(len(left) - 1, room)] if room > 1 else left[-1:]
    span = (end - start) / max([1, *steps])
    return [
        (name, float(column[index]), steps[index], start + int(span * steps[index]))
        for name, column in named.items()
        for index in left
        if column[index] is not None
    ]


def complete(store: Store, parent: str, record: Recorded, children: dict[int, Child]) -> None:
    """Bring a cell's runs to what its record says, end them, and mark the parent with the record's hash.

    Args: children: those there are already.
    """
    marks = {**record.tags, "record": record.key}
    for index, trial in enumerate(record.train["trials"]):
        child = children.setdefault(index, Child())
        status = trial["status"]
        own = {**marks, "status": status}
        if child.run is None:
            child.run = begin_trial(store, parent, record.experiment, index, record.start, own)
            own = {}
        points = curve_points(trial["curve"], record.start, record.end, POINTS, child.sent)
        points += numbers({"oracle calls": trial.get("oracle_calls", {})}, record.end)
        points += numbers({"iterations": trial.get("iterations")}, record.end)
        labels = {name: value for name, value in trial.items() if isinstance(value, str | int | float)}
        params = {name: labels[name] for name in labels if name not in _NO_LABELS}
        store.log(child.run, points, params, own)
        store.end(child.run, "FINISHED" if status == "finished" else "FAILED", record.end)
    diverged = sum(trial["status"] != "finished" for trial in record.train["trials"])
    cost = {name: value for name, value in record.run.items() if name == "seconds" or name.endswith("_bytes")}
    # the mark comes last: a run without it is not taken for whole
    store.log(parent, numbers(cost, record.end), tags={**record.tags, "diverged": str(diverged)})
    store.end(parent, "FINISHED", record.end)
    store.log(parent, tags={"record": record.key})


def begin_trial(
    store: Store, parent: str, experiment: str, index: int, start: int, tags: Mapping[str, str]
) -> str:
    """Make the run of trial `index`."""
    own = {"level": "trial", "trial": str(index), "mlflow.parentRunId": parent}
    return store.begin(experiment, f"trial {index}", {**tags, **own}, start)


_NO_LABELS = ("status", "iterations", "state_after_first_steps")
