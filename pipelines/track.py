"""Import what is recorded into MLflow: `python -m pipelines.track [--profile NAME]`.

A cell whose run was not followed live (it came with the clone, or DVC restored it) gets its runs here;
evaluated metrics and drawn figures are added to the runs there are. What is in MLflow already is left alone. Without a
profile all of them are imported, as `make ui` does; `make repro` imports the one it builds, since another may take a minute.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from pipelines import runs, tracking
from pipelines.errors import run
from pipelines.records import RESULTS, read_json, sha256_of_file
from pipelines.settings import PROFILES

REPORTS = Path("reports")
_OF_FIGURES = {
    "few_shot": r"table[-_ ]?0?4(?!\d)|few[-_ ]shot|figure-[45]b|^task-",
    "time": r"table[-_ ]?0?2(?!\d)|clock|time|timing",
    "ablation": r"fig(ure)?[-_ ]?0?7(?!\d)|ablation|lambda",
    "denoising": r"table[-_ ]?0?3(?!\d)|denoising|importance|trusted|lower[-_ ]steps|accurac|learning",
    "clean_label": r"fig(ure)?[-_ ]?0?3(?!\d)|clean[-_ ]label",
    "poisoning": r"table[-_ ]?0?[56](?!\d)|fig(ure)?[-_ ]?(5c|0?6(?!\d))|poison",
    "synthetic": r"fig(ure)?s?[-_ ]?0?[12](?!\d)|synthetic|example",
}
"""Which experiment a drawn figure belongs to, by its file's name."""


class Known(NamedTuple):
    """A run that stands for a cell, a timing record or a set of figures."""

    run: str
    mark: str | None
    """The hash of what was last added to it: metrics.json, or figures."""


class Counts(NamedTuple):
    """Runs of cells, timing records and sets of figures."""

    made: int
    updated: int
    same: int

    @property
    def line(self) -> str:
        return f"MLflow: {self.made} runs made, {self.updated} updated, {self.same} up to date"


class Job(NamedTuple):
    """What may have to go into MLflow: `key` names its run, `mark` is the hash of what is added to it."""

    level: str
    key: str
    place: Path
    mark: str | None = None
    experiment: str = ""
    files: tuple[Path, ...] = ()


def import_records(profile: str = "*") -> Counts:
    """Bring MLflow up to date with results/ and reports/, of one profile or of all.

    Raises: UserError where the database cannot be used or a record is no JSON.
    """
    with tracking.explained():
        jobs = list(_jobs(profile))
        if not jobs:
            return Counts(0, 0, 0)
        if (known := _known_by_file()) is not None and not _open_jobs(jobs, known):
            return Counts(0, 0, len(jobs))
        store = tracking.Store()
        with _one_at_a_time(store):
            for name in tracking.EXPERIMENTS.values():
                store.experiment(name)
            known = _known(store)
            todo = _open_jobs(jobs, known)
            made = updated = 0
            for job in _shown(todo):
                found = known.get((job.level, job.key))
                done = _ACTIONS[job.level](store, job, found)
                made += done and found is None
                updated += done and found is not None
    return Counts(made, updated, len(jobs) - made - updated)


def _jobs(profile: str) -> Iterator[Job]:
    """All that is recorded or drawn; `profile` may be a pattern."""
    for path in sorted(RESULTS.glob(f"{profile}/*/*/train.json")):
        beside = path.with_name("metrics.json")
        mark = sha256_of_file(beside) if beside.exists() else None
        yield Job("cell", sha256_of_file(path), path.parent, mark)
    for path in sorted({*RESULTS.glob(f"{profile}/*/tim*.json"), *RESULTS.glob(f"{profile}/*/*/tim*.json")}):
        yield Job("timing", sha256_of_file(path), path)
    for folder in sorted(REPORTS.glob(f"{profile}/figures")):
        drawn: dict[str, list[Path]] = {}
        for file in sorted(folder.glob("*.png")):
            drawn.setdefault(_experiment_of_figure(file.stem), []).append(file)
        for name, files in drawn.items():
            digest = hashlib.sha256("".join(file.name + sha256_of_file(file) for file in files).encode())
            key = f"{folder.parent.name}: {name}"
            yield Job("figures", key, folder, digest.hexdigest(), name, tuple(files))


def _experiment_of_figure(stem: str) -> str:
    for key, pattern in _OF_FIGURES.items():
        if re.search(pattern, stem, re.IGNORECASE):
            return tracking.EXPERIMENTS[key]
    return "other figures"


def _open_jobs(jobs: list[Job], known: Mapping[tuple[str, str], Known]) -> list[Job]:
    """Those whose run is missing or lacks something."""
    found = [(job, known.get((job.level, job.key))) for job in jobs]
    return [job for job, run in found if run is None or (job.mark is not None and job.mark != run.mark)]


def _known_by_file() -> dict[tuple[str, str], Known] | None:
    """As `_known`, read straight from the database's file: importing mlflow alone takes over a second.

    None where there is no such file or its tables are not as expected: then MLflow is asked.
    """
    path = tracking.database()
    if path is None or not path.exists():
        return None
    query = """SELECT runs.run_uuid, tags.key, tags.value FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid
        WHERE runs.lifecycle_stage = 'active' AND tags.key IN ('level', 'record', 'metrics', 'figures')
        AND runs.run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = 'mlflow.parentRunId')
        ORDER BY runs.start_time"""
    found: dict[str, dict[str, str]] = {}
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            for name, key, value in connection.execute(query):
                found.setdefault(name, {})[key] = value
    except sqlite3.OperationalError:
        return None
    return _by_key(found)


def _known(store: tracking.Store) -> dict[tuple[str, str], Known]:
    """The runs that carry a record's key, by (level, key)."""
    found: dict[str, dict[str, str]] = {}
    for name in [*tracking.EXPERIMENTS.values(), "other figures"]:
        for level in _ACTIONS:
            for one in reversed(store.search(name, level=level)):
                found[one.info.run_id] = one.data.tags
    return _by_key(found)


def _by_key(found: Mapping[str, Mapping[str, str]]) -> dict[tuple[str, str], Known]:
    """Of runs with the same key the newest, which is the last, counts."""
    return {
        (tags["level"], tags["record"]): Known(name, tags.get("metrics") or tags.get("figures"))
        for name, tags in found.items()
        if "level" in tags and "record" in tags
    }


def _one_at_a_time(store: tracking.Store) -> Any:
    """Two imports at once would make every run twice."""
    return FileLock(store.artifacts / "import.lock", timeout=600) if store.artifacts else store.lock


def _shown(jobs: list[Job]) -> Any:
    from tqdm import tqdm

    # None: only on a terminal
    return tqdm(jobs, desc="MLflow", unit="run", leave=False, disable=None)


def _cell(store: tracking.Store, job: Job, found: Known | None) -> bool:
    """Make a cell's runs, add its metrics; False where a living process is about to do so."""
    record = runs.recorded(job.place)
    parent = found.run if found else ""
    children: dict[int, runs.Child] = {}
    if not found:
        if store.trained_now(record.experiment, record.tags):
            return False
        marks = {**record.tags, "level": "cell", "source": "imported", "process": tracking.process()}
        parent = store.begin(record.experiment, job.place.name, marks, record.start)
        store.log(parent, params=runs.params_of(record.train))
        runs.complete(store, parent, record, children)
    if job.mark is not None:
        if not children:
            for child in store.search(record.experiment, mlflow__parentRunId=parent):
                children[int(child.data.tags["trial"])] = runs.Child(child.info.run_id)
        _add_metrics(store, parent, children, job)
    return True


def _add_metrics(store: tracking.Store, parent: str, children: dict[int, runs.Child], job: Job) -> None:
    """Add what evaluation made: of each trial to its child run, the summary to the cell's."""
    metrics = read_json(job.place / "metrics.json", "python -m pipelines.evaluate")
    at = tracking.now()
    # written for an earlier train.json: not this run's, it comes again when it is evaluated
    if metrics.get("record", job.key) == job.key:
        for index, trial in enumerate(metrics.get("trials", [])):
            child = children.get(index)
            if child is None or child.run is None or not isinstance(trial, Mapping):
                continue
            curves = [part for part in trial.values() if runs.is_curve(part)]
            left = {name: part for name, part in trial.items() if name not in _NO_METRICS}
            scalars = {name: part for name, part in left.items() if not runs.is_curve(part)}
            points = runs.numbers(scalars, at)
            for curve in curves:
                points += runs.curve_points(curve, at, at, runs.EVALUATED_POINTS // len(curves))
            store.log(child.run, points)
        means = runs.columns(metrics.get("curves", {}), "curve/")
        points = runs.curve_points(means, at, at, runs.POINTS) if means["iteration"] else []
        store.log(parent, points + runs.numbers(metrics.get("summary", {}), at))
    store.log(parent, tags={"metrics": job.mark or ""})


def _timing(store: tracking.Store, job: Job, found: Known | None) -> bool:
    """Make the run of a timing record: its numbers as metrics."""
    record = read_json(job.place, "python -m pipelines.time")
    at = int(job.place.stat().st_mtime * 1000)
    profile, family = job.place.relative_to(RESULTS).parts[:2]
    tags = {"level": "timing", "stage": "time", "profile": profile, "family": family}
    name = "-".join(job.place.relative_to(RESULTS / profile).with_suffix("").parts)
    made = store.begin(tracking.EXPERIMENTS["time"], name, tags, at)
    params = {part: record[part] for part in ("settings", "common", "machine") if part in record}
    kept = {part: value for part, value in record.items() if part not in params}
    store.log(made, runs.numbers(kept, at), dict(runs.flat(params)))
    store.end(made, "FINISHED", at)
    store.log(made, tags={"record": job.key})
    return True


def _figures(store: tracking.Store, job: Job, found: Known | None) -> bool:
    """Put drawn figures into the one run they have for each experiment and profile."""
    tags = {"level": "figures", "stage": "figures", "profile": job.place.parent.name, "record": job.key}
    name = f"figures ({tags['profile']})"
    made = found.run if found else store.begin(job.experiment, name, tags, tracking.now())
    for file in job.files:
        store.client.log_artifact(made, str(file))
    store.end(made, "FINISHED", tracking.now())
    store.log(made, tags={"figures": job.mark or ""})
    return True


_NO_METRICS = ("seed", "T", "trial", "status", "iterations")
_ACTIONS = {"cell": _cell, "timing": _timing, "figures": _figures}


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.track", description=__doc__)
    parser.add_argument("--profile", default="*", choices=PROFILES, help="import its records alone")
    given = parser.parse_args(arguments)
    if not tracking.enabled():
        print("MLflow: tracking is off (BILEVEL_TRACKING=0)")
        return
    counts = import_records(given.profile)
    print(counts.line)


if __name__ == "__main__":
    run(main)
